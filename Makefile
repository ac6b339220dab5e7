# `make help` lists the targets; each comment after ## is its help.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3

.PHONY: help setup lock audit dist servers run test lint format bench chaos cluster ops generators screenshots clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv with everything for running and testing

# Exactly the locked packages, each held against its hash; the project itself is built with them.
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Tools that the project itself does not need, apart from what it runs with.
TOOLS := $(VENV)/tools
$(TOOLS)/bin/%:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet $*

lock: $(TOOLS)/bin/uv ## Lock the newest versions that pyproject.toml allows, for every platform
	$< pip compile pyproject.toml --group dev --universal --upgrade --generate-hashes --quiet \
		--no-header --no-emit-index-url --output-file requirements.lock

audit: $(TOOLS)/bin/pip-audit ## Hold the locked packages against the list of known holes
	@$(PYTHON) -m tests.audit $<

$(TOOLS)/bin/cyclonedx-py:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet cyclonedx-bom

dist: setup $(TOOLS)/bin/cyclonedx-py ## Build the packages into dist/, install each into an empty environment and have it speak
	$(BIN)/python -m tests.dist $(TOOLS)/bin/cyclonedx-py

run: setup ## Start the whole service in this terminal (embedded, no server to install)
	$(BIN)/tts up

# PostgreSQL and RabbitMQ are started by the tests themselves, on private ports and folders; only
# their programs have to be there.
servers:
	@tests/install-servers

# More at once than there are cores: tests wait more than they compute.
WORKERS ?= 4
test: setup servers ## Run all tests against real servers, which the tests start and stop
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: setup ## Check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# BENCH names some of the measurements (accept, peers, …); --record writes ops/benchmarks anew. The
# peers' packages are installed into BENCH_CACHE.
BENCH ?=
bench: setup ## Measure against peers and baselines, and growth (some of it: make bench BENCH="peers start")
	@tests/install-servers wrk nginx libnginx-mod-nchan redis-server
	$(BIN)/python -m tests.bench $(BENCH)

cluster: setup servers ## Lose machines of a cluster, one by one: brokers, databases, clocks, links
	$(BIN)/python -m pytest -m cluster

ops: setup servers $(TOOLS)/bin/check-jsonschema $(TOOLS)/bin/kubernetes-validate ## Hold ops/ against the real servers and schemas
	$(BIN)/python -m pytest tests/ops -m ""

$(TOOLS)/.generators: tests/generators/requirements.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --requirement $<
	touch $@

generators: setup $(TOOLS)/.generators ## Have validators read the API's description and generators make clients of it
	$(BIN)/python -m pytest tests/generators -m ""

# SEED draws the same troubles again: make chaos SEED=7 MINUTES=10 TASKS=2000
MINUTES ?= 10
TASKS ?= 2000
chaos: setup servers ## Break everything at random under load (a cluster, some of it as root), and check that nothing is lost
	CHAOS_TASKS=500 CHAOS_SECONDS=20 $(BIN)/python -m pytest tests/chaos -m "not cluster"
	HYPOTHESIS=explore $(BIN)/python -m pytest tests/unit
	FUZZ_EXAMPLES=50 $(BIN)/python -m pytest tests/integration/gateway -m "" -k fuzzer
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES) --tasks $(TASKS)

screenshots: setup ## Take the pictures of README.md anew
	$(BIN)/python -m tests.clients.screenshots

clean: ## Remove the environment, what was built and the caches, not the data
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
