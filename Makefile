# Everything happens in .venv; nothing is installed outside of it.
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo weights table test test-slow lint bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

# Memory in huge pages, which a process can ask for only at its start: a training step
# on a CPU is faster (docs/performance.md). A value of your own stays.
demo weights table bench: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

setup: .venv/.installed ## .venv with the tested versions (requirements.lock)

demo: setup ## train and score a small network on rendered people (about 3 minutes, 2 cores)
	$(BIN)/python train.py --config=configs/demo.py --workdir=runs/demo

weights: setup ## weights/rendered from nothing: trains on rendered people, publishes, scores (about an hour, 2 cores)
	$(BIN)/python train.py --config=configs/rendered.py --workdir=runs/rendered
	$(BIN)/python -m reid_jax.export --workdir=runs/rendered --format=weights --out=weights/rendered
	$(BIN)/python evaluate.py --workdir=weights/rendered

PRESET ?= paper
SEEDS ?= 1
RUNS ?= runs
WEIGHTS ?= weights
table: setup ## trains what a table lacks, prints it: TABLE=5 [PRESET=small SEEDS=3 DATASET=walkers/street SOURCE=render WEIGHTS=… RUNS=…]
	@test -n "$(TABLE)" || { echo "make: which table? make table TABLE=5; evaluate.py --help lists them" >&2; exit 1; }
	$(BIN)/python train.py --table=$(TABLE) --preset=$(PRESET) --seeds=$(SEEDS) --runs=$(RUNS) --weights=$(WEIGHTS) \
	  $(if $(DATASET),--dataset=$(DATASET)) $(if $(SOURCE),--source=$(SOURCE))

test: setup ## the tests, in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: setup ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

TORCH := https://download.pytorch.org/whl/cpu
bench: setup ## the benchmarks of a CPU into docs/benchmarks.md (about 15 minutes on 2 cores; installs PyTorch to compare with)
	@$(BIN)/python -c 'import torch' 2>/dev/null || { echo "installing PyTorch into .venv, to compare with ..."; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --retries 1 --extra-index-url $(TORCH) 'torch>=2.6' || \
	  echo "make: PyTorch could not be installed" >&2; }
	$(BIN)/python benchmarks/all.py

.venv/.installed: pyproject.toml requirements.txt requirements.lock requirements-onnx.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: no $(PYTHON) here; install Python 3.11 to 3.13 or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) --version); Python 3.11 to 3.13 is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "installing packages into .venv (about 2 GB) ..."
	@trap 'echo "make: interrupted" >&2; exit 130' INT; set -o pipefail; \
	all=$$(grep -c == requirements.lock) n=0; \
	{ $(BIN)/python -m pip install --disable-pip-version-check --retries 2 \
	  -e '.[dev]' -c requirements.lock && \
	  $(BIN)/python -m pip install --disable-pip-version-check --retries 2 \
	  --no-deps -r requirements-onnx.txt; } 2>&1 | tee -i .venv/install.log | \
	while read -r word rest; do case "$$word $$rest" in \
	  Collecting*) n=$$((n + 1)); ((n % 20)) || echo "  $$n of about $$all packages";; \
	  "Installing collected"*) ((n > all)) || echo "  installing them, about a minute"; n=1000;; \
	esac; done || { \
	  echo "make: packages could not be installed (is there a network?); .venv/install.log: $$(tail -n 1 .venv/install.log)" >&2; exit 1; }
	@touch $@
