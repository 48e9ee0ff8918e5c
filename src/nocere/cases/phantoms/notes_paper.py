"""The sentence of the paper's third panel as reference cases, with its own edit.

Finlayson et al., Science 363:1287 (2019), print the sentence with its three dots. The record behind it is not in the
paper: nothing says which codes it supports, so that its two edits count as coding variants without support.
"""

from __future__ import annotations

from nocere.core.canonical import sha256
from nocere.core.case import Case, CaseSet, Truth

BEFORE = (
    "The patient has a history of back pain and chronic alcohol abuse and more recently has been seen in several..."
)
EDITS = (("back pain", "lumbago"), ("alcohol abuse", "alcohol dependence"))
"""What the figure replaces, in the order of the text."""


def after() -> str:
    """The second wording of the figure."""
    text = BEFORE
    for old, new in EDITS:
        text = text.replace(old, new)
    return text


def paper_cases() -> CaseSet:
    """Both wordings; the figure calls the first one high, and nothing about the patient differs."""
    made = [
        Case(f"phantom-note-paper/{name}", text, {}, Truth.of("high"), "paper", {}, sha256(text.encode()))
        for name, text in (("before", BEFORE), ("after", after()))
    ]
    return CaseSet.of(made, phantom=True, name="phantom-note-paper")
