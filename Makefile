# Everything runs in a virtual environment of its own. On a machine without an NVIDIA GPU, where
# pip would take torch's CUDA build: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint install clean

demo: $(VENV)/installed
	$(BIN)/openwork demo --out demo $(DEMO)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "openwork needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing torch and the rest into $(VENV) ..."
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[dev,hub,zoo]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist
