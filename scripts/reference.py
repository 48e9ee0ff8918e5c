"""Writes docs/cli.md from the program's own help; `--check` only says whether it is up to date."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMANDS = ([], ["demo"], ["train"], ["audit"], ["audit", "run"], ["audit", "show"], ["audit", "replay"], ["report"],
            ["list"], ["doctor"])  # fmt: skip
OUT = Path(__file__).parents[1] / "docs" / "cli.md"


def page() -> str:
    """The whole page."""
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    parts = ["# Commands\n\nWritten by `make docs` from the program itself.\n"]
    for command in COMMANDS:
        run = [sys.executable, "-m", "nocere", *command, "--help"]
        text = subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout
        lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
        parts.append(f"## {' '.join(['nocere', *command])}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if OUT.read_text() == page() else "docs/cli.md is not up to date: run `make docs`.")
    OUT.write_text(page())
