PYTHON ?= python3
INPUT ?= out/scenes
OUTPUT ?= out/enhanced
BIN := .venv/bin
# the files of tests spread over the cores, those of commands and of the cluster, which take longest, first; each
# process brings TensorFlow, hence no more than four
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: install enhance test test-fast lint format
install: .venv/tests

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

# what enhancing needs
.venv/photos: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[heif,raw]'
	touch $@

# what testing needs besides
.venv/tests: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@ .venv/photos

# the default input: dark scenes that the project renders itself
out/scenes: | .venv/photos
	$(BIN)/python -m benchmarks.scenes $@

enhance: .venv/photos $(if $(filter out/scenes,$(INPUT)),out/scenes)
	$(BIN)/zerodce enhance "$(subst ~/,$(HOME)/,$(INPUT))" "$(subst ~/,$(HOME)/,$(OUTPUT))"

lint: .venv/tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

test: lint
	$(PYTEST) $(PYTEST_ARGS)

# in less than a minute: no cluster, no browser, nothing slow but one run of each job
test-fast: .venv/tests
	$(PYTEST) -m 'smoke or not (cluster or browser or slow)' $(PYTEST_ARGS)

format: .venv/tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
