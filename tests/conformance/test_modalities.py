"""The contracts carry every later modality unchanged: notes, claims, signals, records, universal attacks, rounds,
label-only targets with a query cap, stochastic targets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import worlds as w

from nocere.attacks.image.pgd import Pgd
from nocere.attacks.image.random_noise import RandomNoise
from nocere.audit.bundle import Bundle
from nocere.audit.referee import Draws
from nocere.audit.runner import run_audit
from nocere.audit.spec import Artefact, CellSpec, Sealed, Spec
from nocere.core.budget import Budget
from nocere.core.case import CaseSet
from nocere.core.decision import OneLogit
from nocere.core.errors import PlanError
from nocere.core.goal import Goal
from nocere.targets.callable import callable_target
from nocere.targets.torch import TorchTarget
from nocere.threats.base import Threat

ALL = frozenset({"scores", "labels", "gradients", "structure"})


def cell(
    name: str, pset: Any, attacks: tuple[Any, ...], cases: CaseSet, radii: tuple[float, ...], **about: Any
) -> CellSpec:
    budget = about.pop("budget", Budget(500, confirms=64))
    access = about.pop("access", ALL)
    ids = tuple(r.id for r in cases.refs)
    return CellSpec(name, Threat(pset, Goal(), access, budget), attacks, radii, about.pop("aim", "flip"), ids, **about)


def audit(out: Path, cases: CaseSet, target: Any, codec: Any, *cells: CellSpec, **more: Any) -> Bundle:
    return run_audit(Spec("conformance", target, codec, cases, cells, **more), out / "b")


def kinds(bundle: Bundle, name: str) -> dict[str, str]:
    return {o.case_id: o.kind for o in bundle.outcomes(name)}


def brute_force(score: Any, case: Any, members: Any) -> bool:
    """Whether any member of the set decides otherwise: an oracle that shares nothing with the engine."""
    was = score([case.x])[0] > 0
    return any((score([x])[0] > 0) != was for x, _ in members)


def all_swaps(case: Any, radius: int) -> list[tuple[Any, Any]]:
    found, frontier = [], [(case.x, None)]
    for _ in range(radius):
        frontier = [m for x, p in frontier for m in w.WordSwaps(radius).moves(case, x, p)]
        found += frontier
    return found


@pytest.mark.parametrize("lanes", [1, 3, 128])
def test_note_with_word_swaps(tmp_path: Path, lanes: int) -> None:
    cases, target = w.notes()
    spec = Spec(
        "n", target, w.NoteCodec(), cases, (cell("swap", w.WordSwaps(), (w.GreedyMoves(),), cases, (1.0, 2.0)),)
    )
    bundle = run_audit(spec, tmp_path / "b", lanes=lanes)
    found = {o.case_id for o in bundle.outcomes("swap") if o.kind == "broken"}
    assert found == {c.id for c in cases if brute_force(w.score_notes, c, all_swaps(c, 2))}
    assert found and len(found) < len(cases)
    first = next(o for o in bundle.outcomes("swap") if o.kind == "broken")
    assert first.finding is not None and first.finding.proof
    text = bundle.bytes(f"evidence/swap/{_short(first.case_id)}@{first.radius:g}/note.txt").decode()
    assert w.WordSwaps(first.radius).check(cases.load(first.case_id), text, first.finding.proof) is None


def test_claim_with_exact_search_and_certificate(tmp_path: Path) -> None:
    cases, target = w.claims()
    bundle = audit(
        tmp_path, cases, target, w.ClaimCodec(), cell("codes", w.OptionalCodes(), (w.Exhaustive(),), cases, (1.0, 2.0))
    )
    got = kinds(bundle, "codes")
    for c in cases:
        breakable = brute_force(w.score_claims, c, w.OptionalCodes(2.0).members(c))
        assert got[c.id] == ("broken" if breakable else "certified"), c.id
    assert set(got.values()) == {"broken", "certified"}


def test_a_certificate_that_lies_is_not_accepted(tmp_path: Path) -> None:
    cases, target = w.claims()
    bundle = audit(
        tmp_path,
        cases,
        target,
        w.ClaimCodec(),
        cell("codes", w.OptionalCodes(), (w.Exhaustive(lie=True),), cases, (2.0,)),
    )
    for c in cases:
        breakable = brute_force(w.score_claims, c, w.OptionalCodes(2.0).members(c))
        # True claims stand even if they were guessed; false ones leave an error, never "held" and never "certified".
        assert kinds(bundle, "codes")[c.id] == ("errored" if breakable else "certified")


def test_signal_against_the_closed_form(tmp_path: Path) -> None:
    cases, target = w.signals()
    _, weight = w.linear_signal()
    radii = tuple(float(r) for r in range(1, 13))
    bundle = audit(tmp_path, cases, target, w.SignalCodec(), cell("counts", w.Counts(), (Pgd(5),), cases, radii))
    smallest = {o.case_id: o.radius for o in bundle.outcomes("counts") if o.kind == "broken"}
    for c in cases:
        exact = abs(float((c.x * weight).sum())) / float(np.abs(weight).sum())
        if exact < 11.9:
            # Whole counts: the smallest level at or above the closed form (one more on the edge of float rounding).
            assert np.ceil(exact) <= smallest[c.id] <= np.floor(exact) + 1.01, c.id
        else:
            assert c.id not in smallest or smallest[c.id] == 12
    assert len(smallest) > 5


def test_closest_equals_the_sweep(tmp_path: Path) -> None:
    cases, target = w.signals()
    sweep = cell("sweep", w.Counts(), (Pgd(5),), cases, tuple(float(r) for r in range(1, 17)))
    near = cell("near", w.Counts(), (Pgd(5),), cases, (1.0, 4.0, 16.0), aim="closest")
    bundle = audit(tmp_path, cases, target, w.SignalCodec(), sweep, near)
    radius = {n: {o.case_id: o.radius for o in bundle.outcomes(n) if o.kind == "broken"} for n in ("sweep", "near")}
    assert radius["sweep"] == radius["near"]
    assert len(set(radius["near"].values())) > 4


def test_record_of_two_parts(tmp_path: Path) -> None:
    cases, target, codec = w.records()
    bundle = audit(tmp_path, cases, target, codec, cell("both", w.RecordEdits(), (w.GreedyMoves(),), cases, (2.0,)))
    got = kinds(bundle, "both")
    assert "broken" in got.values()
    for o in bundle.outcomes("both"):
        if o.kind == "broken":
            folder = f"evidence/both/{_short(o.case_id)}@{o.radius:g}"
            files = {n: bundle.bytes(f"{folder}/{n}") for n in ("note/note.txt", "claim/claim.json")}
            x, header = codec.decode(files)
            assert dict(header) == dict(cases.load(o.case_id).header)
            assert (w.score_records([x])[0] > 0) != (w.score_records([cases.load(o.case_id).x])[0] > 0)


def test_universal_attack_is_judged_on_held_out_cases(tmp_path: Path) -> None:
    cases, target = w.signals(40)
    fit = frozenset(r.id for r in cases.refs[:20])
    bundle = audit(
        tmp_path, cases, target, w.SignalCodec(), cell("one", w.Counts(), (w.MeanSign(),), cases, (2.0, 8.0), fit=fit)
    )
    got = list(bundle.outcomes("one"))
    assert {o.case_id for o in got} == {r.id for r in cases.refs[20:]}
    assert sum(o.kind == "broken" for o in got) > 0
    assert all(o.kind in ("broken", "held") for o in got)


def test_universal_attack_may_not_look_at_held_out_cases(tmp_path: Path) -> None:
    cases, target = w.signals(8)
    fit = frozenset(r.id for r in cases.refs[:4])
    spec = cell("one", w.Counts(), (w.MeanSign(peek=True),), cases, (4.0,), fit=fit)
    bundle = audit(tmp_path, cases, target, w.SignalCodec(), spec)
    assert {o.kind for o in bundle.outcomes("one")} == {"errored"}
    assert all("held-out" in o.why for o in bundle.outcomes("one"))


def _surrogate(sealed: Sealed) -> bytes:
    """A linear model fitted to the labels that the target gave to the clean cases: reads sealed answers only."""
    x = np.stack([c.x.reshape(-1).astype(float) for c in sealed.cases])
    y = np.array([np.sign(sealed.clean[r.id].margins[1]) for r in sealed.cases.refs])
    weight = np.linalg.lstsq(np.vstack([x, 30 * np.eye(64)]), np.concatenate([y, np.zeros(64)]), rcond=None)[0]
    return json.dumps(weight.tolist()).encode()


def _load(data: bytes) -> TorchTarget:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor(json.loads(data))[None])
    return TorchTarget(net, w.DECISION, name="surrogate")


def _label_only(asked: list[int]) -> Any:
    _, weight = w.linear_signal()

    def answer(x: Any) -> list[str]:
        asked.append(len(x))
        return [w.LABELS[int(v > 0)] for v in (np.asarray(x) * weight).sum((1, 2))]

    return callable_target(answer, OneLogit(w.LABELS), outputs="labels", name="label-only")


def test_two_rounds_surrogate_then_transfer(tmp_path: Path) -> None:
    cases, _ = w.signals(60)
    target = _label_only([])
    transfer = cell(
        "transfer", w.Counts(), (Pgd(5),), cases, (8.0, 16.0), view="surrogate", round=1,
        access=frozenset({"labels", "gradients"}),
    )  # fmt: skip
    made = Artefact("surrogate", 0, _surrogate, _load, {"recipe": "least squares on the target's labels"})
    bundle = audit(tmp_path, cases, target, w.SignalCodec(), transfer, artefacts=(made,))
    got = list(kinds(bundle, "transfer").values())
    assert got.count("broken") > 5
    assert "artefacts/surrogate" in bundle.manifest["files"]
    # Success is the target's own word, never the surrogate's.
    for o in bundle.outcomes("transfer"):
        if o.kind == "broken":
            assert o.finding is not None and set(o.finding.margins) == {1.0, -1.0}


def test_a_view_of_a_later_round_is_refused() -> None:
    cases, target = w.signals(4)
    early = cell("transfer", w.Counts(), (Pgd(5),), cases, (8.0,), view="surrogate")
    made = Artefact("surrogate", 1, _surrogate, _load, {})
    with pytest.raises(PlanError, match="no earlier round"):
        Spec("x", target, w.SignalCodec(), cases, (early,), artefacts=(made,))


def test_label_only_target_with_a_query_cap(tmp_path: Path) -> None:
    cases, _ = w.signals(12)
    asked: list[int] = []
    capped = cell(
        "random", w.Counts(), (RandomNoise(50),), cases, (40.0,), budget=Budget(20), access=frozenset({"labels"})
    )
    bundle = audit(tmp_path, cases, _label_only(asked), w.SignalCodec(), capped)
    rows = list(bundle.outcomes("random"))
    assert all(o.meter["forward"] <= 20 and o.meter["backward"] == 0 for o in rows)
    assert any(o.kind == "held" and o.why == "budget spent" and o.meter["forward"] == 20 for o in rows)
    assert any(o.kind == "broken" for o in rows)
    # Every row that the target really saw is on the meter: clean looks are asked again and one by one (see the referee).
    clean = 12 + 12 + 8 + 8
    assert sum(asked) == clean + sum(o.meter["forward"] + o.meter["queries"] for o in rows)


def test_gradient_attack_on_a_label_only_target_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    cases, _ = w.signals(6)
    bundle = audit(
        tmp_path,
        cases,
        _label_only([]),
        w.SignalCodec(),
        cell("pgd", w.Counts(), (Pgd(5),), cases, (40.0,), access=frozenset({"labels"})),
    )
    assert set(kinds(bundle, "pgd").values()) == {"not_applicable"}
    accuracy = next(m for m in bundle.measures if m.key == "accuracy" and m.cell == "pgd")
    assert accuracy.value is None and accuracy.missing == 6


def _stochastic(noise: float) -> Any:
    _, weight = w.linear_signal()

    def answer(x: Any, seeds: Any) -> Any:
        drawn = np.array([np.random.default_rng(int(s)).normal(0, noise) for s in seeds])
        return (np.asarray(x) * weight).sum((1, 2)) / 100 + drawn

    return callable_target(answer, w.DECISION, outputs="logits", stochastic=True, name="stochastic")


def test_stochastic_target_is_judged_by_its_flip_share(tmp_path: Path) -> None:
    cases, _ = w.signals(16)
    noisy = cell("random", w.Counts(), (RandomNoise(30, corners=True),), cases, (60.0,))
    one = audit(tmp_path / "1", cases, _stochastic(0.3), w.SignalCodec(), noisy, draws=Draws(m=30, tau=0.5))
    two = audit(tmp_path / "2", cases, _stochastic(0.3), w.SignalCodec(), noisy, draws=Draws(m=30, tau=0.5))
    assert one.hash == two.hash
    broken = [o for o in one.outcomes("random") if o.kind == "broken"]
    assert broken
    for o in broken:
        assert o.finding is not None and o.finding.rate > 0.5 and "lower limit" in o.finding.why
        assert o.meter["queries"] % 30 == 0


def test_undeclared_randomness_is_found(tmp_path: Path) -> None:
    cases, _ = w.signals(6)
    rng = np.random.default_rng(0)
    target = callable_target(lambda x: rng.normal(size=len(x)), w.DECISION, outputs="logits")
    with pytest.raises(Exception, match="answers differently to the same input"):
        audit(tmp_path, cases, target, w.SignalCodec(), cell("c", w.Counts(), (RandomNoise(2),), cases, (4.0,)))


def test_campaign_budget_is_over_the_whole_cell(tmp_path: Path) -> None:
    cases, target = w.signals(12)
    campaign = cell("c", w.Counts(), (RandomNoise(30),), cases, (1.0,), budget=Budget(100, campaign=50))
    bundle = audit(tmp_path, cases, target, w.SignalCodec(), campaign)
    rows = list(bundle.outcomes("c"))
    assert sum(o.meter["forward"] for o in rows) <= 50
    assert {o.kind for o in rows} <= {"held", "broken", "not_reached", "already_wrong"}


def _short(case_id: str) -> str:
    from nocere.audit.bundle import short

    return short(case_id)
