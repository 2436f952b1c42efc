# Everything there is to do with tunehook. `make help` lists it.
#
# PYTHON            the Python to set up with (3.11 or newer)
# PYTHON_VERSION    the Python of Lambda to build for
# KEEP=1            `make demo` leaves what it started running

PYTHON ?= python3
PYTHON_VERSION ?= 3.13

BIN = .venv/bin
TOOLS = .tunehook/tools
SAM = $(TOOLS)/sam/bin/sam
SETUP = .venv/.made $(TOOLS)/sam/.made $(TOOLS)/ministack/.made

export SAM_CLI_TELEMETRY = 0
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## set everything up, below this folder (done once)
	@$(MAKE) -s --no-print-directory -j3 $(SETUP)

.PHONY: demo
demo: setup ## show the whole job on an embedded AWS
	@$(BIN)/python -m tunehook_cli.demo

.PHONY: test
test: setup ## run every test that this machine can run
	$(BIN)/pytest tests/unit tests/contract tests/stack

.PHONY: lint
lint: setup ## check style, types and the template
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(SAM) validate --lint

.PHONY: format
format: setup ## put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: setup ## run the benchmarks (a quarter of an hour; one needs nginx)
	$(BIN)/python -m benchmarks.cadence
	$(BIN)/python -m benchmarks.poll_throughput
	$(BIN)/python -m benchmarks.end_to_end
	$(BIN)/python -m benchmarks.awake

.PHONY: build
build: setup ## build the stack for AWS
	LAYER_PYTHON_VERSION=$(PYTHON_VERSION) PYTHON="$(CURDIR)/$(BIN)/python" \
		$(SAM) build --parameter-overrides PythonVersion=$(PYTHON_VERSION)

.PHONY: deploy
deploy: build ## build the stack and deploy it to AWS, asking what it needs to know
	$(SAM) validate --lint
	$(SAM) deploy --guided --parameter-overrides PythonVersion=$(PYTHON_VERSION)

.PHONY: schemas
schemas: setup ## write the JSON Schemas of the events anew
	$(BIN)/python -m tunehook_cli.schemas

.PHONY: lock
lock: setup ## pin the requirements anew
	$(BIN)/python requirements/lock.py

.PHONY: clean
clean: ## remove all that was built and set up
	@if [ -x $(BIN)/tunehook ]; then $(BIN)/tunehook local down; fi
	rm -rf .venv .tunehook .aws-sam

# Each tool has an environment of its own: the SAM CLI and MiniStack pin different versions of boto3.

CREATE = $(PYTHON) requirements/environment.py

.venv/.made: requirements/dev.txt requirements/environment.py pyproject.toml
	@$(CREATE) .venv requirements/dev.txt --editable .
	@touch $@

$(TOOLS)/sam/.made: requirements/sam.txt requirements/environment.py
	@$(CREATE) $(TOOLS)/sam requirements/sam.txt
	@touch $@

$(TOOLS)/ministack/.made: requirements/ministack.txt requirements/environment.py
	@$(CREATE) $(TOOLS)/ministack requirements/ministack.txt
	@touch $@
