"""Batches: reading their rows, running them, keeping what is finished."""
