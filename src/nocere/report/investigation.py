"""An investigation in words: lines for a terminal, one self-contained page for a reader."""

from __future__ import annotations

import base64
from typing import Any

from nocere.provenance.fingerprint.compare import Change
from nocere.provenance.fingerprint.verdict import Verdict
from nocere.provenance.investigate.investigation import CANNOT_TELL, Investigation
from nocere.report.html import page_environment, style

MEANS = {
    Verdict.IDENTICAL: "the bytes are those that were captured",
    Verdict.LOSSLESS_EQUIVALENT: "another encoding of the same samples, meaning and identity",
    Verdict.IDENTITY_COERCED: "same samples and meaning, other patient, study or instance",
    Verdict.MEANING_CHANGED: "same samples, but an attribute that decides how they are read differs",
    Verdict.PIXELS_CHANGED: "samples differ from those that were captured",
    Verdict.SUBSTITUTED: "other captured content stands in for the one that is claimed",
    Verdict.UNREGISTERED: "no capture record matches",
    Verdict.UNDECODABLE: "the bytes cannot be decoded here; this is never a pass",
    Verdict.EVIDENCE_INVALID: "a record, key, proof or the original itself fails",
}
LONGEST = 80


def heading(found: Investigation) -> str:
    """The headline with what qualifies it."""
    word = found.verdict.value
    if found.findings[0].authorised and found.verdict in (Verdict.IDENTITY_COERCED, Verdict.MEANING_CHANGED):
        return f"{word} (authorised)"
    if found.verdict is Verdict.PIXELS_CHANGED and found.explanation is not None:
        e = found.explanation
        return f"{word}, EXPLAINED-BY {e.transform}" if e.explained else f"{word}, UNEXPLAINED"
    return word


def explanation_line(found: Investigation) -> str:
    """What explains changed samples, with its residual; empty where samples did not change."""
    e = found.explanation
    if e is None:
        return found.why_unexplained
    return str(e)


def _value(kind: str, value: str | None) -> str:
    """A value fit to be shown: texts of notes never are, long ones only by their length."""
    if value is None:
        return "absent"
    if kind == "note" or len(value) > LONGEST:
        return f"({len(value)} characters)"
    return value or "(empty)"


def change_line(kind: str, change: Change) -> str:
    """One attribute: name, old and new value, and what it does."""
    name = f"{change.attribute} {change.name}".strip()
    return f"{name}: {_value(kind, change.old)} -> {_value(kind, change.new)}; {change.effect}"


def lines(found: Investigation) -> list[str]:
    """The result for a terminal."""
    out = [f"{heading(found)}: {MEANS[found.verdict]}", ""]
    out += [f"  {f.verdict.value}{' (authorised)' * (f.authorised and bool(f.support))}: {f.sentence}"
            for f in found.findings]  # fmt: skip
    d = found.difference
    if d is not None:
        kind = found.suspect.kind if found.suspect is not None else ""
        out += [f"  changed: frame {t.frame}, rows {t.box[0]} to {t.box[2] - 1}, columns {t.box[1]} to {t.box[3] - 1}"
                for t in d.tiles[:20]]  # fmt: skip
        if len(d.tiles) > 20:
            out.append(f"  and {len(d.tiles) - 20} more tiles")
        out += [f"  {change_line(kind, c)}" for c in d.meaning]
        out += [f"  identity field {name} differs" for name in d.identity]
    if line := explanation_line(found):
        out.append(f"  {line}")
    if found.hint:
        out.append(f"  {found.hint}")
    if found.bracket is not None:
        out += ["", f"Captured: {_bracket(found)}"]
    if found.events:
        out += ["", "Custody, in the order of the log:"]
        for e in found.events:
            out.append(f"  {e.index:>6}  {e.clock}  {e.what} by {e.agent}: {e.told}{_problem(e.problem)}")
    return out


def _problem(problem: str) -> str:
    return f"  DOES NOT VERIFY: {problem}" if problem else ""


def _bracket(found: Investigation) -> str:
    b = found.bracket
    assert b is not None
    after = f"after entry {b.after - 1} ({b.after_clock})" if b.after else "as the first entry"
    before = f"before entry {b.covered_by} ({b.covered_clock})" if b.covered_by is not None else "no later bound yet"
    where = f"as entry {b.index}, {after}, {before}"
    return f"{where}; its agent's clock said {b.clock}. The order is proven, clocks are claims."


def render(found: Investigation, name: str, vkey: str) -> str:
    """The page: one file that asks nothing from anywhere.

    Args:
        found: the result.
        name: what the operator calls the suspect.
        vkey: verifier key of the log.
    """
    kind = found.suspect.kind if found.suspect is not None else ""
    d = found.difference
    page: dict[str, Any] = {
        "name": name,
        "vkey": vkey,
        "heading": heading(found),
        "means": MEANS[found.verdict],
        "word": "PASS" if found.harmless else "FAIL",
        "findings": [
            (f.verdict.value, "yes" if f.authorised else "no", f.sentence, ", ".join(f.tiers)) for f in found.findings
        ],
        "pictures": [base64.b64encode(png).decode() for png in (found.pictures or {}).values()],
        "tiles": [] if d is None else [(t.frame, t.box) for t in d.tiles],
        "attributes": [] if d is None else [
            (f"{c.attribute} {c.name}", _value(kind, c.old), _value(kind, c.new), c.effect) for c in d.meaning
        ],
        "identity": [] if d is None else list(d.identity),
        "explanation": explanation_line(found),
        "hint": found.hint,
        "bracket": _bracket(found) if found.bracket is not None else "",
        "events": found.events,
        "cannot": CANNOT_TELL,
        "received": found.received,
    }  # fmt: skip
    return page_environment().get_template("investigation.html.j2").render(v=page, **style())
