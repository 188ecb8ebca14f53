PYTHON ?= python3
INPUT ?= out/scenes
OUTPUT ?= out/enhanced
BIN := .venv/bin

.PHONY: install enhance test lint format
install: .venv/installed

.venv/installed: setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

# the default input: dark scenes that the project renders itself
out/scenes: | .venv/installed
	$(BIN)/python -m benchmarks.scenes $@

enhance: .venv/installed $(if $(filter out/scenes,$(INPUT)),out/scenes)
	$(BIN)/zerodce enhance $(INPUT) $(OUTPUT)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

test: lint
	$(BIN)/pytest $(PYTEST_ARGS)

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
