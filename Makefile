# One obvious command for each thing a newcomer does. Every target makes .venv first when it is missing.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
BIN := .venv/bin
LOWEST := .venv-lowest
STUDY ?= config.yaml
PLUGIN := plugins/snakemake-executor-plugin-submitit
SOURCES := awnlib benchmarks workflow/scripts tests $(PLUGIN)
# Tests that convolve: layers, models, training and searches.
LAYERS := conv linear batchnorm skip_zeros strided triangle invariance
MODELS := models models_conform lenet_3c1l mobilenet_v1 mobilenet_v2 resnet18 resnet50 extract anytime
TRAINING := objectives one_pass train recalibrate sweep drift
SEARCHES := autoslim dmcp morphnet search optimizers_conform
CONVOLVING := $(patsubst %,tests/unit/test_%.py,$(LAYERS) $(MODELS) $(TRAINING)) \
	$(patsubst %,tests/unit/width_transfer/test_%.py,$(SEARCHES))

.PHONY: demo test test-avx2 test-lowest test-slurm lint report publish bench clean

demo: .venv/installed  ## the Any-Width Networks paper in miniature, on 5,000 MNIST digits
	$(BIN)/snakemake --cores $(CORES)
	@echo "open results/demo/report.html"

test: .venv/installed  ## the whole test suite, the one-minute study included
	$(BIN)/pytest --numprocesses $(CORES) --dist loadfile

test-avx2: .venv/installed  ## the tests of layers, models, training and searches, as on a CPU without AVX-512
	ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/pytest --numprocesses $(CORES) --dist loadfile $(CONVOLVING)

test-lowest: $(LOWEST)/installed  ## TESTS (all unless given) with the lowest versions that pyproject.toml allows; 5 GB
	$(LOWEST)/bin/python -m pytest -W ignore::DeprecationWarning $(TESTS)

test-slurm: .venv/installed  ## the workflow on a private SLURM, installed first (root, Debian); MOMENTS=30 for a long test
	AWN_SLURM=install $(BIN)/pytest tests/slurm

lint: .venv/installed  ## the checks that pre-commit and CI run
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/codespell awnlib benchmarks workflow plugins tests docs configs profiles README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff config.yaml Snakefile
	$(BIN)/snakemake --lint

report: .venv/installed  ## only the tables, figures and report of STUDY (a config file), training what is missing
	$(BIN)/snakemake --cores $(CORES) --configfile $(STUDY) -- report

publish: .venv/installed  ## copy tables and figures of STUDY (a finished folder: results/<study>) to docs/results
	$(BIN)/python -m awnlib.report.publish $(STUDY)

bench: .venv/installed  ## how fast awnlib is on this machine beside what one would run instead, as ratios
	$(BIN)/python -m benchmarks

clean:  ## results and the virtual environment
	rm -rf results .venv $(LOWEST)

.venv/installed: pyproject.toml $(PLUGIN)/pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[workflow,rl,dev]' --editable ./$(PLUGIN)
	touch $@

$(LOWEST)/installed: pyproject.toml $(PLUGIN)/pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST) --resolution lowest-direct \
		--editable '.[workflow,rl,dev]' --editable ./$(PLUGIN)
	touch $@
