"""Bad input: one clear sentence, the documented exit code, nothing half written, never a traceback."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import SIDE, Linear, heads, pictures

from nocere.cases.image import write_png
from nocere.cli.main import main

PLAN = """\
name = "bad input"
target = "card.toml"
[cases]
dataset = "image.folder"
manifest = "labels.csv"
split = "test"
[[cell]]
name = "noise"
threat = "image.linf"
radii = [1]
attacks = [{name = "image.pgd", steps = 2}]
"""
CARD = """\
[target]
kind = "torch"
factory = "model.py:build"
weights = "weights.pt"
[input]
channels = 3
size = [12, 12]
scale = 1.0
[decision]
kind = "one_logit"
labels = ["benign", "malignant"]
threshold = 0.3
"""
MODEL = """\
import torch
def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(432, 1))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with everything that a good audit needs."""
    _, weight, bias = heads()["one_logit"]
    x = pictures(8)
    scores = x.reshape(8, -1) @ weight.T + bias
    order = np.argsort(scores[:, 0])
    with (tmp_path / "labels.csv").open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["path", "label", "patient", "split"])
        for rank, i in enumerate(order):
            (tmp_path / f"{i}.png").write_bytes(write_png(x[i]))
            writer.writerow([f"{i}.png", ["benign", "malignant"][int(rank >= 4)], f"p{i}", "test"])
    head = Linear(weight, bias).head
    torch.save({"1.weight": head.weight.detach(), "1.bias": head.bias.detach()}, tmp_path / "weights.pt")
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "card.toml").write_text(CARD)
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


def edit(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        text = (place / file).read_text()
        assert old in text
        (place / file).write_text(text.replace(old, new, 1))

    return change


def remove(file: str) -> Callable[[Path], None]:
    return lambda place: (place / file).unlink()


def overwrite(file: str, data: bytes) -> Callable[[Path], None]:
    return lambda place: (place / file).write_bytes(data) and None


def first_image(data: bytes) -> Callable[[Path], None]:
    return lambda place: (place / "0.png").write_bytes(data) and None


def nan_weights(place: Path) -> None:
    state = torch.load(place / "weights.pt", weights_only=True)
    torch.save({k: v * float("nan") for k, v in state.items()}, place / "weights.pt")


def one_class(place: Path) -> None:
    text = (place / "labels.csv").read_text().replace("malignant", "benign")
    (place / "labels.csv").write_text(text)


def pickled_model(place: Path) -> None:
    torch.save(torch.nn.Linear(2, 1), place / "weights.pt")


def wide_image(place: Path) -> None:
    (place / "0.png").write_bytes(write_png(np.zeros((3, SIDE, SIDE + 3), np.uint8)))


def grey_to_grey_only(place: Path) -> None:
    edit("card.toml", "channels = 3", "channels = 1")(place)


BAD: list[tuple[str, Callable[[Path], None], int, str]] = [
    ("missing image", remove("0.png"), 2, "cannot read"),
    ("image that is text", first_image(b"hello"), 2, "not a readable PNG or JPEG"),
    ("truncated image", lambda p: first_image((p / "0.png").read_bytes()[:60])(p), 2, "not a readable PNG or JPEG"),
    ("empty label", edit("labels.csv", ",benign,", ",,"), 2, "label is empty"),
    (
        "label outside of the set",
        edit("labels.csv", "benign", "beningn"),
        2,
        "'beningn', which is none of the target's",
    ),
    ("empty class", one_class, 2, "no case with the label 'malignant'"),
    ("missing column", edit("labels.csv", "label", "lable"), 2, "no column 'label'"),
    ("ragged row", edit("labels.csv", ",test", ",test,extra"), 2, "columns expected"),
    ("image twice", lambda p: edit("labels.csv", "1.png", "0.png")(p), 2, "was listed on line"),
    ("no such split", edit("plan.toml", 'split = "test"', 'split = "tset"'), 2, "no row with split 'tset'"),
    ("missing manifest", remove("labels.csv"), 2, "Cannot read the manifest"),
    ("NaN scores", nan_weights, 2, "returned no finite score for any case"),
    ("pickled model", pickled_model, 2, "not a state dict"),
    ("wrong kind of file", overwrite("weights.pt", b"not a model"), 2, "not a state dict"),
    (
        "onnx given as torchscript",
        edit("card.toml", 'kind = "torch"', 'kind = "torchscript"'),
        2,
        "not a TorchScript file",
    ),
    ("wrong input size", wide_image, 2, "takes images of 12 x 12; the image has 12 x 15"),
    ("colour for a grey model", grey_to_grey_only, 2, "takes 1 channel(s); the image has 3"),
    ("wrong head", edit("card.toml", '"one_logit"', '"softmax"'), 2, "Decision of kind 'softmax'"),
    ("wrong number of scores", edit("model.py", "432, 1", "432, 3"), 2, "not a state dict that fits"),
    ("threshold of 1.5", edit("card.toml", "0.3", "1.5"), 2, "strictly between 0 and 1"),
    ("threshold of 0", edit("card.toml", "0.3", "0.0"), 2, "strictly between 0 and 1"),
    ("unknown attack", edit("plan.toml", "image.pgd", "image.pdg"), 2, "Unknown attack 'image.pdg'"),
    ("unknown argument of an attack", edit("plan.toml", "steps = 2", "stesp = 2"), 2, "stesp"),
    ("unknown threat", edit("plan.toml", "image.linf", "image.l99"), 2, "Unknown threat"),
    ("attack that cannot search the threat", edit("plan.toml", "image.linf", "image.blur"), 0, ""),
    ("negative radius", edit("plan.toml", "radii = [1]", "radii = [-1]"), 2, "radii must be positive"),
    ("unknown field", edit("plan.toml", "[[cell]]", "[[cell]]\nspeed = 3"), 2, "speed"),
    ("not TOML", overwrite("plan.toml", b"name = = 3"), 2, "not valid TOML"),
    ("missing target", remove("card.toml"), 2, "no target at"),
    (
        "factory that raises",
        edit("model.py", "return", "raise ValueError('broken')\n    return"),
        2,
        "factory raised ValueError",
    ),
    ("unknown dataset", edit("plan.toml", "image.folder", "image.flder"), 2, "Unknown dataset"),
]


@pytest.mark.parametrize(("change", "code", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_one_sentence_and_the_exit_code(
    place: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], code: int, words: str
) -> None:
    change(place)
    got = main(["audit", "run", str(place / "plan.toml"), "--out", str(place / "out"), "--quiet"])
    said = capsys.readouterr().err
    assert got == code, said
    assert "Traceback" not in said
    if code:
        assert words in said, said
        assert said.startswith("nocere: ")
        assert len(said.strip().splitlines()) == 1
        assert not (place / "out" / "manifest.json").exists()
        assert not list((place / "out").rglob(".tmp-*")) if (place / "out").exists() else True


def test_the_good_plan_passes_shows_and_replays_in_fresh_processes(place: Path) -> None:
    def nocere(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "nocere", *args], capture_output=True, text=True, check=False)

    out = str(place / "out")
    ran = nocere("audit", "run", str(place / "plan.toml"), "--out", out, "--json", "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["verdict"] is None and told["measures"]
    shown = nocere("audit", "show", out, "--json")
    assert json.loads(shown.stdout) == told
    replayed = nocere("audit", "replay", out, "--json", "--threads", "1")
    assert replayed.returncode == 0, replayed.stderr
    result = json.loads(replayed.stdout)
    assert result["failed"] == [] and result["replayed"] >= 1
    # A changed evidence file is found.
    evidence = next((place / "out" / "evidence").rglob("image.png"))
    evidence.write_bytes(write_png(np.zeros((3, SIDE, SIDE), np.uint8)))
    tampered = nocere("audit", "replay", out)
    assert tampered.returncode == 4 and "has been changed since the audit" in tampered.stderr
    # Another model is refused.
    (place / "card.toml").write_text(CARD.replace("0.3", "0.31"))


def test_workers_change_no_byte_of_the_evidence(place: Path) -> None:
    """Two cells of one shard each, in one process and in two."""
    run = ["audit", "run", str(place / "plan.toml"), "-q"]
    assert main([*run, "--out", str(place / "one"), "--workers", "1"]) == 0
    second = (
        PLAN.replace("image.linf", "image.l2").replace("[1]", "[200]").split("[[cell]]")[1].replace('"noise"', '"l2"')
    )
    (place / "plan.toml").write_text((place / "plan.toml").read_text() + "[[cell]]" + second)
    for n in ("1", "2"):
        assert main([*run, "--out", str(place / f"both{n}"), "--workers", n]) == 0
    one, two = ((place / f"both{n}" / "manifest.json").read_bytes() for n in ("1", "2"))
    assert one == two


def test_replay_with_another_model_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "run", str(place / "plan.toml"), "--out", str(place / "out"), "-q"]) == 0
    (place / "card.toml").write_text(CARD.replace("0.3", "0.31"))
    capsys.readouterr()
    assert main(["audit", "replay", str(place / "out"), "-q"]) == 4
    assert "the audit is about" in capsys.readouterr().err


def test_another_audit_in_the_folder_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["audit", "run", str(place / "plan.toml"), "--out", str(place / "out"), "-q"]
    assert main(run) == 0
    assert main(run) == 0  # safe to repeat
    edit("plan.toml", "radii = [1]", "radii = [2]")(place)
    capsys.readouterr()
    assert main(run) == 2
    assert "holds another audit" in capsys.readouterr().err
    (place / "full").mkdir()
    (place / "full" / "notes.txt").write_text("mine")
    assert main([*run[:4], str(place / "full"), "-q"]) == 2
    assert (place / "full" / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_to_write(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "locked").mkdir(mode=0o500)
    assert main(["audit", "run", str(place / "plan.toml"), "--out", str(place / "locked" / "out"), "-q"]) == 6
    assert "Cannot make the folder" in capsys.readouterr().err


def test_a_file_in_the_place_of_the_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "out").write_text("a file")
    assert main(["audit", "run", str(place / "plan.toml"), "--out", str(place / "out"), "-q"]) == 6
    assert "Cannot make the folder" in capsys.readouterr().err


def test_disk_full_in_mid_run_loses_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third write after the plan fails as a full disk does; the same command then finishes the run."""
    import errno

    from nocere.core import files

    run = ["audit", "run", str(place / "plan.toml"), "--out", str(place / "out"), "-q"]
    writes = 0
    real = os.fsync

    def full(fd: int) -> None:
        nonlocal writes
        writes += 1
        if writes == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd)

    monkeypatch.setattr(files.os, "fsync", full)
    assert main(run) == 6
    said = capsys.readouterr().err
    assert "No space left on device" in said and "run the same command again" in said
    assert not (place / "out" / "manifest.json").exists()
    assert not list((place / "out").rglob(".tmp-*"))
    monkeypatch.undo()
    assert main(run) == 0
    assert main([*run[:4], str(place / "other"), "-q"]) == 0
    assert (place / "out" / "manifest.json").read_bytes() == (place / "other" / "manifest.json").read_bytes()


