# Each target is one line of `python -m course_utils`, which is what Windows uses: there is no make.
# Set-up happens by itself. One notebook: make course NOTEBOOKS="05". Another Python: make course PYTHON=python3.12.
PYTHON ?= python3
NOTEBOOKS ?=
COURSE = $(PYTHON) -m course_utils

.PHONY: help setup course test lab bench drift soak doctor lint bundle clean
help:
	@$(COURSE) help
setup:
	@$(COURSE) setup
course:
	@$(COURSE) course --notebooks "$(NOTEBOOKS)"
test:
	@$(COURSE) test
lab:
	@$(COURSE) lab
bench:
	@$(COURSE) bench
drift:
	@$(COURSE) drift
soak:
	@$(COURSE) soak
doctor:
	@$(COURSE) doctor
lint:
	@$(COURSE) lint
bundle:
	@$(COURSE) bundle
clean:
	@$(COURSE) clean
