# One line each. Every target makes its own set-up: a fresh clone needs only Python 3.11+, git and make.
PYTHON ?= python3
BIN := .venv/bin
# One thread a worker: more would only make the tests of two workers wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal
.PHONY: run test test-all check install viz docs clean
.DEFAULT_GOAL := run

run: install ; $(BIN)/kedro run
test: check ; $(PYTEST) -m "not slow" --cov --cov-report=term --cov-fail-under=80
test-all: check ; $(PYTEST) --cov --cov-report=term --cov-fail-under=80
check: install ; $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
install: .venv/installed
viz: install ; $(BIN)/kedro viz run
docs: install ; NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
clean: ; rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@
