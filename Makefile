# One command each: `make demo`, `make test`, `make check`, `make bench`, `make sweep`, `make torture`.
# Needs python3 (3.11 or newer) and the package index, nothing else: uv is used if present,
# else installed into the project's own environment.
PYTHON ?= python3
# `make test PYTHON=python3.13` takes another interpreter, in an environment of its own.
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
STAMP := $(VENV)/.installed

# uv trusts what the system does, as pip does: a company may have a certificate of its own.
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1

# pytest keeps what it makes of the assertions of the tests; to make it anew takes each worker some seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench sweep torture format screenshots requirements wheel-test clean live systemd dist smoke

$(STAMP): requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x "$(UV)" || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@"$(UV)" pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@"$(UV)" pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python example_vault/demo.py

# Several at a time, for process tests mostly wait; a file stays whole, for its scenes are played side by side.
test: $(STAMP)
	$(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder

# One Claude task against the real API, for some cents; the key is taken from the environment.
live: $(STAMP)
	$(BIN)/python -m pytest -q -rs -m live tests/live

# The service under a real systemd, which need not run on this machine: root, namespaces, half a minute.
systemd: $(STAMP)
	tests/systemd/in_a_manager $(BIN)/python -m pytest -q -rs -m systemd tests/systemd

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# All benchmarks, and docs/performance.md from what they found: half an hour on a quiet machine.
# `make bench BENCH="lateness burst"` runs those alone; `make bench BENCH=--full` takes hours.
bench: $(STAMP) $(VENV)/.bench
	$(BIN)/python benchmarks $(BENCH)

# What the scheduler is measured beside.
$(VENV)/.bench: requirements/bench.txt $(STAMP)
	@"$(UV)" pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@touch $@

# Fire times against Debian cron's loop, around every change of the clocks from 2000 to 2030: some ten minutes.
sweep: $(STAMP)
	$(BIN)/python -m tests.sweep

# Crashes, editors and sync against the real daemon, for many minutes; one line of figures each.
torture: $(STAMP)
	$(BIN)/python -m tests.torture

# The pictures of the docs, made anew by a browser: tools/screenshots/README.md says what that needs.
screenshots: $(STAMP)
	@test -d tools/screenshots/node_modules || npm ci --prefix tools/screenshots --ignore-scripts --no-audit --no-fund
	$(BIN)/python tools/screenshots/make.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The sdist, and the wheel that is built from it; the tree has to make the same one.
dist: $(STAMP)
	rm -rf dist build
	"$(UV)" build --quiet --python $(BIN)/python --out-dir dist .
	"$(UV)" build --quiet --wheel --python $(BIN)/python --out-dir build .
	$(BIN)/python -m tests.packaging dist build

# Whether another interpreter gets along with it: what is decided, and one file of real daemons.
smoke: $(STAMP)
	$(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder tests/unit tests/process/test_daemon.py

# What an installation can break, against the built wheel in an environment that has never seen this tree.
wheel-test: dist
	rm -rf .wheel-venv
	$(PYTHON) -m venv .wheel-venv
	"$(UV)" pip install --quiet --python .wheel-venv/bin/python --require-hashes -r requirements/dev.txt
	"$(UV)" pip install --quiet --python .wheel-venv/bin/python --no-deps dist/*.whl
	tests/run_against_wheel .wheel-venv/bin/python

requirements:
	"$(UV)" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--no-emit-find-links -o requirements/runtime.txt pyproject.toml
	"$(UV)" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--no-emit-find-links --extra dev -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	echo "apscheduler>=3.11,<4" | "$(UV)" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links -c requirements/dev.txt -o requirements/bench.txt -

clean:
	rm -rf .venv .venv-* .wheel-venv dist build .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
