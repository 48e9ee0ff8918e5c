"""DICOM end to end: radiographs of 15 and 10 bits and CTs of 16, 14 and 12, each with a window of its own.

The classifier was trained on phantoms, and the labels are its own answers: nothing here says anything of radiology.
"""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.unit.cases.test_dicom import dataset, found

from nocere.audit.bundle import Bundle, evidence_path
from nocere.cases.dicom import FILE, dicom_case
from nocere.cases.image import array_case
from nocere.cases.phantoms.sets import chest
from nocere.cli.main import main
from nocere.core.batch import Batch
from nocere.core.case import Case, Truth
from nocere.provenance.fingerprint import compare, fingerprint, read
from nocere.targets.card import load_target
from nocere.targets.reference.store import load
from nocere.targets.reference.train import Recipe, train

LABELS = ("clear", "opacity")
# File, bits stored, signed: the centre of each, so that the test is quick.
SOURCES = {
    "cr15": ("RG1_UNCR.dcm", 15, False),
    "cr10": ("RG3_UNCR.dcm", 10, False),
    "ct14": ("693_UNCR.dcm", 14, True),
    "ct12": ("693_UNCR.dcm", 12, True),
    "ct16": ("693_J2KR.dcm", 16, True),
    "mr12": ("MR2_UNCR.dcm", 12, False),
}
CARD = """
[target]
kind = "torch"
factory = "net.py:build"
[input]
kind = "dicom"
channels = 1
size = [32, 32]
resize = true
mean = [{mean}]
std = [{std}]
[decision]
kind = "one_logit"
labels = ["clear", "opacity"]
threshold = {threshold}
"""
BUILD = """
from pathlib import Path

from nocere.targets.reference.store import load


def build():
    return load(Path(__file__).parent / "model").module
"""
PLAN = """
name = "DICOM"
target = "card.toml"
[cases]
dataset = "image.folder"
manifest = "list.csv"
[[cell]]
name = "stored"
threat = "image.linf"
radii = [4, 64, 1024]
attacks = [{name = "image.pgd", steps = 10}]
[[cell]]
name = "displayed"
threat = "dicom.displayed"
radii = [1, 4, 12]
attacks = [{name = "image.pgd", steps = 10}]
[[cell]]
name = "jnd"
threat = "dicom.jnd"
radii = [30]
aim = "worst"
attacks = [{name = "image.pgd", steps = 10}]
[[cell]]
name = "random"
threat = "dicom.displayed"
radii = [4]
aim = "sample"
attacks = [{name = "image.random_noise", draws = 5}]
"""


