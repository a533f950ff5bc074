# Everything a newcomer needs: `make run` and `make test`. Both set themselves up and work a second time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PORT := $(or $(TOLLGATE_PORT),8000)

.PHONY: help setup run test lint format docs bench soak lock clean

help: ## Say what each target does
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with everything in requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tollgate needs CPython 3.11 or later; set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "no venv module: install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: $(STAMP) ## Serve the demo model on 127.0.0.1 with a demo tenant and key
	@exec $(BIN)/tollgate demo

test: $(STAMP) ## Run the whole suite, services included
	$(BIN)/python -m pytest

lint: $(STAMP) ## Check style, types and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Format and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Write the generated tables of README.md and docs/ anew
	$(BIN)/python -m docs.generate

bench: $(STAMP) ## Measure Tollgate against a bare app and a tutorial app (needs wrk)
	$(BIN)/python -m benchmarks

soak: $(STAMP) ## Run the long fault and load tests
	$(BIN)/python -m pytest -m soak tests

lock: ## Write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	  --group dev --group train --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## Remove the environment, the caches and the demo's data
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
