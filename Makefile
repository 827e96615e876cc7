# On a fresh machine `make repro` and `make test` are all anyone needs; `make` alone lists the rest.
# Another interpreter: make repro PYTHON=python3.12

PYTHON ?= python3
PORT ?= 5000
# Relative paths only: the checkout may lie in a folder with spaces in its name.
PY := .venv/bin/python
# Files of tests side by side, one thread each.
TESTS := OMP_NUM_THREADS=1 exec $(PY) -m pytest -q -n logical --maxprocesses 4 --dist loadfile
# Made when the installation has ended; older than what it was made from, it is done again.
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help repro test test-all lint format check check-paper ui report clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

repro: $(STAMP) ## run the whole pipeline, stages side by side (continues where it stopped); JOBS=1 one after the other
	@exec $(PY) -m pipeline.cli repro $(if $(JOBS),--jobs $(JOBS))

test: $(STAMP) ## run the tests, slow ones left out
	@$(TESTS) -m "not slow"

test-all: $(STAMP) ## run every test
	@$(TESTS)

lint: $(STAMP) ## check style and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: $(STAMP) ## put code into the project's style
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

check: $(STAMP) ## say whether params.yaml is valid and where the pictures come from
	@exec $(PY) -m pipeline.cli check

check-paper: $(STAMP) ## build every full-size model, take two optimizer steps and a draw, print size, memory, seconds
	@exec $(PY) -m pipeline.cli check-paper

ui: $(STAMP) ## show the runs in MLflow on http://127.0.0.1:5000; PORT=5001 for another port
	@exec $(PY) -m pipeline.cli ui --port $(PORT)

report: ## say where the report is
	@test -f report/report.html || { echo "error: there is no report yet; make one with: make repro" >&2; exit 2; }
	@echo "$$(pwd)/report/report.html"

clean: ## delete what the pipeline made (artifacts, report, searches, data/prepared, .runs); YES=1 does not ask
	@if [ "$(YES)" != 1 ]; then \
	    printf 'delete artifacts/, report/, searches/, data/prepared/ and .runs/? The folders that params.yaml names as sources stay. [y/N] '; \
	    read answer; [ "$$answer" = y ] || { echo 'nothing deleted'; exit 0; }; \
	fi; \
	rm -rf artifacts report searches data/prepared .runs && echo 'deleted; DVC keeps finished results in .dvc/cache, MLflow its runs in mlflow.db'

# An earlier try may have been interrupted anywhere. A virtual environment without a working pip is made
# anew. pip writes RECORD last: a package without it is half there, yet pip would call it satisfied.
$(STAMP): pyproject.toml constraints.txt
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { \
	        echo "error: '$(PYTHON)' is not Python 3.11 or newer; name one, for example: make PYTHON=python3.12" >&2; exit 2; }; \
	    $(PYTHON) -c 'import venv, ensurepip' >/dev/null 2>&1 || { \
	        echo "error: '$(PYTHON)' lacks its venv module; install it (Debian, Ubuntu: apt install python3-venv) or name another: make PYTHON=..." >&2; exit 2; }; \
	    echo 'making .venv'; \
	    $(PYTHON) -m venv --clear .venv; }
	@for package in .venv/lib/python*/site-packages/*.dist-info; do \
	    [ -e "$$package/RECORD" ] || rm -rf "$$package"; \
	done
	@echo 'installing (about 7 GB with the GPU libraries; a few minutes)'
	@$(PY) -m pip install -q --upgrade pip
	@$(PY) -m pip install -c constraints.txt -e '.[dev]'
	@touch $(STAMP)
