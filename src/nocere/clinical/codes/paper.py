"""The claim of Finlayson et al. 2019 (fourth panel of the figure), and what the rules say about it.

The panel shows a claim that is denied and one of the same patient that is approved. The text of the paper writes 277.77
where the figure has 277.7.
"""

from __future__ import annotations

from dataclasses import dataclass

from nocere.clinical.codes.codes import explain
from nocere.clinical.codes.graph import NINTH, RuleGraph

DENIED = ("277.7", "429.9", "278.00")
APPROVED = ("401.0", "272.0", "272.2", "429.9", "278.00")
TEXT = "277.77"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to know about codes of the figure, and the rule that it stands on ("" for titles alone)."""

    codes: tuple[str, ...]
    text: str
    rule: str = ""


def remarks(rules: RuleGraph) -> tuple[Remark, ...]:
    """What the rules find in the figure's codes; everything is looked up, nothing is asserted here.

    The hypertension remark follows the codes through the General Equivalence Mapping into ICD-10-CM.
    """
    found = [Remark((c,), explain(c, rules, NINTH)) for c in dict.fromkeys((TEXT, *DENIED, *APPROVED))]
    pair = rules.rule("icd9cm-32:combine:272.0+272.1->272.2")
    apart = ", ".join(explain(c, rules, NINTH) for c in pair.remove)
    found.append(
        Remark((*pair.remove, *pair.add), f"272.2 is the combination of {apart}: 272.0 beside it is redundant", pair.id)
    )
    tenth = {c: rules.gem(c)[0].target for c in ("401.0", "429.9")}
    step = next(s for s in rules.combinations(tenth.values()) if s.rule.decided)
    say = " and ".join(f"{c} ({tenth[c]} {rules.title(tenth[c])})" for c in tenth)
    into = step.add[0]
    found.append(Remark(tuple(tenth), f"{say} are one code in ICD-10-CM: {into} {rules.title(into)}", step.rule.id))
    return tuple(found)
