"""The shortcut probe: planted marks are found, pictures without one are not accused, and covers hide what they say."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nocere.cases.image import array_case, write_png
from nocere.cases.phantoms.sets import dermoscopy
from nocere.cli.main import main
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.errors import UsageError
from nocere.report.shortcuts import render_shortcuts
from nocere.scenarios.shortcuts.covered import CENTRE, covered, remaining
from nocere.scenarios.shortcuts.probe import probe
from nocere.scenarios.shortcuts.sights import of_file, of_values, thumbnail
from nocere.targets.callable import callable_target

MALIGNANT = "malignant"


@pytest.fixture(scope="module")
def clean() -> CaseSet:
    return dermoscopy(n=200, size=48)


def marked(cases: CaseSet) -> CaseSet:
    """The same pictures with a small blue sticker in a corner of most malignant ones, and of a few others."""
    rng = np.random.default_rng(1)
    out = []
    for c in cases:
        x = np.array(c.x)
        if rng.random() < (0.9 if MALIGNANT in c.truth.labels else 0.1):
            x[:, 1:4, 1:4] = np.array([30, 60, 200], np.uint8)[:, None, None]
        out.append(replace(c, x=x))
    return CaseSet.of(out, phantom=True, name="marked")


def by_name(found: dict[str, object]) -> dict[str, dict[str, object]]:
    return {s["sight"]: s for s in found["sights"]}  # type: ignore[attr-defined]


def test_a_planted_marker_is_found_where_it_lies(clean: CaseSet) -> None:
    found = by_name(probe(marked(clean)))
    assert found["corners"]["found"]
    # 90 % against 10 %: nobody can do better than 0.9 from the marker alone.
    assert 0.82 < max(m["value"] for m in found["corners"]["models"]) < 0.96  # type: ignore[attr-defined]


def test_pictures_without_a_marker_are_not_accused(clean: CaseSet) -> None:
    found = by_name(probe(clean))
    assert [n for n, s in found.items() if s["found"] and s["without_lesion"]] == []
    assert found["corners"]["without_lesion"]
    assert not found["thumbnail 16 x 16"]["without_lesion"]


def test_labels_drawn_at_random_are_told_by_nothing(clean: CaseSet) -> None:
    rng = np.random.default_rng(3)
    drawn = CaseSet.of([replace(c, truth=Truth.of(str(rng.choice(["a", "b"])))) for c in clean], name="drawn")
    assert not [s for s in probe(drawn, label="b")["sights"] if s["found"]]


def test_copies_of_a_patient_do_not_teach_the_answer() -> None:
    # 30 patients with 8 equal pictures and a coin for a label: told apart by any split that is not by patient.
    rng = np.random.default_rng(0)
    cases: list[Case[object]] = []
    for patient in range(30):
        x = rng.integers(0, 256, (3, 16, 16), dtype=np.uint8)
        truth = Truth.of("b" if patient % 2 else "a")
        cases += [array_case(f"{patient}-{i}", x, truth, group=str(patient)) for i in range(8)]
    for s in probe(CaseSet.of(cases, name="copies"))["sights"]:
        assert not s["found"]
        assert all(m["low"] < 0.5 for m in s["models"])


def test_attributes_and_files_are_sights(clean: CaseSet) -> None:
    cases = CaseSet.of(
        [replace(c, attrs={"site": "A" if MALIGNANT in c.truth.labels else "B", "same": "x"}) for c in clean], name="s"
    )
    files = {c.id: jpeg(c.x, 60 if MALIGNANT in c.truth.labels else 90) for c in cases}
    found = by_name(probe(cases, source=lambda r: files[r.id]))
    assert found["attribute: site"]["found"]
    assert found["file"]["found"]
    assert "attribute: same" not in found


def jpeg(x: np.ndarray, quality: int) -> bytes:  # type: ignore[type-arg]
    out = io.BytesIO()
    Image.fromarray(x.transpose(1, 2, 0)).save(out, "JPEG", quality=quality)
    return out.getvalue()


def test_sights_against_arithmetic() -> None:
    p = np.random.default_rng(0).random((3, 32, 48))
    assert np.allclose(thumbnail(p, 8), p.reshape(3, 8, 4, 8, 6).mean((2, 4)).ravel(), atol=1e-6)
    x = np.zeros((3, 8, 9), np.uint8)
    first = jpeg(x, 60)
    assert (of_file(first)[0:4] == (9, 8, 3, 1)).all()
    with Image.open(io.BytesIO(first)) as image:
        assert (of_file(first)[7:71] == image.quantization[0]).all()  # type: ignore[attr-defined]
    assert of_file(write_png(x))[3] == 0
    assert of_file(b"no picture").sum() == 0
    assert of_values(["4", "", "8"]).tolist() == [[4, 1], [6, 0], [8, 1]]  # type: ignore[union-attr]
    assert of_values(["m", "f", "m"]).tolist() == [[1, 0], [0, 1], [1, 0]]  # type: ignore[union-attr]
    assert of_values(["m", "m"]) is None


def lookers() -> CaseSet:
    """Pictures whose middle pixel, and whose corner, tell the label; each 40 pixels square."""
    rng = np.random.default_rng(5)
    cases = []
    for i in range(40):
        x = rng.integers(100, 110, (1, 40, 40)).astype(np.uint8)
        mask = np.zeros((40, 40), bool)
        mask[18:22, 18:22] = True
        if i % 2:
            x[0, 20, 20] = 255
            x[0, 0, 0] = 255
        cases.append(array_case(str(i), x, Truth.of(MALIGNANT if i % 2 else "benign"), mask=mask))
    return CaseSet.of(cases, name="lookers")


@pytest.mark.parametrize(("at", "gone"), [(20, {"without centre", "without mask"}), (0, {"only centre"})])
def test_a_target_is_asked_about_what_is_left(at: int, gone: set[str]) -> None:
    def look(x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray(x)[:, 0, at, at][:, None].astype(float) - 200.0

    target = callable_target(look, OneLogit(("benign", MALIGNANT)), outputs="logits", name="looker")
    for row in remaining(lookers(), target, MALIGNANT, 0):
        lost = row["cover"] in gone
        assert row["sensitivity"]["value"] == (0.0 if lost else 1.0), row
        assert (row["auroc"]["value"] > 0.99) == (not lost)
        if row["cover"] == "whole":
            assert row["left"] is None
        elif not lost:
            assert row["left"]["value"] == pytest.approx(1.0)


def test_a_cover_takes_the_mean_colour_of_the_rest() -> None:
    case = next(iter(lookers()))
    kept = np.ones((40, 40), bool)
    kept[5:9, 5:9] = False
    x = covered(case, kept)
    assert (x[:, kept] == case.x[:, kept]).all()
    assert (x[:, ~kept] == np.rint(case.x[0][kept].mean())).all()
    assert x.dtype == case.x.dtype
    assert 0 < CENTRE < 1


def test_too_few_patients_and_open_labels_are_refused(clean: CaseSet) -> None:
    with pytest.raises(UsageError, match="10 patients"):
        probe(clean.take([r.id for r in clean.refs[:12]]))
    with pytest.raises(UsageError, match="nevus"):
        probe(clean, label="nevus")
    three = CaseSet.of([replace(c, truth=Truth.of("abc"[i % 3])) for i, c in enumerate(clean)], name="three")
    with pytest.raises(UsageError, match="--label: a, b, c"):
        probe(three)


def test_the_page_says_what_was_found(clean: CaseSet, tmp_path: Path) -> None:
    page = render_shortcuts(probe(marked(clean)))
    told = page.split("The label can be told from ")[1].split(".</strong>")[0]
    assert "corners" in told
    assert "thumbnail" not in told
    assert "<script" not in page
    plan = tmp_path / "cases.toml"
    plan.write_text('[cases]\nphantom = "image.dermoscopy"\nn = 60\nsize = 32\n')
    assert main(["shortcuts", str(plan), "--out", str(tmp_path / "out")]) == 0
    assert "No sight that leaves the lesion out" in (tmp_path / "out/shortcuts.html").read_text()
    assert (tmp_path / "out/shortcuts.json").exists()


@pytest.mark.parametrize("text", ["[cases", "name = 1"])
def test_files_without_cases_are_refused_in_a_sentence(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text(text)
    assert main(["shortcuts", str(tmp_path / "bad.toml"), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
