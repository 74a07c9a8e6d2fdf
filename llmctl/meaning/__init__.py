"""Texts as vectors, to tell which ones mean nearly the same. Needs the extra `semantic`."""
