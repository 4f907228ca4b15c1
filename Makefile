# make lab    install once, open JupyterLab at the first notebook
# make test   the fast tests, in two processes
# make test-browser  the tests in Chromium
# make docs   the documentation site, in build/site
# make check  what CI runs, without the browser
# make bench  what resviz costs beside other libraries; writes benchmarks/RESULTS.md; minutes
# make bench-full  the same for every size

PYTHON ?= python3
# what is installed; .ci/oldest prints another: the oldest versions that pyproject.toml allows
LOCK ?= requirements.lock
LAB_ARGS ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# a stamp for each list: with another one, all is installed again
LOCKED := $(VENV)/.stamp-locked-$(notdir $(LOCK))
INSTALLED := $(VENV)/.stamp-installed
# what checks and bundles the JavaScript, where there is npm; the bundles are committed
NODE := node_modules/.package-lock.json
PYTEST := $(BIN)/python -m pytest
# two processes; of quick tests each takes whole files, whose fixtures are then made once; where
# some take a minute, one that has done its tests takes half of what the other has left
TWO := -n 2 --durations=10
BY_FILE := --dist loadscope
BY_TEST := --dist worksteal
# in a browser: whole files, and one JupyterLab for all that need it
BY_GROUP := --dist loadgroup
FIRST := notebooks/01_feature_maps.ipynb
# notebooks with their outputs, for the site
EXECUTED := build/notebooks/.stamp

# idle threads sleep instead of spinning, so that two jobs can share two cores
export OMP_WAIT_POLICY ?= passive
# what is compiled stays for the next run: with asserts as pytest writes them, 8 of 15 s of collection
unexport PYTHONDONTWRITEBYTECODE

.PHONY: bench bench-full docs help install lab test test-most test-browser check check-all format lint javascript bundles messages types contract notebooks pictures

help:
	@sed -n 's/^# make/make/p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("resviz needs Python 3.11 or newer; try: make lab PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(LOCKED): $(LOCK) | $(BIN)/python
	$(BIN)/python -m pip install -r $(LOCK)
	@rm -f $(VENV)/.stamp-locked-*
	@touch $@

$(INSTALLED): pyproject.toml $(LOCKED)
	$(BIN)/python -m pip install --no-deps -e .
	@touch $@

install: $(INSTALLED)

lab: $(INSTALLED)
	$(BIN)/jupyter lab $(FIRST) $(LAB_ARGS)

test: $(INSTALLED)
	$(PYTEST) $(TWO) $(BY_FILE) -m "not slow and not thorough and not gpu and not browser" $(PYTEST_ARGS)

test-browser: $(INSTALLED)
	$(PYTEST) $(TWO) $(BY_GROUP) -m browser $(PYTEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory javascript; else echo "JavaScript: not checked, there is no npm"; fi

$(NODE): package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

javascript: $(NODE)
	npm run --silent fresh
	npm run --silent lint
	npm run --silent types

# what browsers load, from resviz/views/widgets/frontend
bundles: $(NODE)
	npm run --silent build

# resviz/views/widgets/messages.py as TypeScript
messages: $(INSTALLED)
	$(BIN)/python tests/message_types.py

# against the stubs of one set of versions, the locked one
types: $(INSTALLED)
	$(if $(filter requirements.lock,$(LOCK)),$(BIN)/mypy,@echo "types: not checked with $(LOCK)")

contract: $(INSTALLED)
	$(BIN)/lint-imports

pictures: $(INSTALLED)
	$(BIN)/python docs/making/pictures.py

notebooks: $(INSTALLED)
	$(BIN)/python tests/notebooks.py --keep build/notebooks
	@touch $(EXECUTED)

$(EXECUTED): $(wildcard notebooks/*.ipynb) | $(INSTALLED)
	$(MAKE) --no-print-directory notebooks

# the site, with the versions of the lock; its gallery is made by the code that it shows
docs: $(INSTALLED) $(EXECUTED)
	$(BIN)/python docs/making/gallery.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "written: build/site/index.html"

# the libraries that it compares with, where they are not installed yet
PEERS := $(VENV)/.stamp-bench
BENCH_ARGS ?=

$(PEERS): pyproject.toml $(INSTALLED)
	$(BIN)/python -m pip install -e ".[bench]"
	@touch $@

bench: $(PEERS)
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

bench-full: $(PEERS)
	$(BIN)/python benchmarks/run.py --full --rounds 9 $(BENCH_ARGS)

check: $(INSTALLED)
	$(MAKE) --no-print-directory -j2 lint types
	$(MAKE) --no-print-directory test-most
	$(MAKE) --no-print-directory notebooks
	$(if $(filter requirements.lock,$(LOCK)),$(MAKE) --no-print-directory docs,@echo "docs: not built with $(LOCK)")

test-most: $(INSTALLED)
	$(PYTEST) $(TWO) $(BY_TEST) -m "not gpu and not browser and not long" $(PYTEST_ARGS)

check-all: $(INSTALLED)
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory types
	$(PYTEST) $(TWO) $(BY_TEST) -m "not browser" $(PYTEST_ARGS)
	$(MAKE) --no-print-directory test-browser
	$(MAKE) --no-print-directory notebooks

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
