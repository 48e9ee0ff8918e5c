"""Why an edit is refused: what the first place says otherwise, as a word of `model.REASONS` and a sentence."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from nocere.clinical.notes.bags import bag
from nocere.clinical.notes.model import REASONS, Grade
from nocere.clinical.notes.naming import Atom

_SENTENCE = 4
"""Words and marks from which something inserted is called so, whatever it says."""
CONTRADICTIONS = frozenset(REASONS[REASONS.index("negation") : REASONS.index("heading") + 1])
"""Reasons of grade D: both texts are understood, and they contradict each other."""

_SIDES = bag("left right bilateral bilaterally unilateral unilaterally L R OD OS OU")
# In the order in which they are asked.
_CUES: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "negation",
        bag(
            "no not denies denied deny denying without negative never none nor neither absent absence cannot free "
            "unremarkable lacks lack negated unlikely excluded except nothing nobody non un"
        ),
    ),
    (
        "person",
        bag(
            "mother father mom dad brother sister son daughter wife husband family uncle aunt grandmother grandfather "
            "grandparent grandparents mother's father's brother's sister's son's daughter's wife's husband's "
            "patient's spouse partner cousin sibling siblings parent parents child relative relatives maternal "
            "paternal roommate friend donor neighbor neighbour coworker caregiver he she his her him himself herself "
            "male female man woman boy girl"
        ),
    ),
    (
        "hypothetical",
        bag(
            "if should return would unless case watch monitor prevent risk prophylaxis when until develops"
        ),
    ),
    (
        "certainty",
        bag(
            "possible possibly probable probably likely suspected suspect suspicion suspicious may might could "
            "perhaps maybe question questionable rule ruled presumed presumably consistent suggestive suggests "
            "suggest appears seems concern concerning versus vs differential confirmed definite definitely certain "
            "certainly evident known proven presumptive suspects potential cannot exclude apparent apparently"
        ),
    ),
    (
        "history",
        bag(
            "history previous previously prior past former formerly resolved old status remote ago current currently "
            "active new recent recently ongoing longstanding today yesterday now since childhood earlier chronic "
            "acute quit used former ex recurrent recurring last first"
        ),
    ),
)  # fmt: skip
_FREQUENCY = bag(
    "daily twice once weekly monthly every nightly bedtime morning evening qod hourly yearly needed thrice "
    "prn noon breakfast meals dinner lunch night"
)
_ROUTE = bag(
    "iv im sc sl pr po IV IM SC SL PR PO mouth orally oral intravenously intramuscularly subcutaneously "
    "sublingually rectally rectum topically topical inhaled inhalation nasal nasally transdermal intranasal "
    "patch intrathecal intradermal otic ophthalmic"
)
_UNITS = bag(
    "mcg mg g kg mL ml dL dl L l mm cm inch foot pound pounds ounce mEq meq mmol unit units second minute "
    "hour hours day days week weeks month months year years percent tablet tablets capsule capsules puff "
    "puffs drop drops"
)
_AMOUNTS = _FREQUENCY | _ROUTE | _UNITS
_ORDERS = _AMOUNTS | bag("by in per a the at times under via with on other")
_AMBIGUOUS = bag(
    "MS PT RA CP PE DM BS CA AS MR PID ED OD OS CF CHD CVA DC HS IT LBP MVP NPH PD PND RCA RS SS TB US AF AI "
    "AR BPD DOE ER FS GC HD ID IM LE LL MD MI MM OT PA PAD PR PS PVD RF ROM RT SA SBO SC SI SLE ST TD TIA TR "
    "UC VD WNL"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two runs of atoms differ: positions in them, and why it is refused."""

    before: tuple[int, int]
    after: tuple[int, int]
    reason: str
    why: str

    @property
    def grade(self) -> Grade | None:
        """D for a contradiction, None where something is only not known."""
        return "D" if self.reason in CONTRADICTIONS else None


def differences(
    original: str, edited: str, before: Sequence[Atom], after: Sequence[Atom], headings: Sequence[tuple[int, int]]
) -> list[Difference]:
    """Every place where the widest values of two runs differ, in order; none if they do not.

    Args:
        original: the text before.
        edited: the text after.
        before: atoms of the original.
        after: atoms of the edited text.
        headings: spans of headings in the original.
    """
    old, new = [a.wide for a in before], [a.wide for a in after]
    moved = old != new and Counter(old) == Counter(new)
    found: list[Difference] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        here, there = before[i1:i2], after[j1:j2]
        reason, why = _reason(original, edited, here, there, moved)
        if reason not in ("characters", "moved"):
            at = before[i1].start if i1 < len(before) else len(original)
            last = here[-1].end if here else at
            if any(start <= at < end and last <= end for start, end in headings):
                reason, why = "heading", f"The heading is changed: {_shown(original, here)} to {_shown(edited, there)}."
        if reason in ("inserted", "removed"):
            reason, why = _qualified(original, edited, before, after, (i1, i2, j1, j2), reason, why)
        found.append(Difference((i1, i2), (j1, j2), reason, why))
    return found


