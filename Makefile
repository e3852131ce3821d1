# `make demo` trains and compares models, `make test` runs all checks and tests. Each sets up .venv if necessary.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/demo

# Compiled files are kept, also where the environment forbids it: the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test wheel sdist sbom test-wheel test-extras live test-pages test-long test-optional test-gpu acceptance published test-torch fuzz check sanitize sanitize-module test-neon format pictures clean demo-quick docs docs-test lecture test-lecture test-device

# The pinned packages, and the package itself as an editable installation whose native code is rebuilt when it changes.
# The native code is compiled while the other packages are installed, which it does not need. Stamp files are written last,
# so that what was interrupted is repeated.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
NATIVE := pyproject.toml $(shell find native -type f)
$(VENV)/.builder: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --constraint requirements.txt cmake nanobind ninja scikit-build-core
	touch $@

$(VENV)/.packages: $(VENV)/.builder
	$(INSTALL) --requirement requirements.txt
	touch $@

$(VENV)/.editable: $(VENV)/.builder $(NATIVE)
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.installed: requirements.txt $(NATIVE)
	$(MAKE) --jobs 2 $(VENV)/.packages $(VENV)/.editable
	touch $@

demo: $(VENV)/.installed
	$(BIN)/throughtime demo --out $(RUN)

# The same on a small part of the data: about a minute after the installation.
demo-quick: $(VENV)/.installed
	$(BIN)/throughtime demo --quick --out $(RUN)-quick

# The lecture as two notebooks in the browser; marimo is installed for them alone.
lecture: $(VENV)/.lecture
	$(BIN)/marimo edit notebooks

$(VENV)/.lecture: $(VENV)/.installed notebooks/requirements.txt
	$(INSTALL) --requirement notebooks/requirements.txt
	touch $@

# The notebooks in marimo itself, which `make test` does not install; there a stand-in runs their cells.
test-lecture: $(VENV)/.lecture
	$(BIN)/marimo check --strict notebooks/convolution.py notebooks/recurrence.py
	$(BIN)/python -m pytest tests/notebooks

# Tests of pages run in a real browser where Chromium is installed; those of the live pages also need npm, and so do
# those of ONNX Runtime Web, which need no browser. The checks, which have one thread, run while the classifiers of the
# live pages are trained.
HAS_BROWSER := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
HAS_NPM := $(shell command -v npm)
test: $(VENV)/.installed
	$(MAKE) --jobs 2 check $(if $(HAS_NPM),$(if $(HAS_BROWSER),live,$(ONNX_WEB)))
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

# Pages to play with, which open from the file system: build/live/convolution.html and recurrence.html. Needs npm
# (Node.js 20.11 or newer), which downloads ONNX Runtime Web. Trains two small classifiers: about a minute.
LIVE := build/live
ONNX_WEB := live/node_modules/.package-lock.json
live: $(LIVE)/recurrence.html

$(LIVE)/recurrence.html: $(ONNX_WEB) $(LIVE)/data/classifiers.json live/build.mjs \
		$(shell find live/src -type f)
	cd live && npm run --silent check && npm run --silent build -- ../$(LIVE)/data ../$(LIVE)

$(ONNX_WEB): live/package-lock.json
	cd live && npm ci --no-progress --silent
	touch $@

$(LIVE)/data/classifiers.json: $(VENV)/.installed live/data/models.py live/data/messages.py
	OMP_WAIT_POLICY=passive $(BIN)/python live/data/models.py $(LIVE)/data
	touch $@

# The tests of pages by themselves, built first.
test-pages: live
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder tests/live tests/report

# The tests of properties with ten times as many examples, different ones at each run.
test-long: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses 2 --hypothesis-profile long tests

# Tests against libraries that `make test` does not install, such as Keras; those of a missing library are skipped.
test-optional: $(VENV)/.installed
	$(BIN)/python -m pytest tests/optional

# The tests that need a CUDA device: layers, models, tasks and trainings there as on the CPU. Skipped without one.
WORKERS ?= 4
test-gpu: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses $(WORKERS) tests/gpu

# The same tests on a simulated device, which shows what a GPU would refuse, such as tensors of different devices in one
# operation; see tests/gpu/simulated/device.cpp.
SIMULATED := build/simulated_device.so
$(SIMULATED): tests/gpu/simulated/device.cpp $(VENV)/.installed
	mkdir -p build
	torch=$$($(BIN)/python -c "import os, torch; print(os.path.dirname(torch.__file__))"); \
		$(CXX) -std=c++20 -O1 -shared -fPIC -DTORCH_EXTENSION_NAME=simulated_device -I$$torch/include \
		-I$$torch/include/torch/csrc/api/include \
		-I$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_paths()['include'])") $< -o $@ \
		-L$$torch/lib -ltorch -ltorch_cpu -lc10 -ltorch_python -Wl,-rpath,$$torch/lib

