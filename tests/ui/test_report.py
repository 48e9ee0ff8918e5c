"""The written report in a real browser: accessible, self-contained, legible when narrow, printable."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bundles import SITE_KEY, small_bundle
from tests.noted_audit import audited as noted_audit
from tests.reviewed import audited

from nocere.clinical.codes.graph import load_rules
from nocere.report.claims import write_claims
from nocere.report.html import write_report
from nocere.report.notes import write_notes
from nocere.scenarios.claims_review.paper import papers_edit
from nocere.scenarios.claims_review.review import review
from nocere.scenarios.notes_review.review import review as notes_review

pytestmark = pytest.mark.ui
playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = os.environ.get("NOCERE_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
WIDTHS = (400, 1100)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    bundle = small_bundle(tmp_path_factory.mktemp("ui") / "bundle")
    out = tmp_path_factory.mktemp("written")
    paths = write_report(bundle, out=out) + write_report(bundle, share_key=SITE_KEY, out=out)
    review_of, cases, target = audited(tmp_path_factory.mktemp("claims") / "audit")
    found = review(review_of, cases, target)
    found["paper"] = papers_edit(target, found["wanted"], load_rules())
    noted = notes_review(*noted_audit(tmp_path_factory.mktemp("notes") / "audit"))
    return {p.name: p for p in [*paths, write_claims(found, out), write_notes(noted, out)]}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}; set NOCERE_CHROMIUM")
    with playwright.sync_playwright() as p:
        made = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report.html", "report-share.html", "claims.html", "notes.html"])
def test_accessible_self_contained_and_not_too_wide(
    files: dict[str, Path], browser: object, name: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})  # type: ignore[attr-defined]
    asked, said = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("console", lambda m: said.append(m.text))
    page.on("pageerror", lambda e: said.append(str(e)))
    page.goto(files[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Every picture is drawn and none is squeezed to nothing.
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.clientWidth > 60)")
    assert [u for u in asked if not u.startswith(("file:", "data:"))] == []
    assert said == []
    report = axe.Axe().run(page)
    assert report.violations_count == 0, report.generate_report()
    page.close()


def test_keyboard_opens_the_details(files: dict[str, Path], browser: object) -> None:
    page = browser.new_page()  # type: ignore[attr-defined]
    page.goto(files["report.html"].as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details').open")
    page.close()


def test_prints_to_a4(files: dict[str, Path], browser: object) -> None:
    page = browser.new_page(viewport={"width": 688, "height": 1000})  # type: ignore[attr-defined]
    page.goto(files["report.html"].as_uri())
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    page.emulate_media(media="print")
    # 182 mm of text width: nothing may stick out, or paper would cut it off.
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    assert page.evaluate("document.querySelector('details.twin svg').getBoundingClientRect().height") > 0
    page.close()
