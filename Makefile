# Everything a reader or a maintainer runs. `make` alone lists the targets.
# Needs Python 3.11 or newer, git and make; all else is installed into .venv.

# VERSIONS chooses a set of tools/versions.py; each has an environment of its own.
VERSIONS ?= pinned
ifeq ($(filter $(VERSIONS),pinned lowest newest colab),)
$(error VERSIONS is '$(VERSIONS)', expected pinned, lowest, newest or colab)
endif
# The program that makes the environment; without one, the first of these that is there.
PYTHON ?=
PYTHONS := $(if $(filter colab,$(VERSIONS)),python3.13,python3.11 python3)
VENV := $(if $(filter pinned,$(VERSIONS)),.venv,.venv-$(VERSIONS))
CONSTRAINTS := $(if $(filter pinned,$(VERSIONS)),constraints.txt,$(VENV)/constraints.txt)
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
TEACH := $(VENV)/.stamp-teach
PY := $(BIN)/python
# What Colab's runtime has, and nothing of this course: lessons are tried in it.
RUNTIME := .venv-colab-runtime
SOURCES := ganvae_lessons tests tools notebooks assignments
JOBS ?= 2
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=300

# The lessons are written for TensorFlow; its start-up messages help nobody.
export KERAS_BACKEND := tensorflow
export TF_CPP_MIN_LOG_LEVEL := 2
# Small matrices: BLAS threads would only wait for each other, and round differently.
export OPENBLAS_NUM_THREADS := 1
# Kernels and tools find the environment's programs.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup reference book assignments grade example-class test lint format data classifier readme-picture setup-cells constraints wheel-test colab-test system-packages clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' \
	  | awk -F '\t' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo "VERSIONS=lowest|newest|colab takes other versions, in .venv-VERSIONS; PYTHON=program makes it."

# $(call make-venv,FOLDER,PROGRAMS): with the first program that is new enough, unless it is there.
define make-venv
	@if [ ! -x $(1)/bin/python ]; then \
	  for python in $(2); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "Python 3.11 or newer is needed, tried $(2); name one with 'make PYTHON=/path/to/python'" >&2; \
	    exit 1; \
	  fi; \
	  if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$found cannot make environments: on Debian or Ubuntu, 'apt-get install python3-venv'" >&2; \
	    exit 1; \
	  fi; \
	  echo "making $(1) with $$($$found --version)"; \
	  $$found -m venv $(1) || { rm -rf $(1); exit 1; }; \
	fi
endef

# An environment keeps the Python that made it; to ask for another one is an error, not ignored.
MINOR := -c 'import sys; print("Python %d.%d" % sys.version_info[:2])'
.PHONY: $(VENV)-python $(RUNTIME)-python
$(VENV)-python $(RUNTIME)-python: %-python:
	@if [ -n "$(PYTHON)" ] && [ -x $*/bin/python ]; then \
	  has=$$($*/bin/python $(MINOR)); wanted=$$($(PYTHON) $(MINOR)) || exit 1; \
	  if [ "$$has" != "$$wanted" ]; then \
	    echo "$* has $$has, and $(PYTHON) is $$wanted; delete $* first" >&2; exit 1; \
	  fi; \
	fi

setup: $(STAMP)  ## create .venv and install the exact versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt tools/versions.py | $(VENV)-python
	$(call make-venv,$(VENV),$(or $(PYTHON),$(PYTHONS)))
	@$(if $(filter pinned,$(VERSIONS)),,$(PY) tools/versions.py $(VERSIONS) > $(CONSTRAINTS))
	@echo "installing the $(VERSIONS) versions (the first time: some minutes, 2.5 GB)"
	@$(PY) -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[book,test]'
	@touch $@

reference: $(STAMP)  ## add torch and torchmetrics, a second opinion for `make test` (0.2 to 5 GB)
	@$(PY) -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[reference]'

$(TEACH): $(STAMP)
	@$(PY) -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[teach]'
	@touch $@

