# Lapse's chores, one word each. `make help` lists them.
#
# Needed: make, and python3 3.11 or newer with its venv module. uv is used where it is installed;
# else it is put into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= demo-world

# A uv that answers: a version manager's shim may be there and lead nowhere.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(BIN)/uv)

# Only the Python that is installed: nothing is downloaded behind the back.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)

.DEFAULT_GOAL := help
.PHONY: help setup demo services test check docs soak bench real-data clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with every extra; .venv/bin/lapse runs afterwards

$(READY): pyproject.toml uv.lock Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Lapse needs Python 3.11 or newer as $(PYTHON): sudo apt-get install python3.11 python3.11-venv, then make setup PYTHON=python3.11" >&2; \
		exit 2; }
ifeq ($(UV),$(BIN)/uv)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing: sudo apt-get install python3-venv, then make setup" >&2; \
		exit 2; }
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	@$(UV) sync --quiet --locked --all-extras --python $(BIN)/python
else
	@$(UV) sync --quiet --locked --all-extras --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
endif
	@$(BIN)/lapse --version
	@touch $@

demo: $(READY) ## Build a world of logs, run Lapse on it, and say what each step shows
	@$(BIN)/lapse demo $(DEMO)

check: $(READY) ## Style, types, layers, and whether the generated docs are up to date
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/generate_docs.py --check

docs: $(READY) ## Write docs/reference from the program's own help
	@$(BIN)/python tools/generate_docs.py

services: ## Install PostgreSQL, MariaDB and systemd's tools for the tests, where they are missing
	@sh tools/services

test: services check ## Everything CI runs: `check`, and every test with reduced counts
	@$(BIN)/pytest -n auto -m "not soak"

soak: services $(READY) ## The full counts; takes long, and writes bench/SOAK.md
	@$(BIN)/python bench/soak.py

bench: services $(READY) ## Against the plain ways; needs sqlite3, percona-toolkit, postgresql-15-partman, jq, mawk and zstd; hours
	@$(BIN)/python bench/sqlite_purge.py
	@$(BIN)/python bench/jsonl_purge.py
	@$(BIN)/python bench/postgresql_purge.py
	@$(BIN)/python bench/yuuvis_cleanup.py
	@$(BIN)/python bench/mariadb_purge.py
	@$(BIN)/python bench/partitions.py
	@$(BIN)/python bench/foreground.py

real-data: $(READY) ## Lapse on data that django-auditlog, mxcp and browsers write; writes docs/real-data.md
	@$(BIN)/python bench/real/run.py

clean: ## Remove what these targets made, .venv included
	rm -rf $(VENV) demo-world build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
