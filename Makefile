# `make demo` runs the main job, `make test` checks everything. Each makes .venv when it needs to.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/demo

.PHONY: demo test test-optional test-torch fuzz check sanitize sanitize-seam format pictures clean

# The packages, exactly as pinned. The stamp is made last, so that an interrupted install is repeated.
$(VENV)/.packages: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

# The package itself, editable: Python files act at once, native code is built again when it changes.
$(VENV)/.installed: $(VENV)/.packages pyproject.toml $(shell find native -type f)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.installed
	$(BIN)/throughtime demo --out $(RUN)

test: check
	$(BIN)/python -m pytest --numprocesses 2

# Against libraries that the tests do not install, such as Keras; each is left out, and named, if it is missing.
test-optional: $(VENV)/.installed
	$(BIN)/python -m pytest tests/optional

# Damaged files for every reader, others each time; `make test` tries a hundred of each, always the same.
CASES ?= 10000
fuzz: $(VENV)/.installed
	THROUGHTIME_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest --numprocesses 2 tests/fuzz

# PyTorch's own tests of the layers, with ours in their place: PYTORCH is a checkout of its source at about the
# installed version. Takes up to half an hour.
test-torch: $(VENV)/.installed
	$(BIN)/python -m tests.upstream.run $(PYTORCH)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The kernels by themselves under the sanitizers, once with each instruction set of this machine. The threads
# are plain ones, as ThreadSanitizer does not see into OpenMP. Takes some minutes, mostly compilation.
sanitize: build/kernels/address,undefined build/kernels/thread

build/kernels/%: $(VENV)/.packages FORCE
	$(BIN)/cmake -S native -B $@ -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DTHROUGHTIME_KERNEL_TESTS=ON -DTHROUGHTIME_SANITIZE=$*
	$(BIN)/cmake --build $@
	THROUGHTIME_POISON=1 THROUGHTIME_THREADS=std $@/recurrent_test 100
	set -e; for isa in $$($@/conv_test sets); do for kernels in conv norm pool; do \
		THROUGHTIME_ISA=$$isa THROUGHTIME_POISON=1 THROUGHTIME_THREADS=std $@/$${kernels}_test 100; done; done

# The module that Python imports, under AddressSanitizer and UndefinedBehaviorSanitizer: tests of what it does with
# tensors. Compiling takes about ten minutes.
SEAM := build/seam
sanitize-seam: $(VENV)/.installed
	$(BIN)/cmake -S native -B $(SEAM) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DCMAKE_BUILD_TYPE=RelWithDebInfo -DTHROUGHTIME_SANITIZE=address,undefined -DSKBUILD_PROJECT_NAME=throughtime \
		-DPython_EXECUTABLE=$(abspath $(BIN)/python) -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir)
	$(BIN)/cmake --build $(SEAM) --target _native
	LD_PRELOAD="$$(echo $$(for library in libasan libubsan libstdc++; do $(CXX) -print-file-name=$$library.so; done))" \
		ASAN_OPTIONS=detect_leaks=0 $(BIN)/python native/tests/with_module.py $$(ls $(SEAM)/_native.*) \
		tests/nn/test_fast_path.py tests/nn/test_trace_step.py tests/ops -k "not instruction_set"

FORCE:

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pictures of docs/convolution, each made by the library itself.
pictures: $(VENV)/.installed
	$(BIN)/python docs/pictures/draw.py

clean:
	rm -rf $(VENV) build
