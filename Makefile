# `make help` lists the targets; each comment after ## is its help.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3

.PHONY: help setup servers run test lint format bench chaos cluster clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv with everything for running and testing

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

run: setup ## Start the whole service in this terminal (embedded, no server to install)
	$(BIN)/tts up

# PostgreSQL and RabbitMQ are started by the tests themselves, on private ports and folders; only
# their programs have to be there.
servers:
	@tests/install-servers

# More at once than there are cores: tests wait more than they compute.
WORKERS ?= 3
test: setup servers ## Run all tests against real servers, which the tests start and stop
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: setup ## Check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Measure accept rate, cost per task, fan-out and latency against baselines
	@tests/install-servers wrk nginx libnginx-mod-nchan
	$(BIN)/python -m tests.bench

cluster: setup servers ## Lose machines of a cluster, one by one: brokers, databases, clocks, links
	$(BIN)/python -m pytest -m cluster

# SEED draws the same troubles again: make chaos SEED=7 MINUTES=10 TASKS=2000
MINUTES ?= 10
TASKS ?= 2000
chaos: setup servers ## Break everything at random under load, and check that nothing is lost
	CHAOS_TASKS=500 CHAOS_SECONDS=20 $(BIN)/python -m pytest tests/chaos -m ""
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES) --tasks $(TASKS)

clean: ## Remove the environment and the caches, not the data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
