"""What `python -m course_utils …` runs: a module for each command, with `main(argv)` that returns an exit status."""
