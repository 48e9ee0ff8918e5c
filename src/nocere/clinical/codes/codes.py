"""The written form of codes: dots, case and blanks; which systems a written code may be of; what is wrong with one.

ICD-9-CM and ICD-10-CM share forms (V29.0 is a code of both), so that a form alone never decides between them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nocere.core.errors import UsageError

if TYPE_CHECKING:
    from nocere.clinical.codes.graph import RuleGraph

_FORMS = {
    "ICD-10-CM": re.compile(r"(?:[A-Z][0-9][0-9A-Z]|QA[0-9])(?:[0-9A-Z]{1,4})?"),
    "ICD-9-CM": re.compile(r"(?:V[0-9]{2}|[0-9]{3})[0-9]{0,2}|E[0-9]{3}[0-9]?"),
    "ICD-10-PCS": re.compile(r"[0-9B-DF-HX][0-9A-HJ-NP-Z]{6}"),
    "HCPCS": re.compile(r"[A-V][0-9]{4}"),
}


def systems(code: str) -> tuple[str, ...]:
    """Systems in whose form a code is written: ICD-10-CM, ICD-9-CM, ICD-10-PCS, HCPCS (Level II)."""
    plain = code.strip().upper()
    bare = plain.replace(".", "", 1)
    found = []
    for system, form in _FORMS.items():
        dots = {bare} if system in ("ICD-10-PCS", "HCPCS") else {bare, _dotted(bare, system)}
        if form.fullmatch(bare) and plain.rstrip(".") in dots:
            found.append(system)
    return tuple(found)


def normalise(code: str, system: str = "ICD-10-CM") -> str:
    """The dotted, upper-case form of a code: "e119" is E11.9, "4280" is 428.0; PCS and HCPCS have no dot.

    Raises:
        UsageError: no code of that system is written so, or no such system.
    """
    if system not in _FORMS:
        raise UsageError(f"No code system {system!r}.", f"Use one of {', '.join(_FORMS)}.")
    if system not in systems(code):
        others = [s for s in systems(code) if s != system]
        hint = f"It is written like {' or '.join(others)}." if others else "Write it like E11.9 or 428.0."
        raise UsageError(f"{code!r} is not written like a code of {system}.", hint)
    return _dotted(code.strip().upper().replace(".", ""), system)


def explain(code: str, rules: RuleGraph, system: str = "ICD-10-CM") -> str:
    """One line on a code: its title, or why it is none (retired, not complete, another system's, unknown)."""
    if rules.billable(code, system):
        return f"{code} {rules.title(code, system)}"
    if rules.exists(code, system):
        return f"{code} {rules.title(code, system)}: not complete, codes below it are"
    if system == "ICD-10-CM" and rules.retired(code):
        return f"{code} {rules.retired(code)}: retired since FY2024"
    others = [s for s in ("ICD-9-CM", "ICD-10-CM") if s != system and rules.billable(code, s)]
    if others:
        return f"{code}: not in {system}; in {others[0]} {rules.title(code, others[0])}"
    return f"{code}: not in {system}" + _near(code, rules, system)


def _near(code: str, rules: RuleGraph, system: str) -> str:
    """The longest beginning that is a code: 277.77 is written for 277.7."""
    for end in range(len(code) - 1, 2, -1):
        start = code[:end].rstrip(".")
        if rules.exists(start, system):
            return f"; {start} is {rules.title(start, system)}"
    return ""


def _dotted(bare: str, system: str) -> str:
    if system not in ("ICD-10-CM", "ICD-9-CM"):
        return bare
    at = 4 if system == "ICD-9-CM" and bare.startswith("E") else 3
    return bare if len(bare) <= at else f"{bare[:at]}.{bare[at:]}"
