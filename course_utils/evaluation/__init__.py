"""How well a model does a task, how sure we are of it, and whether the difference to a baseline is real."""
