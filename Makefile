PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PINS := pyproject.toml constraints.txt

# The pins also hold for what pip installs to build the package. Relative, because pip splits these at spaces; newer
# versions of pip read the second one for builds.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help sweep test test-slow gpu-check lint types clean

help: ## list the targets
	@echo "Usage: make TARGET [PYTHON=python3] [ARGS=\"...\"]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

sweep: .venv/.installed ## set up .venv and sweep 16, 128 and 1024 agents; ARGS go to `scaleprof sweep`
	@$(BIN)/scaleprof sweep --agents 16,128,1024 $(ARGS)

test: lint types ## check style and types, run the tests; ARGS go to pytest
	@echo "== tests"
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

test-slow: .venv/.installed-dev ## run the slow tests; ARGS go to pytest
	@$(BIN)/python -m pytest -q -m slow $(ARGS)

gpu-check: .venv/.installed-cuda ## check everything on an NVIDIA card; ARGS go to benchmarks/gpu_check.py
	@$(BIN)/python -m benchmarks.gpu_check $(ARGS)

lint: .venv/.installed-dev ## check style and formatting
	@echo "== style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/.installed-dev ## check types
	@echo "== types"
	@$(BIN)/mypy

clean: ## remove build output and caches; keeps .venv and results
	@rm -rf build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@command -v "$(PYTHON)" >/dev/null || \
		{ echo "$(PYTHON) was not found; give a Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "scaleprof needs Python 3.11 or newer and $(PYTHON) is $$("$(PYTHON)" -V 2>&1); \
	give another: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -m venv .venv || \
		{ rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment; Debian and Ubuntu have it in the package python3-venv"; exit 1; }

.venv/.installed: .venv/bin/python $(PINS)
	@echo "Installing scaleprof and its pinned dependencies into .venv (minutes the first time)"
	@$(BIN)/python -m pip install -q -e .
	@touch $@

.venv/.installed-dev: .venv/bin/python $(PINS)
	@echo "Installing scaleprof, its pinned dependencies and the development tools into .venv (minutes the first time)"
	@$(BIN)/python -m pip install -q -e ".[dev]"
	@touch .venv/.installed $@

.venv/.installed-cuda: .venv/.installed-dev
	@echo "Installing jax for NVIDIA GPUs into .venv (minutes the first time)"
	@$(BIN)/python -m pip install -q -e ".[dev,cuda]"
	@touch $@
