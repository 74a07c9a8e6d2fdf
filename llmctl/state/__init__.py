"""What outlives the process: the cache of answers and the files it lies in."""
