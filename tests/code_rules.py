"""A tiny rule graph of invented codes with the interface of the real one, and claims that meet every rule of it."""

from __future__ import annotations

from collections.abc import Iterable

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.clinical.codes.rules import Combination, Rule
from nocere.core.case import Case, Truth

LEAVES = (
    *(f"QA1.{i}" for i in range(8)),  # .0 unspecified
    *(f"QB2.{i}" for i in (0, 1, 2, 3, 8)),  # .8 is .1 with .2
    "QC3.0", "QC3.1",  # .1 is QA1.1 with QD4.1, and asks for QD4 beside itself
    "QD4.0", "QD4.1", "QD4.2",
    "QE5.0", "QE5.1", "QE5.2",  # manifestations of QA1
    "QF6.0", "QF6.1", "QF6.2",  # .0 and QA1.0 exclude each other
    "QG7.0", "QG7.1", "QG7.2", "QG7.3",  # .0: prose Excludes1; .3: prose "use additional"
    "QH8.0", "QH8.1", "QH8.2",  # .1 for women, .2 for children
    "V11.0", "V11.1",
)  # fmt: skip


def _residual(at: str, codes: tuple[str, ...], decided: bool = True) -> Rule:
    return Rule(
        f"t:residual:{at}{'' if decided else '?'}", "residual", at[:3], "unspecified", codes, decided, add=(at,)
    )


def _combine(name: str, remove: tuple[str, ...], add: str, keep: tuple[str, ...] = (), decided: bool = True) -> Rule:
    return Rule(f"t:combine:{name}", "combine", add, "with", (*remove, *keep), decided, remove, (add,), keep)


def _split(r: Rule) -> Rule:
    # What QB2.8 joins says more than QB2.8: prose that nobody has decided.
    return Rule(f"{r.id}:split", r.kind, r.at, r.text, (*r.add, *r.keep), "QC3.1" in r.add, r.add, r.remove, r.keep)


RESIDUAL = {
    b: _residual(b, tuple(c for c in LEAVES if c[:3] == b[:3] and c not in (b, "QA1.4", "QB2.8")))
    for b in ("QA1.0", "QB2.0", "QD4.0", "QE5.0", "QF6.0", "QG7.0", "QH8.0", "V11.0")
}
LOOSE = _residual("QA1.0", ("QA1.4",), decided=False)
JOINS = (
    _combine("1", ("QB2.1", "QB2.2"), "QB2.8"),
    _combine("2", ("QA1.1",), "QC3.1", keep=("QD4.1",)),
    _combine("4", (), "QB2.3", keep=("QF6.2", "QD4.1")),
    _combine("5", ("QG7.2",), "QF6.0", keep=("QG7.3",)),
    _combine("3", ("QF6.1", "QF6.2"), "QC3.0", decided=False),
)
COMBINED = (*JOINS, *map(_split, JOINS))
FIRST = Rule("t:code_first:QE5", "code_first", "QE5", "code first underlying QA1", ("QA1",))
BESIDE = Rule("t:use_additional:QC3.1", "use_additional", "QC3.1", "code to identify stage (QD4)", ("QD4",))
EXCLUDED = Rule("t:excludes1:QF6.0", "excludes1", "QF6.0", "QA1.0", ("QA1.0",))
PROSE_X = Rule("t:excludes1:QG7.0", "excludes1", "QG7.0", "conditions of that kind", (), decided=False)
PROSE_P = Rule("t:use_additional:QG7.3", "use_additional", "QG7.3", "code for what goes with it", (), decided=False)
RENAMED = Rule("t:year:QR9.1", "year", "QR9.1", "QR9.1 is QB2.3 now", ("QB2.3",))
OPTIONAL = Rule("t:optional", "optional", "", "Section III")
RULES = {
    r.id: r
    for r in (*RESIDUAL.values(), LOOSE, *COMBINED, FIRST, BESIDE, EXCLUDED, PROSE_X, PROSE_P, RENAMED, OPTIONAL)
}


