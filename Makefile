PYTHON ?= python3
INPUT ?= out/scenes
OUTPUT ?= out/enhanced
BIN := .venv/bin
# Test files are distributed over the cores. The longest ones (commands, cluster) start first. There are at most four
# processes, because each loads TensorFlow.
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: install enhance docs test test-fast lint format
install: .venv/tests

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

# packages for enhancing
.venv/photos: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --quiet --editable '.[heif,raw]'
	touch $@

# more packages for testing
.venv/tests: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --quiet --editable '.[test]'
	touch $@ .venv/photos .venv/docs

# packages for the documentation site
.venv/docs: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --quiet --editable '.[docs]'
	touch $@

# the default input: dark scenes that the project renders
out/scenes: | .venv/photos
	$(BIN)/python -m benchmarks.scenes $@

enhance: .venv/photos $(if $(filter out/scenes,$(INPUT)),out/scenes)
	$(BIN)/zerodce enhance "$(subst ~/,$(HOME)/,$(INPUT))" "$(subst ~/,$(HOME)/,$(OUTPUT))"

# the documentation site, out/site/index.html; a warning, such as of a dead link, is an error
docs: .venv/docs
	$(BIN)/python -m sphinx --fresh-env -W --keep-going --quiet -c docs . out/site

lint: .venv/tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

test: lint
	$(PYTEST) $(PYTEST_ARGS)

# less than a minute: no cluster, no Prism, no browser, no slow tests except one run of each job
test-fast: .venv/tests
	$(PYTEST) -m 'smoke or not (cluster or prism or browser or slow)' $(PYTEST_ARGS)

format: .venv/tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