test-device: $(SIMULATED)
	THROUGHTIME_SIMULATED_DEVICE=$(abspath $(SIMULATED)) $(BIN)/python -m pytest --numprocesses 2 tests/gpu

# Damaged files for every reader, different ones at each run; `make test` tries the same 25 for each reader.
CASES ?= 10000
fuzz: $(VENV)/.installed
	THROUGHTIME_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest --numprocesses 2 tests/fuzz

# Every task with default settings: results beside baselines and published results. DATA is a folder with public data
# sets; without it only the parts on generated data run.
DATA ?=
acceptance: $(VENV)/.installed
	$(BIN)/python benchmarks/acceptance.py $(DATA)

# The default classifier on public data sets, beside the linear baseline and published figures. Takes a few hours;
# what is finished stands in build/published.jsonl, and is not repeated.
published: $(VENV)/.installed
	mkdir -p build
	$(BIN)/python benchmarks/published.py $(DATA) --out build/published.md

# PyTorch's own tests of its layers, run on the layers of this package. PYTORCH is a checkout of PyTorch's source of
# about the installed version. Takes up to half an hour.
test-torch: $(VENV)/.installed
	$(BIN)/python -m tests.upstream.run $(PYTORCH)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The kernels without Python under the sanitizers, once with each instruction set of this machine. They run on
# std::thread, because ThreadSanitizer does not understand OpenMP. Takes some minutes, mostly compilation.
KERNELS := recurrent conv crf dropout embedding norm pool program quantized rocket scan
sanitize: build/kernels/address,undefined build/kernels/thread

build/kernels/%: $(VENV)/.packages FORCE
	$(BIN)/cmake -S native -B $@ -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DTHROUGHTIME_KERNEL_TESTS=ON -DTHROUGHTIME_SANITIZE=$*
	$(BIN)/cmake --build $@
	THROUGHTIME_POISON=1 THROUGHTIME_THREADS=std $@/recurrent_test 100
	set -e; for isa in $$($@/conv_test sets); do for kernels in $(filter-out recurrent,$(KERNELS)); do \
		THROUGHTIME_ISA=$$isa THROUGHTIME_POISON=1 THROUGHTIME_THREADS=std $@/$${kernels}_test 100; done; done

# The kernels for 64-bit Arm, emulated; those with int8 weights with and without dot products. Needs the packages
# g++-aarch64-linux-gnu and qemu-user-static of Debian. Takes some minutes, mostly compilation.
NEON := build/kernels/neon
NEON_RUN := THROUGHTIME_POISON=1 THROUGHTIME_THREADS=std qemu-aarch64-static -cpu max $(NEON)
test-neon: $(VENV)/.packages
	$(BIN)/cmake -S native -B $(NEON) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DTHROUGHTIME_KERNEL_TESTS=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
		-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static
	$(BIN)/cmake --build $(NEON)
	set -e; for set in neon_dot neon; do THROUGHTIME_INT8=$$set $(NEON_RUN)/quantized_test 100; done
	set -e; for kernels in $(filter-out quantized,$(KERNELS)); do $(NEON_RUN)/$${kernels}_test 100; done

# The Python module throughtime._native under AddressSanitizer and UndefinedBehaviorSanitizer: the tests that call it.
# Compiling takes about ten minutes.
SANITIZED := build/module
sanitize-module: $(VENV)/.installed
	$(BIN)/cmake -S native -B $(SANITIZED) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DCMAKE_BUILD_TYPE=RelWithDebInfo -DTHROUGHTIME_SANITIZE=address,undefined -DSKBUILD_PROJECT_NAME=throughtime \
		-DPython_EXECUTABLE=$(abspath $(BIN)/python) -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir)
	$(BIN)/cmake --build $(SANITIZED) --target _native
	LD_PRELOAD="$$(echo $$(for library in libasan libubsan libstdc++; do $(CXX) -print-file-name=$$library.so; done))" \
		ASAN_OPTIONS=detect_leaks=0 $(BIN)/python native/tests/with_module.py $$(ls $(SANITIZED)/_native.*) \
		tests/nn/test_fast_path.py tests/nn/test_trace_step.py tests/ops -k "not instruction_set"

FORCE:

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The figures of docs/convolution, computed by the layers themselves.
pictures: $(VENV)/.installed
	$(BIN)/python docs/pictures/draw.py

# Sphinx and its extensions, beside the packages of requirements.txt.
$(VENV)/.docs: $(VENV)/.installed docs/requirements.txt
	$(INSTALL) --requirement docs/requirements.txt
	touch $@

