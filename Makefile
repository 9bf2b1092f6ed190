# `make` alone shows this list. Everything lives in .venv and .eo; no root, no containers, no account.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := tests/conformance/node
AXE := tests/console/node
UV := $(shell command -v uv)
# A uv of this machine, else the locked one that `$(BIN)/python` fetched, else pip.
# The system's certificates: a proxy that looks into TLS has put its own there.
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1
# Images set this. Without bytecode kept on disk each process compiles all that it imports, each worker of pytest, too.
unexport PYTHONDONTWRITEBYTECODE
INSTALL = $(if $(UV),$(UV) pip install --python $(BIN)/python,$(if $(wildcard $(BIN)/uv),$(BIN)/uv pip install \
	--python $(BIN)/python,$(PIP)))
PIP = $(BIN)/python -m pip install --disable-pip-version-check
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet
# A file's tests stay together, so that its servers start once; tests/conftest.py says in what order.
BY_FILE := --dist loadfile --no-loadscope-reorder
RIGHT_PYTHON := $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "effectively-once needs Python 3.11 or newer: make PYTHON=python3.11 …")'
# What libraries ask for and no process of ours imports: one makes up examples for API documents, and htmx comes as
# files of a package for Django. The locked lists are complete, so they are installed without looking further.
UNUSED := polyfactory django asgiref

.PHONY: help run free-port test all-tests lint test-fast chaos conformance check format docs demo demo-picture console-pictures reset migrate lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: free-port $(VENV)/.runtime ## Start everything here, in the foreground, until Ctrl-C
	@exec $(BIN)/eo up

free-port: # before a download, so it needs nothing but Python
	@$(RIGHT_PYTHON)
	@$(PYTHON) -m service.ops.port

test: $(VENV)/.dev $(VENV)/.node $(VENV)/.axe $(VENV)/.promtool $(VENV)/.browser ## Everything that must hold: the checks, and all tests
	@$(MAKE) --no-print-directory -j 2 lint all-tests # side by side: the type checker keeps only one core busy

all-tests:
	@$(BIN)/pytest --collect-only -qq >/dev/null || true # once: else each process below compiles all tests by itself
	$(BIN)/pytest -n 4 $(BY_FILE) # twice the cores: a test that awaits a fleet leaves its core to others

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test-fast: $(VENV)/.dev $(VENV)/.node $(VENV)/.axe $(VENV)/.promtool ## The quick tests, and a few of each file that needs servers: a minute on a quiet machine
	$(BIN)/pytest -n 2 $(BY_FILE) -m "not slow"

chaos: $(VENV)/.dev ## Three minutes of orders while everything dies (SEED=7 repeats a storm's weather)
	$(BIN)/python -m tests.chaos.storm --minutes 3 $(if $(SEED),--seed $(SEED))

conformance: $(VENV)/.dev $(VENV)/.node ## Hold Stripe's test mode (STRIPE_API_KEY=sk_test_…) or the sandbox to the suite, by three SDKs
	$(BIN)/python -m tests.conformance

check: $(VENV)/.dev lint ## Lint, format, types, who may import whom, and the migrations up, down and up
	$(BIN)/pytest -q -n 2 tests/foundation/test_migrations.py

format: $(VENV)/.dev ## Format, and repair what ruff can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: $(VENV)/.runtime ## Watch the myth break and this service hold: about two minutes
	@exec $(BIN)/eo demo

docs: $(VENV)/.dev ## Write the generated parts of docs/ anew: settings, commands, tables, schedules, …
	$(BIN)/python -m tests.docs

demo-picture: $(VENV)/.runtime ## Record docs/demo.svg from a real run of the demo
	$(BIN)/eo demo --picture docs/demo.svg

console-pictures: $(VENV)/.dev ## Take the pictures of the console anew from a real run (needs Chromium)
	$(BIN)/python -m tests.console.screenshots

migrate: $(VENV)/.runtime ## Bring the database's schema to this code's
	@$(BIN)/eo migrate

