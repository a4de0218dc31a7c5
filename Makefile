# make paper [PROFILE=smoke|laptop|overnight|paper]   every table and figure, into figures/$(PROFILE)
# make site                                 what the last runs left, as pages for a browser: site/index.html
# make test                                 lint, types, tests
# make test-browser                         the tests that drive Chromium, which must be installed
# make lab [LAB='--port 8890']               JupyterLab on the notebooks, with options of its own
PROFILE ?= smoke
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread a process: with several processes that is faster, and results do not depend on the number of cores.
export OMP_NUM_THREADS := 1

.PHONY: help paper site test test-browser lab clean
.DELETE_ON_ERROR:

help:
	@sed -n '1,/^PROFILE/{s/^# //p}' Makefile

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Found $$($(PYTHON) --version), expected Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

paper: $(VENV)/.installed
	$(BIN)/smilelab reproduce --profile $(PROFILE)

site: $(VENV)/.installed
	$(BIN)/smilelab site

test: $(VENV)/.installed
	$(BIN)/ruff check smilelab tests
	$(BIN)/ruff format --check smilelab tests
	$(BIN)/mypy
	$(BIN)/nbstripout --verify notebooks/*.ipynb
	$(BIN)/pytest --numprocesses 2

test-browser: $(VENV)/.installed
	$(BIN)/pytest -m browser

lab: $(VENV)/.installed
	# Videos are uploaded in one message, which JupyterLab drops silently from 10 MB on.
	$(BIN)/jupyter lab notebooks --ServerApp.tornado_settings='{"websocket_max_message_size": 536870912}' $(LAB)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
