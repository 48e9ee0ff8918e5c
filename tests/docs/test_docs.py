"""Documentation is tested: the README's Python runs, the command page is up to date, everything is mentioned."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nocere.audit.plan import CellPlan, Plan, make_plan
from nocere.audit.presets import PRESETS
from nocere.core.decision import KINDS
from nocere.core.errors import Exit
from nocere.core.registry import entries
from nocere.targets.card import KINDS as TARGET_KINDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def test_the_ten_lines_of_the_readme_run(tmp_path: Path) -> None:
    (code,) = blocks("python", README)
    lines = [x for x in code.splitlines() if x and not x.startswith("import")]
    assert len(lines) <= 10
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy noise 4" in done.stdout
    assert (tmp_path / "audit-1" / "report.html").exists()


def test_the_plan_of_the_readme_is_valid() -> None:
    (text,) = blocks("toml", README)
    assert make_plan(tomllib.loads(text)).preset in PRESETS


def test_the_command_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_field_kind_and_exit_code_is_documented() -> None:
    plans, targets = (ROOT / "docs" / "plans.md").read_text(), (ROOT / "docs" / "targets.md").read_text()
    for name in (*Plan.model_fields, *CellPlan.model_fields):
        if name not in ("cell", "criterion", "goal", "cases"):
            assert re.search(rf"`?\b{name}\b`?", plans), f"docs/plans.md says nothing of {name}"
    for kind in (*KINDS, *TARGET_KINDS):
        assert kind in targets, f"docs/targets.md says nothing of {kind}"
    for what in ("attack", "threat", "dataset", "phantom"):
        for entry in entries(what):  # type: ignore[arg-type]
            assert entry.name in plans, f"docs/plans.md says nothing of {entry.name}"
    help_page = (ROOT / "docs" / "cli.md").read_text()
    for code in Exit:
        if code is not Exit.PASS:
            assert re.search(rf"\b{int(code)}\b", help_page), f"docs/cli.md says nothing of exit code {int(code)}"


@pytest.mark.parametrize("page", sorted(p for p in ROOT.rglob("*.md") if ".venv" not in p.parts), ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_toml_examples_in_the_docs_are_toml() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for text in blocks("toml", page.read_text()):
            tomllib.loads(text)


def test_every_guarantee_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| G")]
    assert {re.match(r"\| (G\d+)", row)[1] for row in rows} >= {
        f"G{n}" for n in (1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 18)
    }  # type: ignore[index]
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for path, name in named:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.M), f"{path}::{name}"


def test_limits_of_provenance_are_in_the_output() -> None:
    from nocere.provenance.investigate.investigation import CANNOT_TELL

    text = (ROOT / "docs" / "guarantees.md").read_text() + (ROOT / "docs" / "provenance.md").read_text()
    assert len(CANNOT_TELL) >= 4
    for word in ("before", "clock", "safe", "witness"):
        assert any(word in line for line in CANNOT_TELL)
        assert word in text
