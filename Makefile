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

.PHONY: help demo explore study sweep test test-fast check style bench gpu-check ui clean

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
# bits depend neither on the number of cores nor on what else runs.
demo explore study: export OMP_NUM_THREADS ?= 1
demo: $(READY) ## Run the whole study on the embedded demo data (15 minutes on 2 cores)
	@$(MAKE) --no-print-directory stages
	@dvc repro
	@git diff --quiet -- dvc.lock 2>/dev/null || echo "dvc.lock changed: its results are of this machine and these \
	parameters (another kind of CPU rounds otherwise). Commit it with reports/metrics.json to keep them."
	@echo "The report: reports/index.html. Every run: make ui"

explore: $(READY) ## Run the explorations behind the choices (about 20 minutes on 2 cores)
	@echosynth preset explore
	@$(MAKE) --no-print-directory stages PIPELINE=explore/dvc.yaml
	@dvc repro explore/dvc.yaml
	@echo "The explorations: reports/explore.html. Every run: make ui"

# DVC runs one stage after another, and most stages of the demo keep one core busy. So ninja runs them, one a core (JOBS=1:
# one after another), each after those before it in `dvc dag`, the one with the longest way to the end first. Classifiers of
# a stage are trained side by side all the same: at the end, when one stage is left, it has all cores. DVC keeps what stages
# read and write apart, as in several terminals, and finds all done afterwards.
PIPELINE ?= dvc.yaml
JOBS ?= $(shell $(BIN)/python -c 'import joblib; print(joblib.cpu_count())')
# A stage without what DVC says after each, and past ninja, which shows nothing of one that has not ended.
HINTS := /./!d; /^To (track|enable)|^\t(git add|dvc config)|^Use .dvc push|^Updating lock/d
define STAGE
builddir = .resume
rule stage
  command = bash -o pipefail -c "dvc --wait-for-lock repro --single-item $$out 2>&1 | sed -uE '$(HINTS)' >&3"
endef
# Of lines such as `"split" -> "compare";`, and `"split";` too.
BUILDS := /^"/ {before[$$4] = before[$$4] " " $$2; before[$$2] = before[$$2] ""} \
	END {delete before[""]; for (stage in before) print "build " stage ": stage" before[stage]}
stages: export STAGE := $(STAGE)
stages:
	@mkdir -p .resume; set -o pipefail; dvc dag --dot | sed 's/:/$$:/g' | awk -F'"' '$(BUILDS)' | \
		cat <(echo "$$STAGE") - > .resume/stages.ninja
	@exec 3>&1 && ninja --quiet -f .resume/stages.ninja -j $(JOBS) $$(dvc stage list --name-only $(PIPELINE)) > /dev/null
.PHONY: stages

study: $(READY) ## Make every table and figure of the thesis (about 25 minutes on 2 cores)
	@echosynth preset study
	@$(MAKE) --no-print-directory stages PIPELINE=study/dvc.yaml
	@dvc repro study/dvc.yaml
	@echo "The thesis beside this study: reports/study.html. Every run: make ui"

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

# Another one where somebody listens there already: make ui PORT=5001
PORT ?= 5000
ui: $(READY) ## Open the MLflow UI on http://127.0.0.1:5000 (PORT=5001: another)
	@case "$$MLFLOW_TRACKING_URI" in \
	http*) echo "The runs are on the server that MLFLOW_TRACKING_URI names: open it in a browser." ;; \
	*) python -c 'import socket, sys; sys.exit(socket.socket().connect_ex(("127.0.0.1", $(PORT))) == 0)' || \
	{ echo "error: another program listens on port $(PORT); name a free one: make ui PORT=5001" >&2; exit 1; }; \
	echo "All rows: http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning"; \
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" --port $(PORT) --workers 1 ;; esac

clean: ## Delete what can be made again, but not DVC's cache nor tracked runs, also those that wait for a server
	@[ ! -d .resume ] || find .resume -mindepth 1 -maxdepth 1 ! -name offline -exec rm -rf {} +
	@rm -rf $(VENV) .cache .hypothesis .pytest_cache .mypy_cache .ruff_cache
