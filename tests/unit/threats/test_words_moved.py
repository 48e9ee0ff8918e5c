"""Insertions, orders and contradictions of notes: what may be done where, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from tests.worded import notes

from nocere.cases.note import note_case
from nocere.clinical.notes.lexicon import load_lexicon
from nocere.clinical.notes.model import Scan
from nocere.clinical.notes.scan import scan
from nocere.core.errors import UsageError
from nocere.threats.words.controls import REASONS, Controls
from nocere.threats.words.insert import Boilerplate, Phrase, boilerplate, may_follow, parsed
from nocere.threats.words.reorder import Reorder, leans, movable
from nocere.threats.words.splice import Splice, proof_of, replay, splices_of
from nocere.threats.words.statements import statements

SAYS_NOTHING = boilerplate()[0]
NOTE = (
    "HPI: She has back pain. Vital signs were stable. Labs were drawn. The lungs are clear. It was chronic. "
    "Cough was denied.\nFAMILY HISTORY: Father with asthma. Alive.\nMEDICATIONS:\n- ibuprofen 400 mg.\n1. aspirin.\n"
    "PLAN: Rest. Return at once"
)


def put(text: str, after: str, sentence: str = SAYS_NOTHING) -> tuple[str, Any]:
    at = text.index(after) + len(after)
    s = [Splice(at, at, f" {sentence}")]
    return replay(text, s), proof_of(s)


# --- insertions ------------------------------------------------------------------------------------------------------


def test_packaged_sentences_say_nothing_that_the_scanner_reads() -> None:
    """Neither a concept nor a number nor a side, and no word that changes what others say."""
    assert len(boilerplate()) == len(set(boilerplate())) >= 120
    words = re.compile(
        r"\b(no|not|never|without|denies|denied|negative|possible|probable|likely|may|might|could|if|history|past|"
        r"father|mother|family|left|right|bilateral|risk|rule|suspected|unless|patient|he|she)\b", re.IGNORECASE,
    )  # fmt: skip
    for s in boilerplate():
        found = scan(s, load_lexicon())
        assert not found.mentions and not found.quantities and not found.sides, s
        assert len(found.sentences) == len(found.sections) == 1 and not found.sections[0].kind, s
        assert not words.search(s), s
        assert re.fullmatch(r"[A-Z][A-Za-z -]+\.", s), s


@pytest.mark.parametrize("i", range(3))
def test_a_sentence_that_says_nothing_changes_nothing_wherever_it_may_stand(i: int) -> None:
    case = notes(3, 5)[i]
    words = load_lexicon()
    before, found = statements(case.x, words), scan(case.x, words)
    places = [at for at in range(len(case.x) + 1) if may_follow(found, at)]
    assert len(places) > 6
    for at in places:
        for s in boilerplate()[:: 17 + i]:
            x = replay(case.x, [Splice(at, at, f" {s}")])
            assert statements(x, words) == before, (at, s)
            assert Boilerplate(1.0).check(case, x, proof_of([Splice(at, at, f" {s}")])) is None


@pytest.mark.parametrize(
    ("after", "allowed"),
    [("back pain.", True), ("were drawn.", True), ("Rest.", True), ("asthma.", False), ("Alive.", False),
     ("400 mg.", False), ("aspirin.", False), ("back pain", False), ("She", False), ("at once", False), ("1.", False)],
)  # fmt: skip
def test_where_a_sentence_may_stand(after: str, allowed: bool) -> None:
    assert (Boilerplate(1.0).check(note_case("a", NOTE), *put(NOTE, after)) is None) == allowed


@pytest.mark.parametrize(
    "sentence",
    [
        "The patient is well.",
        SAYS_NOTHING[:-1],
        SAYS_NOTHING + "\n",
        f"{SAYS_NOTHING} No pain.",
        SAYS_NOTHING.lower(),
        "",
    ],
)
def test_only_packaged_sentences_are_inserted(sentence: str) -> None:
    assert Boilerplate(3.0).check(note_case("a", NOTE), *put(NOTE, "Rest.", sentence)) is not None


def test_insertions_count_sentences_and_replace_nothing() -> None:
    case, two = note_case("a", NOTE), " ".join(boilerplate()[:2])
    assert parsed(f" {two}") == boilerplate()[:2]
    assert Boilerplate(2.0).check(case, *put(NOTE, "Rest.", two)) is None
    assert Boilerplate(2.0).cost(case, *put(NOTE, "Rest.", two)).value == 2
    assert "allowed" in Boilerplate(1.0).check(case, *put(NOTE, "Rest.", two)).why  # type: ignore[union-attr]
    twice = f"{SAYS_NOTHING} {SAYS_NOTHING}"
    assert "twice" in Boilerplate(2.0).check(case, *put(NOTE, "Rest.", twice)).why  # type: ignore[union-attr]
    at = NOTE.index(" Labs")
    swapped = [Splice(at, at + len(" Labs were drawn."), f" {SAYS_NOTHING}")]
    assert "no insertion" in Boilerplate(1.0).check(case, replay(NOTE, swapped), proof_of(swapped)).why  # type: ignore[union-attr]
    places = [NOTE.index(a) + len(a) for a in ("back pain.", "Rest.")]
    both = [Splice(at, at, f" {s}") for at, s in zip(places, boilerplate(), strict=False)]
    assert Boilerplate(2.0).check(case, replay(NOTE, both), proof_of(both)) is None
    assert "one place" in Phrase(2.0).check(case, replay(NOTE, both), proof_of(both)).why  # type: ignore[union-attr]


def test_a_phrase_is_the_same_for_every_note() -> None:
    pset, phrase = Phrase(3.0), list(boilerplate()[5:9])
    added = set()
    for case in notes(5, 1):
        x, proof = pset.shift(case, phrase)
        assert pset.check(case, x, proof) is None
        (s,) = splices_of(proof)
        added.add(s.text)
    assert added == {"".join(f" {s}" for s in phrase[:3])}
    nowhere = note_case("a", "no sentence ends here")
    assert pset.obstacle(nowhere) and pset.shift(nowhere, phrase) == (nowhere.x, None)


# --- orders ----------------------------------------------------------------------------------------------------------


def exchanged(text: str, a: str, b: str) -> tuple[str, Any]:
    i, j = text.index(a), text.index(b)
    s = [Splice(i, i + len(a), b), Splice(j, j + len(b), a)]
    return replay(text, s), proof_of(s)


@pytest.mark.parametrize("sentence", ["It was chronic.", "This is so.", "She is well.", "He then left.", "And so on.",
                                      "Pain was worse because of it.", "Later, labs."])  # fmt: skip
def test_sentences_that_lean_on_others_stay(sentence: str) -> None:
    assert leans(sentence)


def test_which_sentences_may_change_places() -> None:
    """Not one that leans, nor the one before it; never across sections, in lists, or without a stop."""
    free = [s.of(NOTE) for section in movable(NOTE, load_lexicon()) for s in section]
    assert free == ["Vital signs were stable.", "Labs were drawn."] + (
        ["Cough was denied."] if "Cough" in str(free) else []
    )
    case = note_case("a", NOTE)
    x, proof = exchanged(NOTE, "Vital signs were stable.", "Labs were drawn.")
    assert Reorder(2.0).check(case, x, proof) is None
    assert Reorder(2.0).cost(case, x, proof).value == 2
    assert Reorder(1.0).check(case, x, proof) is not None
    for a, b in (("Labs were drawn.", "It was chronic."), ("Labs were drawn.", "The lungs are clear."),
                 ("Labs were drawn.", "Rest."), ("Labs", "Vital signs"), ("Father with asthma.", "Alive.")):  # fmt: skip
        assert Reorder(4.0).check(case, *exchanged(NOTE, *sorted((a, b), key=NOTE.index))) is not None, (a, b)
    dropped = [Splice(NOTE.index("Labs"), NOTE.index("Labs") + 16, "Vital signs were stable.")]
    assert "not those" in Reorder(4.0).check(case, replay(NOTE, dropped), proof_of(dropped)).why  # type: ignore[union-attr]
    assert Reorder(2.0).obstacle(note_case("a", "Only this. It is so.")) != ""


def test_new_orders_are_members_and_state_the_same() -> None:
    n = 0
    for case in notes(4, 2):
        for radius in (2.0, 3.0):
            pset = Reorder(radius)
            for x, proof in pset.moves(case, case.x, None):
                assert pset.check(case, x, proof) is None
                assert sorted(x.split()) == sorted(case.x.split())
                n += 1
                for y, longer in list(pset.moves(case, x, proof))[:5]:
                    assert pset.check(case, y, longer) is None and y != x
    assert n > 20


# --- contradictions --------------------------------------------------------------------------------------------------


def test_every_rule_makes_contradictions_that_the_verifier_refuses_for_its_reason() -> None:
    made: dict[str, int] = {}
    text = "The patient denies cough. Possible asthma. "
    for case in [*notes(6, 4), note_case("b", text + "She has back pain.")]:
        pset = Controls(1.0)
        for s in pset.edits(case):
            x, proof = replay(case.x, [s]), proof_of([s])
            assert pset.check(case, x, proof) is None
            other = next(r for r in REASONS if REASONS[r] != REASONS[s.rule])
            assert pset.check(case, x, proof_of([s._replace(rule=other)])) is not None
            assert Controls(1.0, rules=(other,)).check(case, x, proof) is not None
            assert pset.check(case, x, proof_of([s._replace(rule="")])) is not None
            made[s.rule] = made.get(s.rule, 0) + 1
    assert set(made) == set(REASONS), made


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [("back pain", "lumbago", "negation"), ("back pain", "backache", "person"), ("400 mg", "400mg", "dose"),
     ("She has", "She  has", "certainty")],
)  # fmt: skip
def test_a_wording_is_no_contradiction(before: str, after: str, rule: str) -> None:
    at = NOTE.index(before)
    s = [Splice(at, at + len(before), after, rule)]
    assert Controls(1.0).check(note_case("a", NOTE), replay(NOTE, s), proof_of(s)) is not None


def test_controls_refuse_rules_that_they_do_not_know() -> None:
    assert Controls(1.0, rules=["dose"]).rules == ("dose",)  # type: ignore[arg-type]
    for rules in ((), ("dose", "colour")):
        with pytest.raises(UsageError, match="no rule"):
            Controls(1.0, rules=rules)


# --- what the checks stand on ----------------------------------------------------------------------------------------


def test_a_scanner_that_reads_more_after_an_insertion_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    from nocere.threats.words import statements as there

    def suspicious(text: str, lexicon: Any) -> Scan:
        found = scan(text, lexicon)
        return replace(found, mentions=()) if SAYS_NOTHING in text else found

    case = note_case("a", NOTE)
    monkeypatch.setattr(there, "scan", suspicious)
    assert "states something else" in Boilerplate(1.0).check(case, *put(NOTE, "Rest.")).why  # type: ignore[union-attr]


def test_an_order_after_which_the_scanner_reads_less_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from nocere.threats.words import statements as there

    case = note_case("a", NOTE)
    x, proof = exchanged(NOTE, "Vital signs were stable.", "Labs were drawn.")
    monkeypatch.setattr(there, "scan", lambda t, w: replace(scan(t, w), mentions=()) if t == x else scan(t, w))
    assert "states something else" in Reorder(2.0).check(case, x, proof).why  # type: ignore[union-attr]


@pytest.mark.parametrize("told", [("D", "side"), (None, "unknown"), (None, "negation")])
def test_a_contradiction_that_the_verifier_refuses_for_another_reason_is_none(
    monkeypatch: pytest.MonkeyPatch, told: tuple[Any, str]
) -> None:
    from nocere.clinical.notes.model import Verified
    from nocere.threats.words import controls

    case = note_case("a", NOTE)
    s = next(s for s in Controls().edits(case) if s.rule == "negation")
    monkeypatch.setattr(controls, "verified", lambda *_: Verified(False, told[0], (), "", told[1]))
    assert "no contradiction" in Controls().check(case, replay(NOTE, [s]), proof_of([s])).why  # type: ignore[union-attr]
