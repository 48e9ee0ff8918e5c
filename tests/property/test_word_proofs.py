"""Proofs of edited notes: honest ones are accepted, and every mutant of one is refused or true by another road.

The oracle of a mutant is written here, beside the rules: replay by slices, the verifier on the two texts, and counts.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worded import notes

from nocere.clinical.notes.verify import verify
from nocere.core.registry import entries
from nocere.threats.words.splice import Splice, proof_of, replay, splices_of

THREATS = [e for e in entries("threat") if e.facts.get("modality") == "note"]
CASES = notes(6, 17)


def replayed(text: str, proof: list[dict[str, Any]]) -> str:
    """From the last edit to the first, so that offsets stay."""
    for e in sorted(proof, key=lambda e: -e["start"]):
        text = text[: e["start"]] + e["text"] + text[e["end"] :]
    return text


def walked(pset: Any, case: Any, rng: random.Random) -> tuple[str, list[dict[str, Any]]] | None:
    """A member of the set after one to `radius` moves."""
    x, proof = case.x, None
    for _ in range(rng.randint(1, int(pset.radius))):
        near = list(pset.moves(case, x, proof))
        if not near:
            break
        x, proof = rng.choice(near)
    return None if proof is None else (x, proof)


@pytest.mark.parametrize("entry", THREATS, ids=lambda e: e.name)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_moves_lead_to_members_whose_proof_replays(entry: Any, seed: int) -> None:
    rng = random.Random(seed)
    case, pset = rng.choice(CASES), entry.make()
    found = walked(pset, case, rng)
    if found is None:
        return
    x, proof = found
    assert replayed(case.x, proof) == x == replay(case.x, splices_of(proof))
    told = pset.check(case, x, proof)
    if told is not None:
        # Options are verified alone; that two of them clash is for the check to say, and the verifier agrees.
        assert len(proof) > 1 and not verify(case.x, x).accepted, told.why
        return
    cost = pset.cost(case, x, proof)
    assert 0 < cost.value <= pset.radius
    assert pset.at(cost.value).check(case, x, proof) is None
    assert pset.at(cost.value - 1).check(case, x, proof) is not None
    assert pset.to_json() == entry.make().to_json()


def mutants(text: str, x: str, proof: list[dict[str, Any]], rng: random.Random) -> Iterator[tuple[str, str, Any]]:
    """Wrong proofs of the true note, wrong notes with the true proof, and wrong proofs with just what they give."""
    yield "no proof", x, None
    yield "empty", x, []
    yield "junk", x, [*proof, rng.choice([7, None, [], {"start": 0}])]
    yield "original", text, proof
    for other in (x + " ", x[:-2], x.replace(" ", "  ", 1), x.replace("denies", "reports"), x.upper()):
        if other != x:
            yield "another note", other, proof
    wrong: list[tuple[str, list[dict[str, Any]]]] = []
    for k, e in enumerate(proof):
        rest = proof[:k], proof[k + 1 :]
        far = rng.randrange(len(text))
        for name, m in (
            ("moved", {**e, "start": e["start"] + 1, "end": e["end"] + 1}),
            ("longer", {**e, "end": e["end"] + rng.randint(1, 9)}),
            ("elsewhere", {**e, "start": far, "end": far + e["end"] - e["start"]}),
            ("denied", {**e, "text": "no " + e["text"]}),
            ("stopped", {**e, "text": e["text"] + ". No"}),
            ("dose", {**e, "text": e["text"] + " 50 mg"}),
            ("emptied", {**e, "text": ""}),
            ("reversed", {**e, "text": e["text"][::-1]}),
        ):
            wrong.append((name, [*rest[0], m, *rest[1]]))
        wrong.append(("twice", [*proof, e]))
        if len(proof) > 1:
            wrong.append(("dropped", [*rest[0], *rest[1]]))
    if len(proof) > 1:
        wrong.append(("unsorted", proof[::-1]))
    for name, p in wrong:
        yield name, x, p
        try:
            yield f"{name}, and what it gives", replay(text, splices_of(p)), p
        except ValueError:
            continue


def test_no_mutant_of_a_proof_is_accepted_that_says_something_else() -> None:
    """Of an accepted mutant, the verifier itself accepts the note, or the set's own words allow it."""
    seen: dict[str, Counter[str]] = {}
    rng = random.Random(5)
    for entry in THREATS:
        pset = entry.make()
        count = seen.setdefault(entry.name, Counter())
        for case in CASES:
            for _ in range(4):
                found = walked(pset, case, rng)
                if found is None or pset.check(case, *found) is not None:
                    continue
                for name, y, proof in mutants(case.x, *found, rng):
                    accepted = pset.check(case, y, proof) is None
                    count["accepted" if accepted else "refused"] += 1
                    if not accepted:
                        continue
                    assert replayed(case.x, proof) == y and y != case.x, name
                    assert name.startswith(("dropped", "longer", "moved", "elsewhere", "emptied", "stopped", "denied", "dose", "reversed")), name  # fmt: skip
                    if entry.name in ("notes.surface", "notes.same_concept", "notes.coding_variant", "notes.coding_variant_wide"):  # fmt: skip
                        told = verify(case.x, y)
                        assert told.accepted and set(told.grade or "") <= pset.grades, (name, told)
                    elif entry.name == "notes.controls":
                        assert not verify(case.x, y).accepted
                    else:
                        same = sorted(y.split()) == sorted(case.x.split())
                        assert same or all(e["start"] == e["end"] and e["text"] for e in proof), name
    assert all(c["refused"] > 100 for c in seen.values()), seen
    assert all(c["accepted"] < 0.2 * c["refused"] for c in seen.values()), seen


def test_rules_that_believe_the_proof_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: a check that only replays accepts denials and doses."""
    from nocere.threats.words import sets

    def believing(self: Any, case: Any, x: Any, proof: Any) -> Any:
        try:
            return None if replay(case.x, splices_of(proof)) == x else sets.Violation("another note")
        except ValueError as e:
            return sets.Violation(str(e))

    monkeypatch.setattr(sets.Rewordings, "check", believing)
    monkeypatch.setattr(f"{__name__}.THREATS", [e for e in THREATS if e.name == "notes.surface"])
    with pytest.raises(AssertionError):
        test_no_mutant_of_a_proof_is_accepted_that_says_something_else()


@given(text=st.text("ab \n", min_size=1, max_size=12), data=st.data())
@settings(max_examples=200, deadline=None)
def test_replay_is_slicing_and_refuses_what_has_no_order(text: str, data: Any) -> None:
    offset = st.integers(-2, len(text) + 2)
    some = data.draw(st.lists(st.tuples(offset, offset, st.text("xy", max_size=2)), min_size=1, max_size=3))
    splices = tuple(Splice(*s) for s in some)
    ends = [s.end for s in splices]
    legal = all(0 <= s.start <= s.end <= len(text) and text[s.start : s.end] != s.text for s in splices)
    legal &= all(b.start >= e and b.start > a.start for a, b, e in zip(splices, splices[1:], ends, strict=False))
    if legal:
        assert replay(text, splices) == replayed(
            text, [{"start": s.start, "end": s.end, "text": s.text} for s in splices]
        )
        assert splices_of(proof_of(splices)) == splices
    else:
        with pytest.raises(ValueError, match="edit"):
            replay(text, splices)
