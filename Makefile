# `make` lists the targets. All of them work from a fresh clone and may be repeated.
SHELL := /bin/bash
.DEFAULT_GOAL := help
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
PYTHON := .venv/bin/python
SCENARIO ?= scenarios/quickstart.yaml

.PHONY: help demo test provision prepared lint format docs paper bench faults lock clean

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: provision ## install what is missing and run the quickstart end to end (ARGS="--requests 20")
	@$(AS_ROOT) .venv/bin/testbed run "$(SCENARIO)" $(ARGS)

test: ## install what is missing and run all tests (ONLY="fast types")
	@bash testbed/provision.sh --tests
	@bash .ci/test $(ONLY)

provision: ## Debian packages and .venv
	@bash testbed/provision.sh

prepared: ## the same, the tier image and the embedded models
	@bash testbed/provision.sh --prepared

lint: provision ## style, types and shell scripts
	@bash .ci/test lint types

format: ## put the code in the house style
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

docs: ## build the site of docs/ in site/
	@bash testbed/provision.sh --tests
	@.venv/bin/zensical build --strict

paper: provision ## hold the paper's claims against recorded models and the wire (ARGS="--quick"; HUB=1: its authors' models)
	@$(AS_ROOT) $(PYTHON) -m testbed.study.paper $(ARGS)

bench: provision ## print speeds and sizes
	@$(AS_ROOT) $(PYTHON) -m pytest tests/bench -m bench -s --timeout=1800

faults: provision ## break a run by each fault in each phase; write docs/RELIABILITY.md (ARGS="--seen FILE")
	@$(AS_ROOT) $(PYTHON) -m tests.faults $(ARGS)

lock: ## write the lock files anew, from what pyproject.toml and tiers/requirements.txt ask for
	@bash .ci/lock

clean: ## remove what runs left in the kernel and in Docker, the environment and tools' caches
	@if [ -x .venv/bin/testbed ]; then $(AS_ROOT) .venv/bin/testbed clean; fi
	@rm -rf .venv site .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
