"""Experiments too long for a notebook: a module for each `python -m course_utils run NAME`, under that name."""
