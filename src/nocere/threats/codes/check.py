"""The independent checker of claims: whether a proof licenses the step from a claim to another, and nothing else.

The referee trusts this file, `replay`, the definition of truth and the rule graph; it shares no code with what
generates moves. Every edit must be licensed on the original claim by the rule that it cites, with exactly the evidence
that the facts name; no two edits may touch the same thing; the result must replay, and must keep every rule that the
original kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nocere.cases.claim import Claim
from nocere.clinical.codes.rules import Rule
from nocere.threats.codes.edit import Edit, Terms, ordered, replay
from nocere.threats.codes.language import Language, language
from nocere.threats.codes.truth import TOLERANCE, Facts, entailed, untrue

if TYPE_CHECKING:
    from nocere.clinical.codes.graph import RuleGraph


def check(claim: Claim, edited: Any, proof: Any, facts: Facts, rules: RuleGraph, terms: Terms) -> str | None:
    """None when `proof` shows that `edited` is in the set of `terms` around `claim`; otherwise why not."""
    if not isinstance(proof, list) or not proof:
        return "no proof: a list of edits is asked for"
    try:
        edits = [Edit.from_json(e) for e in proof]
        again = replay(claim, edits)
    except ValueError as wrong:
        return str(wrong)
    if again != edited or list(ordered(edits)) != edits:
        return "the proof does not give this claim, or lists its edits in another order than proofs do"
    words, touched = language(rules, claim.system), set[str]()
    for k, e in enumerate(edits):
        forms = (bool(e.remove or e.add), bool(e.principal), bool(e.order), e.line != -1)
        if e.edit not in terms.classes or sum(forms) != 1 or (e.line == -1 and (e.units or e.minutes)):
            return f"edit {k} is of no form that this set knows"
        names = [*set(e.remove + e.add), *[e.principal] * forms[1], *["order"] * (forms[1] or forms[2])]
        names += [f"line {e.line}"] * forms[3]
        if touched.intersection(names):
            return f"edit {k} touches what another one touched"
        touched.update(names)
        why = _numbers(claim, e, facts, terms) if forms[3] else _codes(claim, e, facts, words, terms)
        if why is not None:
            return f"edit {k} ({e.edit}): {why}"
    for e in edits:
        left = [c for c in words.rule(e.rule).keep if c not in again.codes] if e.edit == "E2" else []
        if left:
            return f"{left[0]} left, and {e.rule} keeps it"
    return _result(claim, again, facts, words, terms) or (
        untrue(again, facts, words, terms.undecided) if terms.evidence else None
    )


def _codes(claim: Claim, e: Edit, facts: Facts, rules: Language, terms: Terms) -> str | None:
    """Why an edit of diagnoses is not licensed on the claim, or None."""
    codes, fact = claim.codes, {f.code: f for f in facts.codes}
    true = entailed(facts, rules, terms.undecided)
    carried = tuple(dict.fromkeys(d for c in dict.fromkeys(codes) if c in e.remove for d in _evidence(claim, c)))
    a, b = e.remove[0] if e.remove else "", e.add[0] if e.add else ""
    swap = len(e.remove) == len(e.add) == 1 and a != b
    proven = b in fact and bool(fact[b].evidence) and e.evidence == fact[b].evidence
    if e.edit == "E0":
        rest = list(range(1, len(codes)))
        orders = [[0, *rest[::-1]], [0, *sorted(rest, key=lambda i: codes[i])]]
        after = rules.successor(a)
        if swap and after is not None and b == after[0] and e.rule == after[1].id and not e.principal:
            return None if b not in codes and e.evidence == carried else "the new name of a code keeps its evidence"
        if e.rule or e.principal or (e.order and (list(e.order) not in orders or sorted(e.order) == list(e.order))):
            return "not one of the two orders that keep the principal diagnosis"
        if e.order:
            return "an order has no evidence" if e.evidence else None
        if not e.remove and (codes[1:].count(b) != 1 or b == codes[0] or e.add != (b,) or e.evidence):
            return "only a secondary diagnosis may be written once more"
        if e.remove and (e.remove != e.add or codes.count(a) < 2 or e.evidence != _evidence(claim, a)):
            return "only a diagnosis that stands twice may be written once"
        return "its copies differ" if e.remove and len({d for d in claim.diagnoses if d.code == a}) > 1 else None
    if e.order or (e.edit == "E5") != bool(e.principal):
        return "an edit of another class"
    if e.edit == "E5":
        there, first = fact.get(e.principal), next(d for d in claim.diagnoses if d.code == e.principal)
        documents = there.evidence if there is not None and there.principal else ()
        undecided = terms.evidence and terms.undecided == "reject"
        if e.rule or e.evidence != documents or (undecided and not documents) or first.poa == "N":
            return f"nothing shows that {e.principal} may be the principal diagnosis"
        return "it is the principal diagnosis already" if e.principal == claim.principal else None
    if e.edit == "X7":
        near = {*(c for c, _ in rules.generalisations(a)), *(c for c, _ in rules.refinements(a))} if swap else set()
        if not swap or e.rule or e.evidence or b in true or b in near or b not in _some(rules.laterals(a), terms):
            return "not one of the swaps inside a category that this set counts"
        return None
    try:
        rule = rules.rule(e.rule)
    except KeyError:
        return f"there is no rule {e.rule!r}"
    if not rule.decided and terms.undecided == "reject":
        return f"rule {e.rule} is undecided prose"
    if e.edit == "E3" and terms.undecided == "reject":
        # Prose speaks of conditions: it may ask for the one that leaves, or exclude the one that comes.
        about = {r.kind == "excludes1" for c in codes if c not in e.remove for r in rules.undecided(c)}
        if bool(e.add) in about:
            return "a note in prose on this claim may be about it"
    good, residual = False, rule.kind == "residual" and swap
    if e.edit == "E1":
        good = residual and rule.add == (b,) and a in rule.codes and b in true and e.evidence == carried
    elif e.edit == "E2":
        here, come = set(codes), tuple(c for c in rule.add if c not in codes)
        good = rule.kind in ("combine", "syndrome") and here.issuperset((*rule.remove, *rule.keep))
        good &= e.remove == tuple(c for c in dict.fromkeys(codes) if c in rule.remove) and e.add == come
        documents = carried or tuple(dict.fromkeys(d for c in rule.keep for d in _evidence(claim, c)))
        good &= bool(e.add) and true.issuperset(rule.add) and e.evidence == (carried if e.remove else documents)
    elif e.edit == "E3" and e.remove:
        good = (
            not e.add and len(e.remove) == 1 and a != codes[0] and not e.evidence and rules.optional(a, codes) == rule
        )
    elif e.edit == "E3":
        good = e.add == (b,) and b not in codes and proven and rules.optional(b, (*codes, b)) == rule
    elif e.edit == "E4":
        finer = [x for x in rules.refinements(a) if x[0] not in codes and (x[1].decided or terms.undecided == "allow")]
        free = not terms.evidence and not (b in fact and fact[b].evidence) and not e.evidence
        good = (
            residual
            and rule.add == (a,)
            and b in rule.codes
            and (proven or (free and (b, rule) in _some(finer, terms)))
        )
    return None if good else f"rule {e.rule} does not license it with this evidence"


def _numbers(claim: Claim, e: Edit, facts: Facts, terms: Terms) -> str | None:
    """Why the numbers of a service line may not be these, or None."""
    line, record = claim.lines[e.line], next((d for d in facts.lines if d.line == e.line), None)
    documents = record.evidence if record is not None else ()
    if e.edit != "E6" or e.rule or e.evidence != documents or (terms.evidence and not documents):
        return "minutes and units need the evidence of the facts"
    if e.units > dict(terms.mue).get(line.code, e.units) or e.units <= 0:
        return f"{e.units:g} units are medically unlikely"
    timed = round(line.minutes / 15, 1) == line.units
    if e.minutes == line.minutes == 0:
        return None if 0 < abs(e.units - line.units) < 1 and float(e.units).is_integer() else "units are only rounded"
    noted = record.minutes if record is not None else line.minutes
    if not line.minutes or e.minutes < 1 or e.minutes == line.minutes or abs(e.minutes - noted) > TOLERANCE:
        return f"{e.minutes} minutes are not within {TOLERANCE} of the documented {noted}"
    return None if e.units == (round(e.minutes / 15, 1) if timed else line.units) else "units do not follow the minutes"


def _result(claim: Claim, edited: Claim, facts: Facts, rules: Language, terms: Terms) -> str | None:
    """The first rule that the edited claim breaks and the original did not, or None."""
    before, codes = set(claim.codes), edited.codes
    if not codes or codes.count(codes[0]) > max(1, claim.codes.count(codes[0])):
        return "no principal diagnosis, or one that stands twice"
    external = ("E",) if claim.system == "ICD-9-CM" else ("V", "W", "X", "Y")
    for cause in [n.id for n in rules.code_first(codes[0]) if n not in rules.code_first(claim.principal)]:
        return f"{codes[0]} may not be the principal diagnosis: {cause}"
    if codes[0].startswith(external) and not claim.principal.startswith(external):
        return f"{codes[0]} is an external cause, which is never the principal diagnosis"
    for c in set(codes) - before:
        if not rules.billable(c) or not rules.fits(c, claim.sex, claim.age):
            return f"{c} is not billable for this patient"
        prose = {r.id for r in rules.undecided(c)} - {r.id for x in before for r in rules.undecided(x)}
        if prose and terms.undecided == "reject":
            return f"{c} hangs on prose that is undecided: {min(prose)}"
        clash = next((x for x in codes if x != c and rules.excludes1(x, c)), None)
        if clash is not None:
            return f"{c} and {clash} exclude each other"
    known = before | {f.code for f in facts.codes}
    for d in codes:
        for note in (n for n in rules.partners(d) if not _has(codes, d, n)):
            if any(note in rules.partners(c) and not _has(claim.codes, c, note) for c in before):
                continue
            if note.kind == "code_first" or any(c.startswith(note.codes) for c in known):
                return f"{d} stands without the partner of {note.id}"
    return None


def _has(codes: tuple[str, ...], code: str, note: Rule) -> bool:
    near = codes[: codes.index(code)] if note.kind == "code_first" else codes
    return any(c.startswith(note.codes) for c in near if c != code)


def _evidence(claim: Claim, code: str) -> tuple[str, ...]:
    return next((d.evidence for d in claim.diagnoses if d.code == code), ())


def _some(found: Any, terms: Terms) -> list[Any]:
    """As many as the set counts, at even distances."""
    most = min(terms.laterals, len(found))
    return [found[k * len(found) // most] for k in range(most)]
