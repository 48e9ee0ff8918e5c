"""What an interface tells is what a search hears: labels alone, the winner's confidence alone, a budget over all cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tests.images import ALL, audit, cell, heads, world
from tests.plans import N, rows_asked, written

from nocere.attacks.base import Answer, Ask, AttackDefaults, Job, Search
from nocere.attacks.image.square import Square
from nocere.audit.bundle import Bundle
from nocere.audit.plan import load_spec
from nocere.audit.runner import run_audit
from nocere.core.batch import Batch
from nocere.core.decision import MultiLabel, Softmax
from nocere.core.errors import PlanError, TargetError
from nocere.targets.answers import LabelsOnly, TopOne
from nocere.targets.callable import callable_target

LABELS = frozenset({"labels"})
SCORES = frozenset({"labels", "scores"})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Listens(AttackDefaults):
    """Asks a few contents and remembers all that it hears."""

    heard: ClassVar[list[Answer]] = []
    name: ClassVar[str] = "test.listens"

    def search(self, job: Job) -> Search:
        for step in (1.0, -1.0, 1.0):
            self.heard.append((yield Ask((job.x0 + step).clamp(0, 255))))
        return []


def heard(tmp_path: Path, access: frozenset[Any], head: str = "softmax", **about: Any) -> np.ndarray[Any, Any]:
    cases, target = world(12, head)
    Listens.heard.clear()
    audit(tmp_path / str(len(access)), cases, target, cell(cases, (Listens(),), access=access, radii=(1.0,), **about))
    return np.concatenate([a.margin[a.live] for a in Listens.heard])


def test_a_search_that_is_granted_labels_hears_signs_of_any_target(tmp_path: Path) -> None:
    assert set(heard(tmp_path, LABELS)) <= {-1.0, 1.0}
    assert len(set(heard(tmp_path, SCORES))) > 10
    # Gradients include scores: nothing is kept back from a white box.
    assert len(set(heard(tmp_path, ALL))) > 10


def test_top_one_tells_the_winner_and_its_confidence_and_nothing_else() -> None:
    decision, weight, bias = heads()["softmax"]

    def model(x: Any) -> Any:
        return np.asarray(x).reshape(len(x), -1) @ weight.T + bias

    target = callable_target(model, decision, outputs="logits")
    x = np.random.default_rng(0).integers(60, 196, (40, weight.shape[1])).astype(np.float64)
    told = TopOne(target).scores(Batch(x, (None,) * 40))  # type: ignore[arg-type]
    z = model(x)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    winner = z.argmax(1)
    np.testing.assert_allclose(told[np.arange(40), winner], -np.log(1 - p.max(1)))
    for k in range(4):
        others = winner != k
        np.testing.assert_allclose(told[others, k], np.log(1 - p.max(1))[others])
    assert (LabelsOnly(target).labels(Batch(x, (None,) * 40)).argmax(1) == winner).all()  # type: ignore[arg-type]


def test_square_breaks_more_by_the_winners_confidence_than_by_labels_alone_can(tmp_path: Path) -> None:
    cases, target = world(24, "softmax")

    def broken(name: str, **about: Any) -> set[str]:
        spec = cell(cases, (Square(150),), access=SCORES, radii=(2.0,), **about)
        bundle = audit(tmp_path / name, cases, target, spec)
        for o in bundle.outcomes("cell"):
            # The report has the target's own scores: only the search was kept short.
            if o.kind == "broken":
                assert o.finding is not None and o.finding.probabilities is not None
        return {o.case_id for o in bundle.outcomes("cell") if o.kind == "broken"}

    whole, one = broken("all"), broken("top1", answers="top1")
    assert len(whole) >= len(one) > 0.5 * len(whole) > 3


def test_top_one_needs_one_winner_and_no_gradients(tmp_path: Path) -> None:
    cases, target = world(6, "multi_label")
    with pytest.raises(TargetError, match="no single winning label"):
        audit(tmp_path / "b", cases, target, cell(cases, (Square(5),), access=SCORES, answers="top1"))
    with pytest.raises(PlanError, match="grant it no more"):
        cell(cases, (Square(5),), answers="top1")
    labels = callable_target(lambda x: ["a"] * len(x), Softmax(("a", "b")), outputs="labels")
    with pytest.raises(TargetError, match="confidence to tell"):
        TopOne(labels)
    with pytest.raises(TargetError, match="single winning"):
        TopOne(callable_target(lambda x: x, MultiLabel(("a", "b"), (0.5, 0.5)), outputs="logits"))


BLACK = """
[[cell]]
name = "hop"
threat = "image.l2"
radii = [400]
aim = "closest"
access = ["labels"]
looks = 150
attacks = [{name = "image.hopskipjump", queries = 150}]
[[cell]]
name = "free"
threat = "image.l2"
radii = [400]
aim = "closest"
access = ["labels"]
looks = 150
attacks = [{name = "image.surfree", queries = 150}]
[[cell]]
name = "all"
threat = "image.linf"
radii = [12]
access = ["labels"]
campaign = 200
attacks = [{name = "image.random_noise", draws = 40, corners = true}]
"""
TOP = """
[[cell]]
name = "top"
threat = "image.linf"
radii = [8]
answers = "top1"
looks = 80
campaign = 1500
attacks = [{name = "image.square", queries = 80}]
"""


def spent(bundle: Bundle) -> int:
    """Rows that the meters say the target has seen: a case's count grows with its radii, so the last one stands."""
    total = 0
    for c in bundle.plan["cells"]:
        rows = {o.case_id: o.meter for o in bundle.outcomes(c["name"])}
        total += sum(m.get("forward", 0) + m.get("queries", 0) for m in rows.values())
    return total


