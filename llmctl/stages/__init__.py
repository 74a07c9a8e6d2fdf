"""One stage a file: each takes the next Send and gives a Send around it."""
