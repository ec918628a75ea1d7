# Two commands for a newcomer: `make demo` and `make test`. Neither needs root or a service.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup demo run test coverage interop durability simulate fuzz bench bench-full native peers check format docs lock clean

help:
	@echo "make demo        watch 10,000 messages go through the real daemon, to fake providers"
	@echo "make run         the daemon in the foreground, sandboxed until config.toml says live"
	@echo "make test        the tests"
	@echo "make check       lint, types, layers"
	@echo "make interop     against real Postfix, swaks and opendkim (Debian; needs root once)"
	@echo "make durability  kill -9, full disk, a million messages"
	@echo "make simulate    10,000 seeds of the whole engine with every fault there is"
	@echo "make fuzz        each fuzzer for ten minutes (installs atheris)"
	@echo "make bench       the benchmarks, quick, side by side with other mail servers"
	@echo "make bench-full  the same at length, with figures and picture for docs/performance.md"
	@echo "make native      compiles what every message passes through (needs a C compiler; optional)"
	@echo "make peers       installs those servers (Debian; needs root)"
	@echo "make docs        write the generated reference pages again"

setup: $(READY)

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "penstock needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# twice: pip before 23.3 forgets the pins of -r for what is also wanted with an extra
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r constraints.txt -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: setup
	$(BIN)/penstock demo

run: setup
	$(BIN)/penstock run --config config.toml

test: setup
	$(BIN)/python -m pytest -q

coverage: setup
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -q --cov --cov-report=
	$(BIN)/python -m coverage report --fail-under=85

interop: setup
	bash tests/interop/install.sh
	$(BIN)/python -m pytest -q tests/interop

durability: setup
	$(BIN)/python -m pytest -q tests/durability

simulate: setup
	$(BIN)/python -m penstock.sim.simulate --seeds 10000 --jobs 2

FUZZ_SECONDS ?= 600
fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "atheris>=3.0"
	for target in session reply address segment headers report; do \
	  $(BIN)/python -m tests.fuzz.run $$target --seconds $(FUZZ_SECONDS) || exit 1; done

bench: setup
	$(BIN)/python -m bench

bench-full: setup
	$(BIN)/python -m bench --full

native: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "setuptools>=75"
	$(BIN)/python -m penstock.native build

peers:
	bash bench/peers/install.sh

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	$(BIN)/python -m penstock.settings.reference docs/reference policies/schema
	$(BIN)/python -m penstock.events.reference docs/reference/metrics.md
	$(BIN)/python -m penstock.events.schema docs/reference
	$(BIN)/python -m penstock.api.reference docs/reference/problems.md
	$(BIN)/python -m penstock.api.reference_routes docs/reference/api.md

lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra bench --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url -o constraints.txt

clean:
	find engine queue \( -name '*.so' -o -name _native.json \) -delete
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
