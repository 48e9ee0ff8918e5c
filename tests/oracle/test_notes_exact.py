"""Oracles of searches over wordings: every note listed by hand from the raw table, and shown to the model itself."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.images import cell
from tests.worded import LABELS, WORD, Bag, audited, world

from nocere.attacks.base import Ask, AttackDefaults, Certificate, Job, Search
from nocere.attacks.certificates import CHECKERS
from nocere.attacks.text.exhaustive import Exhaustive, count
from nocere.attacks.text.gradient import Gradient, promised
from nocere.attacks.text.slate import Slate
from nocere.attacks.text.swaps import Beam, Greedy
from nocere.cases.note import note_case
from nocere.clinical.notes.lexicon import DATA
from nocere.core.budget import Budget
from nocere.core.case import Case, CaseSet, Truth
from nocere.threats.words.sets import SameConcept

# Nothing in the template can be worded otherwise but the concepts.
TEMPLATE = "She has {}, {}, {}. Xyzzy plugh frobnicated."
CONCEPTS = ("hypertension", "headache", "asthma", "nausea", "gerd", "anxiety", "stroke", "pneumonia")
MODELS = [Bag(seed, pairs, normed) for seed, pairs, normed in ((1, False, False), (2, False, True), (3, True, True))]
IDS = ["words", "normed", "pairs"]


@cache
def surfaces(concept: str) -> tuple[str, ...]:
    """What the table itself lists for a concept; the first of forms that differ in capitals alone."""
    table = (DATA / "lexicon.tsv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    at = {name: k for k, name in enumerate(rows[0])}
    found: dict[str, str] = {}
    for row in rows[1:]:
        if row[at["concept"]] == concept and row[at["relation"]] != "narrower":
            found.setdefault(row[at["surface"]].lower(), row[at["surface"]])
    return tuple(found.values())


def drawn(n: int, seed: int) -> list[tuple[Case[str], tuple[str, ...]]]:
    rng = np.random.default_rng(seed)
    known = [c for c in CONCEPTS if 2 <= len(surfaces(c)) <= 9]
    assert len(known) >= 4
    out = []
    for i in range(n):
        chosen = tuple(str(c) for c in rng.choice(known, 3, replace=False))
        said = [str(rng.choice(surfaces(c))) for c in chosen]
        out.append((note_case(f"n{i}", TEMPLATE.format(*said)), chosen))
    return out


def listed(case: Case[str], concepts: tuple[str, ...], radius: int) -> set[str]:
    """Every note with one to `radius` of the concepts worded otherwise, by hand."""
    whole = itertools.product(*(surfaces(c) for c in concepts))
    made = {TEMPLATE.format(*w): w for w in whole}
    own = made[case.x]
    return {x for x, w in made.items() if 0 < sum(a != b for a, b in zip(w, own, strict=True)) <= radius}


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_members_are_what_the_table_itself_lists(radius: int) -> None:
    for case, concepts in drawn(10, radius):
        pset = SameConcept(float(radius))
        members = list(pset.members(case))
        assert {x for x, _ in members} == listed(case, concepts, radius)
        assert len(members) == len({x for x, _ in members})
        assert len(members) == count([len(s.options) for s in pset.options(case)], radius)
        for x, proof in members[:: max(len(members) // 20, 1)]:
            assert pset.check(case, x, proof) is None


def lined(model: Bag, cases: list[Case[str]], share: float, radius: int) -> tuple[CaseSet, Bag]:
    """The model with a line that about `share` of these notes can cross; all of them lie below it."""
    tops = [max(model.score(x) for x, _ in SameConcept(float(radius)).members(c)) for c in cases]
    clean = max(model.score(c.x) for c in cases)
    bias = max(float(np.quantile(tops, 1 - share)), clean) + 1e-4
    said = [Case(c.id, c.x, truth=Truth.of(LABELS[0]), group=c.id, sha256=c.sha256) for c in cases]
    return CaseSet.of(said), Bag(model.seed, model.pairs, model.normed, bias)


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_exhaustive_breaks_or_certifies_as_brute_force_says(tmp_path: Path, model: Bag, radius: int) -> None:
    made = drawn(12, 7)
    cases, target = lined(model, [c for c, _ in made], 0.4, radius)
    spec = cell(
        cases, (Exhaustive(),), pset=SameConcept(), radii=(float(radius),), access=target.access, budget=Budget(5000)
    )
    got = {o.case_id: o for o in audited(tmp_path / "b", cases, target, spec).outcomes("cell")}
    for case, concepts in made:
        every = listed(case, concepts, radius)
        breakable = any(target.score(x) > 0 for x in every)
        o = got[case.id]
        assert o.kind == ("broken" if breakable else "certified"), (case.x, o.why)
        if not breakable:
            assert o.certificate is not None and o.certificate["members"] == len(every)
            assert o.certificate["lexicon"] == SameConcept().words().sha256
    assert {"broken", "certified"} <= {o.kind for o in got.values()}


@dataclass(frozen=True)
class Liar(AttackDefaults):
    """Claims what an honest search of nothing would, with the true numbers."""

    more: int = 0
    name: ClassVar[str] = "test.liar"

    def search(self, job: Job) -> Search:
        claims = []
        for row, case in enumerate(job.cases):
            pset: Any = job.pset.at(float(job.radius[row]))
            options = [len(s.options) for s in pset.options(case)]
            n = len(list(pset.members(case))) + self.more
            claims.append(
                Certificate(row, "notes_exhaustive", {"sites": len(options), "options": sum(options), "members": n})
            )
        yield Ask(list(job.x0))
        return claims


@pytest.mark.parametrize("more", [0, 1, -1])
def test_a_claim_stands_only_if_it_is_true(tmp_path: Path, more: int) -> None:
    made = drawn(12, 7)
    cases, target = lined(MODELS[1], [c for c, _ in made], 0.4, 2)
    spec = cell(cases, (Liar(more),), pset=SameConcept(), radii=(2.0,), access=target.access)
    got = {o.case_id: o.kind for o in audited(tmp_path / "b", cases, target, spec).outcomes("cell")}
    for case, concepts in made:
        breakable = any(target.score(x) > 0 for x in listed(case, concepts, 2))
        assert got[case.id] == ("certified" if not breakable and not more else "errored")


def test_a_deaf_checker_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that believes: the test above has to see it."""
    monkeypatch.setitem(CHECKERS, "notes_exhaustive", lambda *_: True)
    with pytest.raises(AssertionError):
        test_a_claim_stands_only_if_it_is_true(tmp_path, 0)


