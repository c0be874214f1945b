# Every target works alone on a machine that has Python 3.11+ and make.
PYTHON ?= python3
QUICK ?=
LAB ?=
BIN := .venv/bin
PIP := -m pip install -q --disable-pip-version-check --no-compile
READY := .venv/.ready
RUN := $(BIN)/python -m experiments run

# Bytecode is kept, whatever the shell says, and in .venv alone: tests and grids start many
# processes, each of which would else compile every library that it imports.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache

.PHONY: setup ablations results notebook docs bench-peers test test-all test-floor test-latest \
  test-kernels coverage mutants concordance format clean

# What every target needs: the packages and this project, in .venv.
setup: $(READY)

ablations: $(READY)
	$(RUN) ssb $(if $(QUICK),--quick)
	$(RUN) temperature --arms in-batch in-batch+logq full-softmax $(if $(QUICK),--quick)

# The committed tables and figures anew; what is finished stays. Those of MovieLens 1M
# need MOVIELENS_DIR, a folder with ml-1m; those of the published splits
# (docs/published-numbers.md) OUTSIDE_DIR.
LARGE := $(RUN) --out results --dataset ml-1m --seeds
define NEXT


endef
each = $(foreach one,$(1),$(RUN) $(one) --out results$(NEXT))
outside = $(if $(OUTSIDE_DIR),$(RUN) $(2) --dataset $(OUTSIDE_DIR)/$(1) --out results $(3))
results: $(READY)
	@echo "about 8 hours on 2 cores; those of MovieLens 1M take about 5 more"
	$(RUN) ssb --seeds 8 --out results
	$(RUN) questions --seeds 8 --out results
	$(RUN) recipe --out results
	$(if $(OUTSIDE_DIR),$(RUN) recipe --seeds 1 --dataset $(OUTSIDE_DIR)/electronic --out results)
	$(call each,recipes strength)
	$(RUN) temperature --seeds 5 --out results
	$(call each,negatives cache correction losses)
	$(call each,frontier baselines positives)
	$(RUN) history --out results --arms in-batch+logq encoder-none \
	  encoder-learned encoder-profile encoder-last-click encoder-last-click-shuffled
	$(call each,search features depth probe magnifier)
	$(call each,dial calibration)
	$(call each,trade-off pace)
	$(call each,library loader future)
	$(if $(OUTSIDE_DIR),$(RUN) outside --data-dir $(OUTSIDE_DIR) --out results)
	$(call outside,electronic,questions,--seeds 3 --reference ease --arms popularity item-knn ease slim \
	  in-batch in-batch+prior in-batch+logq mixed+logq fifo-cache-512+logq)
	$(call outside,electronic,calibration,--seeds 3 --arms in-batch)
	$(call outside,electronic,trade-off,--seeds 3)
	$(call outside,electronic,strength)
	$(call outside,movie,strength)
	$(call outside,gowalla,strength)
	$(if $(MOVIELENS_DIR),,@echo "MOVIELENS_DIR is not set: MovieLens 1M is left out")
	$(if $(MOVIELENS_DIR),$(LARGE) 3 questions --reference in-batch+logq --arms \
	  popularity item-knn ease in-batch+logq)
	$(if $(MOVIELENS_DIR),$(LARGE) 3 questions --split time --reference in-batch+logq --arms \
	  popularity item-knn ease ials in-batch+logq)
	$(if $(MOVIELENS_DIR),$(LARGE) 3 baselines --arms popularity recent-popularity \
	  item-knn ease slim ials bpr-mf item2vec fm in-batch+logq larger-towers)
	$(if $(MOVIELENS_DIR),$(LARGE) 2 history --split last --fixed-epochs --arms in-batch+logq \
	  encoder-last-click encoder-last-click-shuffled)
	$(if $(MOVIELENS_DIR),$(LARGE) 3 library --arms random in-batch in-batch+logq mixed+logq \
	  full-softmax)
	$(if $(MOVIELENS_DIR),$(LARGE) 3 strength)
	$(if $(MOVIELENS_DIR),$(LARGE) 3 calibration)
	$(if $(MOVIELENS_DIR),$(LARGE) 3 trade-off)
	$(if $(MOVIELENS_DIR),$(LARGE) 3 pace)
	$(if $(MOVIELENS_DIR),$(LARGE) 3 future --arms in-batch+logq \
	  in-batch+logq-streaming in-batch+logq-periodic)

# JupyterLab, installed into .venv and opened in notebooks/; LAB holds further words for
# it, as in make notebook LAB="--no-browser --port 9999".
notebook: $(READY)
	@echo "installing JupyterLab into .venv (the first time about a minute)"
	$(BIN)/python $(PIP) -r requirements-notebook.txt -c requirements.lock
	cd notebooks && ../$(BIN)/python -m jupyterlab $(LAB)

