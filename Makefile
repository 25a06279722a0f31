# Two commands matter: `make up` starts everything on this machine; `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help up demo test lint types check-migrations bench prove wheel screenshots clean

help:  ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Handrail needs Python 3.11 or newer; say which one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo "Installing Handrail into $(VENV) (once; a minute or two)"
	@$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@echo "Installing the test tools into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

up: $(VENV)/.runtime  ## Install and start everything on this machine; Ctrl-C stops it
	@$(BIN)/handrail up

demo: $(VENV)/.runtime  ## Drive the main job, from the alert to the postmortem (WAIT=1: you press Approve)
	@$(BIN)/handrail demo $(if $(WAIT),--wait)

test: $(VENV)/.dev  ## Install and run the tests (ARGS="..." goes to pytest)
	@$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.dev  ## Lint, format check, import contracts, templates
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/djlint templates --lint --quiet

types: $(VENV)/.dev  ## Check the types
	@MYPYPATH=.:platform $(BIN)/mypy

check-migrations: $(VENV)/.dev  ## Fail when a model has changed without its migration
	@$(BIN)/python manage.py makemigrations --check --dry-run

bench: $(VENV)/.dev  ## Measure against the floors of this machine (ARGS="--json --only chain ...")
	@$(BIN)/handrail bench $(ARGS)

prove: $(VENV)/.dev  ## Kill workers, servers and disks, and look whether anything is lost or doubled (LONG=1, ARGS="--seed ...")
	@$(BIN)/python -m tests.prove $(if $(LONG),--long) $(ARGS)

wheel: $(VENV)/.dev  ## Build the wheel into dist/
	@rm -rf dist
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	@ls dist

screenshots: $(VENV)/.dev  ## Take the screenshots of docs/ anew from the demo
	@$(BIN)/python docs/screenshots/take.py

clean:  ## Remove the environment and everything that was built (keeps .handrail/)
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
