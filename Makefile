# Everything runs in .venv; nothing is installed outside this folder. `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
DOCS   := .local/docs/.ready

.DEFAULT_GOAL := help
BENCH_CONTROLLER = $(filter accept command storm history failover workloads pages fleet,$(ONLY))
BENCH_JUDGEMENT = $(filter judgement,$(ONLY))
BENCH_EXPORTER = $(filter-out $(BENCH_CONTROLLER) judgement,$(ONLY))

.PHONY: help setup demo example test check soak mutants bench format release-check docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt tests/servers.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Rearguard needs Python 3.11 or later; say which with: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "This Python has no venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	@echo "setting up $(VENV) (once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]' -r tests/servers.txt
	@touch $@

# An environment of its own: what builds the site brings a library that changes how other programs watch files.
$(DOCS): constraints.txt docs/site/requirements.txt
	@$(PYTHON) -m venv .local/docs
	@.local/docs/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r docs/site/requirements.txt
	@touch $@

setup: $(STAMP) $(DOCS) ## the virtual environment, and Prometheus, Alertmanager, HAProxy, PostgreSQL, Chromium, Helm in .local
	@PYTHONPATH=deploy/local $(BIN)/python -m local_stack.binaries
	@PYTHONPATH=deploy/local $(BIN)/python -m local_stack.npm_packages

demo: $(STAMP) ## the main job on this machine, in two minutes and a half (KEEP=1 leaves it running, KUBERNETES=1: as pods)
	@PYTHONPATH=deploy/local $(BIN)/python -m local_stack.binaries --demo
	@PYTHONPATH=deploy/local $(BIN)/python -m local_stack.$(if $(KUBERNETES),cluster_demo,demo) $(if $(KEEP),--keep,)

example: $(STAMP) ## an application that Rearguard observes, beside real parts, until Ctrl-C (NAME=fastapi)
	@PYTHONPATH=deploy/local $(BIN)/python -m local_stack.binaries --demo
	@PYTHONPATH=deploy/local $(BIN)/python -m local_stack.example $(NAME)

test: setup ## every test but the long campaigns and those of `make check`, three side by side
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not soak" --ignore=tests/check

soak: setup ## the long campaigns, three side by side; those that measure time by themselves
	@$(BIN)/python -m pytest -n 3 --dist worksteal --timeout 900 --durations=12 -m "soak and not alone"
	@$(BIN)/python -m pytest --timeout 900 --durations=12 -m "soak and alone"

mutants: setup ## guards taken away one by one, about 40 minutes: does a test see it? (ONLY="execution intake")
	@$(BIN)/python tests/mutants $(ONLY)

bench: setup ## the benchmarks: ratios to floors and peers of the same run (ONLY="storm overhead judgement")
	@$(if $(if $(ONLY),$(BENCH_CONTROLLER),all),PYTHONPATH=deploy/local:tests $(BIN)/python bench/controller $(BENCH_CONTROLLER),true)
	@$(if $(if $(ONLY),$(BENCH_EXPORTER),all),$(BIN)/python bench/exporter $(BENCH_EXPORTER),true)
	@$(if $(if $(ONLY),$(BENCH_JUDGEMENT),all),PYTHONPATH=deploy/local:tests $(BIN)/python bench/judgement,true)

check: setup ## format, lint, types, import floors, rules, manifests, release
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/check

docs: $(DOCS) ## the documents as a site in .site, links checked
	@NO_MKDOCS_2_WARNING=1 .local/docs/bin/mkdocs build --strict --quiet && echo "open .site/index.html"

release-check: $(STAMP) ## build wheel and sdist, install the wheel in empty environments, try every command
	@$(BIN)/python -m pytest -q tests/check/test_release.py

format: $(STAMP) ## bring the code into shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove what was set up
	rm -rf $(VENV) .local .site .mypy_cache .ruff_cache .pytest_cache .hypothesis
