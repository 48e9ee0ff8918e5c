"""Targets that answer what they should not are named in one sentence, through the public ways in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import LABELS, SIDE, audit, cell, pictures, world

from nocere.audit.api import probe
from nocere.cases.image import array_case
from nocere.cli.main import main
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import MultiLabel, OneLogit, OneVsRest, Softmax
from nocere.core.errors import TargetError
from nocere.targets.callable import callable_target
from nocere.targets.torch import TorchTarget

N = 12
CELLS = [{"name": "noise", "threat": "image.linf", "radii": [1], "attacks": ["image.random_noise"]}]


def cases(labels: tuple[str, ...] = LABELS) -> CaseSet:
    x = pictures(N)
    return CaseSet.of([array_case(f"{i}", x[i], Truth.of(labels[i % len(labels)])) for i in range(N)])


def share(x: Any) -> Any:
    """A number in 0..1 that depends on the picture."""
    return np.clip((x.reshape(len(x), -1)[:, :7].mean(1) - 100) / 56, 0, 1)


@pytest.mark.parametrize(
    ("function", "decision", "why"),
    [
        (share, OneLogit(LABELS), "all lie between 0 and 1: they look like probabilities"),
        (lambda x: np.stack([1 - share(x), share(x)], 1), OneVsRest(LABELS, 2, 1), "sum to 1 in every row"),
        (lambda x: np.stack([1 - share(x), share(x)], 1), Softmax(LABELS), "sum to 1 in every row"),
        (lambda x: np.stack([share(x), share(x) ** 2], 1), MultiLabel(LABELS, (0.5, 0.5)), "look like probabilities"),
        (lambda x: np.full(len(x), 0.3), OneLogit(LABELS), f"gives the same scores to all {N} cases"),
        (lambda x: share(x) + np.random.default_rng().normal(size=len(x)), OneLogit(LABELS), "answers differently"),
        (lambda x: share(x) * np.nan, OneLogit(LABELS), "returned no finite score for any case"),
    ],
    ids=["one logit", "two columns", "softmax", "findings", "constant", "random", "nan"],
)
def test_one_sentence_says_what_is_wrong(tmp_path: Path, function: Callable[..., Any], decision: Any, why: str) -> None:
    target = callable_target(function, decision, outputs="logits", name="the model")
    with pytest.raises(Exception, match=why) as caught:
        probe(target, cases(), tmp_path / "b", cells=CELLS)
    assert str(caught.value).startswith("the model ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "outputs"),
    [
        (share, "probabilities"),
        (lambda x: 20 * share(x) - 10, "logits"),
        (lambda x: 3 * share(x), "logits"),  # above the line for every case, and no probabilities
    ],
    ids=["declared probabilities", "logits", "logits of one sign"],
)
def test_honest_answers_are_not_refused(tmp_path: Path, function: Callable[..., Any], outputs: Any) -> None:
    probe(callable_target(function, OneLogit(LABELS), outputs=outputs), cases(), tmp_path / "b", cells=CELLS).verify()


def test_logits_of_a_softmax_that_lie_between_0_and_1_but_do_not_sum_to_it(tmp_path: Path) -> None:
    def three(x: Any) -> Any:
        s = share(x)
        return np.stack([s, 0.9 * (1 - s), s**2], 1)

    labels = ("a", "b", "c")
    target = callable_target(three, Softmax(labels), outputs="logits")
    probe(target, cases(labels), tmp_path / "b", cells=CELLS).verify()


def test_timid_logits_are_no_probabilities(tmp_path: Path) -> None:
    def timid(x: Any) -> Any:
        return 0.4 + 0.2 * share(x)

    probe(callable_target(timid, OneLogit(LABELS), outputs="logits"), cases(), tmp_path / "b", cells=CELLS).verify()


def test_too_few_cases_to_tell_probabilities(tmp_path: Path) -> None:
    few = CaseSet.of(list(cases())[:7])
    probe(callable_target(share, OneLogit(LABELS), outputs="logits"), few, tmp_path / "b", cells=CELLS).verify()


def test_nan_gradients_cost_their_cases_and_say_so(tmp_path: Path) -> None:
    given, good = world(N)

    class NanGradient(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = good.module

        def forward(self, x: Any) -> Any:
            return self.inner(x) + 0 * (x - x.detach()).abs().sqrt().sum((1, 2, 3))[:, None]

    bundle = audit(tmp_path / "b", given, TorchTarget(NanGradient(), good.decision), cell(given, radii=(1.0,)))
    rows = list(bundle.outcomes("cell"))
    assert {o.kind for o in rows} == {"errored"}
    assert all("gradient is not finite" in o.why for o in rows)
    assert [(i.key, i.cases) for i in bundle.indicators] == [("dead_gradients", N)]
    accuracy = next(m for m in bundle.measures if m.key == "accuracy" and m.cell == "cell")
    assert accuracy.value is None and accuracy.missing == N


def test_the_command_line_refuses_probabilities_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import csv

    from PIL import Image

    rows = []
    for i, x in enumerate(pictures(N)):
        Image.fromarray(x.transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
        rows.append({"path": f"{i}.png", "label": LABELS[i % 2]})
    with (tmp_path / "labels.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, ["path", "label"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "model.py").write_text(
        "def ask(x):\n    return ((x.reshape(len(x), -1)[:, :7].mean(1) - 100) / 56).clip(0, 1)\n"
    )
    (tmp_path / "card.toml").write_text(
        '[target]\nkind = "callable"\nfactory = "model.py:ask"\noutputs = "logits"\n'
        f'[decision]\nkind = "one_logit"\nlabels = {list(LABELS)}\n'.replace("'", '"')
    )
    (tmp_path / "plan.toml").write_text(
        'name = "x"\ntarget = "card.toml"\n[cases]\ndataset = "image.folder"\nmanifest = "labels.csv"\n'
        '[[cell]]\nname = "noise"\nthreat = "image.linf"\nradii = [1]\nattacks = ["image.random_noise"]\n'
    )
    assert main(["audit", "run", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "b"), "-q"]) == 2
    said = capsys.readouterr().err
    assert "they look like probabilities" in said and "Traceback" not in said


def test_the_refusal_is_a_target_error() -> None:
    from nocere.targets.base import check_answers

    target = callable_target(share, OneLogit(LABELS), outputs="logits")
    with pytest.raises(TargetError):
        check_answers(np.linspace(0, 1, SIDE)[:, None], target)
