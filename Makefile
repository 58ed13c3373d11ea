# `make demo` and `make test` set up environments of their own, from nothing.
# MIEN_SHARED names a folder with test data that is not in the repository; tests that need it skip without it.

PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test

FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 60
SOAK_RATE ?= 8

.PHONY: demo test test-all fuzz soak check docs bench clean

demo: $(DEMO)/.ready
	$(DEMO)/bin/mien analyze examples
	$(DEMO)/bin/mien analyze examples --out demo-output/ --overwrite
	@echo "The annotated pictures are in demo-output/"

# two processes, each with whole files of tests
test: $(TEST)/.ready
	$(TEST)/bin/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

test-all: $(TEST)/.ready
	$(TEST)/bin/python -m pytest

# longer than the tests do: properties on many more examples, then each reader of bytes for FUZZ_SECONDS
fuzz: $(TEST)/.ready
	$(TEST)/bin/python -m pytest tests/test_fuzz.py --hypothesis-profile=long
	cd tests && for reader in $$(../$(TEST)/bin/python -m fuzzing); do \
	  ../$(TEST)/bin/python -m fuzzing $$reader -max_total_time=$(FUZZ_SECONDS) || exit 1; done

# the service, at SOAK_RATE requests a second, and a film without an end: a chart and the samples in soak-output/
soak: $(TEST)/.ready
	$(TEST)/bin/python scripts/soak.py --minutes $(SOAK_MINUTES) --rate $(SOAK_RATE) --out soak-output

check: $(TEST)/.ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	$(TEST)/bin/lint-imports
	$(TEST)/bin/bandit --quiet --recursive --severity-level medium src

docs: $(TEST)/.ready
	$(TEST)/bin/python scripts/make_docs.py

bench: $(TEST)/.ready
	$(TEST)/bin/python -m benchmarks

clean:
	rm -rf $(DEMO) $(TEST) demo-output soak-output site

# only what a user gets: no training stack, no tools
$(DEMO)/.ready: pyproject.toml constraints.txt $(shell find src -type f -not -name '*.pyc')
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --constraint constraints.txt --force-reinstall --no-deps .
	$(DEMO)/bin/python -m pip install --quiet --constraint constraints.txt .
	touch $@

# the facenet-pytorch wheel is read by a test, not installed: it pins a torch of 2024
$(TEST)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[train,serve,collect,ray,docs,dev]'
	$(TEST)/bin/python -m pip download --quiet --no-deps --dest $(TEST)/wheels facenet-pytorch==2.6.0
	touch $@
