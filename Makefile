# make demo: run the main job on real data against a real local Neo4j.   make test: run all tests, on all cores; NEO4J=5.26 chooses the older Neo4j.
# make check: linters, layers, types.   make quick: the same, and all tests that need no training, torch or database; under a minute.
# make coverage: the tests, with the lines they miss.   make clean: remove the environment.
# make docs: build the documentation site into docs/_build/html; warnings are errors.
# make audit: look up the installed packages in the list of known vulnerabilities; without a network, make audit ADVISORIES=folder
# with a clone of the PyPA's advisory-database.
# make wheels: check that all packages have wheels for every supported Python and platform.
VENV := .venv
BIN := $(VENV)/bin
# PYTHON, or else the first of these that really is Python 3.11 to 3.14 (a shim that only prints an error does not count).
# 3.12 and 3.11 come first: every optional package, such as DGL, has wheels for them.
CANDIDATES := $(or $(PYTHON),python3.12 python3.11 python3.14 python3.13 python3 python)
PROBE := import sys, venv, ensurepip; raise SystemExit(not (3, 11) <= sys.version_info[:2] < (3, 15))
# Index of torch, if it is not pip's usual one: without an NVIDIA GPU, PyTorch's index of wheels without CUDA libraries,
# unless pip is configured to use another index than PyPI. `make demo TORCH_INDEX=` installs the usual torch.
TORCH_INDEX ?= $(shell [ "$$(uname -s)" = Linux ] && ! [ -e /proc/driver/nvidia/version ] && ! command -v nvidia-smi >/dev/null \
  && ! $(BIN)/python -m pip config list 2>/dev/null | grep index-url >/dev/null && echo https://download.pytorch.org/whl/cpu)

.PHONY: demo test check quick coverage audit wheels docs install clean
demo: $(VENV)/.demo
	@$(BIN)/kgplug demo

# One process per core, each with one thread. tests/conftest.py says which tests stay together, and which come first.
PARALLEL := --numprocesses=auto --dist=loadfile --no-loadscope-reorder
test coverage: export OMP_NUM_THREADS := 1
test coverage: export OPENBLAS_NUM_THREADS := 1
# The tests start Python often: compiled modules are kept, even where the shell asks for none.
test quick coverage: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.dev
	@$(BIN)/python -m pytest $(if $(PYTEST_ARGS),$(PYTEST_ARGS),$(PARALLEL))

check: $(VENV)/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/pyright

# Pyright takes half of the time, so it runs next to the rest; its findings come last. nbmake costs a second per process.
quick: $(VENV)/.dev
	@$(BIN)/pyright >$(VENV)/pyright.log 2>&1 & types=$$!; \
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/python -m pytest --quick -q --numprocesses=auto --dist=loadfile -p no:nbmake --durations=0 --durations-min=2 $(PYTEST_ARGS); code=$$?; \
	wait $$types || { cat $(VENV)/pyright.log; exit 1; }; \
	exit $$code

# --strict: a package that could not be looked up is a failure, not a clean one.
audit: $(VENV)/.dev
	@$(BIN)/python -m pip list --disable-pip-version-check --format=freeze --exclude-editable | sed 's/+.*//' >$(VENV)/packages.txt
	@$(if $(ADVISORIES),$(BIN)/python tests/offline_audit.py '$(ADVISORIES)' $(VENV)/packages.txt,\
	  $(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement $(VENV)/packages.txt)

wheels: $(VENV)/.dev
	@$(BIN)/python tests/wheels.py

docs: $(VENV)/.docs
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html && echo "Open docs/_build/html/index.html"

install: $(VENV)/.dev

# An environment with another Python than PYTHON is made again.
ifneq ($(PYTHON),)
ifneq ($(shell $(PYTHON) --version 2>&1 || true),$(shell $(BIN)/python --version 2>&1 || true))
.PHONY: $(VENV)/.python
endif
endif

$(VENV)/.python:
	@for python in $(CANDIDATES); do \
	  if command -v $$python >/dev/null 2>&1 && $$python -c '$(PROBE)' >/dev/null 2>&1; then \
	    echo "Making $(VENV) with $$($$python --version 2>&1)"; $$python -m venv --clear $(VENV) && touch $@ && exit 0; \
	  fi; \
	done; \
	echo "kgplug needs Python 3.11, 3.12, 3.13 or 3.14 with its venv module, and found $$($(or $(PYTHON),python3) --version 2>/dev/null || echo no Python that runs). Install one, or name it: make demo PYTHON=/path/to/python3.12" >&2; exit 1

# If PyTorch's index does not answer within seconds, or has no torch for this Python, torch comes with the other packages.
# An index that TORCH_INDEX names must have it.
$(VENV)/.torch: $(VENV)/.python
	@index="$(TORCH_INDEX)"; pip="$(BIN)/python -m pip --disable-pip-version-check"; \
	limit=$$(command -v timeout >/dev/null && echo timeout 10); \
	[ -z "$$index" ] \
	  || { $$limit $$pip --timeout 3 --retries 0 index versions torch --index-url "$$index" >/dev/null 2>&1 \
	    && echo "Installing torch from $$index" \
	    && $$pip install --no-deps --index-url "$$index" torch 2>$(VENV)/pip-errors.log; } \
	  || $(if $(filter file,$(origin TORCH_INDEX)),true,{ echo "$$index did not answer, or has no torch for this Python. Check TORCH_INDEX, or leave it out." >&2; exit 1; }); \
	touch $@

# Python brings an old pip, with known vulnerabilities: it is renewed. Each stamp is written only after pip has succeeded, so an interrupted installation is taken up again.
$(VENV)/.demo: $(VENV)/.python pyproject.toml | $(VENV)/.torch
	@$(call install,.)
$(VENV)/.dev: $(VENV)/.python pyproject.toml | $(VENV)/.torch
	@$(call install,.[dev]) && touch $(VENV)/.demo
$(VENV)/.docs: $(VENV)/.python pyproject.toml | $(VENV)/.torch
	@$(call install,.[docs]) && touch $(VENV)/.demo

define install
echo "Installing kgplug and its packages into $(VENV): up to 7 GB on disk, most of it torch; some minutes the first time"; \
$(BIN)/python -m pip install --disable-pip-version-check --retries 2 'pip>=25.3' --editable '$(1)' 2>$(VENV)/pip-errors.log \
  || { echo "The packages could not be installed. Is there a network, and 7 GB of free disk? Then run the same command again. (pip's own words: $(VENV)/pip-errors.log)" >&2; exit 1; }; \
touch $@
endef

clean:
	rm -rf $(VENV)

coverage: $(VENV)/.dev
	@$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term-missing:skip-covered $(PYTEST_ARGS)
