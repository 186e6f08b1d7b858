# `make demo` and `make test` do all the set-up they need: a .venv, the package in it, the CUDA compiler
# from wheels where there is none, PyCUDA where there is none. A second run finds it done.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test lint docs package setup pycuda-tests differential sanitize screenshots clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
NATIVE := $(wildcard pycuda_guard/*/native/*.c pycuda_guard/*/native/*.h)

demo: setup
	@$(BIN)/pycuda-guard demo; status=$$?; echo "(exit status $$status: 1 means that an error was found)"; [ $$status -eq 1 ]

# neighbours stay on one worker, so that what they share is made once
test: setup
	$(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshots: setup
	$(BIN)/python tests/html/screenshots.py

docs: setup
	@$(BIN)/python -c "import furo, myst_parser" 2> /dev/null || $(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

# what a release would publish, tried in an empty environment
package: setup
	@rm -rf build/dist && mkdir -p build
	@$(BIN)/python -m build --no-isolation --outdir build/dist . > build/package.log 2>&1 || { tail -n 30 build/package.log; exit 1; }
	$(BIN)/python -m twine check --strict build/dist/*
	$(BIN)/python tools/try_wheel.py build/dist/*.whl --demo

# PYCUDA_TESTS="--schedules -- test_driver.py" runs a part
pycuda-tests: setup
	$(BIN)/python tests/transparency/pycuda_suite.py $(PYCUDA_TESTS)

differential: setup
	$(BIN)/python -m tools.differential $(DIFFERENTIAL)

sanitize: setup
	$(BIN)/python tools/sanitize.py

setup: $(STAMP)

$(STAMP): Makefile pyproject.toml setup.py tools/prepare.py pycuda_guard/cli/setup.py pycuda_guard/toolchain.py $(NATIVE)
	@$${PYTHON:-python3} tools/prepare.py $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pycuda-tests
