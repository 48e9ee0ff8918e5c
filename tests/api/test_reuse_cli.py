"""`nocere reuse`: pairs, the kept index, and what goes wrong."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from nocere.cli.main import main

pytest.importorskip("cv2", reason="OpenCV is not installed")


def run(*args: object) -> int:
    return main(["reuse", *[str(a) for a in args]])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    photo = np.asarray(load_sample_image("china.jpg"))
    for k in range(3):
        Image.fromarray(photo[:200, 210 * k : 210 * k + 200]).save(tmp_path / f"{k}.png")
    again = Image.fromarray(photo[:200, :200]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(20)
    again.save(tmp_path / "again.jpg", quality=70)
    (tmp_path / "first.csv").write_text("path,claim\n0.png,A\n1.png,B\n2.png,A\n")
    (tmp_path / "later.csv").write_text("path,claim\nagain.jpg,C\n")
    return tmp_path


def test_a_photograph_under_two_claims_is_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("first.csv", "--group", "claim", "--index", "kept.npz", "-q") == 0
    assert stat.S_IMODE((place / "kept.npz").stat().st_mode) == 0o600
    both = "path,claim\n0.png,A\nagain.jpg,C\n"
    (place / "both.csv").write_text(both)
    assert run("both.csv", "--group", "claim", "--out", "found", "-q") == 4
    (row,) = csv.DictReader((place / "found" / "pairs.csv").read_text().splitlines())
    assert (row["image"], row["same_as"], row["mirrored"]) == ("again.jpg", "0.png", "1")
    panels = Image.open(place / "found" / row["picture"])
    assert panels.size == (616, 200)
    shown = np.asarray(panels.convert("L"), dtype=float)
    # The third panel is the earlier image laid over the later one: they agree in the middle.
    a, moved = shown[60:140, 60:140], shown[60:140, 476:556]
    assert np.corrcoef(a.ravel(), moved.ravel())[0, 1] > 0.9
    capsys.readouterr()
    assert run("later.csv", "--group", "claim", "--index", "kept.npz", "--out", "more", "-q") == 4
    assert "1 pair among 1 new images and 3 of the index." in capsys.readouterr().out
    assert run("later.csv", "--group", "claim", "--index", "kept.npz", "-q") == 0  # nothing in it is new now
    assert "0 pairs among 0 new images and 4 of the index." in capsys.readouterr().out
    assert run("later.csv", "--group", "claim", "--index", "later.csv", "-q") == 2
    assert "another kind of file" in capsys.readouterr().err
    assert run("both.csv", "--group", "path", "--out", "found", "-q") == 2  # not an empty folder


def test_pairs_within_a_group_are_nobodys_business(place: Path) -> None:
    (place / "one.csv").write_text("path,claim\n0.png,A\nagain.jpg,A\n")
    assert run("one.csv", "--group", "claim", "-q") == 0


def test_what_cannot_be_searched_is_named_and_stops_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (64, 64)).save(place / "blank.png")
    (place / "note.txt").write_text("no picture")
    (place / "bad.csv").write_text("path,claim\n0.png,A\nblank.png,B\nnote.txt,C\ngone.png,D\nagain.jpg,E\n")
    assert run("bad.csv", "--group", "claim", "-q") == 2
    told = capsys.readouterr()
    assert "again.jpg (E) = 0.png (A)" in told.out
    assert all(name in told.err for name in ("blank.png", "note.txt", "gone.png"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,claim\n", "no rows"),
        ("path,patient\n0.png,A\n", "no column 'claim'"),
        ("path,claim\n0.png,\n", "line 2: path or claim is empty"),
        ("path,claim\n0.png,A\n0.png,B\n", "listed on line 2 already"),
    ],
)
def test_a_bad_manifest_is_one_sentence(place: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    (place / "m.csv").write_text(text)
    assert run("m.csv", "--group", "claim", "-q") == 2
    assert said in capsys.readouterr().err
    assert run("missing.csv", "-q") == 2
