PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check -c constraints.txt
NOTEBOOK ?= notebooks/00_meet_gpt2.ipynb
SEEDS ?= 1 2
READY := $(VENV)/.ready
TESTED := $(VENV)/.tested
PYTEST := $(PY) -m pytest --nbval --numprocesses=auto --dist=loadfile

.PHONY: help lab check test jitter browser-test site lint pins build execute score bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: $(READY)  ## open the course; the first time it installs, about 5 minutes. More options for Jupyter in ARGS="--port=9000"
	$(PY) -m jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.workspaces_dir=$(VENV)/workspaces --LabApp.default_url=/lab/tree/$(NOTEBOOK) $(ARGS)

check: $(TESTED)  ## in a minute, whether all is in order: imports, the same numbers as transformers, one chapter
	$(PY) -m pytest -q --nbval tests/test_build.py tests/test_front_door.py solutions/$(or $(CHAPTER),01)_*.ipynb \
		-k "imports_in_a_fresh or drifted or tales or ipynb"

test: $(TESTED)  ## the whole test suite, both editions of every notebook too; half an hour on two cores. ONLY=tests/test_parity.py
	@echo "This takes about half an hour on two cores. For a look that takes a minute: make check"
	$(PYTEST) $(ONLY)

jitter: $(TESTED)  ## the tests as on other processors: each product of matrices a little different each time
	for seed in $(SEEDS); do JITTER=$$seed $(PYTEST) $(ONLY) || exit 1; done

browser-test: $(TESTED)  ## what runs in a browser: Chromium, or what Playwright brought. ONLY="tests/browser -k search"
	$(PIP) --quiet -e '.[browser,site]'
	$(PY) -m pytest $(or $(ONLY),tests/browser)

site: $(READY)  ## the website, in site/_build, from the outputs that are stored in the notebooks
	$(PIP) --quiet -e '.[site]'
	$(PY) -m course site

lint: $(READY)  ## style and format of everything, notebooks too; ruff format . mends most of it
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

pins: $(READY)  ## constraints.txt: today's versions where they still fit, the newest with UPGRADE=1
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	$(PY) -m uv pip compile pyproject.toml --all-extras --no-sources --universal --python-version 3.11 --no-annotate --quiet \
		--custom-compile-command "make pins" $(if $(UPGRADE),--upgrade) --output-file constraints.txt
	sed -i.old -E '/^(nvidia-|cuda-|triton=)/d' constraints.txt && rm constraints.txt.old  # CUDA comes with torch, if at all

build: $(READY)  ## write notebooks/ and gpt2lib/ from solutions/
	$(PY) -m course build

execute: $(READY)  ## run both editions and store their outputs; one chapter with CHAPTER=3
	$(PY) -m course execute $(CHAPTER)

score: $(READY)  ## how well the checks tell mistakes apart; one chapter with CHAPTER=3, one exercise with CHAPTER=3.4
	$(PY) -m course score $(CHAPTER)

bench: $(TESTED)  ## this library against its peers, in one run
	$(PY) benchmarks/run.py

clean:  ## delete the virtual environment, keep your work
	rm -rf $(VENV)

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 to 3.14 from python.org, or name yours: make lab PYTHON=python3.12"; exit 1; }
	@$(PYTHON) course/preflight.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) $$($(PY) course/preflight.py --index) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e '.[course]'
	mkdir -p $(VENV)/share/jupyter/lab/settings && cp course/overrides.json $(VENV)/share/jupyter/lab/settings/
	touch $@

$(TESTED): $(READY)
	@echo "Installing what the tests need, transformers above all (about 150 MB)."
	$(PIP) -e '.[test]'
	touch $@
