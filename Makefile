# Echosynth. `make` lists what there is; `make demo` and `make test` do all the set-up that they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRA := $(VENV)/.extra
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
# Set GRID to another file and WORKERS to how many run at a time: make sweep GRID=params/sweeps/mine.yaml WORKERS=2
GRID ?= params/sweeps/guidance.yaml
WORKERS ?= 1

.PHONY: help demo explore sweep test test-fast check style bench gpu-check ui clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] < (3, 13) else "error: Python 3.11 or 3.12 is needed; name one with make PYTHON=python3.11")'
	@echo "Installing into $(VENV); this takes a few minutes, once."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(EXTRA): $(READY) requirements-extra.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -r requirements.txt -r requirements-extra.txt
	@touch $@

# The demo's networks are small: a second thread gains nothing and, beside other work, costs much. With one thread the
# bits depend neither on the number of cores nor on what else runs; classifiers are trained side by side.
demo explore: export OMP_NUM_THREADS ?= 1
SIDE_BY_SIDE = @$(MAKE) --no-print-directory --jobs $(or $(JOBS),$$(python -c 'import joblib; print(joblib.cpu_count())'))
demo: $(READY) ## Run the whole study on the embedded demo data (15 minutes on 2 cores)
	@dvc repro split feature-network
	$(SIDE_BY_SIDE) rows
	@dvc repro
	@git diff --quiet -- dvc.lock 2>/dev/null || echo "dvc.lock changed: its results are of this machine and these \
	parameters (another kind of CPU rounds otherwise). Commit it with reports/metrics.json to keep them."
	@echo "The report: reports/index.html. Every run: make ui"

explore: $(READY) ## Run the explorations behind the choices (about 20 minutes on 2 cores)
	@echosynth preset explore
	@dvc repro feature-network
	$(SIDE_BY_SIDE) cells
	@dvc repro explore/dvc.yaml
	@echo "The explorations: reports/explore.html. Every run: make ui"

# DVC runs one stage after another, and most stages of the demo keep one core busy. So those between the feature network
# and the comparison run as rows of stages that do not wait for each other, the longest first, one row a core (JOBS=1:
# one after another): what generators make of a subset and what is learned from that, what is learned from real images,
# and what remains. DVC keeps what they read and write apart, as in several terminals; it finds all done afterwards.
ifneq ($(filter rows,$(MAKECMDGOALS)),)
STAGES := $(shell $(BIN)/dvc stage list --name-only)
endif
SUBSETS := $(patsubst diffusion@%,%,$(filter diffusion@%,$(STAGES)))
ROWS := $(SUBSETS:%=generated-%) $(SUBSETS:%=real-%) remaining
# The stages of a subset whose names begin with one of some words, in the order of dvc.yaml.
of = $(shell printf '%s\n' $(STAGES) | grep -E '^($(1))@(.*-)?$(2)(-.*)?$$')
row = @set -o pipefail; dvc --wait-for-lock repro --single-item $(1) 2>&1 | cat
rows: $(ROWS)
$(SUBSETS:%=generated-%): generated-%:
	$(call row,$(call of,diffusion|sample|baseline|fidelity|classify-synthetic|classify-baseline,$*))
$(SUBSETS:%=real-%): real-%:
	$(call row,$(call of,classify-real,$*))
remaining:
	$(call row,known-pictures $(filter screen-shift@% ingest-shift@%,$(STAGES)))

# The same for the explorations that train a model each.
ifneq ($(filter cells,$(MAKECMDGOALS)),)
CELLS := $(shell $(BIN)/dvc stage list --name-only explore/dvc.yaml | sed -nE 's/.*:((method|variance|recipe)@)/\1/p')
endif
cells: $(CELLS)
$(CELLS):
	$(call row,explore/dvc.yaml:$@)

.PHONY: rows cells $(ROWS) $(CELLS)
rows cells $(ROWS) $(CELLS): export ECHOSYNTH_PROCESSES := 1

sweep: $(READY) ## Run a grid of experiments and rank them: make sweep GRID=params/sweeps/guidance.yaml
	@echosynth sweep $(GRID) --workers $(WORKERS)

# One process of the tests a core, each with one thread. NUMBER=4 where there is memory: each takes up to 3 GB.
NUMBER ?= 2
test test-fast: export OMP_NUM_THREADS := 1
# Tests start hundreds of processes; without byte code each would compile the package.
test test-fast: export PYTHONDONTWRITEBYTECODE :=
# Types are checked beside the tests: without a cache that takes half a minute of one core.
test: $(EXTRA) style ## Check style and types, and run all tests
	@mypy --no-error-summary & types=$$!; python -m pytest -n $(NUMBER); tests=$$?; wait $$types && exit $$tests

test-fast: $(EXTRA) ## Run the tests that take no more than a few seconds
	@python -m pytest -n $(NUMBER) -m "not slow"

check: style ## Check style (ruff) and types (mypy)
	@mypy --no-error-summary

style: $(READY)
	@ruff check --quiet . && ruff format --quiet --check .

bench: $(EXTRA) ## Measure ingest, training, sampling and inference on this machine
	@python -m bench.run

# Without the set-up of the other targets, for a machine without network: PYTHON brings torch and the like, and what it
# lacks comes as wheels from the folder WHEELS. ARGS: of `python -m bench.gpu_check`, such as --minutes 5 --folder out.
gpu-check: ## Try a GPU in 8 minutes: tests, a training, speed; WHEELS=folder brings packages that are missing
	@site=$$(mktemp -d) && trap 'rm -rf "$$site"' EXIT && \
	{ [ -z "$(WHEELS)" ] || $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
		--no-compile --no-cache-dir --target "$$site" "$(WHEELS)"/*.whl; } && \
	PYTHONPATH="src:$$site$${PYTHONPATH:+:$$PYTHONPATH}" $(PYTHON) -m bench.gpu_check $(ARGS)

ui: $(READY) ## Open the MLflow UI on http://127.0.0.1:5000
	@case "$$MLFLOW_TRACKING_URI" in \
	http*) echo "The runs are on the server that MLFLOW_TRACKING_URI names: open it in a browser." ;; \
	*) echo "All rows: http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"; \
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" --port 5000 --workers 1 ;; esac

clean: ## Delete what can be made again, but not DVC's cache nor tracked runs, also those that wait for a server
	@[ ! -d .resume ] || find .resume -mindepth 1 -maxdepth 1 ! -name offline -exec rm -rf {} +
	@rm -rf $(VENV) .cache .hypothesis .pytest_cache .mypy_cache .ruff_cache
