# Two commands on a fresh Debian with python3 (3.11), git and make: `make run`, `make test`. Both do their own set-up.
VENV := .venv
PYTHON ?= python3
.DEFAULT_GOAL := help

.PHONY: help setup run workflow test check series slow-tests agreement simulation soak localstack moto programs terraform rehearse-localstack clean

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

setup: $(VENV)/.run ## Install the locked dependencies; the command then stands at .venv/bin/gameday

run: $(VENV)/.run ## Run the quick scenario on the embedded target and judge it
	@$(VENV)/bin/gameday run

workflow: $(VENV)/.run ## Run the order workflow under faults, on the broker in memory
	@$(VENV)/bin/gameday run workflow --target memory

# More of them than cores: where a test waits for a live run, another works.
PYTEST := $(VENV)/bin/python -m pytest -n 6 --dist worksteal

test: $(VENV)/.dev ## Run the tests
	@$(PYTEST) -m "not series and not alone"

# Seeds of the long series, FROM:TO.
AGREEMENT ?= 1000:11000
SIMULATION ?= 1000:21000
# Of those on several hosts alone.
ON_HOSTS ?= 1000:1200

series: slow-tests agreement simulation ## Run the tests that `make test` leaves out, random histories, and simulated runs

# Of the slow tests only the N-th of M parts: SLICE=N/M.
slow-tests: $(VENV)/.dev
	@$(PYTEST) -m "series and not alone and not soak" $(if $(SLICE),--slice $(SLICE))
	@$(VENV)/bin/python -m pytest -m "alone and not soak"

agreement: $(VENV)/.dev
	@$(VENV)/bin/python -m tests.verify.agreement $(AGREEMENT)

simulation: $(VENV)/.dev
	@$(VENV)/bin/python -m tests.simulation --jobs 2 --seeds $(SIMULATION)
	@$(VENV)/bin/python -m tests.simulation --jobs 2 --hosts --seeds $(ON_HOSTS)

soak: series ## Run the long series, and every scenario
	@$(PYTEST) -m "soak and not alone"
	@$(VENV)/bin/python -m pytest -m "soak and alone"
	@$(VENV)/bin/python -m gameday.run.rehearsal --target memory

check: $(VENV)/.dev ## What CI runs: linters, types, tests
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy --explicit-package-bases scripts
	@$(VENV)/bin/mypy benchmarks
	@$(MAKE) --no-print-directory test

$(VENV)/bin/python:
	@sh scripts/venv.sh $(PYTHON) $(VENV)

$(VENV)/.run: locks/run.txt pyproject.toml | $(VENV)/bin/python
	@sh scripts/install.sh $(VENV) locks/run.txt
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: locks/dev.txt $(VENV)/.run
	@sh scripts/install.sh $(VENV) locks/dev.txt
	@# Compiled once here: each of the processes that the tests are spread over would compile them all.
	@ls -d tests/*/ | xargs -P 2 -n 12 $(VENV)/bin/python -m pytest --collect-only -qq > /dev/null 2>&1 || true
	@touch $@

localstack: .localstack/.ready ## Install LocalStack beside it, for the tests and for scripts/serve.py

moto: .moto/.ready ## Install the moto server beside it, for the same

.localstack/.ready: locks/localstack.txt locks/kinesis/package-lock.json scripts/localstack.sh
	@sh scripts/localstack.sh .localstack && touch $@

.moto/.ready: locks/moto.txt scripts/apart.sh
	@sh scripts/apart.sh $(PYTHON) locks/moto.txt .moto && touch $@

.checkov/.ready: locks/checkov.txt scripts/apart.sh
	@sh scripts/apart.sh $(PYTHON) locks/checkov.txt .checkov && touch $@

programs: $(patsubst %,.programs/%/.ready,python sqs_consumer go_loop kcl) ## Install the programs of tests/programs, for their tests

.programs/%/.ready: scripts/programs.sh
	@sh scripts/programs.sh $(PYTHON) $* .programs/$*

.programs/python/.ready: tests/programs/python/requirements.txt
.programs/sqs_consumer/.ready: $(wildcard tests/programs/sqs_consumer/*)
.programs/go_loop/.ready: $(wildcard tests/programs/go_loop/*)
.programs/kcl/.ready: $(wildcard tests/programs/kcl/*)

terraform: $(VENV)/.run .checkov/.ready .localstack/.ready ## Check the modules of terraform/, and that each check finds a mistake
	@scripts/terraform.sh
	@scripts/terraform.sh --self-test

# Short ones, one for each service, and one of them must be violated.
ON_LOCALSTACK := quick kinesis broken-rule-too-wide

rehearse-localstack: $(VENV)/.run .localstack/.ready ## Run the short scenarios on LocalStack; each must give its verdict
	@$(VENV)/bin/python scripts/serve.py localstack --port 0 -- \
	    $(VENV)/bin/python -m gameday.run.rehearsal $(ON_LOCALSTACK) --target localstack 2>.localstack/log \
	    || { tail -n 40 .localstack/log >&2; exit 1; }

clean: ## Remove the environment and caches (run directories stay)
	rm -rf $(VENV) .localstack .moto .checkov .tofu .programs .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
