# Eight verbs: setup check test run docs bench mutants screenshots. Only python3 (3.11+) and make are needed beforehand.
PYTHON ?= python3
# Tests wait more than they work, so twice the cores; more than eight processes only collect tests.
JOBS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); echo $$((cores > 4 ? 8 : 2 * cores)))
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
BENCH := $(VENV)/.bench-installed
FOREIGN := $(VENV)/.foreign-installed
EXPRESS := $(VENV)/.express-installed
BROWSER := $(VENV)/.browser-installed
API := $(VENV)/.api-installed
MIGRATION_TOOLS := $(VENV)/.migration-tools-installed
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup check test run docs bench mutants screenshots

help:
	@echo "make run      the legacy shop and the front door on http://127.0.0.1:8000"
	@echo "make test     everything CI runs: check, then the whole test suite"
	@echo "make check    format, lint, types, layers, docs: seconds"
	@echo "make setup    create .venv and install the pinned packages"
	@echo "make docs     write the generated parts of docs/ anew"
	@echo "make bench    measure; writes benchmarks/results.md"
	@echo "make screenshots  take the pictures of the admin pages in docs/images/ anew"
	@echo "make mutants  put mistakes into a copy of the code: do the tests notice?"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Overgrow needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "This Python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; rm -rf $(VENV); exit 1; }

# The editable install provides .venv/bin/overgrow; build.txt pins setuptools for it: nothing unpinned.
$(RUNTIME): requirements/runtime.txt requirements/migrated.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "Installing the pinned packages into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/migrated.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "Installing the pinned packages for development ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(BENCH): requirements/bench.txt $(RUNTIME)
	@echo "Installing the pinned packages for measuring ..."
	@$(PIP) install --require-hashes -r requirements/bench.txt
	@touch $@

$(FOREIGN): requirements/foreign.txt $(RUNTIME)
	@echo "Installing the pinned packages of a site of another make ..."
	@$(PIP) install --require-hashes -r requirements/foreign.txt
	@touch $@

# An Express site with a login, for the tests in tests/story/logins; by the npm of the system.
$(EXPRESS): tests/logins/express_site/package-lock.json | $(BIN)/python
	@echo "Installing the pinned packages of an Express site ..."
	@mkdir -p $(VENV)/express
	@cp tests/logins/express_site/package.json tests/logins/express_site/package-lock.json $(VENV)/express
	@npm ci --prefix $(VENV)/express --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# In an environment of its own: as a plugin it would load into every run of pytest.
$(API): requirements/api.txt $(RUNTIME)
	@echo "Installing the pinned packages that try the API by its description ..."
	@$(PYTHON) -m venv $(VENV)/api
	@$(VENV)/api/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/api.txt
	@touch $@

# In an environment of its own too, for the same reason.
$(MIGRATION_TOOLS): requirements/migration-tools.txt $(RUNTIME)
	@echo "Installing the pinned packages that lint and try migrations ..."
	@$(PYTHON) -m venv $(VENV)/migration-tools
	@$(VENV)/migration-tools/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/migration-tools.txt
	@touch $@

# The browser itself is the system's: chromium or Chrome.
$(BROWSER): requirements/browser.txt $(RUNTIME)
	@echo "Installing the pinned packages that drive a browser ..."
	@$(PIP) install --require-hashes -r requirements/browser.txt
	@touch $@

setup: $(DEV)

run: $(RUNTIME)
	@$(BIN)/python -m tests.demo $(if $(PORT),--port='$(PORT)') $(if $(LEGACY_PORT),--legacy-port='$(LEGACY_PORT)')

check: $(DEV)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_layers.py tests/test_docs.py tests/test_names.py tests/test_shape.py tests/test_mutants.py

# In processes side by side, a file in one of them: make test JOBS=2. In one process, to debug: JOBS=0.
test: check
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

docs: $(DEV)
	@$(BIN)/python -m tests.docs_generate

# Pictures of the admin pages for docs/images/, by the system's chromium.
screenshots: $(DEV) $(BROWSER)
	@$(BIN)/python -m tests.browser.screenshots

# One scenario: make bench WHAT=small-gets. Quickly: make bench WHAT=--quick. Longer: make bench WHAT=soak MINUTES=15.
bench: $(BENCH)
	@$(BIN)/python -m benchmarks $(WHAT) $(if $(MINUTES),--minutes '$(MINUTES)')

# One list: make mutants WHAT=store. A tenth: make mutants WHAT="--share 10 --seed TEXT".
mutants: $(DEV)
	@$(BIN)/python -m tests.mutants $(WHAT)
