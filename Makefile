# Everything a person does with a checkout. `make` alone lists it.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q -c requirements/constraints.txt
SERVICES_ROOT ?= .services
ENGINES_ROOT ?= .engines
CASES ?= 2000

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

$(BIN)/python:
	@echo "Making a virtual environment in $(VENV) …"
	@$$(command -v $(PYTHON) || command -v python3) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml requirements/constraints.txt | $(BIN)/python
	@echo "Installing the platform and its bundled engines …"
	@$(PIP) -e '.[embedded]'
	@$(BIN)/voxrelay models pull --bundled
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	@echo "Installing what the tests and checks need …"
	@$(PIP) -e '.[embedded,kafka,tracing,dev]'
	@touch $@

setup: $(VENV)/dev.stamp ## everything a developer needs, in .venv

$(VENV)/faster-whisper.stamp: $(VENV)/run.stamp
	@echo "Installing faster-whisper and its recommended model (490 MB) …"
	@$(PIP) -e '.[embedded,faster-whisper]'
	@$(BIN)/voxrelay models pull faster-whisper-small
	@touch $@

ifdef ENGINE
ifneq ($(ENGINE),faster-whisper)
$(error ENGINE can be faster-whisper; leave it out for the bundled engine)
endif
run: export VOXRELAY_TRANSCRIBE_ENGINE = $(ENGINE)
endif

run: $(VENV)/run.stamp $(if $(ENGINE),$(VENV)/$(ENGINE).stamp) ## the whole platform in one process; AUDIO=call.wav prints what was said in a file; ENGINE=faster-whisper hears far better
ifndef ENGINE
	@echo "The bundled recogniser is small. 'make run ENGINE=faster-whisper' installs Whisper (490 MB): far fewer errors, about a hundred languages."
endif
ifdef AUDIO
	@$(BIN)/voxrelay listen --file "$(AUDIO)"
else
	@$(BIN)/voxrelay serve
endif

test: $(VENV)/dev.stamp ## all tests, with a real Kafka, PostgreSQL and S3 server
	@SERVICES_ROOT=$(SERVICES_ROOT) scripts/test $(ARGS)

test-engines: $(VENV)/dev.stamp ## the suites of all engines: with PyTorch (6.1 GB in .engines), weights that must be fetched, half an hour of speech
	@ENGINES_ROOT=$(ENGINES_ROOT) scripts/test_engines $(ARGS)

lint: $(VENV)/dev.stamp ## format, lint, types, import contracts, generated code
	@$(BIN)/ruff format --check --quiet . || { echo "run 'make fmt'"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -4
	@PYTHON=$(BIN)/python scripts/generate --check

check: $(VENV)/dev.stamp ## lint and the fast tests beside each other: offline, under a minute
	@$(MAKE) --no-print-directory -j2 lint fast-tests

fast-tests: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest -q tests/unit -m "not slow and not services and not sockets" -p no:cacheprovider -n auto

fmt: $(VENV)/dev.stamp ## format the code, sort imports, generate code and documents anew
	@PYTHON=$(BIN)/python scripts/generate
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .
	@$(BIN)/voxrelay topics asyncapi > docs/asyncapi.json
	@$(BIN)/python scripts/requirements_files.py
	@$(BIN)/python scripts/settings_page.py > docs/operations/settings.md
	@$(BIN)/python scripts/conformance_page.py > docs/protocols/conformance.md
	@$(BIN)/python scripts/dashboards.py
	@$(BIN)/python scripts/metrics_page.py > docs/operations/metrics.md
	@$(BIN)/python scripts/doctor_page.py > docs/operations/doctor.md

services: ## start a real Kafka, PostgreSQL and S3 server on loopback (scripts/services stop ends them)
	@scripts/services start --root $(SERVICES_ROOT)

stack: $(VENV)/dev.stamp services ## all seven services over them, as separate processes, until Ctrl-C
	@eval "$$(scripts/services env --root $(SERVICES_ROOT))" && $(BIN)/python scripts/stack

fuzz: $(VENV)/dev.stamp ## hostile input on every surface of a running gateway; CASES=100000 of each kind is the long run, FUZZ_SEED=2 another one
	@CASES=$(CASES) $(BIN)/python -m pytest -q -p no:cacheprovider --timeout 0 tests/fuzz $(ARGS)

helm-test: $(VENV)/dev.stamp ## the Helm chart: lint, examples, schemas of three versions of Kubernetes, policies; builds Helm the first time (6 minutes)
	@$(BIN)/python scripts/chart_tools
	@VOXRELAY_REQUIRE_HELM=1 $(BIN)/python -m pytest -q -p no:cacheprovider tests/chart $(ARGS)

helm-cluster-test: $(VENV)/dev.stamp ## the chart installed in a real Kubernetes 1.34 control plane with pretended nodes; builds it the first time (20 minutes)
	@$(BIN)/python scripts/chart_tools --control-plane
	@VOXRELAY_REQUIRE_CLUSTER=1 $(BIN)/python -m pytest -q -p no:cacheprovider --timeout 600 tests/cluster $(ARGS)

images-check: $(VENV)/dev.stamp ## the Dockerfile played without Docker: every image's packages alone, its command, its health check, its end
	@$(BIN)/python scripts/images.py

chaos: $(VENV)/dev.stamp ## a bounded fault campaign over a cluster of its own, under ten minutes; ARGS="--repeat 20 --sessions 50 --engine digest" is the long run
	@scripts/voxrelay-chaos $(ARGS)

soak: $(VENV)/dev.stamp ## half an hour of callers who come and go: does memory grow, does anything get later; ARGS="--minutes 360" is a night
	@$(BIN)/python -m benchmarks.soak $(ARGS)

evaluate: $(VENV)/dev.stamp ## how good the engines are, on ../shared/eval, into docs/quality.md; ARGS='--only words' for a part
	@$(PIP) -e '.[pesq]' || echo "pesq cannot be compiled here: PESQ is left out."
	@$(BIN)/python -m evaluation.quality_page $(ARGS)

bench: $(VENV)/dev.stamp services ## what the platform costs on top of its engines
	@for each in runner startup overhead gateway scaling; do $(BIN)/python -m benchmarks.$$each || exit 1; done
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.batching
	@eval "$$(scripts/services env --root $(SERVICES_ROOT))" && for each in latency recovery bulk overload; do $(BIN)/python -m benchmarks.$$each || exit 1; done

rolling: $(VENV)/dev.stamp services ## every service restarted, one after another, under 50 live calls; ARGS='--sessions 10' for fewer
	@eval "$$(scripts/services env --root $(SERVICES_ROOT))" && $(BIN)/python -m benchmarks.rolling $(ARGS)

doctor-tried: $(VENV)/dev.stamp services ## what voxrelay doctor says of the platform over real services, sound and broken in eighteen ways
	@eval "$$(scripts/services env --root $(SERVICES_ROOT))" && $(BIN)/python scripts/doctor_tried.py --root $(abspath $(SERVICES_ROOT)) $(ARGS)

observe: $(VENV)/dev.stamp services ## the platform over Kafka under load, watched by a real Prometheus: every dashboard query and alert asked
	@eval "$$(scripts/services env --root $(SERVICES_ROOT))" && $(BIN)/python scripts/observe $(ARGS)

clean: ## stop the services and remove what was made here
	@-scripts/services stop --wipe --root $(SERVICES_ROOT)
	@rm -rf $(VENV) .data build dist *.egg-info

.PHONY: help setup run test test-engines lint check fast-tests fmt services stack fuzz chaos soak helm-test helm-cluster-test images-check evaluate bench rolling doctor-tried observe clean
