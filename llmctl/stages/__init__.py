"""One stage a file: a Send that wraps a Send. `pipeline.py` lists them in their order."""
