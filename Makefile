# Everything runs in .venv, which `make setup` makes and every other target makes when it has to. Nothing needs activating.
#   make setup PYTHON=python3.12      with another Python (3.11 or newer)
#   make setup TORCH=torch==2.13.0+cpu   with another build of torch; without it pip takes its index's default, which on
#                                        Linux may be the build with CUDA, some gigabytes
PYTHON ?= python3
TORCH ?= torch
BIN := .venv/bin
DEMO := runs/demo
# Two processes with one thread each are faster than one with two, for tests this small.
WORKERS ?= 2
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: setup demo notebook notebook-clear docs browser test lint peers bench clean
.DEFAULT_GOAL := setup

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "alexnet needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make setup PYTHON=python3.12" >&2; \
	  exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo ".venv has a Python older than 3.11: make clean-venv, then make setup" >&2; exit 2; }
	$(PIP_INSTALL) setuptools
	@# torch by itself, so that what is pinned, or named by TORCH, is there before any other package asks for a torch.
	$(PIP_INSTALL) '$(TORCH)'
	@# Without isolation the build uses the pinned setuptools from above, and asks no index for another.
	$(PIP_INSTALL) --no-build-isolation -e '.[all,dev,docs]'
	@touch $@
	@echo 'ready: use .venv/bin/alexnet, or: . .venv/bin/activate'

demo: setup
	rm -rf $(DEMO)
	$(BIN)/alexnet prepare builtin $(DEMO)/data
	$(BIN)/alexnet train demo --data $(DEMO)/data --out $(DEMO)/run
	$(BIN)/alexnet evaluate $(DEMO)/run --data $(DEMO)/data --views 10
	@echo "The report of this run, to open in a browser: $(DEMO)/run/report.html"

# The paper, section by section, run as it stands; runs/paper.html opens offline.
notebook: setup
	$(BIN)/jupyter nbconvert --execute --to html --output-dir runs notebooks/paper.ipynb \
	  --HTMLExporter.mathjax_url= --HTMLExporter.require_js_url=

# Its outputs taken away, as it is committed.
notebook-clear: setup
	$(BIN)/jupyter nbconvert --clear-output --inplace notebooks/paper.ipynb --ClearMetadataPreprocessor.enabled=True \
	  --ClearMetadataPreprocessor.preserve_nb_metadata_mask=kernelspec

# The documentation site, in site/; it fetches nothing from another host. Open site/index.html, or, for its search:
#   .venv/bin/python -m http.server --directory site
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Debian's chromium, for the tests in a browser. Where it is missing and cannot be installed, they are skipped.
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=1 -o Acquire::http::Timeout=20
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	if grep -qsx ID=debian /etc/os-release && test "$$(id -u)" = 0; then \
	  echo 'installing chromium, for the tests in a browser'; \
	  $(APT) update >/dev/null 2>&1; $(APT) install --no-install-recommends chromium >/dev/null 2>&1 || \
	    echo 'it could not be installed: those tests are skipped'; \
	fi </dev/null

test: setup browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The environment of the peers that benchmarks compare with: torchvision and its own torch, faiss; some gigabytes.
peers: benchmarks/peers/.venv/.installed

benchmarks/peers/.venv/.installed:
	$(PYTHON) -m venv benchmarks/peers/.venv
	benchmarks/peers/.venv/bin/python -m pip install --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 faiss-cpu==1.15.1
	@touch $@

# Every benchmark, with its results kept; about half an hour. Some need more than is there, and are called only with it:
#   make bench DATA=data/photos RUN=runs/photos IMAGES=photos     a prepared dataset, a run, a folder of photographs
bench: setup
	@for each in "training_step.py" "training_step.py --allocator default" "normalization.py" \
	    "normalization.py --allocator default" "changes.py" "convolutions.py" "convolutions.py --precision bf16" \
	    "precision.py" "memory.py" "prepare_speed.py" "prepare_cluster.py" \
	    "loading.py $(if $(DATA),--data $(DATA))" "evaluation.py $(if $(IMAGES),--images $(IMAGES))" \
	    "first_session.py" "explore.py $(if $(RUN),--run $(RUN))" "inference.py --batch 1" "inference.py --batch 64 --repeats 5" \
	    "neighbours.py --repeats 5" "neighbours.py --rows 16384 --queries 1000 --repeats 3" $(if $(RUN),"int8.py --run $(RUN) --data $(DATA)" \
	    "int8.py --format onnx --run $(RUN) --data $(DATA)") "scaling.py" \
	    "scaling.py --network small --steps 20" "cost_model.py"; do \
	  echo "== benchmarks/$$each"; $(BIN)/python benchmarks/$$each --save || exit $$?; \
	done
	$(BIN)/python benchmarks/prepare_memory.py
	$(BIN)/python benchmarks/tables.py

clean:
	rm -rf $(DEMO) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.PHONY: clean-venv
clean-venv:
	rm -rf .venv