# The pages as a site with a search, built and read without a network. Titles of tables get
# the name of their data set; a link that leads nowhere fails.
LINKED := research/calibration.py research/negatives/strength.py
docs: .venv-docs/.ready
	rm -rf build/pages build/site
	mkdir -p build/pages
	tar cf - README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff LICENSE docs notebooks \
	  results/*.md results/benchmarks results/tables results/figures $(LINKED) \
	  | tar xf - -C build/pages
	cd build/pages/results/tables && for page in */*.md; do \
	  sed "1s|$$| ($${page%/*})|" $$page > page && mv page $$page; done
	.venv-docs/bin/mkdocs build -q --strict
	@echo "to read: .venv-docs/bin/python -m http.server -b 127.0.0.1 -d build/site 8000"

# PyTorch, TensorFlow and FAISS in an environment of their own, then all benchmarks beside
# them. MOVIELENS_DIR names a folder with ml-1m, as for every command.
bench-peers: $(READY) .venv-peers/.ready
	$(BIN)/python -m experiments bench --out results $(if $(QUICK),--quick)

# Recall, nDCG and others as seven libraries compute them, in an environment of their own.
concordance: $(READY) .venv-concordance/.ready
	$(BIN)/python -m experiments.concordance results

# The types are checked, on one core for 20 s, while the tests run; what they print is mixed.
test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy & types=$$!; \
	  $(BIN)/python -m pytest -q -n auto --dist worksteal; tests=$$?; \
	  wait $$types && exit $$tests

# Then once more what is compiled, as users have it: make test compiles in haste, which
# hides errors of the compiler.
COMPILED := tests/losses tests/logits tests/negatives tests/towers tests/train tests/evaluate
test-all: test
	$(BIN)/python $(PIP) -r requirements-ray.txt -r requirements-serve.txt -r requirements-browser.txt
	$(BIN)/python -m pytest -q -m slow
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(BIN)/python -m pytest -q -n auto $(COMPILED)

# The same tests with the lowest packages that the requirements allow, and the newest.
test-floor: .venv-floor/.ready
	.venv-floor/bin/python -m pytest -q -n auto --dist worksteal

test-latest: .venv-latest/.ready
	.venv-latest/bin/python -m pytest -q -n auto --dist worksteal

# And with the matrix products of an older processor, in NumPy and in XLA: sums are rounded
# otherwise there, and a product of some rows otherwise than the same rows of a product.
test-kernels: $(READY)
	OPENBLAS_CORETYPE=Haswell XLA_FLAGS=--xla_cpu_max_isa=AVX2 \
	  $(BIN)/python -m pytest -q -n auto --dist worksteal

# How much of the code make test runs; fails below 95 % of lines or 90 % of branches.
coverage: $(READY)
	rm -rf build/coverage
	$(BIN)/python -m coverage run -m pytest -q -n auto --dist worksteal
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report
	$(BIN)/python -m coverage json -q -o build/coverage/report.json
	$(BIN)/python -c 'import json; t = json.load(open("build/coverage/report.json"))["totals"]; \
	  lines, branches = t["percent_statements_covered"], t["percent_branches_covered"]; \
	  print(f"lines {lines:.1f} %, branches {branches:.1f} %"); \
	  raise SystemExit(lines < 95 or branches < 90)'

# Faults put into the code one at a time (tests/mutants): each must fail a test.
mutants: $(READY)
	$(BIN)/python tests/mutants/run.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-docs .venv-peers .venv-concordance .venv-floor .venv-latest build out

.venv-docs/.ready: requirements-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python $(PIP) -r requirements-docs.txt
	touch $@

# The exact packages, then the project itself where it lies, so that it is imported
# from every folder: notebooks/, too. Not compiled on install: what is imported compiles
# by itself, the rest need not. uv installs in a quarter of pip's time; where it finds no
# index, as it doesn't read pip's settings, pip takes over.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11+ is needed"'
	$(PYTHON) -m venv .venv
	@echo "installing into .venv (about half a minute)"
	$(BIN)/python $(PIP) "uv>=0.5"
	$(BIN)/python -m uv pip install -q -r requirements.lock \
	  || $(BIN)/python $(PIP) -r requirements.lock
	$(BIN)/python $(PIP) --no-deps --no-build-isolation -e .
	touch $@

# The index's PyTorch for Linux brings CUDA libraries (some 5 GB), used or not: where a
# CPU build is at hand, pip is told so by its own settings (PIP_FIND_LINKS).
.venv-peers/.ready: requirements-peers.txt
	$(PYTHON) -m venv .venv-peers
	@echo "installing into .venv-peers (some minutes)"
	.venv-peers/bin/python $(PIP) -r requirements-peers.txt
	touch $@

.venv-concordance/.ready: requirements-concordance.txt
	$(PYTHON) -m venv .venv-concordance
	@echo "installing into .venv-concordance (some minutes)"
	.venv-concordance/bin/python $(PIP) -r requirements-concordance.txt
	touch $@

.venv-floor/.ready .venv-latest/.ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(@D)
	@echo "installing into $(@D) (some minutes)"
	sed -n 's/>=/==/p' requirements.txt requirements-dev.txt > $(@D)/floors.txt
	$(@D)/bin/python $(PIP) -r requirements-dev.txt $(if $(findstring floor,$@),-c $(@D)/floors.txt)
	$(@D)/bin/python $(PIP) --no-deps --no-build-isolation -e .
	touch $@
