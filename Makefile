# Everything that one does with this repository. `make` alone lists it.

PYTHON  := .venv/bin/python
HARNESS := $(PYTHON) -m tests.kind
BENCHMARKS := failover commit idle elastic clone backup
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
UV_WANTED := uv>=0.13,<0.14

.DEFAULT_GOAL := help
.PHONY: help setup cluster images operator demo test soak variants lint unit simulation simulate integration parameters csi e2e faults serverless aged bench-backup status down clean fmt release fuzz coverage

help: ## List the targets
	@awk -F ':.*## ' '/^[a-zA-Z0-9%_-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- getting ready -----------------------------------------------------------------------------------------

setup: .venv/.synced ## Make the Python environment (.venv) from uv.lock

# Synced again only when the lock file or the project's metadata changed.
.venv/.synced: uv.lock pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: Python 3.11 or newer is needed as python3 (here: $$(python3 --version 2>&1 || echo none))" >&2; exit 1; }
	@set -e; uv=$$(command -v uv || true); \
	  if [ -n "$$uv" ] && "$$uv" --version | awk '{split($$2, v, "."); exit !(v[1] > 0 || v[2] >= 13)}'; then :; else \
	    uv=.tools/bin/uv; \
	    if [ ! -x $$uv ]; then \
	      echo "installing uv into .tools"; \
	      python3 -m venv .tools || { echo "error: python3 cannot make a venv (Debian: apt-get install python3-venv)" >&2; exit 1; }; \
	      .tools/bin/pip install --quiet '$(UV_WANTED)'; \
	    fi; \
	  fi; \
	  "$$uv" sync --frozen --all-extras --all-groups
	@touch $@

cluster: setup ## Make the kind cluster, or bring it up to date
	@$(HARNESS) up

images: setup ## Build the project's images and load them into the cluster
	@$(HARNESS) images

demo: cluster ## Show it: the operator and a database cluster in three zones
	@$(PYTHON) -m tests.kind.demo

# ---- checking ----------------------------------------------------------------------------------------------

test: setup ## Run everything that checks, and tell how long each part took
	@$(PYTHON) -m tests.stages lint unit simulation integration csi operator e2e

lint: setup ## Check style, types, the direction of imports, and that the CRDs are current
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m aurora_operator.api.crd --check

fmt: setup ## Format the code, and mend what ruff can mend by itself
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

unit: setup ## Run the unit tests
	@.venv/bin/pytest tests/unit --numprocesses 2 --dist worksteal

simulation: setup ## Run the consensus simulator's tests
	@.venv/bin/pytest tests/simulation --numprocesses 2 --dist worksteal --durations 5

simulate: SEEDS ?= 500
simulate: FIRST ?= 0
simulate: setup ## Run the consensus on many random seeds: make simulate SEEDS=5000
	@$(PYTHON) -m tests.simulation --seeds $(SEEDS) --first $(FIRST)

fuzz: MINUTES ?= 5
fuzz: setup ## Try any bytes on what reads others' bytes: make fuzz MINUTES=60
	@$(PYTHON) -m tests.fuzz --minutes $(MINUTES)

integration: setup ## Run the tests against real PostgreSQL processes
	@.venv/bin/pytest tests/integration --ignore tests/integration/csi --numprocesses 4 --dist worksteal --durations 10 -rs

operator: cluster ## Install the operator into the cluster, or upgrade it
	@$(PYTHON) -m tests.kind.chart

# A test that fails because all is slower when measured does not end it.
coverage: setup ## Measure which lines and branches the unit, simulation and integration tests run: build/coverage/report.txt
	@rm -rf build/coverage && mkdir -p build/coverage
	-@.venv/bin/coverage run -m pytest tests/unit --numprocesses 2 --dist worksteal
	-@.venv/bin/coverage run -m pytest tests/simulation --numprocesses 2 --dist worksteal
	-@.venv/bin/coverage run -m pytest tests/integration --ignore tests/integration/csi --numprocesses 4 --dist worksteal
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report >build/coverage/report.txt
	@tail -n 1 build/coverage/report.txt

parameters: setup ## Try each setting of PostgreSQL with a value of each class in spec.parameters
	@.venv/bin/pytest -s tests/integration/parameters/long_matrix.py

csi: setup ## Run the test cluster's CSI driver on the real kernel, and the CSI project's conformance tests (as root)
	@$(SUDO) .venv/bin/pytest tests/integration/csi
	@$(SUDO) $(PYTHON) -m tests.kind.csi.sanity

e2e: operator ## Run the end-to-end tests on the kind cluster
	@rm -f build/e2e/measurements.json
	@.venv/bin/pytest tests/e2e -m "not alone and not soak" --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 15
	@.venv/bin/pytest tests/e2e -m "alone and not soak" --durations 10

faults: MINUTES ?= 5
faults: operator ## Inject every fault, then random ones, into a cluster under load: make faults MINUTES=5 SEED=7
	@AURORA_FAULT_MINUTES=$(MINUTES) $(if $(SEED),AURORA_FAULT_SEED=$(SEED)) \
	  .venv/bin/pytest -s tests/e2e/test_faults.py tests/e2e/test_pod_faults.py tests/e2e/long_faults.py \
	  tests/e2e/long_random_faults.py

variants: operator ## Run the end-to-end tests that vary what others show already
	@.venv/bin/pytest tests/e2e -m soak --durations 10

soak: SEEDS ?= 100000
soak: MINUTES ?= 60
soak: setup ## Hours of it: random schedules and faults, long end-to-end tests, benchmarks: make soak SEEDS=100000 MINUTES=60
	@SEEDS=$(SEEDS) MINUTES=$(MINUTES) FIRST=$${FIRST:-$$(date +%s)} \
	  $(PYTHON) -m tests.stages simulate fuzz faults serverless variants $(addprefix bench-,$(BENCHMARKS))

serverless: operator ## Wake a paused cluster for a backup, a snapshot and a clone, and move a reader to a larger node
	@.venv/bin/pytest -s tests/e2e/long_serverless.py

aged: setup ## Lead, promise and start after 10,000 leaderships, and after elections that failed: bench/aged.py
	@$(PYTHON) -m bench.aged

bench-backup: setup ## Run the benchmark of backups, which needs no cluster: bench/backup.py
	@$(PYTHON) -m bench.backup

bench-%: operator ## Run one benchmark: make bench-failover runs bench/failover.py
	@$(PYTHON) -m bench.$*

# ---- publishing --------------------------------------------------------------------------------------------

release: setup ## Make all that a release publishes, as far as it can be made here, into dist/ (PARTS="wheel chart": only these)
	@$(PYTHON) -m hack.release $(PARTS)

# ---- looking and leaving -----------------------------------------------------------------------------------

status: setup ## Say what there is of the cluster
	@$(HARNESS) status

down: setup ## Delete the cluster (what was downloaded and built stays)
	@$(HARNESS) down

clean: ## Delete what was made in this folder (the cluster and the cache stay: `make down` first)
	rm -rf build dist .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
