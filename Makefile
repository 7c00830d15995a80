PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Asked of torch only where a target uses it.
DEVICE = $(shell $(BIN)/python -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')

# Environments of engines, made by `test-engines` beside the sources; a user's own are left alone.
export EVALKIT_ENGINES = $(CURDIR)/.engines
ENGINES_WITH_ENVIRONMENT = kokoro f5 neutts neutts-gguf

.PHONY: demo demo-nightly test test-engines engines lint bench bench-metrics bench-merging bench-engines clean

demo: $(INSTALLED)  ## Synthesise and score the indian-names suite with a merged checkpoint
	$(BIN)/evalkit run fixtures/voices/merged.pth --suite indian-names

demo-nightly: $(INSTALLED)  ## Two nights with three voices; the second has a planted regression, and is blocked
	OMP_NUM_THREADS=1 $(BIN)/python fixtures/nightly/demo.py --out runs/demo-nightly

test: $(INSTALLED)  ## Every test but those of the engines that need an environment of their own
	$(BIN)/pytest -n auto --dist loadfile -m 'not engines'

engines: $(INSTALLED)  ## Environments of all engines that need one (llama.cpp is compiled: minutes)
	$(BIN)/evalkit engines add --missing $(ENGINES_WITH_ENVIRONMENT)

test-engines: engines  ## The engines against their packages, each in its own environment
	$(BIN)/pytest -n auto --dist loadfile -m engines

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: bench-metrics bench-merging bench-engines  ## Side by side with the reference tools, parity printed beside speed
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/history.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/diagnose.py

bench-metrics: $(INSTALLED)  ## The metrics; on a machine with a GPU the standard judges in their real shapes too
	for name in dnsmos speaker bundled; do $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/whisper_decoding.py --device $(DEVICE)
	$(BIN)/python benchmarks/standard.py --device $(DEVICE) $(if $(filter cpu,$(DEVICE)),--small --clips 8,--clips 512)

bench-merging: $(INSTALLED)  ## MERGEKIT=PYTHON names the Python of an environment that has mergekit
	$(BIN)/python benchmarks/merging.py $(if $(MERGEKIT),--mergekit $(MERGEKIT))
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/merging_grid.py

bench-engines: engines  ## Batched against each engine's package, one by one
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/worker.py
	OMP_NUM_THREADS=1 $(BIN)/evalkit engines python kokoro benchmarks/kokoro.py --device $(DEVICE) $(if $(filter cpu,$(DEVICE)),--small --batch 4)
	OMP_NUM_THREADS=1 $(BIN)/evalkit engines python f5 benchmarks/f5.py --device $(DEVICE) $(if $(filter cpu,$(DEVICE)),,--size full)
	OMP_NUM_THREADS=1 $(BIN)/evalkit engines python neutts benchmarks/neutts_batches.py --device $(DEVICE) $(if $(filter cpu,$(DEVICE)),,--size full)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "setuptools<81" wheel
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bundled,standard,faster-whisper,mos,dev]'
	touch $@

clean:
	rm -rf $(VENV) .engines build runs
