# Each target makes its own environment; nothing has to be installed beforehand but Python 3.11 or later.
#   make example   annotates the example map and says where the results lie
#   make test      runs all tests
#   make lint      style and types
#   make docs      the documentation, in build/site/
#   make man       the manual page, after a change of the command line
#   make wheels    both distributions, tried in an environment of their own, and a list of all they bring (SBOM), in dist/
#   make audit     known faults of what they bring (asks the network)

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

# of the last commit; the same bytes whenever and wherever they are built
wheels: .venv/installed
	rm -rf dist
	$(DEV)/python tools/build_wheels.py dist
	$(DEV)/python tools/try_wheel.py dist/haruspex_infer-*.whl .venv-wheel
	$(DEV)/python tools/sbom.py .venv-wheel dist/haruspex-infer.cdx.json

# says so where the database of known faults cannot be reached: nothing was audited then
audit: wheels
	$(DEV)/python tools/audit.py dist/haruspex-infer.cdx.json

# installed as users install it, and anew when anything in it changes
.venv-infer/installed: pyproject.toml $(wildcard haruspex_infer/*.py haruspex_infer/*/* models/*.onnx)
	$(PYTHON) -m venv .venv-infer
	$(EXAMPLE)/python -m pip install --quiet .
	touch $@

.venv/installed: pyproject.toml haruspex_train/pyproject.toml
	$(PYTHON) -m venv .venv
	$(DEV)/python -m pip install --quiet "$(TORCH)"
	$(DEV)/python -m pip install --quiet --editable ".[dev,docs]" --editable "./haruspex_train[train]"
	touch $@

clean:
	rm -rf .venv .venv-infer .venv-wheel build dist *.egg-info haruspex_train/*.egg-info