def _reason(original: str, edited: str, here: Sequence[Atom], there: Sequence[Atom], moved: bool) -> tuple[str, str]:
    old, new = _shown(original, here), _shown(edited, there)
    odd = [c for a in there for c in edited[a.start : a.end] if a.kind == "odd" or not c.isascii()]
    odd = odd or [c for a in here for c in original[a.start : a.end] if a.kind == "odd" or not c.isascii()]
    if odd:
        name = unicodedata.name(odd[0], f"U+{ord(odd[0]):04X}")
        return "characters", f"{new or old} holds {name}, which no wording is licensed with."
    if moved and not all(_counts(a) or a.kind == "mark" for a in (*here, *there)):
        return "moved", f"{old or new} stands at another place in the edited text."
    changed = f"{old} is not {new}." if here and there else f"{new or old} is {'inserted' if there else 'removed'}."
    if all(a.kind in ("mark", "break") for a in (*here, *there)):
        return "scope", f"Punctuation differs, which may move what a word applies to: {changed}"
    if len(here) + len(there) >= _SENTENCE and not (here and there):
        return ("inserted", f"{new} is inserted.") if there else ("removed", f"{old} is removed.")
    words_before, words_after = _words(original, here), _words(edited, there)
    only = set((words_before - words_after) | (words_after - words_before))
    low = {w.lower() for w in only}
    numbers = [[a.wide for a in atoms if _counts(a)] for atoms in (here, there)]
    if numbers[0] and numbers[1] and numbers[0] != numbers[1]:
        return "number", f"The amount differs: {changed}"
    if old.lower() == new.lower():
        return "ambiguous", f"{changed[:-1]}: in this case it means something else."
    negation, *others = _CUES
    if low & negation[1]:
        return "negation", f"A negation differs: {changed}"
    if _SIDES & (low | only):
        return "side", f"The side differs: {changed}"
    if (here and there and numbers[0] != numbers[1]) or (low & _AMOUNTS and low <= _ORDERS):
        return "number", f"A number, dose, unit, route, frequency or date differs: {changed}"
    for reason, cues in others:
        if low & cues:
            return reason, f"What is said of {reason} differs: {changed}"
    if numbers[0] != numbers[1]:
        return "number", f"A number differs: {changed}"
    if not here:
        return "inserted", f"{new} is inserted."
    if not there:
        return "removed", f"{old} is removed."
    return _concepts(here, there, words_before, words_after, old, new)


def _concepts(
    here: Sequence[Atom], there: Sequence[Atom], before: Counter[str], after: Counter[str], old: str, new: str
) -> tuple[str, str]:
    mine = next((a.entry for a in here if a.entry), None)
    theirs = next((a.entry for a in there if a.entry), None)
    a, b = ({w.lower() for w in words} for words in (before, after))
    if theirs and theirs.relation == "narrower" and (not mine or mine.relation != "narrower"):
        return "narrower", f"{new} is a narrower thing than {old}."
    if mine and mine.relation == "narrower" and (not theirs or theirs.relation != "narrower"):
        return "broader", f"{new} is a broader thing than {old}."
    if a and a < b:
        return "narrower", f"{new} says more than {old}."
    if b and b < a:
        return "broader", f"{new} says less than {old}."
    if mine and theirs:
        if theirs.code != mine.code and theirs.code.startswith(mine.code.rstrip("0")):
            return "narrower", f"{theirs.concept} ({theirs.code}) is narrower than {mine.concept} ({mine.code})."
        if theirs.code != mine.code and mine.code.startswith(theirs.code.rstrip("0")):
            return "broader", f"{theirs.concept} ({theirs.code}) is broader than {mine.concept} ({mine.code})."
        return (
            "different concept",
            f"{old} is {mine.concept} ({mine.code}), {new} is {theirs.concept} ({theirs.code}).",
        )
    if {w for w in before | after if w in _AMBIGUOUS}:
        return "ambiguous", f"{old} and {new}: an abbreviation with several meanings."
    if mine or theirs:
        return "different concept", f"The lexicon does not know {new if mine else old} as {(mine or theirs).concept}."  # type: ignore[union-attr]
    return "unknown", f"The lexicon does not know that {new} is another wording of {old}."


def _qualified(
    original: str,
    edited: str,
    before: Sequence[Atom],
    after: Sequence[Atom],
    place: tuple[int, int, int, int],
    reason: str,
    why: str,
) -> tuple[str, str]:
    """A word or two added beside a concept make it narrower, taken away broader."""
    i1, i2, j1, j2 = place
    changed = after[j1:j2] if reason == "inserted" else before[i1:i2]
    run = before if reason == "removed" else after
    first, last = (i1, i2) if reason == "removed" else (j1, j2)
    beside = [run[k] for k in (first - 1, last) if 0 <= k < len(run)]
    if len(changed) <= 2 and all(a.kind == "word" for a in changed) and any(a.kind == "concept" for a in beside):
        text = edited if reason == "inserted" else original
        word = _shown(text, changed)
        if reason == "inserted":
            return "narrower", f"{word} is added to a concept."
        return "broader", f"{word} is taken from a concept."
    return reason, why


def _counts(atom: Atom) -> bool:
    return atom.kind in ("number", "measure", "date")


def _words(text: str, atoms: Sequence[Atom]) -> Counter[str]:
    words: Counter[str] = Counter()
    for a in atoms:
        words.update([a.wide] if a.kind == "word" else [])
        words.update(w.strip(".,;:()") for w in text[a.start : a.end].split())
    return words


def _shown(text: str, atoms: Sequence[Atom]) -> str:
    return repr(text[atoms[0].start : atoms[-1].end][:80]) if atoms else ""