def test_too_long_a_list_is_no_search(tmp_path: Path) -> None:
    cases, target = world(4)
    spec = cell(cases, (Exhaustive(limit=50),), pset=SameConcept(), radii=(3.0,), access=target.access)
    got = list(audited(tmp_path / "b", cases, target, spec).outcomes("cell"))
    assert {o.kind for o in got} == {"not_applicable"} and all("limit" in o.why for o in got)


# --- searches beside the optimum -------------------------------------------------------------------------------------


def test_gains_of_single_wordings_do_not_add_up_once_counts_are_normalised() -> None:
    """Why sums only say what to ask: with length one they are off, without they are exact."""
    off = {}
    for normed in (False, True):
        model, errors = Bag(5, normed=normed), []
        for case, _ in drawn(10, 3):
            pset = SameConcept(2.0)
            base = model.score(case.x)
            for a, b in itertools.combinations(range(len(pset.options(case))), 2):
                one, other, both = ([(a, 0)], [(b, 0)], [(a, 0), (b, 0)])
                gains = [model.score(pset.reworded(case, c)[0]) - base for c in (one, other, both)]
                errors.append(abs(gains[0] + gains[1] - gains[2]))
        off[normed] = max(errors)
    assert off[False] < 1e-9
    assert off[True] > 0.05


