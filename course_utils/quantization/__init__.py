"""Weights in fewer bits: the mechanisms by hand, layers that carry them, libraries that run them, what they save."""