@pytest.mark.parametrize("source", ["labels", "scores"])
def test_every_query_of_a_label_only_plan_is_on_a_meter(tmp_path: Path, source: str) -> None:
    plan = written(tmp_path, source, BLACK)
    bundle = run_audit(load_spec(plan), tmp_path / "b")
    assert rows_asked(tmp_path) == N + N + 8 + 8 + spent(bundle)
    for name in ("hop", "free"):
        rows = list(bundle.outcomes(name))
        assert sum(o.kind == "broken" for o in rows) > N // 2
        assert all(o.meter["forward"] <= 150 and o.meter["backward"] == 0 for o in rows)
    campaign = {o.case_id: o.meter.get("forward", 0) for o in bundle.outcomes("all")}
    assert sum(campaign.values()) == 200
    kinds = {o.kind for o in bundle.outcomes("all")}
    assert "not_reached" in kinds or any(o.why == "budget spent" for o in bundle.outcomes("all"))


def test_a_target_that_could_say_more_gives_a_label_only_search_what_one_that_cannot_gives(tmp_path: Path) -> None:
    """The same model behind a narrow and behind a talkative interface: the same search, the same distances."""
    one, two = (run_audit(load_spec(written(tmp_path / s, s, BLACK)), tmp_path / s / "b") for s in ("labels", "scores"))
    for name in ("hop", "free", "all"):
        a, b = ({o.case_id: (o.kind, o.radius, o.meter) for o in x.outcomes(name)} for x in (one, two))
        assert a == b


def test_a_campaign_by_top_one_answers_is_counted_and_lanes_change_nothing(tmp_path: Path) -> None:
    plan = written(tmp_path, "scores", TOP)
    spec = load_spec(plan)
    hashes = {run_audit(spec, tmp_path / str(n), lanes=n).hash for n in (5, 64)}
    assert len(hashes) == 1
    bundle = Bundle(tmp_path / "64")
    forward = {o.case_id: o.meter.get("forward", 0) for o in bundle.outcomes("top")}
    assert sum(forward.values()) <= 1500
    assert max(forward.values()) <= 80
    assert sum(o.kind == "broken" for o in bundle.outcomes("top")) > N // 4
    assert bundle.plan["cells"][0]["answers"] == "top1"
    assert rows_asked(tmp_path) == 2 * (N + N + 8 + 8 + spent(bundle))