reset: $(VENV)/.runtime ## Delete the embedded data (asks first)
	@$(BIN)/eo reset

lock: ## Write requirements*.txt anew from pyproject.toml (needs uv)
	@printf "%s; python_version < '3'\n" $(UNUSED) > $(VENV)/.unused
	$(LOCK) pyproject.toml --extra embedded --group build --override $(VENV)/.unused -o requirements.txt
	$(LOCK) pyproject.toml --extra embedded --extra otel --group dev --override $(VENV)/.unused -o requirements-dev.txt
	$(LOCK) pyproject.toml --group build --override $(VENV)/.unused --constraint requirements.txt -o requirements-image.txt
	$(LOCK) --group installer -o requirements-installer.txt

clean: ## Remove caches and .venv, never data
	rm -rf $(VENV) $(NODE)/node_modules $(AXE)/node_modules build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The stamps: installed as locked. The second start finds them and does nothing.
$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing 60 packages, 90 MB, into $(VENV) …"
	@$(INSTALL) --no-deps --require-hashes -r requirements.txt || $(PIP) --no-deps --require-hashes -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml | $(BIN)/python
	@echo "installing what runs and what tests it, 140 MB, into $(VENV) …"
	@$(INSTALL) --no-deps --require-hashes -r requirements-dev.txt || $(PIP) --no-deps --require-hashes -r requirements-dev.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.runtime

# The Node SDK, a client that is not ours. Where npm is absent or fails, its tests are skipped and say so.
$(VENV)/.node: $(NODE)/package.json $(NODE)/package-lock.json $(NODE)/.npmrc | $(BIN)/python
	@if command -v npm >/dev/null && (cd $(NODE) && npm ci --silent); then touch $@; \
	else echo "the Node SDK is not installed: its tests will be skipped"; fi

# The console's tests drive Debian's Chromium without windows.
$(VENV)/.browser: | $(BIN)/python
	@if [ -n "$$EO_CHROMIUM" ] || command -v chromium-headless-shell >/dev/null || (apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends chromium-headless-shell) >/dev/null 2>&1; then touch $@; \
	elif command -v chromium >/dev/null; then touch $@; \
	else echo "Chromium is not here: the console's tests will be skipped (apt-get install chromium-headless-shell)"; fi

# promtool judges metrics and alerts: Debian's, unpacked beside our tools, so that no Prometheus is started.
$(VENV)/.promtool: | $(BIN)/python
	@if command -v promtool >/dev/null || (cd $(VENV) && apt-get download -qq prometheus 2>/dev/null && \
	  dpkg -x prometheus_*.deb unpacked && mv unpacked/usr/bin/promtool bin/ && rm -rf unpacked prometheus_*.deb); \
	then touch $@; else echo "promtool is not here: its tests will be skipped"; fi

# axe, which judges the console's pages. Chromium is the machine's own; where it is absent its tests are skipped too.
$(VENV)/.axe: $(AXE)/package.json $(AXE)/package-lock.json $(AXE)/.npmrc | $(BIN)/python
	@if command -v npm >/dev/null && (cd $(AXE) && npm ci --silent); then touch $@; \
	else echo "axe-core is not installed: its tests will be skipped"; fi

$(BIN)/python:
	@$(RIGHT_PYTHON)
	@echo "making $(VENV) …"
	@$(if $(UV),$(UV) venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
	@$(if $(UV),,$@ -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-installer.txt \
		|| echo "no uv for this machine: pip installs, in some minutes")

# Each figure is a ratio within one run, so that it means the same on another machine.
bench: $(VENV)/.runtime ## Measure everything against its targets: under 10 minutes, on real disks
	$(BIN)/python -m benchmarks

bench-growth: $(VENV)/.runtime ## The same with 10 million orders already stored: under 60 minutes, 40 GB of disk
	$(BIN)/python -m benchmarks.growth

bench-%: $(VENV)/.runtime
	$(BIN)/python -m benchmarks $* --name $*
