PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint bench clean

demo: $(INSTALLED)  ## Synthesise and score the indian-names suite with a merged checkpoint
	$(BIN)/evalkit run fixtures/voices/merged.pth --suite indian-names

test: $(INSTALLED)  ## The whole test suite
	$(BIN)/pytest -n auto --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## Side by side with the reference tools, parity printed beside speed
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "setuptools<81" wheel
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bundled,standard,faster-whisper,mos,dev]'
	touch $@

clean:
	rm -rf $(VENV) build runs
