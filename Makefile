PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
NOTEBOOK ?= notebooks/00_meet_gpt2.ipynb
SEEDS ?= 1 2
READY := $(VENV)/.ready

.PHONY: lab test jitter browser-test build execute score bench clean

lab: $(READY)  ## open the course
	$(PY) -m jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(NOTEBOOK)

test: $(READY)  ## everything that must hold, both editions of every notebook included
	$(PY) -m pytest --nbval --numprocesses=auto --dist=loadfile

jitter: $(READY)  ## the tests as on other processors: each product of matrices a little different each time
	for seed in $(SEEDS); do \
		JITTER=$$seed $(PY) -m pytest --nbval --numprocesses=auto --dist=loadfile $(ONLY) || exit 1; done

browser-test: $(READY)  ## what runs in a browser: Chromium, or what Playwright brought
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	$(PY) -m pytest tests/browser

build: $(READY)  ## notebooks/ and gpt2lib/ from solutions/
	$(PY) -m course build

execute: $(READY)  ## run both editions and store their outputs
	$(PY) -m course execute $(CHAPTER)

score: $(READY)  ## how well the checks tell mistakes apart
	$(PY) -m course score

bench: $(READY)  ## this library beside its peers, in one run
	$(PY) benchmarks/run.py

clean:  ## the environment goes, the work stays
	rm -rf $(VENV)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make lab PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@
