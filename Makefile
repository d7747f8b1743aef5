# Each target makes its own environment; nothing has to be installed beforehand but Python 3.11 or later.
#   make example   annotates the example map and says where the results lie
#   make test      runs all tests
#   make lint      style and types
#   make docs      the documentation, in build/site/
#   make man       the manual page, after a change of the command line
#   make wheels    both distributions and a list of what is installed with them (SBOM), in dist/
#   make audit     known faults of what is installed (asks the network)

PYTHON ?= python3
EXAMPLE := .venv-infer/bin
DEV := .venv/bin
# the version the tests were run with; give another to change it (make test TORCH=torch==2.15.0)
TORCH ?= torch==2.13.0

.PHONY: example test lint docs man wheels audit clean

example: .venv-infer/installed
	$(EXAMPLE)/haruspex-infer --example

test: .venv/installed
	OMP_NUM_THREADS=1 $(DEV)/python -m pytest -n 2

lint: .venv/installed
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy

# warnings are errors, and so are broken links and anything that is loaded from elsewhere
docs: .venv/installed
	$(DEV)/python -m sphinx -c docs -b html -W --keep-going -q . build/site
	$(DEV)/python docs/tools/links.py build/site

man: .venv/installed
	$(DEV)/python docs/tools/manpage.py docs/man/haruspex-infer.1

# the same bytes whenever they are built: the time of the last commit stands for that of the build
wheels: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
wheels: .venv/installed .venv-infer/installed
	$(DEV)/python -m build --wheel --outdir dist .
	$(DEV)/python -m build --wheel --outdir dist haruspex_train
	$(DEV)/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
		--output-file dist/haruspex-infer.cdx.json $(EXAMPLE)/python

# without a network it fails and says so: nothing was audited then
audit: .venv/installed .venv-infer/installed
	$(DEV)/pip-audit --strict --path $$($(EXAMPLE)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

# installed as users install it, and anew when anything in it changes
.venv-infer/installed: pyproject.toml $(wildcard haruspex_infer/*.py models/*.onnx)
	$(PYTHON) -m venv .venv-infer
	$(EXAMPLE)/python -m pip install --quiet .
	touch $@

.venv/installed: pyproject.toml haruspex_train/pyproject.toml
	$(PYTHON) -m venv .venv
	$(DEV)/python -m pip install --quiet "$(TORCH)"
	$(DEV)/python -m pip install --quiet --editable ".[dev,docs]" --editable "./haruspex_train[train]"
	touch $@

clean:
	rm -rf .venv .venv-infer build dist *.egg-info haruspex_train/*.egg-info
