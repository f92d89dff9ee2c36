# `make demo` and `make test` set everything up by themselves; `make help` lists the rest.
SHELL := bash
BIN := .venv/bin

.PHONY: help demo test production production-test lint format bench lock setup peers clean
.DEFAULT_GOAL := help

help:  ## This list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## */\t/' | expand -t 17

setup:  ## Create .venv and install what requirements.lock names (nothing to do when that is unchanged)
	@infra/setup.sh

peers:  ## The same, and what the benchmarks are measured against
	@infra/setup.sh bench

demo: setup  ## The whole pipeline on the embedded data: from the source to a registered version with a verdict
	@$(BIN)/equipoise run

test: setup  ## All tests
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

PRODUCTION = $(BIN)/python -m infra.production $(if $(SETTINGS),--settings $(SETTINGS)) $(if $(INSTALL),--install)

production: setup  ## Database, object storage, Prefect and Ray as processes here, until Ctrl-C; see infra/production.yaml
	@exec $(PRODUCTION)

production-test: setup  ## A retraining on schedule and one on demand through a production set of its own; then it is torn down
	@exec $(PRODUCTION) --test

lint: setup  ## Linter, formatter and type checker; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every module of benchmarks/ that can be run, but for the one that brings the results into the README, and claims: it
# trains every method several times, which takes hours.
BENCHMARKS = $(filter-out readme claims,$(basename $(notdir $(shell grep -l __main__ benchmarks/*.py))))

bench: peers  ## All benchmarks but `make bench-claims`, one after the other; `make bench-adult` (and so on) runs one alone
	@failed=; for name in $(BENCHMARKS); do \
		echo "== $$name"; began=$$SECONDS; \
		$(BIN)/python -m benchmarks.$$name || failed="$$failed $$name"; \
		echo "== $$name took $$((SECONDS - began)) s"; \
	done; echo "== all took $$SECONDS s"; \
	if [ -n "$$failed" ]; then echo "Not measured, see above:$$failed"; exit 1; fi

bench-%: peers
	@$(BIN)/python -m benchmarks.$(subst -,_,$*)

lock: setup  ## Resolve pyproject.toml anew into requirements.lock
	@infra/lock.sh

clean:  ## Forget .venv and the caches of the tools; data, registry and DVC's cache stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build *.egg-info
