# Everything a newcomer needs: `make run` and `make test`. Both set themselves up and work a second time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
STAMP := $(VENV)/.installed-dev
# What the tests start, each by its command.
SERVICES := nginx postgres prometheus redis-server slowhttptest strace testssl
# Tests that start many processes each, or watch the clock: these have the machine to themselves.
BUSY := tests/integration tests/faults
# Programs of others that tests run beside the server; they do not go together with our own needs.
CLIENTS := $(VENV)/clients
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate \
  --python-version 3.11 --custom-compile-command "make lock" pyproject.toml

# Every start takes twice as long where Python may not keep what it has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test lint format protos docs bench soak stack stack-down stack-test lock clean

help: ## Say what each target does
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with all that running, testing and training need

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tollgate needs CPython 3.11 or later; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(RUN_STAMP): requirements.lock pyproject.toml | $(BIN)/uv
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMP): requirements-dev.lock requirements-clients.lock $(RUN_STAMP)
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@test -x $(CLIENTS)/bin/python || $(BIN)/python -m venv --without-pip $(CLIENTS)
	$(BIN)/uv pip install --quiet --python $(CLIENTS)/bin/python --require-hashes -r requirements-clients.lock
	@touch $@

run: $(RUN_STAMP) ## Serve the demo model on 127.0.0.1 with a demo tenant and key
	@exec $(BIN)/tollgate demo

test: $(STAMP) ## Run the whole suite, services included
	@scripts/packages.sh $(SERVICES)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(BUSY:%=--ignore %)
	$(BIN)/python -m pytest $(BUSY)

lint: $(STAMP) ## Check style, types, formatting and known weaknesses
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --severity-level medium --recursive auth gateway inference scripts benchmarks docs examples

format: $(STAMP) ## Format and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(STAMP) ## Generate the messages of the gRPC protocol anew
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. inference/protocol/open_inference.proto

docs: $(STAMP) ## Write the generated tables of README.md and docs/ anew
	$(BIN)/python -m docs.generate

bench: $(STAMP) ## Measure Tollgate against a bare app and a tutorial app
	@scripts/packages.sh nginx redis-server wrk
	$(BIN)/python -m benchmarks

soak: $(STAMP) ## Run the long fault and load tests
	@scripts/packages.sh $(SERVICES)
	$(BIN)/python -m pytest -m soak

stack: ## Build and start everything with docker compose, with a demo tenant and key
	@$(PYTHON) -m scripts.stack up

stack-down: ## Stop what `make stack` started; the data stays
	@$(PYTHON) -m scripts.stack down

stack-test: $(STAMP) ## Prove the stack on a Docker engine: a project, ports and secrets of its own
	$(BIN)/python -m pytest -m stack tests/compose

lock: | $(BIN)/uv ## Write both lock files anew from pyproject.toml
	$(COMPILE) --group build -o requirements.lock
	$(COMPILE) --extra arrow --extra convert --extra traces --group build --group dev --group train -c requirements.lock -o requirements-dev.lock
	$(COMPILE:pyproject.toml=) --group clients -o requirements-clients.lock

clean: ## Remove the environment, the caches and the demo's data
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
