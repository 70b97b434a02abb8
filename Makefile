# make demo   a real study from nothing to a results table and a picture, on this machine
# make test   the whole test suite; installs SLURM and Chromium first where it runs as root on Debian
# make lint   style, types
#
# Each first makes its own Python environment in .venv. Another Python: make PYTHON=/path/to/python3.12 test

CANDIDATES = python3.13 python3.12 python3.11 python3
# tried, not just found: a pyenv shim is there even for a Python that is not
PYTHON ?= $(shell for python in $(CANDIDATES); do \
    $$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
    done)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test lint clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: .venv/installed
	bash examples/nback-flanker/demo.sh

# without SLURM or a browser their tests are skipped; JOBPOOL_REQUIRE_SLURM=1, JOBPOOL_REQUIRE_BROWSER=1 make them fail
test: .venv/installed
	tests/slurm/install.sh || test $$? -eq 3
	tests/browser/install.sh || test $$? -eq 3
	pytest -n 3 --dist loadgroup  # one of them mostly waits for SLURM

lint: .venv/installed
	ruff check .
	ruff format --check .
	mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer with venv found; give one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@
