# The same few verbs for people and for CI. Everything sets itself up; nothing outside this folder changes.
.DEFAULT_GOAL := help
.PHONY: help setup submission test test-fast lint lab bench results clean

VENV   := .venv
READY  := $(VENV)/.ready
PYTHON ?= $(shell for python in python3 python3.12 python3.13 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
PROFILE ?= demo
DATA    ?=

help:
	@echo 'make submission   set up, then data (or phantoms) -> six notebooks -> submissions/submission.csv'
	@echo '                  DATA=/path/to/competition  PROFILE=smoke|demo|bench|kaggle'
	@echo 'make test         set up, then ruff, mypy and every test'
	@echo 'make test-fast    set up, then the tests that take no seconds, in two processes: while you work'
	@echo 'make lab          set up, then JupyterLab on the notebooks'
	@echo 'make lint         ruff and mypy'
	@echo 'make bench        how fast it is here, in one page: results/speed.md'
	@echo 'make results      the other figures of results/: hours on two cores'
	@echo 'make clean        remove what runs have written; the environment stays'

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo 'No Python 3.11, 3.12 or 3.13 was found. Install one:' >&2; \
		echo '  apt-get install -y python3 python3-venv' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'This Python cannot make virtual environments. Install:' >&2; \
		echo '  apt-get install -y python3-venv' >&2; exit 1; }
	@$(PYTHON) -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || { echo 'LightGBM needs the OpenMP runtime. Install:' >&2; \
		echo '  apt-get install -y libgomp1' >&2; exit 1; }
	@echo 'Setting up $(VENV) with' "$$($(PYTHON) --version)" '(about 8 GB, some minutes, once)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check -q -r requirements.txt -e '.[dev]'
	@touch $(READY)

submission: setup
	$(VENV)/bin/python -m kitlib run --profile $(PROFILE) $(if $(DATA),--data "$(DATA)")

test: setup lint
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

test-fast: setup
	$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile -m "not slow"

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

lab: setup
	$(VENV)/bin/jupyter lab notebooks

bench: setup
	$(VENV)/bin/python -m kitlib run
	$(VENV)/bin/python -m kitlib bench

# A grid in which some fits failed has a table too, which says so.
results: setup
	$(VENV)/bin/python -m kitlib bench faults --mutants 100000 --run-kills 20
	$(VENV)/bin/python -m kitlib run --profile bench
	$(VENV)/bin/python -m kitlib experiments run --profile bench; ended=$$?; \
	$(VENV)/bin/python -m kitlib experiments table --profile bench && exit $$ended

clean:
	rm -rf work submissions/submission.csv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find kitlib tests -name __pycache__ -type d -prune -exec rm -rf {} +
