"""The report says what the bundle holds, and a shared one says nothing that it must not."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.bundles import SITE_KEY

from nocere.audit.bundle import Bundle
from nocere.audit.measures.measure import Measure
from nocere.report import charts, svg
from nocere.report.html import render_html, write_report
from nocere.report.pictures import LARGEST, _window, gain
from nocere.report.view import view
from nocere.report.words import ICONS, percent, quantity


@pytest.fixture(scope="module")
def page(bundle: Bundle) -> dict[str, Any]:
    return view(bundle)


@pytest.fixture(scope="module")
def html(page: dict[str, Any]) -> str:
    return render_html(page)


class Words(HTMLParser):
    """The text that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.skip = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.skip += tag in ("style", "title")

    def handle_endtag(self, tag: str) -> None:
        self.skip -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self.skip:
            self.parts.append(data)


def seen(html: str) -> str:
    words = Words()
    words.feed(html)
    return re.sub(r"\s+", " ", "".join(words.parts)).replace("\u00a0", " ")


def numbers(value: Any) -> Iterator[dict[str, Any]]:
    """Every number of a view, wherever it stands."""
    if isinstance(value, dict):
        if {"key", "text", "value", "low", "high"} <= set(value):
            yield value
        for v in value.values():
            yield from numbers(v)
    elif isinstance(value, list):
        for v in value:
            yield from numbers(v)


# --- numbers -------------------------------------------------------------------------------------


