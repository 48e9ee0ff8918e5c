"""A shared report keeps the numbers and gives away nobody."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from tests.bundles import CASE, FOLDER, PATIENT, RARE, SITE_KEY

from nocere.audit.bundle import Bundle, short
from nocere.audit.measures.measure import Measure
from nocere.core.case import CaseRef, Truth
from nocere.report.html import render_html
from nocere.report.share import Shield
from nocere.report.view import view


@pytest.fixture(scope="module")
def shared(bundle: Bundle) -> tuple[str, str]:
    made = view(bundle, share_key=SITE_KEY)
    return render_html(made), json.dumps(made)


def test_shared_report_leaks_no_canary(bundle: Bundle, shared: tuple[str, str]) -> None:
    whole = render_html(view(bundle))
    for canary in (CASE, FOLDER, short(view(bundle)["figure"]["case"])):
        assert canary in whole  # or the test would show nothing
    for text in shared:
        for canary in (CASE, PATIENT, RARE, FOLDER, "protocol.pdf", "evidence/", "originals/", "data:image"):
            assert canary.lower() not in text.lower().replace("img-src data:;", ""), canary
        for ref in bundle.refs:
            assert short(ref.id) not in text
            assert ref.sha256 not in text


def test_shared_report_has_keyed_names_no_proof_no_picture(bundle: Bundle) -> None:
    open_view, made = view(bundle), view(bundle, share_key=SITE_KEY)
    for a, b in zip([open_view["figure"], *open_view["exhibits"]], [made["figure"], *made["exhibits"]], strict=True):
        assert b["case"] == hmac.new(SITE_KEY, a["case"].encode(), hashlib.sha256).hexdigest()[:12]
        assert b["picture"] is None
        assert b["proof"] is None
        assert b["evidence"] == []
        assert b["bars"] == a["bars"]
        assert b["cost"] == a["cost"]
    assert view(bundle, share_key=b"another")["figure"]["case"] != made["figure"]["case"]


def test_shared_report_keeps_the_numbers(bundle: Bundle) -> None:
    a, b = view(bundle), view(bundle, share_key=SITE_KEY)
    assert a["clean"] == b["clean"]
    assert a["lines"] == b["lines"]
    assert [c["rates"] for c in a["cells"]] == [c["rates"] for c in b["cells"]]
    assert all(m["n"] + m["missing"] >= 5 for f in b["forests"] for r in f["rows"] for m in (r["before"], r["after"]))


def test_small_groups_go_even_if_only_subtraction_shows_them() -> None:
    def refs(counts: dict[str, int]) -> list[CaseRef]:
        values = [v for v, c in counts.items() for _ in range(c)]
        return [CaseRef(f"case-{i}", Truth.of("a"), f"p{i}", {"site": v}, "") for i, v in enumerate(values)]

    def kept(counts: dict[str, int]) -> set[str]:
        shield = Shield(SITE_KEY, refs(counts))
        rows = [Measure("accuracy", 1.0, n, "of", 0.5, 1.0, n, group=f"site={v}") for v, n in counts.items()]
        return {m.group for m in rows if shield.keeps(m)}

    assert kept({"a": 20, "b": 30}) == {"site=a", "site=b"}
    assert kept({"a": 20, "b": 30, "c": 2}) == {"site=b"}  # a hides c
    assert kept({"a": 20, "b": 30, "c": 3, "d": 3}) == {"site=a", "site=b"}
    whole = Measure("accuracy", 1.0, 2, "of", 0.1, 1.0, 2)
    assert Shield(SITE_KEY, refs({"a": 2})).keeps(whole)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("see /home/x/y.csv now", "/home"),
        (r"C:\Users\me\scan.png", "Users"),
        ("in ../data/set", "data/set"),
        ("data/a.csv", "a.csv"),
        ("about MRN-1234 and MRN-12345", "MRN-1234 "),
    ],
)
def test_free_text_of_a_shared_report(text: str, gone: str) -> None:
    shield = Shield(SITE_KEY, [CaseRef("MRN-1234", Truth(), "77", {}, "")])
    assert gone not in shield.text(text)
    assert Shield(None, []).text(text) == text


def test_ordinary_words_survive_sharing() -> None:
    shield = Shield(SITE_KEY, [CaseRef("12", Truth(), "1", {}, "")])
    for text in ("benign and/or malignant, 12 of 100", "1/2", "12 grey levels"):
        assert shield.text(text) == text


def test_verdict_on_few_cases_names_neither_group_nor_number(bundle: Bundle) -> None:
    bare = Bundle(bundle.folder)
    v = dict(bundle.verdicts[0])
    few = Measure("accuracy", 0.333, 3, "of", 0.01, 0.9, 1, group=f"site={RARE}").to_json()
    group = {"criterion": {**v["criterion"], "group": f"site={RARE}"}}
    bare.__dict__["verdicts"] = [
        {**v, **group, "measure": few, "why": "0.333 (0.010 to 0.900, n = 3): the whole interval misses at least 0.9."},
        {**v, **group, "measure": None, "word": "ERROR"},
    ]
    made = view(bare, share_key=SITE_KEY)
    for text in (json.dumps(made), render_html(made)):
        assert RARE not in text
        assert "0.333" not in text
        assert "33.3" not in text
    assert RARE in json.dumps(view(bare))