def searched(tmp_path: Path, attack: Any, cases: CaseSet, model: Bag, radius: float) -> tuple[dict[str, float], int]:
    """Best margin of every note under aim "worst", and evaluations."""
    spec = cell(
        cases, (attack,), pset=SameConcept(), radii=(radius,), aim="worst", access=model.access, budget=Budget(5000)
    )
    got = list(audited(tmp_path / attack.name, cases, model, spec).outcomes("cell"))
    return {o.case_id: float(o.trace.best) for o in got if o.trace.best is not None}, sum(
        o.meter["forward"] for o in got
    )


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_searches_come_near_the_best_note_and_never_pass_it(tmp_path: Path, model: Bag) -> None:
    cases, target = lined(model, [c for c, _ in drawn(12, 11)], 0.4, 2)
    best = {c.id: max(target.score(x) for x, _ in SameConcept(2.0).members(c)) for c in cases}
    clean = {c.id: target.score(c.x) for c in cases}
    for attack, least in ((Greedy(), 0.97), (Beam(), 0.97), (Gradient(), 0.85)):
        found, _ = searched(tmp_path, attack, cases, target, 2.0)
        assert set(found) == set(best)
        assert all(found[i] <= best[i] + 1e-9 for i in best)
        reached = np.mean([(found[i] - clean[i]) / (best[i] - clean[i]) for i in best if best[i] > clean[i]])
        assert reached >= least, (attack.name, reached)


def importance_ranking(model: Bag, case: Case[str], radius: int, sign: float) -> tuple[bool, int]:
    """TextFooler's order: words by what their deletion does, then the best wording of each, until the note turns."""
    pset = SameConcept(float(radius))
    sites, queries = pset.options(case), 1
    importance: Counter[int] = Counter()
    base = sign * model.score(case.x)
    for m in WORD.finditer(case.x.lower()):
        queries += 1
        change = sign * model.score(case.x[: m.start()] + case.x[m.end() :]) - base
        for k, s in enumerate(sites):
            if s.start < m.end() and m.start() < s.end:
                importance[k] = max(importance[k], change) if k in importance else change
    chosen: list[tuple[int, int]] = []
    for k, _ in importance.most_common():
        tries = [
            (sign * model.score(pset.reworded(case, [*chosen, (k, o)])[0]), o) for o in range(len(sites[k].options))
        ]
        queries += len(tries)
        top, option = max(tries)
        if top > base:
            base, chosen = top, [*chosen, (k, option)]
        if base > 0 or len(chosen) == radius:
            break
    return base > 0, queries


def test_gradients_need_a_third_of_the_queries_of_importance_ranking(tmp_path: Path) -> None:
    cases, model = world(30, normed=True, pairs=True)
    spec = cell(cases, (Gradient(),), pset=SameConcept(), radii=(2.0,), access=model.access)
    got = {o.case_id: o for o in audited(tmp_path / "b", cases, model, spec).outcomes("cell")}
    peer = {c.id: importance_ranking(model, c, 2, 1.0 if c.truth.label == LABELS[0] else -1.0) for c in cases}
    mine = [o.meter["forward"] for o in got.values()]
    broken = sum(o.kind == "broken" for o in got.values())
    assert np.mean(mine) <= np.mean([q for _, q in peer.values()]) / 3
    assert broken >= sum(ok for ok, _ in peer.values())


@pytest.mark.parametrize("pairs", [False, True])
def test_promised_gains_of_a_linear_model_are_its_gains(pairs: bool) -> None:
    """Without normalising nothing is of second order: words and pairs that reach over a site are all accounted for."""
    model = Bag(4, pairs=pairs, normed=False)
    for case, _ in drawn(6, 2):
        pset = SameConcept(2.0)
        choices = tuple((s, k) for s, site in enumerate(pset.options(case)) for k in range(len(site.options)))
        slate = Slate(0, pset, case, 2, choices)
        for now in ((), (choices[0],)):
            x, _ = slate.text(now)
            gained = promised(model._gradient(x, 1.0), slate, now)
            for choice, gain in zip(choices, gained, strict=True):
                after = tuple(sorted({**dict(now), choice[0]: choice[1]}.items()))
                assert gain == pytest.approx(model.score(slate.text(after)[0]) - model.score(x), abs=1e-9)


def test_a_slate_keeps_the_best_that_it_heard() -> None:
    case, _ = drawn(1, 2)[0]
    slate = Slate(0, SameConcept(2.0), case, 2, ((0, 0), (1, 0), (2, 0)), np.array([0.3, 0.2, -0.1]))
    assert slate.promising(2) == [((0, 0), (1, 0)), ((0, 0),)]
    assert slate.hear(((0, 0),), 1.0) and not slate.hear(((1, 0),), 0.5) and slate.best == ((0, 0),)
    assert slate.near(2) == [((0, 0), (1, 0)), ((0, 0), (2, 0))]
    assert slate.hear(((0, 0), (1, 0)), 1.5) and slate.margin == 1.5
