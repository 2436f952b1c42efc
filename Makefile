# All the targets of tunehook. `make help` lists them.
#
# PYTHON            the Python to set up with (3.11 or newer)
# KEEP=1            `make demo` leaves what it started running, `make smoke` what it made
# YES=1             `make smoke` does not prompt
# RUNS              how often `make busy` runs the tests (3)
#
# and for `make deploy`:
# STACK             the stack's name
# ENVIRONMENT       of samconfig.toml, such as prod
# PARAMETERS        "ShardCount=4 LogLevel=DEBUG"; others keep their value, or are prompted for
# PYTHON_VERSION    short for PARAMETERS=PythonVersion=...
# YES=1             deploys without a prompt

PYTHON ?= python3

BIN = .venv/bin
BUILD = .aws-sam/build
PROCESSOR = $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
TOOLS = .tunehook/tools
SAM = $(TOOLS)/sam/bin/sam
# What is there already takes a twentieth of a second. A command names what it needs beside these three.
SETUP = $(PYTHON) requirements/environments.py command sam ministack
# Of use where a browser is.
BROWSER = $(if $(shell command -v chromium || command -v chromium-browser),browser)

export SAM_CLI_TELEMETRY = 0
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## install what the demo and the commands need, inside this folder
	@$(SETUP)

.PHONY: demo
demo: setup ## run the end-to-end demo on this machine
	@$(BIN)/python -m tunehook_local.demo

.PHONY: picture
picture: setup ## create the picture of the demo in README.md
	@$(BIN)/python -m tunehook_local.demo --picture docs/images/demo.svg

.PHONY: screenshots
screenshots: setup ## create the pictures of the console in README.md (needs Chromium)
	@$(SETUP) browser
	@$(BIN)/python -m tunehook_local.demo --screenshots docs/images

.PHONY: test
test: $(TOOLS)/node/.made ## run every test that this machine can run
	@$(SETUP) tests checks schemathesis $(BROWSER)
	$(BIN)/pytest --numprocesses=auto --maxprocesses=8 tests/unit tests/contract
	$(BIN)/pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder tests/account tests/stack

.PHONY: lint
lint: ## check style, types and the template
	@$(SETUP) tests sam-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(SAM) validate --lint
	$(SAM) validate --lint --template-file tests/account/sandbox/template.yaml

.PHONY: format
format: ## format the code
	@$(SETUP) tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: ## run the benchmarks (an hour on an idle machine; some need nginx)
	@$(SETUP) tests
	$(BIN)/python -m benchmarks.cadence
	$(BIN)/python -m benchmarks.poll_throughput
	$(BIN)/python -m benchmarks.expressions
	$(BIN)/python -m benchmarks.fulfillment
	$(BIN)/python -m benchmarks.aws_calls
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.api_calls
	$(BIN)/python -m benchmarks.imports
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.wide
	$(BIN)/python -m benchmarks.fairness
	$(BIN)/python -m benchmarks.overload
	$(BIN)/python -m benchmarks.archive
	$(BIN)/python -m benchmarks.webhooks
	$(BIN)/python -m benchmarks.dynamodb
	$(BIN)/python -m benchmarks.isolation
	$(BIN)/python -m benchmarks.rate_limit
	$(BIN)/python -m benchmarks.end_to_end
	$(BIN)/python -m benchmarks.cold
	$(BIN)/python -m benchmarks.hop
	$(BIN)/python -m benchmarks.callbacks
	$(BIN)/python -m benchmarks.console
	$(BIN)/python -m benchmarks.awake
	$(BIN)/python -m benchmarks.takeover
	$(BIN)/python -m benchmarks.twice

.PHONY: soak
soak: ## fault injection: run 2,000 tasks while everything breaks, and count what is lost (25 minutes)
	@$(SETUP) tests
	$(BIN)/python -m tests.stack.faults --size long --write
	TUNEHOOK_MALFORMED=2000 $(BIN)/pytest tests/stack/test_malformed_requests.py
	TUNEHOOK_MUTATIONS=30000 $(BIN)/pytest --numprocesses=2 tests/contract/providers/test_mutated.py

.PHONY: busy
busy: $(TOOLS)/node/.made ## run `make test` RUNS times beside four busy processes on two cores (an hour each)
	@$(SETUP) tests
	$(BIN)/python -m tests.support.busy --runs $(or $(RUNS),3)

.PHONY: mutants
mutants: ## mutation tests: make 500 small changes of the code and count those that the tests detect (hours)
	@$(SETUP) tests
	$(BIN)/python -m tests.mutants --jobs 2

.PHONY: build
build: setup ## build the stack for AWS
	PYTHON="$(CURDIR)/$(BIN)/python" $(SAM) build

# The environment file leads the container to what `tunehook local up --containers` has started.
INVOKE_USAGE = make invoke FUNCTION=PollerFunction EVENT=events/schedule.json

.PHONY: invoke
invoke: setup ## run the built FUNCTION in a container with the event file EVENT
	@test -n "$(FUNCTION)" && test -n "$(EVENT)" || { echo 'usage: $(INVOKE_USAGE)' >&2; exit 2; }
	@test -f $(BUILD)/template.yaml || { echo 'nothing is built: run `make build`' >&2; exit 2; }
	@$(BIN)/tunehook local env --sam >$(BUILD)/environment.json
	@eval "$$($(BIN)/tunehook local env)" && $(SAM) local invoke $(FUNCTION) --event $(EVENT) \
		--template-file $(BUILD)/template.yaml --env-vars $(BUILD)/environment.json \
		--parameter-overrides $(if $(PYTHON_VERSION),PythonVersion=$(PYTHON_VERSION)) Architecture=$(PROCESSOR)

.PHONY: deploy
deploy: build ## build the stack and deploy it to AWS; prompts for the parameters of a new stack
	@$(SETUP) sam-lint
	@$(SAM) validate --lint
	@$(BIN)/python -m tunehook_cli.deploying --sam $(SAM) $(if $(ENVIRONMENT),--environment $(ENVIRONMENT)) \
		$(if $(STACK),--stack $(STACK)) $(if $(YES),--yes) \
		$(if $(PYTHON_VERSION),PythonVersion=$(PYTHON_VERSION)) $(PARAMETERS)

# `python -m tests.account --embedded` does the same without an account.
.PHONY: smoke
smoke: ## test it in your AWS account, for less than a cent (prompts first; removes what it created)
	@$(SETUP) tests
	@$(BIN)/python -m tests.account $(if $(PYTHON_VERSION),--parameter PythonVersion=$(PYTHON_VERSION))

.PHONY: schemas
schemas: setup ## regenerate the event schemas and the document of the HTTP API
	@$(SETUP) tests
	$(BIN)/python -m tunehook_cli.schemas
	PYTHONPATH=functions $(BIN)/python -m api.openapi

.PHONY: lock
lock: setup ## update the pinned requirements
	$(BIN)/python requirements/lock.py

.PHONY: clean
clean: ## remove everything that was built or installed
	@if [ -x $(BIN)/tunehook ]; then $(BIN)/tunehook local down; fi
	@if [ -f .tunehook/demo/running.json ]; then TUNEHOOK_HOME=.tunehook/demo $(BIN)/tunehook local down; fi
	rm -rf .venv .tunehook .aws-sam

# Node's packages lie beside the environments that requirements/environments.py makes.
$(TOOLS)/node/.made: requirements/node/package.json requirements/node/package-lock.json requirements/node/install.py
	@$(PYTHON) requirements/node/install.py $(TOOLS)/node
	@touch $@