def test_sklearn_pickle_needs_trust(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import joblib
    from sklearn.linear_model import LogisticRegression

    x = pictures(8).reshape(8, -1)
    joblib.dump(LogisticRegression(max_iter=2000, C=1e-9).fit(x, [0, 1] * 4), place / "model.joblib")
    (place / "card.toml").write_text(
        '[target]\nkind = "sklearn"\nweights = "model.joblib"\n[decision]\nkind = "one_logit"\nlabels = ["benign", "malignant"]\n'
    )
    run = ["audit", "run", str(place / "plan.toml"), "--out", str(place / "out"), "-q"]
    assert main(run) == 2
    assert "--trust" in capsys.readouterr().err
    assert main([*run, "--trust"]) == 2
    assert "its attacks need gradients, but the target gives only labels, scores" in capsys.readouterr().err
    edit("plan.toml", '{name = "image.pgd", steps = 2}', '{name = "image.random_noise", draws = 5}')(place)
    assert main([*run, "--trust"]) == 0


@pytest.mark.parametrize(
    "argv", [["audit"], ["audit", "run"], ["frobnicate"], ["list", "atacks"], ["train", "--out", "x"]]
)
def test_usage_errors_exit_with_2_or_help(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(argv)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert code == (0 if argv == ["audit"] else 2)


def test_help_starts_without_anything_heavy() -> None:
    code = (
        "import sys; from nocere.cli.main import main; main(['--help']); "
        "heavy = {'torch', 'scipy', 'sklearn', 'pydantic', 'PIL', 'jinja2'} & set(sys.modules); sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [["demo"], ["train"], ["audit", "run"], ["audit", "show"], ["audit", "replay"], ["report"], ["list"], ["doctor"]],
)
def test_every_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*command, "--help"])
    assert f"Example: nocere {' '.join(command)}" in " ".join(capsys.readouterr().out.replace("`", "").split())


def test_doctor_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert any(c["check"] == "numpy" and c["ok"] for c in checks)
    for what in ("attacks", "threats", "datasets", "phantoms", "targets", "measures"):
        assert main(["list", what, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)
