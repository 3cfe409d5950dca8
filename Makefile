# Everything on a fresh machine with Python 3.11-3.13 and pip; nothing outside this folder is changed.
#   make quickstart   install, run the small study, write its report
#   make test         install with development tools, run the tests
#   make check        format, lint, types (make lint), tests: what continuous integration runs
#   make bench        the throughput table of this machine
#   make bench-scale  the ledger with a million rows, a grid of ten thousand runs
#   make bench-faults fifty kills spread over one grid: about half an hour

PYTHON ?= python3
OUT ?= out/quickstart
BIN := .venv/bin
# Byte code is compiled when a module is first imported, which takes a minute off the installation.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# pip's progress on dependencies is noise; a missing package index is still an error.
export PIP_ROOT_USER_ACTION = ignore

.PHONY: env env-dev quickstart test lint check bench bench-scale bench-faults clean

env: .venv/installed
env-dev: .venv/installed-dev

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Python 3.11, 3.12 or 3.13 is needed, this is " + sys.version.split()[0] + "; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch .venv/installed $@

quickstart: env
	$(BIN)/study run quickstart --out $(OUT)
	$(BIN)/study report --out $(OUT) --to $(OUT)/report

test: env-dev
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

lint: env-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

check: lint test

bench: env-dev
	$(BIN)/python benchmarks/throughput.py --write benchmarks/throughput.md

bench-scale: env-dev
	$(BIN)/python benchmarks/ledger.py --write benchmarks/ledger.md
	$(BIN)/python benchmarks/scale.py --write benchmarks/scale.md

bench-faults: env-dev
	$(BIN)/python benchmarks/faults.py --write benchmarks/faults.md

clean:
	rm -rf .venv build out *.egg-info .pytest_cache .ruff_cache .hypothesis
