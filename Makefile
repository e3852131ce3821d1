# `make demo` runs the main job, `make test` checks everything. Each makes .venv when it needs to.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/demo

.PHONY: demo test check typecheck format clean

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

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build
