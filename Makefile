# What there is to do here. `make help` lists it; everything works in a fresh clone.

MAKEFLAGS += --no-print-directory --no-builtin-rules
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python that is new enough; whichever it is, .venv is made with it once.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && exit; done; echo python3)
PROFILE ?= minimal
# Of the demo: kind or kwok; it chooses by itself.
PROVIDER ?=
# Everything of the lab: programs, packed charts. The tests look for it here as well.
export CTO_LAB_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cto-lab

BIN := .venv/bin
MADE := .venv/.ready
PYTEST := $(BIN)/python -m pytest
# A file's tests stay together, with whatever cluster they share.
SPLIT := --numprocesses=auto --maxprocesses=4 --dist=loadfile
# More arguments for pytest, e.g. make unit ARGS='-k config -x'.
ARGS ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- to see it work -------------------------------------------------------------------------------

.PHONY: demo demo-clean
demo: ## install the platform: on kind where Docker answers, else on simulated nodes (PROFILE=minimal)
	@$(PYTHON) tests lab.demo up --profile '$(PROFILE)' --provider '$(PROVIDER)'

demo-clean: ## remove what the demo made: processes, state, kubeconfig entries
	@$(PYTHON) tests lab.demo clean

# --- to check it ----------------------------------------------------------------------------------

.PHONY: test unit lint types imports integration e2e faults bench bench-image bench-first
test: $(MADE) ## everything that CI runs, and a table at the end (CTO_LAB=install: with Docker)
	@$(BIN)/python tests lab.suite

unit: $(MADE) ## the quick part of the tests: seconds
	@$(PYTEST) -q $(SPLIT) tests/unit $(ARGS)

lint: $(MADE) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(MADE) ## mypy, strict
	@$(BIN)/mypy

imports: $(MADE) ## import-linter: the layers
	@$(BIN)/lint-imports

integration: lab ## contract, asset and integration tests on real API servers
	@$(PYTEST) -q $(SPLIT) -m 'not slow' tests/contract tests/assets tests/integration $(ARGS)

e2e: docker ## end to end, on clusters of containers
	@$(PYTEST) -q -m 'not slow' tests/e2e $(ARGS)

faults: $(MADE) ## every kill -9 moment, not just the subset of `make test`, and all damage
	@$(BIN)/python tests lab.suite --slow

bench-image: $(MADE) ## measure the image on Docker and kind, as root; its part of docs/performance.md
	@CTO_LAB_LAYER_MIB=256 $(BIN)/python tests lab.prepare docker --profile minimal
	@CTO_LAB_LAYER_MIB=256 $(BIN)/python tests bench.image $(ARGS)

bench-first: $(MADE) ## measure the way to an agent's first result, as root; its part of docs/performance.md
	@CTO_LAB_REAL=all $(BIN)/python tests lab.prepare docker --profile standard
	@CTO_LAB_REAL=all $(BIN)/python tests bench.first_task $(ARGS)

bench: lab ## measure against Helm, and write docs/performance.md
	@$(BIN)/python tests bench.run $(ARGS)

# --- to make the image ----------------------------------------------------------------------------

include image.mk
include agent.mk

# --- to keep it in order --------------------------------------------------------------------------

.PHONY: schema docs format lock
schema: $(MADE) ## write docs/schema.json anew, from the models
	@$(BIN)/cto config schema > docs/.schema.json.tmp
	@mv docs/.schema.json.tmp docs/schema.json

docs: $(MADE) ## write docs/errors.md and docs/providers.md (from tables), docs/security.md anew
	@$(BIN)/python -c 'from cto.cli.explain import markdown; print(markdown(), end="")' \
		> docs/.errors.md.tmp
	@mv docs/.errors.md.tmp docs/errors.md
	@$(BIN)/python -c 'from cto.providers import markdown; print(markdown(), end="")' \
		> docs/.providers.md.tmp
	@mv docs/.providers.md.tmp docs/providers.md
	@$(BIN)/python tests lab.security > docs/.security.md.tmp
	@mv docs/.security.md.tmp docs/security.md

format: $(MADE) ## let ruff put right what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Needs uv. No index is written down: it is the business of whoever installs.
LOCKED := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header
lock: ## resolve the dependencies of pyproject.toml anew (UPGRADE=--upgrade: to the newest)
	$(LOCKED) $(UPGRADE) pyproject.toml --output-file requirements.lock
	$(LOCKED) $(UPGRADE) pyproject.toml --extra dev --constraint requirements.lock \
		--output-file requirements-dev.lock

# --- what the targets need ------------------------------------------------------------------------

# The script compares contents, not times: a checkout gives every file a new time.
$(MADE): requirements-dev.lock pyproject.toml
	@$(PYTHON) tests lab.prepare venv
	@touch $@

.PHONY: .venv lab docker
.venv: $(MADE)

lab: $(MADE)
	@$(PYTHON) tests lab.prepare lab

docker: $(MADE)
	@$(PYTHON) tests lab.prepare docker --profile '$(PROFILE)'