def centre(name: str, bits: int, side: int) -> bytes:
    """The middle of a file as a file: every attribute but the size stays, and depth where fewer bits hold the values."""
    ds = dataset(found(name))
    stored = ds.pixel_array
    top, left = (stored.shape[0] - side) // 2, (stored.shape[1] - side) // 2
    part = stored[top : top + side, left : left + side]
    if bits < ds.BitsStored:
        part = part.clip(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    ds.decompress() if ds.file_meta.TransferSyntaxUID.is_compressed else None
    ds.Rows = ds.Columns = side
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelData = part.astype(stored.dtype).tobytes()
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dicom")
    about = {"n": 160, "size": 32}
    train(
        chest(**about, split="train"), chest(n=40, size=32, split="val"), LABELS_OF_CHEST, folder / "model",
        Recipe("plain_cnn", 32, 3),
    )  # fmt: skip
    reference: Any = load(folder / "model")
    (folder / "net.py").write_text(BUILD)
    for name, (source, bits, _) in SOURCES.items():
        # Other parts of one CT, so that their scores differ.
        (folder / f"{name}.dcm").write_bytes(centre(source, bits, {"ct12": 140, "ct16": 100}.get(name, 192)))
    stats = {"mean": reference.input.mean[0], "std": reference.input.std[0]}
    (folder / "card.toml").write_text(CARD.format(**stats, threshold=0.5))
    # The line is put between the files, so that both labels are given.
    score = {n: logit(folder, case_of(folder / f"{n}.dcm")) for n in SOURCES}
    middle = float(np.median(list(score.values())))
    (folder / "card.toml").write_text(CARD.format(**stats, threshold=1 / (1 + np.exp(-middle))))
    rows = [f"{n}.dcm,{LABELS[int(s > middle)]}" for n, s in score.items()]
    (folder / "list.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    (folder / "plan.toml").write_text(PLAN)
    assert (
        main(["audit", "run", str(folder / "plan.toml"), "--out", str(folder / "audit"), "--workers", "1", "-q"]) == 0
    )
    return folder


LABELS_OF_CHEST = tuple(sorted({label for r in chest(n=20, size=32).refs for label in r.truth.labels}))


def case_of(path: Path) -> Case[Any]:
    return dicom_case(path.name, path.read_bytes(), Truth.of(LABELS[0]))


def logit(folder: Path, c: Case[Any]) -> float:
    target: Any = load_target(folder / "card.toml")
    return float(target.scores(Batch(torch.from_numpy(c.x.astype(np.float32))[None], (c,)))[0, 0])


def broken(folder: Path) -> list[tuple[str, Any, Path]]:
    bundle = Bundle(folder / "audit")
    return [
        (cell, o, folder / "audit" / evidence_path(cell, o.case_id, o.radius) / FILE)
        for cell in ("stored", "displayed", "jnd")
        for o in bundle.outcomes(cell)
        if o.kind == "broken"
    ]


def test_files_of_every_depth_are_broken_in_stored_and_in_displayed_units(world: Path) -> None:
    bundle = Bundle(world / "audit")
    assert bundle.plan["cases"]["codec"] == "dicom"
    for name, (_, bits, signed) in SOURCES.items():
        header = case_of(world / f"{name}.dcm").header
        assert (header["bits"], header["signed"]) == (bits, signed)
    for cell in ("stored", "displayed"):
        kinds = {o.case_id: o.kind for o in bundle.outcomes(cell)}
        assert set(kinds) == {f"{n}.dcm" for n in SOURCES}
        assert sum(k == "broken" for k in kinds.values()) >= 5, kinds
        assert set(kinds.values()) <= {"broken", "held"}
    for _, o, _ in broken(world):
        more = o.finding.cost.more
        assert more["jnd"] == pytest.approx(2.3787 * more["displayed"], rel=1e-3) and more["linf"] >= 1


def test_written_files_turn_the_decision_again_and_keep_to_their_budget(world: Path) -> None:
    line = float(np.median([logit(world, case_of(world / f"{n}.dcm")) for n in SOURCES]))
    assert broken(world)
    for cell, o, path in broken(world):
        before, after = case_of(world / o.case_id), case_of(path)
        assert (logit(world, before) > line) != (logit(world, after) > line), (cell, o.case_id)
        most = np.abs(after.x.astype(int) - before.x.astype(int)).max()
        assert most <= o.radius if cell == "stored" else most >= 1


def test_what_dcmtk_renders_of_them_turns_it_too(world: Path, tmp_path: Path) -> None:
    """Eight bits through the file's window, by another program, shown to the model as a picture."""
    if shutil.which("dcm2pnm") is None:
        pytest.skip("DCMTK is not installed")
    line = float(np.median([logit(world, case_of(world / f"{n}.dcm")) for n in SOURCES]))
    turned = []
    for cell, o, path in broken(world):
        if cell != "jnd":
            continue
        score = []
        for file in (world / o.case_id, path):
            done = subprocess.run(["dcmdump", str(file)], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and not done.stderr
            subprocess.run(["dcm2pnm", "-O", "+Wi", "1", str(file), str(tmp_path / "x.pgm")], check=True, timeout=60)
            x = np.asarray(Image.open(tmp_path / "x.pgm"))[None]
            score.append(logit(world, array_case("rendered", x, Truth.of(LABELS[0]))))
        turned.append((score[0] > line) != (score[1] > line))
    assert len(turned) >= 3 and all(turned), turned


def test_the_bundle_replays_and_its_page_says_both_units(world: Path) -> None:
    assert main(["audit", "replay", str(world / "audit"), "-q"]) == 0
    page = (world / "audit" / "report.html").read_text()
    assert "of 255 grey levels" in page and "just-noticeable differences (PS3.14" in page
    assert "data:image/png" in page


@pytest.mark.parametrize("unmarked", [False, True])
def test_exhibits_for_people_and_for_gates(world: Path, tmp_path: Path, unmarked: bool) -> None:
    out = tmp_path / "out"
    assert (
        main(["audit", "exhibits", str(world / "audit"), "--out", str(out), *(["--unmarked"] if unmarked else [])]) == 0
    )
    rows = list(csv.DictReader(io.StringIO((out / "exhibits.csv").read_text())))
    assert len(rows) == len(broken(world)) and oct(out.stat().st_mode & 0o777) == "0o700"
    key = b"k" * 32
    for row in rows:
        before, after = (fingerprint(read((out / row[k]).read_bytes(), "dicom"), key) for k in ("original", "file"))
        told = compare(before, after)
        # A gate sees other pixels in both; who the picture belongs to is another only where it is marked.
        assert "F2" in told.tiers and "F3" not in told.tiers
        assert ("F4" in told.tiers) is not unmarked
    assert main(["audit", "exhibits", str(world / "audit"), "--out", str(out)]) == 2


def test_a_card_that_says_nothing_of_windows_is_refused(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "plain.toml").write_text((world / "card.toml").read_text().replace('kind = "dicom"', ""))
    (world / "plain-plan.toml").write_text(PLAN.replace("card.toml", "plain.toml"))
    assert main(["audit", "run", str(world / "plain-plan.toml"), "--out", str(world / "no"), "-q"]) == 2
    said = capsys.readouterr().err
    assert 'Declare kind = "dicom"' in said and "Traceback" not in said
