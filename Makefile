# Needs Python >= 3.11 and git; everything else is installed here. `make demo` needs no root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LIBRARIES := $(VENV)/.system-libraries

# One thread: what the tests run is small, and threads that wait for each other on a busy machine
# cost many times what they save.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help demo test lint docs bench screenshots clean

help:
	@echo "make demo         install into $(VENV) and run the demonstration (no display needed)"
	@echo "make test         all checks: format, lint, types, layering, tests"
	@echo "make lint         the checks that run nothing"
	@echo "make docs         the documentation site, into site/"
	@echo "make bench        the figures that the documentation claims"
	@echo "make screenshots  the pictures in docs/"
	@echo "make clean        remove what these commands made"

demo: $(INSTALLED)
	$(BIN)/samstar demo

# Without bytecode each of the many processes that import torch would compile it again.
test: lint $(LIBRARIES)
	env -u PYTHONDONTWRITEBYTECODE $(THREADS) $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema -q --builtin-schema vendor.citation-file-format CITATION.cff

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(INSTALLED)
	$(THREADS) $(BIN)/python -m benchmarks.bank exactness
	$(THREADS) $(BIN)/python -m benchmarks.bank warm
	$(THREADS) $(BIN)/python -m benchmarks.bank build

screenshots: $(INSTALLED) $(LIBRARIES)
	tools/with_display.sh $(BIN)/python docs/make_screenshots.py
	tools/with_display.sh $(BIN)/python docs/make_examples_screenshot.py

# An editable install copies napari.yaml and sample_data/, so a change there installs again.
$(INSTALLED): pyproject.toml constraints.txt napari.yaml $(wildcard sample_data/*.*) | $(BIN)/python
	tools/install.sh $(BIN)/python
	touch $@

$(LIBRARIES): tools/system_libraries.sh | $(BIN)/python
	tools/system_libraries.sh
	touch $@

$(BIN)/python:
	tools/make_venv.sh $(PYTHON) $(VENV)

clean:
	rm -rf $(VENV) build dist site demo_output .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache
	find src tests training benchmarks sample_data docs -name __pycache__ -prune -exec rm -rf {} +
