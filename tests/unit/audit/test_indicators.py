"""Every indicator fires when its cause is planted, casts doubt on a PASS, and is silent on an honest search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tests.images import LABELS, Linear, audit, cell, heads, labelled, pictures

from nocere.attacks.base import Ask, AttackDefaults, Job, Propose, Search
from nocere.attacks.image.pgd import Pgd
from nocere.attacks.image.square import Square
from nocere.audit.bundle import Bundle
from nocere.audit.criteria import Criterion
from nocere.audit.indicators import ADVICE, Indicator, indicators
from nocere.core.decision import OneLogit
from nocere.core.errors import PlanError
from nocere.report.html import write_report
from nocere.targets.torch import TorchTarget

N = 20
RULE = Criterion(name="stands", measure="accuracy", cell="noise", radius=1.0, at_least=0.3)
DOCS = Path(__file__).parents[3] / "docs" / "indicators.md"


def robust(scale: float = 1.0) -> tuple[Any, TorchTarget]:
    """A linear model whose closest case is two grey levels away from its line: nothing can break it within 1."""
    _, weight, bias = heads()["one_logit"]
    x = pictures(12 * N)
    reach = np.abs(x.reshape(len(x), -1) @ weight[0] + bias[0]) / np.abs(weight[0]).sum()
    x = x[np.argsort(-reach)[:N]]
    assert np.sort(reach)[-N] > 2.0
    decision = OneLogit(LABELS)
    target = TorchTarget(Linear(scale * weight, scale * bias), decision)
    return labelled(x, decision, scale * weight, scale * bias), target


def searched(folder: Path, attack: Any, *more: Any, radii: tuple[float, ...] = (1.0,), **about: Any) -> Bundle:
    cases, target = robust()
    cells = [cell(cases, (attack,), name="noise", radii=radii, **about), *(make(cases) for make in more)]
    return audit(folder, cases, target, *cells, criteria=(RULE,))


def fired(bundle: Bundle) -> dict[str, Indicator]:
    return {i.key: i for i in bundle.indicators}


def any_image(cases: Any, attack: Any = None) -> Any:
    return cell(cases, (attack or Pgd(20, 2),), name="any", radii=(255.0,), sanity=True)


def by_scores(cases: Any) -> Any:
    return cell(cases, (Square(100),), name="blind", radii=(1.0, 2.0), sanity=True)


def test_a_truly_robust_model_passes_without_an_indicator(tmp_path: Path) -> None:
    bundle = searched(tmp_path / "b", Pgd(20, 2), any_image, by_scores, radii=(1.0, 1.5 + 0.5))
    assert bundle.indicators == []
    assert bundle.verdicts[0]["word"] == "PASS"


@dataclass(frozen=True)
class Planted(AttackDefaults):
    name: ClassVar[str] = "test.planted"
    needs: ClassVar[frozenset[Any]] = frozenset({"gradients"})

    def search(self, job: Job) -> Search:
        raise NotImplementedError
        yield


class Still(Planted):
    """Never moves."""

    def search(self, job: Job) -> Search:
        yield Ask(job.x0, grad=True)
        yield Propose(job.x0)
        return []


class Slow(Planted):
    """Far too few and too short steps."""

    def search(self, job: Job) -> Search:
        x = job.x0
        for _ in range(6):
            answer = yield Ask(x, grad=True)
            x = x + 0.12 * answer.grad.sign()
        yield Ask(x)
        return []


class Backwards(Planted):
    """A sign error: goes down where it should climb."""

    def search(self, job: Job) -> Search:
        x = job.x0
        for _ in range(6):
            answer = yield Ask(x, grad=True)
            x = job.pset.project(x - answer.grad.sign(), job.x0, job.radius)  # type: ignore[attr-defined]
        return []


class Timid(Planted):
    """One honest corner, but never further than one grey level, whatever is allowed."""

    def search(self, job: Job) -> Search:
        answer = yield Ask(job.x0, grad=True)
        for _ in range(4):
            yield Ask(job.x0 + answer.grad.sign(), grad=True)
        return []


@pytest.mark.parametrize(
    ("attack", "key", "radii", "word"),
    [
        (Still(), "nothing_moved", (1.0,), "ERROR"),
        (Slow(), "not_converged", (1.0,), "INCONCLUSIVE"),
        (Backwards(), "misleading_gradients", (1.0,), "INCONCLUSIVE"),
    ],
)
def test_a_planted_failure_is_named_and_no_pass_stands_on_it(
    tmp_path: Path, attack: Any, key: str, radii: tuple[float, ...], word: str
) -> None:
    bundle = searched(tmp_path / "b", attack, radii=radii)
    found = fired(bundle)[key]
    assert found.cells == ("noise",) and found.cases == found.of == N
    assert found.seen.startswith(f"{N} of {N} cases: ")
    assert bundle.verdicts[0]["word"] == word
    if word == "INCONCLUSIVE":
        assert key in bundle.verdicts[0]["why"]


def test_a_search_that_ignores_its_budget(tmp_path: Path) -> None:
    bundle = searched(tmp_path / "b", Timid(), lambda cases: any_image(cases, Timid()), radii=(1.0, 2.0))
    found = fired(bundle)
    assert found["larger_budget_no_help"].radius == 2.0 and found["larger_budget_no_help"].cases == N
    # The cell at fault is the one with any image allowed; it casts doubt on the search of the model.
    assert found["unbroken_unbounded"].cells == ("noise",)
    # Doubt about 2 grey levels is none about 1; doubt about the whole search is.
    assert "unbroken_unbounded" in bundle.verdicts[0]["why"]
    assert "larger_budget_no_help" not in bundle.verdicts[0]["why"]


def test_scores_that_find_more_than_gradients(tmp_path: Path) -> None:
    _, weight, bias = heads()["one_logit"]
    decision = OneLogit(LABELS)
    cases = labelled(pictures(N), decision, weight, bias)
    target = TorchTarget(Linear(weight, bias), decision)
    noise, blind = (
        cell(cases, (attack,), name=name, radii=(8.0,)) for name, attack in (("noise", Slow()), ("blind", Square(300)))
    )
    bundle = audit(tmp_path / "b", cases, target, noise, blind)
    held = {o.case_id for o in bundle.outcomes("noise") if o.kind == "held"}
    only = held & {o.case_id for o in bundle.outcomes("blind") if o.kind == "broken"}
    assert len(only) >= 3
    assert fired(bundle)["black_box_wins"].cases == len(only)
    cascade = audit(tmp_path / "c", cases, target, cell(cases, (Slow(), Square(300)), name="noise", radii=(8.0,)))
    later = [o for o in cascade.outcomes("noise") if o.kind == "broken" and o.stage == "image.square"]
    assert fired(cascade)["black_box_wins"].cases == len(later) >= 3


def test_the_last_start_still_finds_more(tmp_path: Path) -> None:
    """A search that finds everything in its last turn."""

    @dataclass(frozen=True)
    class Late(Planted):
        def search(self, job: Job) -> Search:
            for k in range(12):
                answer = yield Ask(job.x0 + 0.01 * k, grad=True)
            yield Ask(job.pset.project(job.x0 + 4 * answer.grad.sign(), job.x0, job.radius))  # type: ignore[attr-defined]
            return []

    _, weight, bias = heads()["one_logit"]
    decision = OneLogit(LABELS)
    cases = labelled(pictures(40), decision, weight, bias)
    bundle = audit(tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
                   cell(cases, (Late(),), name="noise", radii=(1.0,)))  # fmt: skip
    late = sum(o.kind == "broken" for o in bundle.outcomes("noise"))
    assert late >= 5
    assert fired(bundle)["still_finding"].cases == late


def test_a_broken_target_cannot_pass_by_errors(tmp_path: Path) -> None:
    """One in ten dead gradients leaves 18 measured cases; the verdict is no PASS, and the report says why."""
    cases, good = robust()
    flat = {float(c.x.astype(np.float32).sum()) for c in list(cases)[:2]}

    class HalfDead(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = good.module

        def forward(self, x: Any) -> Any:
            near = torch.stack([(x.flatten(1).sum(1) - s).abs() < 500 for s in flat]).any(0)
            z = self.inner(x)
            return torch.where(near[:, None], z.detach(), z)

    target = TorchTarget(HalfDead(), good.decision)
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Pgd(10),), name="noise", radii=(1.0,)),
                   criteria=(RULE,))  # fmt: skip
    assert fired(bundle)["dead_gradients"].cases >= 2
    assert bundle.verdicts[0]["word"] in ("ERROR", "INCONCLUSIVE")


def test_indicators_stand_beside_the_verdict_and_in_the_json(tmp_path: Path) -> None:
    import json

    bundle = searched(tmp_path / "b", Slow())
    bundle.verify()
    html, data = (p.read_text() for p in write_report(bundle))
    first_page = html[html.index('id="verdict"') : html.index('id="not-tested"')]
    assert "Not converged" in first_page and ADVICE["not_converged"] in first_page
    assert [i["key"] for i in json.loads(data)["indicators"]] == [i.key for i in bundle.indicators]
    again = indicators(bundle.results(), bundle.plan, bundle.read("clean.json")["noise"])
    assert again == bundle.indicators


def test_a_cell_that_tests_the_search_is_no_result(tmp_path: Path) -> None:
    bundle = searched(tmp_path / "b", Pgd(10), any_image)
    assert {m.cell for m in bundle.measures} == {"", "noise"}
    assert "255 grey levels" not in write_report(bundle)[0].read_text()
    cases, target = robust()
    with pytest.raises(PlanError, match="only tests the search"):
        audit(tmp_path / "c", cases, target, any_image(cases),
              criteria=(RULE.model_copy(update={"cell": "any", "radius": 255.0}),))  # fmt: skip


def test_a_shared_doubt_does_not_reach_another_radius_or_the_unchanged_cases(tmp_path: Path) -> None:
    bundle = searched(tmp_path / "b", Slow())
    from nocere.audit.criteria import judge

    clean = Criterion(name="clean", measure="accuracy", at_least=0.5)
    assert judge(clean, bundle.measures, bundle.indicators).word == "PASS"
    elsewhere = [replace(i, radius=8.0) for i in bundle.indicators]
    assert judge(RULE, bundle.measures, elsewhere).word == "PASS"
    assert judge(RULE, bundle.measures, bundle.indicators).word == "INCONCLUSIVE"


def test_every_indicator_is_documented() -> None:
    text = DOCS.read_text()
    assert all(f"`{key}`" in text for key in ADVICE)
