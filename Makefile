# make run: set everything up, then train, evaluate, package, install and use a pipeline on the sample.
# make test: set everything up, then run the tests.
PYTHON ?= python3
VENV := .venv
INSTALL := $(VENV)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt

# What a first start compiles, the next dozen of them need too; some containers switch that off.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test clean

run: $(VENV)/run.installed
	$(VENV)/bin/python -m spacy project run all .

test: $(VENV)/test.installed
	$(VENV)/bin/python -m pytest --numprocesses logical --dist worksteal

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), f'Python 3.11 or newer is needed, this is {sys.version}'"
	$(PYTHON) -m venv $(VENV)
	# The one that comes with Python takes half as long again to find out what to install.
	$(INSTALL) --upgrade pip

$(VENV)/run.installed: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable ".[project]"
	touch $@

$(VENV)/test.installed: $(VENV)/run.installed
	$(INSTALL) --editable ".[project,hub,report,shared,benchmark,parquet,demo,tensorboard,test]"
	touch $@
