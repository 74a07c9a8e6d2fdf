"""The pages, and the scripts that make their generated parts."""