def test_every_number_of_the_view_is_one_of_the_bundle(bundle: Bundle, page: dict[str, Any]) -> None:
    def key(m: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(m[k] for k in ("key", "value", "low", "high", "k", "n", "of", "method", "group", "radius", "why"))

    known = {key(m.to_json()) for m in bundle.measures}
    found = list(numbers(page))
    assert len(found) > 100
    assert all(key(m) in known for m in found)


@pytest.mark.parametrize(
    ("key", "cell", "radius", "group"),
    [
        ("accuracy", "", None, "all"),
        ("accuracy", "noise", 4.0, "all"),
        ("sensitivity", "noise", 8.0, "all"),
        ("accuracy", "noise", 8.0, "sex=f"),
        ("flip_rate", "angle", 10.0, "all"),
        ("flip_rate_from:benign", "noise", 8.0, "all"),
        ("auroc", "worst", 6.0, "all"),
        ("draw_flip_share", "control", 8.0, "all"),
        ("yield", "noise", 4.0, "all"),
    ],
)
def test_page_shows_measures_as_they_are(
    bundle: Bundle, html: str, key: str, cell: str, radius: float | None, group: str
) -> None:
    raw = json.loads((bundle.folder / "measures.json").read_bytes())
    m = next(m for m in raw if (m["key"], m["cell"], m["radius"], m["group"]) == (key, cell, radius, group))
    form = (lambda v: f"{v:.3f}") if key == "auroc" else (lambda v: f"{100 * v:.1f}")
    want = form(m["value"]) if key == "auroc" else f"{form(m['value'])} %"
    counted = f"n = {m['n']}" if m["k"] is None else f"{m['k']} of {m['n']}"
    if key == "draw_flip_share":
        assert f"{want} (at most {percent(m['high'])}; {counted} draws)" in seen(html)
    else:
        assert f"{want} ({percent(m['low']) if key != 'auroc' else form(m['low'])} to" in seen(html)
        assert f"; {counted})" in seen(html)


def test_lines_table_shows_the_worst_up_to_each_line(page: dict[str, Any], bundle: Bundle) -> None:
    worst = {m.line: m for m in bundle.measures if m.key == "accuracy_up_to_line"}
    assert set(worst) == {2, 4}
    for line in page["lines"]:
        if line["line"] in worst:
            assert line["worst"]["accuracy"]["value"] == worst[line["line"]].value
        else:
            assert not line["worst"]


def test_counts_cover_every_case(page: dict[str, Any]) -> None:
    for c in page["cells"]:
        assert sum(c["counts"].values()) == c["cases"]


def test_formats() -> None:
    m = Measure("accuracy", 0.72, 100, "of", 0.618, 0.807, 72)
    assert quantity(m) == "72.0 % (61.8 to 80.7; 72 of 100)"
    assert quantity(dataclasses.replace(m, missing=3)) == "72.0 % (61.8 to 80.7; 72 of 100; 3 not measured)"
    assert quantity(Measure("accuracy", None, 0, "of", why="no case")) == "no number: no case"
    assert quantity(Measure("auroc", 0.9, 50, "of", 0.8, 0.95)) == "0.900 (0.800 to 0.950; n = 50)"
    budget = Measure("median_budget", 1.0, 9, "of", None, 4.0, unit="grey_levels")
    assert quantity(budget) == "1 grey level (no lower limit to 4; n = 9)"
    assert quantity(dataclasses.replace(budget, low=1.0, high=None)) == "1 grey level (1 to no upper limit; n = 9)"
    assert [percent(v) for v in (0.0, 0.00002, 0.00022, 0.5, 0.99999, 1.0)] == [
        "0.0", "<0.01", "0.022", "50.0", ">99.9", "100.0",
    ]  # fmt: skip


# --- form ----------------------------------------------------------------------------------------


def test_view_is_plain_json(page: dict[str, Any]) -> None:
    def plain(value: Any) -> bool:
        if type(value) is dict:
            return all(type(k) is str and plain(v) for k, v in value.items())
        if type(value) is list:
            return all(map(plain, value))
        return value is None or type(value) in (str, int, float, bool)

    assert plain(page)


def test_the_page_runs_nothing_and_fetches_nothing(html: str) -> None:
    assert "<script" not in html.lower()
    assert not re.search(r"(?:src|href|action)\s*=\s*[\"'](?!data:image/png;base64,|#)", html)
    assert "@import" not in html
    assert "url(" not in html
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", html)
    # The SVG name space is a name and no address.
    assert set(re.findall(r"https?://[^\s\"'<]*", html)) <= {"http://www.w3.org/2000/svg"}


def test_content_security_policy_allows_only_this_style(html: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert policy is not None
    assert style is not None
    want = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    text = policy[1].replace("&#39;", "'")
    assert text.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert f"'sha256-{want}'" in text
    assert "script" not in text


def test_what_somebody_wrote_is_escaped(html: str) -> None:
    assert "finds malignant &lt;b&gt;&amp;" in html
    assert "<b>&" not in html
    drawn = svg.figure("x", 1, 1, "<a>", "</desc><script>", [svg.text(0, 0, "<i>")])
    assert "<a>" not in drawn
    assert "<script" not in drawn
    assert "<i>" not in drawn


def test_ids_are_unique_and_charts_have_words(html: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    charts_drawn = re.findall(r"<svg[^>]*>(.{0,60})", html)
    assert len(charts_drawn) > 10
    assert all(c.startswith("<title id=") for c in charts_drawn)
    assert html.count("<svg") == html.count('role="img"') == html.count("<desc id=")
    for inside in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        assert "class=" not in inside
        assert "style" not in inside


def test_every_verdict_has_icon_word_and_reason(page: dict[str, Any], html: str) -> None:
    assert [v["word"] for v in page["verdicts"]] == ["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
    assert page["overall"]["word"] == "FAIL"
    for v in page["verdicts"]:
        assert (
            f'<span class="word {v["word"]}"><span aria-hidden="true">{ICONS[v["word"]]}</span> {v["word"]}</span>'
            in html
        )
        assert v["reason"]
        assert v["reason"][1:] in seen(html)


def test_first_pages_say_what_was_not_tested(html: str) -> None:
    text = seen(html)
    start = text.index("What was not tested", text.index("What one change can do"))
    part = text[start : text.index("Threats: who could change what", start)]
    for words in ("Pictures from other devices.", "0 representation", "3 misstatement", "transfer"):
        assert words in part


def test_never_called_robust(html: str, page: dict[str, Any]) -> None:
    assert "robust" not in seen(html).lower()
    assert "robust" not in json.dumps(page).lower()
    assert "not broken by" in seen(html).lower()


def test_without_criteria_nothing_passes(bundle: Bundle) -> None:
    bare = Bundle(bundle.folder)
    bare.__dict__.update(verdicts=[], plan={**bundle.plan, "criteria": []})
    made = view(bare)
    assert made["overall"]["word"] == "MEASURED"
    html = render_html(made)
    assert "No criterion was written before the run: measurements only" in seen(html)
    assert not re.search(r'class="word (PASS|FAIL)', html)


# --- pictures and the figure ---------------------------------------------------------------------


def _pixels(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).astype(int)


def test_figure_is_the_most_confident_negative_case(bundle: Bundle, page: dict[str, Any]) -> None:
    f = page["figure"]
    assert f["cell"] == "worst"
    assert f["truth"] == "benign"
    ref = next(r for r in bundle.refs if r.id == f["case"])
    assert ref.truth.labels == {"benign"}
    before = {b["label"]: (b["before"], b["after"]) for b in f["bars"]}
    assert before["benign"][0] > 0.5 > before["benign"][1]
    assert f["control"]["cell"] == "control"
    assert f["control"]["draws"] == 18 * 20


def test_triptych_shows_the_stored_files(page: dict[str, Any]) -> None:
    p = page["figure"]["picture"]
    before, change, after = (_pixels(p[k]) for k in ("original", "change", "adversarial"))
    assert np.array_equal(change, 128 + p["gain"] * (after - before))
    assert p["gain"] == 20  # at most 6 grey levels
    assert p["width"] == p["height"] == 16 * p["factor"]


@pytest.mark.parametrize(("most", "k"), [(1, 50), (2, 50), (3, 20), (6, 20), (7, 10), (63, 2), (127, 1), (200, 1)])
def test_gain_is_the_largest_that_fits(most: int, k: int) -> None:
    assert gain(np.array([0, -most])) == k


def test_large_pictures_are_cut_about_the_change() -> None:
    d = np.zeros((3, 900, 1200), dtype=np.int64)
    d[1, 20, 1100] = 5
    rows, columns = _window(d)
    assert (rows.start, rows.stop, columns.stop - columns.start) == (0, LARGEST, LARGEST)
    assert columns.start <= 1100 < columns.stop <= 1200


def test_worst_cases_are_different_cases(page: dict[str, Any]) -> None:
    cases = [page["figure"]["case"], *(e["case"] for e in page["exhibits"])]
    assert len(cases) == len(set(cases))
    assert len(page["exhibits"]) == 6
    assert {"noise", "worst", "angle"} <= {e["cell"] for e in page["exhibits"]}
    angle = next(e for e in page["exhibits"] if e["cell"] == "angle")
    assert "angle" in angle["proof"]
    assert "dx" in angle["proof"]


def test_empty_charts_do_not_fail() -> None:
    nothing = {"value": None, "low": None, "high": None, "radius": 1.0, "budget": "1", "text": "no number"}
    panel = {"key": "accuracy", "title": "Accuracy", "points": [nothing], "limits": [], "control": []}
    assert "<polyline" not in charts.panel(
        "a", {"cell": "c", "unit": "u", "largest": 1.0, "panels": [panel]}, "accuracy"
    )
    row = {"name": "All", "before": None, "after": nothing}
    assert "<svg" in charts.forest("b", {"cell": "c", "budget": "1", "rows": [row]})


# --- files ---------------------------------------------------------------------------------------


def test_written_files(bundle: Bundle, tmp_path: Path) -> None:
    names = [p.name for p in write_report(bundle, out=tmp_path)]
    names += [p.name for p in write_report(bundle, share_key=SITE_KEY, out=tmp_path)]
    assert names == ["report.html", "report.json", "report-share.html", "report-share.json"]
    assert json.loads((tmp_path / "report.json").read_bytes()) == json.loads(json.dumps(view(bundle)))
    first = (tmp_path / "report.html").read_bytes()
    write_report(bundle, out=tmp_path)
    assert (tmp_path / "report.html").read_bytes() == first


def test_reports_are_no_evidence(bundle: Bundle) -> None:
    before = bundle.hash
    paths = write_report(bundle)
    bundle.verify()
    assert bundle.hash == before
    for p in paths:
        p.unlink()
