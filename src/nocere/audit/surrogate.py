"""Surrogates: a network that learns another target's answers to pictures, and grows pictures of its own to ask about.

After Papernot et al. 2017 (arXiv:1602.02697): train on the answers to some pictures, move every picture towards the
line that the student sees (one signed step of its gradient), ask the target about these too, train again. What the
target was asked is what its oracle counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nocere.audit.oracle import Learns, Oracle
from nocere.core.batch import Batch
from nocere.core.case import Case, CaseSet
from nocere.core.decision import Decision
from nocere.core.errors import PlanError
from nocere.core.rng import seed_of

if TYPE_CHECKING:
    from nocere.targets.torch import TorchTarget

FEWEST = 8  # answers that anything can be learnt from
SIDES = (32, 96)  # of the network's input, where the plan names none


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a surrogate learns.

    Args:
        queries: most answers of the target.
        learns: what it hears: labels alone, or scores.
        arch: see `nocere.targets.reference.nets`.
        epochs: passes over the answers, at every training.
        rounds: how often it grows new pictures to ask about; each time at most as many as there are.
        step: of the growing, as a share of the range of stored values.
        size: pixels a side of its input; 0 takes the first picture's longer side, within 32 to 96.
        augment: also train on flipped, turned and shifted pictures, as if the target answered the same.
        seed: decides weights, order and choice.
    """

    queries: int
    learns: Learns = "labels"
    arch: str = "plain_cnn"
    epochs: int = 60
    rounds: int = 2
    step: float = 0.06
    size: int = 0
    augment: bool = True
    seed: int = 0


def learn(recipe: Recipe, pictures: CaseSet, oracle: Oracle, decision: Decision) -> TorchTarget:
    """A surrogate.

    Args:
        recipe: how it learns.
        pictures: what it may ask about first, in an order of its own.
        oracle: the target's counted answers.
        decision: of the target.

    Raises:
        PlanError: too few answers to learn from, or all of them the same.
    """
    order = np.random.default_rng(seed_of(recipe.seed, "pictures")).permutation(len(pictures.refs))
    # Half of the answers are kept for what it grows, where it grows at all.
    first = len(order) if recipe.rounds == 0 else min(len(order), max(FEWEST, recipe.queries // 2))
    cases = [pictures.load(pictures.refs[int(i)].id) for i in order[: min(first, recipe.queries)]]
    answers = oracle.ask(cases)
    student = _taught(recipe, cases, answers, decision)
    for number in range(recipe.rounds):
        if oracle.left == 0:
            break
        # The newest first: a step from a picture that was grown leads further away from the ones that are known.
        fresh = _grown(recipe, student, cases[::-1][: oracle.left])
        told = oracle.ask(fresh)
        cases, answers = cases + fresh, np.concatenate([answers, told])
        student = _taught(recipe, cases, answers, decision, number + 1)
    return student


def agreement(student: TorchTarget, cases: CaseSet, clean: Mapping[str, Any]) -> float:
    """Share of the cases about which student and target assert the same, by the target's sealed clean answers."""
    same = [
        bool(((_margins(student, [cases.load(r.id)])[0] > 0) == (np.array(clean[r.id].margins) > 0)).all())
        for r in cases.refs
        if not clean[r.id].why
    ]
    return float(np.mean(same)) if same else 0.0


def _taught(
    recipe: Recipe, cases: Sequence[Case[Any]], answers: NDArray[np.float64], decision: Decision, number: int = 0
) -> TorchTarget:
    from nocere.targets.reference.student import teach

    known = np.flatnonzero(np.isfinite(answers).all(axis=1))
    told = answers[known]
    if len(known) < FEWEST:
        raise PlanError(
            f"A surrogate needs at least {FEWEST} answers to learn from; it got {len(known)}.",
            "Give it more queries, or more pictures.",
        )
    if bool(((told > 0) == (told[0] > 0)).all()):
        raise PlanError(
            f"The target answered the same to all {len(known)} pictures: a surrogate can learn nothing from that.",
            "Give it other pictures, or more.",
        )
    shown = [cases[int(k)] for k in known]
    if len({(c.x.shape[0], c.x.dtype) for c in shown}) > 1:
        raise PlanError("A surrogate learns from pictures of one kind; these mix grey and colour, or depths.")
    size = recipe.size or min(max(max(shown[0].x.shape[1:]), SIDES[0]), SIDES[1])
    return teach(
        np.stack([_sized(c.x, size) for c in shown]), _shares(told, decision, recipe.learns), decision.labels,
        exclusive=decision.exclusive, arch=recipe.arch, epochs=recipe.epochs, augment=recipe.augment,
        seed=seed_of(recipe.seed, "student", number),
    )  # fmt: skip


def _shares(m: NDArray[np.float64], decision: Decision, learns: Learns) -> NDArray[np.float64]:
    """Margins [n, labels] as what a student is to answer: whole labels, or shares that meet at the operating line."""
    if learns == "labels":
        hard = (m > 0).astype(np.float64)
        # Exclusive labels of which none was asserted have no winner: the one nearest to its line stands for it.
        return np.eye(m.shape[1])[m.argmax(axis=1)] if decision.exclusive else hard
    if not decision.exclusive:
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * m)))
    # A margin is the lead over the next label: half of it against half of minus it is the odds of the two.
    z = np.exp(0.5 * (m - m.max(axis=1, keepdims=True)))
    return np.asarray(z / z.sum(axis=1, keepdims=True))


def _sized(x: Any, size: int) -> Any:
    """Stored values at the student's input size, as its own preprocessing resizes them."""
    import torch

    if x.shape[1:] == (size, size):
        return x
    rows = torch.from_numpy(x.astype(np.float32))[None]
    made = torch.nn.functional.interpolate(rows, (size, size), mode="bilinear", align_corners=False, antialias=True)
    top = float(np.iinfo(x.dtype).max)
    return made[0].round().clamp(0, top).numpy().astype(x.dtype)


def _margins(student: TorchTarget, cases: Sequence[Case[Any]]) -> NDArray[np.float64]:
    from nocere.audit.referee import rows_of

    rows = rows_of([c.x for c in cases])
    return np.asarray(student.decision.margins(student.scores(Batch(rows, tuple(cases)))), dtype=np.float64)


def _grown(recipe: Recipe, student: TorchTarget, cases: Sequence[Case[Any]]) -> list[Case[Any]]:
    """Each picture moved one signed step towards where the student changes its mind, as whole stored values."""
    import torch

    out = []
    for case in cases:
        x = torch.from_numpy(case.x.astype(np.float32))[None]
        top = float((1 << int(str(case.header.get("bits", 8)))) - 1)
        scores, pullback = student.vjp(Batch(x, (case,)))
        z = scores.detach().requires_grad_(True)
        with torch.enable_grad():
            m: Any = student.decision.margins(z)
            # The smallest lead or distance of any label is the one that turns first.
            (up,) = torch.autograd.grad(m.abs().amin(dim=1).sum(), z)
        moved = (x - recipe.step * top * pullback(up).sign()).round().clamp(0.0, top)
        out.append(case.with_x(moved[0].numpy().astype(case.x.dtype)))
    return out