book: $(STAMP)  ## execute every lesson at the laptop budget and build _build/html/index.html
	$(PY) tools/build_book.py --budget laptop

assignments: $(TEACH)  ## write the students' versions of the assignments to _build/assignments
	$(PY) tools/make_assignments.py

grade: $(TEACH)  ## grade a folder of submissions: make grade SUBMISSIONS=folder [RESULTS=folder]
	@if [ -z "$(SUBMISSIONS)" ]; then echo "name the folder: make grade SUBMISSIONS=folder" >&2; exit 2; fi
	@$(PY) tools/grade.py "$(SUBMISSIONS)" $(if $(RESULTS),--results "$(RESULTS)")

example-class: $(TEACH)  ## write submissions of all kinds to _build/example-class, to try grading
	$(PY) tools/example_class.py _build/example-class

# Each lesson runs once, in nbval; the smoke book is made of those runs, and some tests look at it.
# Style is the pinned ruff's matter: another version has other opinions, and the code is the same.
test: $(if $(filter pinned,$(VERSIONS)),lint) $(TEACH)  ## lint, nbval over every lesson at the smoke budget, the book of that, then pytest
	$(PY) tools/run_lessons.py --budget smoke --jobs $(JOBS) -q -rs $(NBVAL) notebooks
	$(PY) tools/build_book.py --budget smoke
	GANVAE_BUDGET=smoke $(PY) -m pytest -q -rs --durations=10 -n $(JOBS) --dist loadfile tests

lint: $(STAMP)  ## check style, formatting, the workflow file and the set-up cells
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(PY) tools/setup_cell.py --check

format: $(STAMP)  ## let ruff correct style and formatting
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

data: $(STAMP)  ## make the embedded data again from their sources (needs a network)
	$(PY) tools/make_data.py

classifier: $(STAMP)  ## train the classifier whose features the distances compare, again
	$(PY) tools/make_classifier.py

readme-picture: $(STAMP)  ## make the README's picture from the figures of the last `make book`
	$(PY) tools/readme_picture.py

setup-cells: $(STAMP)  ## write the set-up cell into every lesson, the address everywhere
	$(PY) tools/setup_cell.py

constraints:  ## resolve constraints.txt (needs uv and a network); UPGRADE=--upgrade for newer ones
	uv pip compile pyproject.toml --extra book --extra test --extra teach --extra reference --universal --python-version 3.11 \
	  --no-annotate --no-header $(UPGRADE) -o constraints.txt

wheel-test: $(STAMP)  ## run each notebook alone in an empty folder, with the wheel and no network
	$(PY) tools/wheel_test.py

$(RUNTIME)/.stamp: tools/versions.py | $(RUNTIME)-python
	$(call make-venv,$(RUNTIME),$(or $(PYTHON),python3.13))
	@$(RUNTIME)/bin/python tools/versions.py colab > $(RUNTIME)/constraints.txt
	@echo "installing Colab's versions into $(RUNTIME) (the first time: some minutes, 2 GB)"
	@$(RUNTIME)/bin/python -m pip install --quiet --requirement $(RUNTIME)/constraints.txt \
	  pillow ipykernel nbclient nbformat pyyaml setuptools
	@touch $@

colab-test: $(RUNTIME)/.stamp  ## run lessons as in Colab, one of each part by the week: LESSONS="02 05", LESSONS=all
	$(RUNTIME)/bin/python tools/colab_test.py $(LESSONS)

system-packages:  ## install Chromium, bubblewrap, the full Fashion-MNIST (Debian or Ubuntu, as root)
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
	  chromium fonts-dejavu-core bubblewrap util-linux
	@# Ubuntu 24.04 keeps programs without a profile of their own out of user namespaces
	sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0 2>/dev/null || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
	  dataset-fashion-mnist || echo "no dataset-fashion-mnist here: two tests will be skipped"

clean:  ## remove what was built; the environments stay
	rm -rf _build build dist ganvae_lessons.egg-info book/_generated book/verification.md \
	  book/_static/mathjax .pytest_cache .ruff_cache