# The documentation site, build/docs/index.html. A warning fails the build: a link, reference or equation that is broken.
# Where npm is installed, the live pages that it links to are built first.
docs: $(VENV)/.docs $(if $(HAS_NPM),live)
	$(BIN)/python -m sphinx --fail-on-warning --nitpicky --keep-going --quiet docs build/docs

# What `make test` leaves out: examples that take minutes (pages with `examples: slow` in their front matter), and faulty
# pages that the strict build must find.
docs-test: docs
	$(BIN)/python -m pytest --numprocesses 2 tests/docs/slow_pages.py tests/docs/slow_site.py

# A wheel in dist/ for the Python of PYTHON; from Python 3.12 on, one for every later Python. auditwheel finds the oldest
# Linux that it runs on and names the wheel by it; abi3audit checks that it uses the stable ABI alone. Compiling takes
# minutes. Wheels for other systems and older Linux are built by .github/workflows/wheels.yml.
PYTHON_VERSION = $(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
WHEEL = build/wheel-$(PYTHON_VERSION)
WHEEL_FILES = dist/throughtime-*-$(if $(filter 3.11,$(PYTHON_VERSION)),cp311-cp311,cp312-abi3)-*.whl

wheel: release/requirements.txt requirements.txt
	$(PYTHON) -m venv --clear $(WHEEL)/tools
	$(WHEEL)/tools/bin/python -m pip install --quiet --disable-pip-version-check --requirement release/requirements.txt
	rm -rf $(WHEEL)/built $(WHEEL_FILES)
	PATH="$(abspath $(WHEEL)/tools/bin):$$PATH" $(WHEEL)/tools/bin/python -m pip wheel --quiet \
		--disable-pip-version-check --no-deps --no-build-isolation --wheel-dir $(WHEEL)/built .
	PATH="$(abspath $(WHEEL)/tools/bin):$$PATH" auditwheel repair --wheel-dir dist $(WHEEL)/built/*.whl
	$(if $(filter 3.11,$(PYTHON_VERSION)),,$(WHEEL)/tools/bin/abi3audit --strict --summary $(WHEEL_FILES))

# The wheel with all extras in an environment of its own, with no compiler on the path: the tests of the layers.
LAYER_TESTS := tests/ragged tests/ops tests/nn tests/convert
test-wheel:
	$(PYTHON) -m venv --clear $(WHEEL)/test
	$(WHEEL)/test/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.txt \
		"$$(echo $(WHEEL_FILES))[all]" pytest hypothesis playwright
	! PATH=$(abspath $(WHEEL)/test/bin) command -v cc c++ gcc g++ clang clang++
	PATH=$(abspath $(WHEEL)/test/bin) $(abspath $(WHEEL)/test/bin)/python -m pytest $(LAYER_TESTS) \
		-k "not inductor"

# The source distribution, after `make wheel`; a compiler is needed to install it.
sdist:
	$(WHEEL)/tools/bin/python -m build --sdist --no-isolation --outdir dist

# What an installation of the wheel with all extras consists of: dist/throughtime.cdx.json, in CycloneDX's format.
sbom:
	$(PYTHON) -m venv --clear --without-pip $(WHEEL)/installed
	$(WHEEL)/tools/bin/python -m pip --python $(WHEEL)/installed/bin/python install --quiet \
		--disable-pip-version-check --constraint requirements.txt "$$(echo $(WHEEL_FILES))[all]"
	$(WHEEL)/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library \
		--output-reproducible --output-file dist/throughtime.cdx.json $(WHEEL)/installed/bin/python
	$(WHEEL)/tools/bin/python release/sbom.py dist/throughtime.cdx.json

# Whether every extra can be installed from wheels, for each Python and system that torch has wheels for, and with the
# oldest versions that pyproject.toml allows. Nothing is installed. After `make wheel`.
RESOLVE = $(WHEEL)/tools/bin/uv pip compile --quiet --only-binary :all: --all-extras pyproject.toml >/dev/null
SYSTEMS := x86_64-manylinux_2_28 aarch64-manylinux_2_35 aarch64-apple-darwin x86_64-pc-windows-msvc
test-extras:
	set -e; for python in 3.11 3.12 3.13 3.14; do for system in $(SYSTEMS); do echo "Python $$python, $$system"; \
		MACOSX_DEPLOYMENT_TARGET=14.0 $(RESOLVE) --python-version $$python --python-platform $$system; done; done
	$(RESOLVE) --python-version 3.11 --python-platform x86_64-manylinux_2_28 --resolution lowest-direct

clean:
	rm -rf $(VENV) build
