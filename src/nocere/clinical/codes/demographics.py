"""Sex and age that a code's own words imply; the source is always a title of the tabular list.

Less than the Medicare Code Editor's tables, which are in no open package: where no title says so, nothing is said. An
organ word counts for diseases (not for family history, screening, or newborns affected by their mother's state).
"""

from __future__ import annotations

import re
from typing import Literal

from nocere.clinical.codes.tree import Tree

Sex = Literal["F", "M", ""]
ANY_AGE = (0, 124)  # the range in which the Medicare Code Editor takes an age for valid

_FEMALE = re.compile(
    r"\b(female|uterus|uterine|cervix uteri|ovary|ovaries|ovarian|vagina|vaginal|vulva|vulvar|fallopian|endometrium|"
    r"endometrial|endometriosis|pregnancy|childbirth|puerperium|menstruation|menopausal)\b"
)
_MALE = re.compile(r"\b(male|prostate|prostatic|testis|testes|testicular|penis|scrotum|epididymis)\b")
_AGES = (  # words of a title that give an age
    (re.compile(r"^Liveborn infants according to place of birth"), (0, 0)),
    (re.compile(r"^Newborn health examination"), (0, 0)),
    (re.compile(r"^Body mass index \[BMI\].*, adult"), (20, 124)),
    (re.compile(r"^Body mass index \[BMI\] pediatric"), (2, 20)),
)
_DENIED = re.compile(r"\bnot (?:associated with|due to) [\w ]+")  # galactorrhea not associated with childbirth
# P: newborns and fetuses; V-Y: external causes; Z11-Z13 screening; Z15 susceptibility; Z36-Z38 the child's or mother's
# record; Z64 a partner's pregnancy too; Z80-Z84 family history.
_NOT = re.compile(r"[PV-Y]|Z1[1235]|Z8[0-4]|Z36|Z64|Z37|Z38")


def sex(tree: Tree, code: str) -> Sex:
    """Sex that the title of the code, of its category or of its block implies, "" where none or both."""
    text = _DENIED.sub(" ", " ; ".join(tree.title(n).lower() for n in tree.lineage(code)))
    if _NOT.match(code):
        text = ""
    female, male = bool(_FEMALE.search(text)), bool(_MALE.search(text))
    if female == male:
        return ""
    return "F" if female else "M"


def ages(tree: Tree, code: str) -> tuple[int, int]:
    """Years of age, both included, that a title at or above the code implies."""
    for n in tree.lineage(code):
        for pattern, span in _AGES:
            if pattern.search(tree.title(n)):
                return span
    return ANY_AGE
