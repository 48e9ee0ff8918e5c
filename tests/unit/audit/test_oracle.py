"""The oracle of a surrogate: what it tells, what it counts, and that a question beyond its budget is never asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.images import pictures

from nocere.audit.oracle import Oracle
from nocere.cases.image import ImageCodec, array_case
from nocere.core.case import Truth
from nocere.core.decision import OneLogit
from nocere.core.errors import PlanError
from nocere.targets.callable import callable_target

DECISION = OneLogit(("dark", "light"))


def counting(outputs: Any = "logits", **about: Any) -> tuple[Any, list[Any]]:
    seen: list[Any] = []

    def model(x: Any, *seeds: Any) -> Any:
        seen.extend(x)
        z = x.mean((1, 2, 3)) - 128.0
        return ["light" if v > 0 else "dark" for v in z] if outputs == "labels" else z

    return callable_target(model, DECISION, outputs=outputs, **about), seen


CASES = [array_case(str(k), x, Truth.of("dark")) for k, x in enumerate(pictures(40))]
CASES += [array_case(f"g{k}", x[:1, :8], Truth.of("dark")) for k, x in enumerate(pictures(5))]


@pytest.mark.parametrize("learns", ["labels", "scores"])
def test_it_tells_what_is_learnt_and_counts_every_row(learns: Any) -> None:
    target, seen = counting()
    oracle = Oracle(target, ImageCodec(), learns, 100, 0)
    told = oracle.ask(CASES)
    z = np.array([c.x.astype(np.float32).mean() - 128.0 for c in CASES])
    if learns == "labels":
        assert set(told.ravel()) == {-1.0, 1.0}
        assert (told[:, 1] > 0).tolist() == (z > 0).tolist()
    else:
        np.testing.assert_allclose(told[:, 1], z, atol=1e-4)
    assert len(seen) == oracle.asked == 45
    assert oracle.left == 55


def test_beyond_the_budget_nothing_is_asked() -> None:
    target, seen = counting("labels")
    oracle = Oracle(target, ImageCodec(), "labels", 42, 0)
    assert len(oracle.ask(CASES)) == 42
    assert len(oracle.ask(CASES)) == 0
    assert (len(seen), oracle.asked, oracle.left) == (42, 42, 0)


def test_contents_are_shown_as_their_files_hold_them() -> None:
    class Darker(ImageCodec):
        def decode(self, files: Any) -> Any:
            x, header = super().decode(files)
            return x // 2, header

    target, seen = counting()
    Oracle(target, Darker(), "scores", 10, 0).ask(CASES[:3])
    np.testing.assert_array_equal(seen[0], CASES[0].x // 2)


def test_scores_of_a_target_that_gives_labels_are_refused_and_a_random_one_is_seeded() -> None:
    with pytest.raises(PlanError, match="tells no scores"):
        Oracle(counting("labels")[0], ImageCodec(), "scores", 10, 0)
    target, seen = counting(stochastic=True)
    Oracle(target, ImageCodec(), "labels", 10, 0).ask(CASES[:4])
    assert len(seen) == 4