class FakeRules:
    """The part of `RuleGraph` that edits use."""

    version, sha256 = "test", "0" * 64

    def rule(self, rule_id: str) -> Rule:
        return RULES[rule_id]

    def exists(self, code: str, system: str = "ICD-10-CM") -> bool:
        return code in LEAVES

    def billable(self, code: str, system: str = "ICD-10-CM") -> bool:
        return code in LEAVES

    def generalisations(self, code: str) -> tuple[tuple[str, Rule], ...]:
        return tuple((r.add[0], r) for r in (*RESIDUAL.values(), LOOSE) if code in r.codes)

    def refinements(self, code: str) -> tuple[tuple[str, Rule], ...]:
        return tuple((b, r) for r in (*RESIDUAL.values(), LOOSE) if r.add == (code,) for b in r.codes)

    def laterals(self, code: str) -> tuple[str, ...]:
        return tuple(c for c in LEAVES if c[:3] == code[:3] and c != code)

    def successors(self, code: str) -> Rule | None:
        return RENAMED if code == "QR9.1" else None

    def combinations(self, codes: Iterable[str], system: str = "ICD-10-CM") -> tuple[Combination, ...]:
        there = set(codes)
        return tuple(
            Combination(r.remove, r.add, r.keep, r) for r in COMBINED if there.issuperset((*r.remove, *r.keep))
        )

    def excludes1(self, a: str, b: str) -> Rule | None:
        return EXCLUDED if {a, b} == {"QF6.0", "QA1.0"} else None

    def undecided(self, code: str) -> tuple[Rule, ...]:
        return {"QG7.0": (PROSE_X,), "QG7.3": (PROSE_P,)}.get(code, ())

    def code_first(self, code: str) -> tuple[Rule, ...]:
        return (FIRST,) if code[:3] == "QE5" else ()

    def use_additional(self, code: str) -> tuple[Rule, ...]:
        return (BESIDE,) if code == "QC3.1" else ()

    def code_also(self, code: str) -> tuple[Rule, ...]:
        return ()

    def sex(self, code: str) -> str:
        return "F" if code == "QH8.1" else ""

    def ages(self, code: str) -> tuple[int, int]:
        return (0, 17) if code == "QH8.2" else (0, 124)

    def optional(self, code: str, codes: Iterable[str]) -> Rule | None:
        others = [c for c in codes if c != code]
        asked = [r for c in others for r in (*self.code_first(c), *self.use_additional(c))]
        if any(code.startswith(r.codes) and not any(o.startswith(r.codes) for o in others) for r in asked):
            return None
        return OPTIONAL


FAKE = FakeRules()


def claim(*codes: str, lines: tuple[Line, ...] = (), **about: object) -> Claim:
    """A claim whose diagnoses each have a document of their own."""
    return Claim(tuple(Diagnosis(c, "Y", (f"doc-{c}",)) for c in codes), lines=lines, **about)  # type: ignore[arg-type]


def case(x: Claim, facts: dict[str, list[str]] | None = None, **header: object) -> Case[Claim]:
    """A case with facts as code -> documents; None is the closed world."""
    about: dict[str, object] = dict(header)
    if facts is not None:
        about["facts"] = [{"code": c, "evidence": e} for c, e in facts.items()]
    return Case("k", x, about, Truth.of("a"), group="p")  # type: ignore[arg-type]


def supported(*codes: str) -> dict[str, list[str]]:
    """Facts that each have a document."""
    return {c: [f"chart-{c}"] for c in codes}


TIMED = Line("ZZ001", units=3.8, minutes=57, charge=100.0, pointers=(0, 1), evidence=("clock",))
WORLD: dict[str, Case[Claim]] = {
    "closed": case(claim("QA1.1", "QB2.1", "QB2.2", "QD4.1", "QE5.1", "QG7.1")),
    "loose": case(claim("QB2.3", "QA1.4", "QF6.1", "QF6.2", "QG7.3", sex="M", age=40)),
    "facts": case(
        claim("QA1.0", "QB2.0", "QD4.1", "QF6.1", sex="F", age=12),
        supported("QA1.1", "QB2.1", "QB2.2", "QD4.1", "QF6.1", "QH8.1"),
    ),
    "wrong": case(claim("QA1.1", "QB2.3", "QD4.2"), supported("QA1.1", "QB2.1", "QD4.1")),
    "excludes": case(claim("QA1.2", "QF6.1", "QC3.1", "QD4.0", "QD4.2"), supported("QA1.2", "QF6.1", "QC3.1", "QD4.2", "QA1.3")),
    "timed": case(claim("QA1.1", "QB2.1", "V11.1", lines=(TIMED, Line("ZZ002", units=1.5, evidence=("sheet",))))),
    "padded": case(
        claim("QA1.1", "QB2.1", lines=(TIMED,)), supported("QA1.1", "QB2.1"),
        documented=[{"line": 0, "minutes": 50, "evidence": ["clock"]}],
    ),
    "combined": case(claim("QC3.1", "QD4.1", "QB2.8"), supported("QA1.1", "QD4.1", "QB2.1", "QB2.2", "QC3.1")),
    "retired": case(claim("QA1.1", "QR9.1", "QF6.2")),
    "unsupported": case(claim("QA1.1", "QF6.1"), supported("QA1.1")),
    "half": case(claim("QB2.1", "QB2.2"), supported("QB2.1")),
    "man": case(claim("QA1.1", "QB2.1", sex="M", age=40), supported("QA1.1", "QB2.1", "QH8.1", "QH8.2")),
    "bare": case(claim("QA1.1", "QB2.1", lines=(Line("ZZ001", units=3.8, minutes=57),))),
    "sequence": case(claim("QB2.1", "QA1.1", "QE5.1")),
    "late": case(Claim((Diagnosis("QA1.1", "Y"), Diagnosis("QB2.1", "N"), Diagnosis("QD4.1", "Y")))),
    "kept": case(claim("QB2.1", "QG7.2", "QG7.3", "QD4.2")),
    "twice": case(claim("QA1.1", "QB2.1", "QA1.1", "QB2.1", "QD4.1")),
}  # fmt: skip
