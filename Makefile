# make demo   the main job on the embedded archive: results/demo/report/index.html
# make test   all tests
# make test-unit  those of the parts alone (a few minutes on two cores)
# make golden bytes of five builds against those recorded (minutes; ARGS=--golden-write records)
# make lint   style, types, workflow
# make bench  speed, side by side with other tools (long; needs gdal-bin, otb-bin)
# make accept readers of others, unchanged, on what we write (Python 3.12: ACCEPT_PYTHON; gigabytes once)
#
# EXTRAS=train adds PyTorch to the demo (gigabytes on most systems). INSTALLER=uv is faster
# where uv is allowed; pip needs nothing else.
PYTHON ?= python3
VENV ?= .venv
INSTALLER ?= pip
CORES ?= all
BIN := $(VENV)/bin
EXTRAS ?=
ACCEPT_PYTHON ?= python3.12
comma := ,

.PHONY: demo test test-unit golden lint bench accept clean

demo: $(VENV)/.installed-demo$(if $(EXTRAS),-$(EXTRAS))
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/terrapatch build demo --cores $(CORES)
	@$(BIN)/python -c 'import torch' 2>/dev/null || echo "With a small U-Net as well (installs PyTorch): make demo EXTRAS=train"
	@echo "Done. Open results/demo/report/index.html"

test: $(VENV)/.installed-test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest $(ARGS)

test-unit: $(VENV)/.installed-test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest tests/10_language tests/20_hands tests/30_stages tests/40_layouts $(ARGS)

golden: $(VENV)/.installed-test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -n 0 -m "slow or not slow" tests/50_workflow/test_golden.py $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/snakemake --lint

bench: $(VENV)/.installed-test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python benchmarks/run.py $(ARGS)

accept: $(VENV)/.installed-test
	$(BIN)/python tests/accept/run.py --python "$(ACCEPT_PYTHON)" $(ARGS)

clean:
	rm -rf results .snakemake

$(VENV)/.installed-demo: pyproject.toml requirements.lock
	$(call install,.)
$(VENV)/.installed-demo-%: pyproject.toml requirements.lock
	$(call install,.[$*])
$(VENV)/.installed-test: pyproject.toml requirements.lock
	$(call install,.[train$(comma)test$(comma)lint])

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "terrapatch needs Python 3.11 or newer; give one with PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(filter uv,$(INSTALLER)),$(BIN)/python -m pip install -q uv && $(BIN)/uv pip install -q --python $(BIN)/python,$(BIN)/python -m pip install -q --disable-pip-version-check) -c requirements.lock -e '$(1)'
	@touch $@
endef
