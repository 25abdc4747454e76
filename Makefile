# Frugal's front door: `make` says what it can do. The same recipes run at home and in CI.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
NODE_CONFIG := /run/frugal-node/default/admin.kubeconfig
SOURCES := operator/frugal jobs/frugal_artifacts jobs/frugal_jobs jobs/frugal_serve tests bench docs/generate.py
IS_SUPPORTED := import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else 'Python 3.11 to 3.13, please')

# One thread per numerical library: the tests run side by side, and their figures do not depend on the machine.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help venv constraints demo test lint types imports generated generate test-unit test-real test-cel kubernetes
.PHONY: bench kind node clean-node images clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## the virtual environment, with everything in it (PYTHON=python3.12 for another Python)

# Torch comes first and alone, so that pip takes a build that this machine is set up for, such as a local CPU-only one;
# the constraints then keep every other package from asking for another.
$(STAMP): pyproject.toml constraints.txt targets.txt
	$(PYTHON) -c "$(IS_SUPPORTED)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install -q -c constraints.txt -e '.[operator,jobs,serve,dev]'
	$(BIN)/pip install -q --no-deps -r targets.txt
	touch $@

constraints: $(STAMP) ## write constraints.txt from what is installed now
	sed -n '/^#/p' constraints.txt > build-constraints.txt
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' >> build-constraints.txt
	mv build-constraints.txt constraints.txt

demo: $(STAMP) ## the whole loop on this machine in 4 minutes (CLUSTER=kind|context|node for a real cluster)
	$(if $(filter kind node,$(CLUSTER)),$(MAKE) $(CLUSTER))
	$(if $(filter node,$(CLUSTER)),KUBECONFIG=$(NODE_CONFIG)) $(BIN)/frugal demo $(if $(CLUSTER),--cluster $(CLUSTER))

test: $(STAMP) ## everything; the tests on a real Kubernetes need root on Debian 12 and are skipped without
	$(MAKE) lint types imports generated test-unit test-real

lint: $(STAMP) ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy $(SOURCES)

imports: $(STAMP) ## the direction of imports, and that deciding is pure
	$(BIN)/lint-imports --no-logo

generated: $(STAMP) ## whether the generated files are those that the types make
	$(BIN)/python docs/generate.py --check

generate: $(STAMP) ## write the CRDs, the reference pages and the schemas from the types
	$(BIN)/python docs/generate.py

test-unit: $(STAMP) ## all tests that need no cluster, the scenarios in embedded mode among them
	$(BIN)/pytest -m "not real" -n 2 --dist loadfile

test-real: $(STAMP) kubernetes ## the tests on a real Kubernetes (root on Debian 12)
	$(BIN)/pytest -m real

test-cel: $(STAMP) kubernetes ## the CEL rules on a current API server, built from Debian's packages (5 minutes, once)
	bash tests/cel/build_crd_server.sh
	$(BIN)/pytest tests/cel

kubernetes: $(STAMP) ## Kubernetes for the tests, built once from Debian's sources (root on Debian 12, 5 to 9 minutes)
	$(BIN)/python -m tests.cluster build --if-possible

bench: $(STAMP) ## every benchmark, then one table (one of them: .venv/bin/python -m bench NAME)
	$(BIN)/python -m bench

kind: $(STAMP) ## a kind cluster with Frugal in it (needs docker, kind and kubectl)
	kind get clusters | grep -qx frugal || kind create cluster --config tests/cluster/kind.yaml --wait 120s
	for target in operator jobs serve; do docker build -q --target $$target -t frugal.dev/$$target:0.1.0 . ; done
	kind load docker-image --name frugal frugal.dev/operator:0.1.0 frugal.dev/jobs:0.1.0 frugal.dev/serve:0.1.0
	kubectl --context kind-frugal apply -k manifests/base

node: $(STAMP) kubernetes ## a real node on this machine with Frugal in it (root on Debian 12); `make clean-node` ends it
	$(BIN)/python -m tests.cluster up
	for extra in operator jobs serve; do \
	  $(BIN)/python -m tests.cluster load-image $$extra --as frugal.dev/$$extra:0.1.0; done
	kubectl --kubeconfig $(NODE_CONFIG) apply --validate=false -k manifests/base

clean-node: ## end the node and all that is in it
	$(BIN)/python -m tests.cluster down

images: $(STAMP) ## build the three images with buildah and note their sizes (root)
	$(BIN)/python -m bench images

clean: ## remove what the recipes made here; the cache in ~/.cache/frugal stays
	test ! -x $(BIN)/python || $(BIN)/python -m tests.cluster down
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
