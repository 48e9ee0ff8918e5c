"""Models in a program of their own: scores, labels, crashes, silence, nonsense."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.decision import OneLogit
from nocere.core.errors import TargetError
from nocere.targets.card import load_target
from nocere.targets.process import process_target

DECISION = OneLogit(("a", "b"))
# Without numpy or nocere: the protocol is all that a program needs.
PROGRAM = """
import base64, json, os, struct, sys
for line in sys.stdin:
    q = json.loads(line)
    n = q["shape"][0]
    x = struct.unpack("<%df" % (len(base64.b64decode(q["data"])) // 4), base64.b64decode(q["data"]))
    d = len(x) // n
    z = [sum(x[i * d:(i + 1) * d]) / d - 100 for i in range(n)]
    told = {"id": q["id"], "shape": [n, 1], "dtype": "float64", "data": base64.b64encode(struct.pack("<%dd" % n, *z)).decode()}
    BODY
    print(json.dumps(told), flush=True)
"""


def program(folder: Path, body: str = "pass") -> list[str]:
    (folder / "model.py").write_text(PROGRAM.replace("BODY", body))
    return [sys.executable, "-S", "model.py"]


def batch(n: int, side: int = 8) -> Batch:
    x = np.random.default_rng(0).integers(0, 256, (n, 1, side, side)).astype(np.uint8)
    return Batch(torch.from_numpy(x.astype(np.float32)), tuple(Case(str(i), r) for i, r in enumerate(x)))


def made(folder: Path, body: str = "pass", **more: Any) -> Any:
    return process_target(program(folder, body), DECISION, folder=folder, name="outside", **more)


def test_scores_of_many_batches_and_of_ones_larger_than_a_pipe(tmp_path: Path) -> None:
    target = made(tmp_path)
    for n, side in ((5, 8), (1, 8), (3, 200)):
        b = batch(n, side)
        np.testing.assert_allclose(target.scores(b)[:, 0], b.x.double().mean((1, 2, 3)) - 100, atol=1e-9)
    labels = made(tmp_path, 'told = {"id": q["id"], "labels": ["b" if v > 27 else "a" for v in z]}', outputs="labels")
    np.testing.assert_array_equal(labels.labels(batch(9))[:, 1], batch(9).x.mean((1, 2, 3)).numpy() > 127)


def test_a_program_that_ends_is_started_again_once(tmp_path: Path) -> None:
    crash = 'open("runs", "a").write("x")\n    if q["id"] == 2 and len(open("runs").read()) < 3: sys.exit(3)'
    target = made(tmp_path, crash)
    target.scores(batch(2))
    np.testing.assert_allclose(target.scores(batch(2))[:, 0], batch(2).x.double().mean((1, 2, 3)) - 100)
    always = made(tmp_path, 'print("out of memory", file=sys.stderr); sys.exit(3)')
    with pytest.raises(TargetError, match=r"outside ended with status 3 instead of an answer \(it said: out of memory"):
        always.scores(batch(2))


def test_silence_ends_by_time(tmp_path: Path) -> None:
    hangs = made(tmp_path, 'print("loading", file=sys.stderr, flush=True); import time; time.sleep(60)', start=1.5)
    with pytest.raises(TargetError, match=r"no answer within 1.5 s \(it said: loading\)"):
        hangs.scores(batch(2))
    deaf = process_target([sys.executable, "-S", "-c", "import time; time.sleep(60)"], DECISION, start=0.5)
    with pytest.raises(TargetError, match=r"no answer within 0.5 s"):
        deaf.scores(batch(2, 400))  # type: ignore[union-attr]  # more than the pipe holds


WRONG = {
    'print("Loading weights")': "wrote 'Loading weights' where an answer was expected",
    'told["id"] = 9': "answered question 9 where 1 was asked",
    'told = {"id": q["id"], "error": "no such device"}': "says: no such device",
    'told["dtype"] = "int8"': "without a dtype",
    'told["shape"] = [n, 2]': r"answered 2 rows with 2 values under the shape \[2, 2\]",
    'told = {"id": q["id"], "labels": ["a"]}': "did not answer 2 rows with 2 labels",
    'told["data"] = "!"': "data in base64",
}


@pytest.mark.parametrize("body", list(WRONG))
def test_nonsense_is_one_sentence(tmp_path: Path, body: str) -> None:
    with pytest.raises(TargetError, match=WRONG[body]):
        made(tmp_path, body).scores(batch(2))


def test_seeds_reach_a_program_that_draws(tmp_path: Path) -> None:
    body = 'told["data"] = base64.b64encode(struct.pack("<%dd" % n, *[float(s) for s in q["seeds"]])).decode()'
    target = made(tmp_path, body, stochastic=True)
    b = batch(3)
    seeded = Batch(b.x, b.like, np.array([5, 6, 7], dtype=np.uint64))
    np.testing.assert_array_equal(target.scores(seeded)[:, 0], [5, 6, 7])


def test_a_card_of_a_program(tmp_path: Path) -> None:
    command = program(tmp_path)
    text = (
        f'[target]\nkind = "process"\ncommand = {command!r}\nfiles = ["model.py"]\ntimeout = 20\n'
        '[decision]\nkind = "one_logit"\nlabels = ["a", "b"]\n'
    )
    (tmp_path / "card.toml").write_text(text)
    target: Any = load_target(tmp_path / "card.toml")
    assert target.scores(batch(2)).shape == (2, 1)
    with (tmp_path / "model.py").open("a") as f:
        f.write("# changed\n")
    assert load_target(tmp_path / "card.toml").fingerprint != target.fingerprint
    (tmp_path / "card.toml").write_text(text.replace('["model.py"]', '["absent"]'))
    with pytest.raises(TargetError, match=r"absent of the model cannot be read"):
        load_target(tmp_path / "card.toml")
    with pytest.raises(TargetError, match="cannot be started: /no/such/program"):
        process_target(["/no/such/program"], DECISION).scores(batch(1))  # type: ignore[union-attr]
