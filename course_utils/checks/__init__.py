"""Exercise checkers: each takes the learner's function, tries it on small cases and says what is wrong with it."""
