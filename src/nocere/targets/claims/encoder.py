"""Encoder: claims as rows of numbers, linear in the claim's codes, so that an edit is a fixed step of counts.

Every diagnosis adds one to a fixed set of columns (its code, its category, its class, how many there are), the
principal one to some more; service lines add their minutes and units. What a model sees is `finish(counts)`: whether a
code is there, or how often. Counts are whole numbers (units and money in thousandths): sums of steps have no rounding.

Names of features:

    code=E11.9  category=E11  class=NAME  procedure=0SR90JZ  line=J1100      there or not
    principal=E11.9  principal_category=E11  principal_class=NAME            the first diagnosis, there or not
    n:category=E11 (n: before any of them)                                   how often
    diagnoses  procedures  lines  minutes  units  minutes=J1100  units=J1100  sums over the claim
    age  days  charge  sex=F  setting=inpatient  discharge=01                 what no edit changes
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.claim import Claim
from nocere.core.canonical import Json
from nocere.core.errors import TargetError

THOUSAND = 1000
DIAGNOSIS = ("code", "category", "class")
PRINCIPAL = tuple(f"principal{k}" for k in ("", "_category", "_class"))
NAMED = (*DIAGNOSIS, *PRINCIPAL, "procedure", "line", "sex", "setting", "discharge")
SUMS = ("diagnoses", "procedures", "lines", "minutes", "units", "age", "days", "charge")
MANY = 1 << 53


def category(code: str) -> str:
    """The part before the dot: three characters (four of an ICD-9-CM E code)."""
    return code.split(".", 1)[0]


@dataclass(frozen=True, slots=True)
class Encoder:
    """Columns by name, in the order that the model was fitted to.

    Args:
        features: names as above.
        classes: (code, class) pairs; a code may be in several classes (what a combination code says), and one without a
            class is a class of its own.
    """

    features: tuple[str, ...]
    classes: tuple[tuple[str, str], ...] = ()
    _at: dict[str, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    _class: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _cap: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    _scale: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    _kinds: frozenset[str] = field(init=False, repr=False, compare=False)
    _known: dict[tuple[str, str], tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(set(self.features)) != len(self.features):
            twice = next(f for f in self.features if self.features.count(f) > 1)
            raise TargetError(f"The encoder has the feature {twice!r} twice.")
        at: dict[str, list[int]] = {}
        cap = np.full(len(self.features), MANY, dtype=np.int64)
        scale = np.ones(len(self.features), dtype=np.int64)
        for i, name in enumerate(self.features):
            bare = name.removeprefix("n:")
            kind, sign, value = bare.partition("=")
            summed = not sign and kind in SUMS and bare == name
            summed |= bool(sign and value) and kind in ("minutes", "units") and bare == name
            if not summed and not (sign and value and kind in NAMED):
                raise TargetError(
                    f"The encoder knows no feature {name!r}.", f"Kinds: {', '.join(NAMED)} (with =), {', '.join(SUMS)}."
                )
            if bare == name and not summed:
                cap[i] = 1
            scale[i] = THOUSAND if kind in ("units", "charge") else 1
            at.setdefault(bare, []).append(i)
        object.__setattr__(self, "_at", {k: tuple(v) for k, v in at.items()})
        object.__setattr__(self, "_class", _grouped(self.classes))
        object.__setattr__(self, "_cap", cap)
        object.__setattr__(self, "_scale", scale)
        object.__setattr__(self, "_kinds", frozenset(name.partition("=")[0] for name in at if "=" in name))
        object.__setattr__(self, "_known", {})

    def to_json(self) -> dict[str, Json]:
        """Plain form, read back by `from_json`."""
        return {"features": list(self.features), "classes": [list(c) for c in self.classes]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Encoder:
        """Inverse of `to_json`."""
        return cls(tuple(data["features"]), tuple((a, b) for a, b in data.get("classes", ())))

    @classmethod
    def learn(
        cls,
        claims: Iterable[Claim],
        kinds: Sequence[str] = ("code", "category", "principal_category"),
        *,
        least: int = 50,
        sums: Sequence[str] = ("diagnoses", "age", "days"),
        classes: Iterable[tuple[str, str]] = (),
    ) -> Encoder:
        """The features of these kinds that at least `least` of the claims have, by name, and the given sums."""
        pairs = tuple(sorted(classes))
        own = _grouped(pairs)
        seen: Counter[str] = Counter()
        for claim in claims:
            names = {f"{kind}={value}" for kind in kinds for value in _values(kind, claim, own)}
            seen.update(names)
        found = sorted(name for name, n in seen.items() if n >= least)
        return cls((*found, *sums), pairs)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.features)

    @property
    def presence(self) -> NDArray[np.bool_]:
        """Columns [width] that say only whether something is there."""
        return np.asarray(self._cap == 1)

    @property
    def scale(self) -> NDArray[np.int64]:
        """What the counts of each column are divided by [width]."""
        return self._scale

    # --- what adds to which columns --------------------------------------------------------------------------------

    def of_diagnosis(self, code: str) -> tuple[int, ...]:
        """Columns to which a diagnosis of this code adds one, wherever it stands."""
        return self._columns(code, "")

    def of_principal(self, code: str) -> tuple[int, ...]:
        """Columns to which it adds one besides, where it stands first."""
        return self._columns(code, "principal")

    def _columns(self, code: str, place: str) -> tuple[int, ...]:
        known = self._known.get((place, code))
        if known is None:
            kinds = PRINCIPAL if place else DIAGNOSIS
            values = ((code,), (category(code),), self._class.get(code, (code,)))
            names = [f"{k}={v}" for k, some in zip(kinds, values, strict=True) for v in some]
            names += [] if place else ["diagnoses"]
            known = tuple(c for n in names for c in self._at.get(n, ()))
            self._known[place, code] = known
        return known

    def _others(self, claim: Claim) -> list[tuple[int, int]]:
        """Columns and counts of everything but diagnoses."""
        found: list[tuple[str, int]] = [
            ("procedures", len(claim.procedures)),
            ("lines", len(claim.lines)),
            ("age", claim.age),
            ("days", claim.days),
            ("charge", _thousandths(claim.charge)),
        ]
        for kind, value in (("sex", claim.sex), ("setting", claim.setting), ("discharge", claim.discharge)):
            found += [(f"{kind}={value}", 1)] if kind in self._kinds else []
        if "procedure" in self._kinds:
            found += [(f"procedure={p}", 1) for p in claim.procedures]
        for line in claim.lines:
            units = _thousandths(line.units)
            found += [("minutes", line.minutes), ("units", units)]
            if self._kinds & {"line", "minutes", "units"}:
                code = line.code
                found += [(f"line={code}", 1), (f"minutes={code}", line.minutes), (f"units={code}", units)]
        return [(c, n) for name, n in found for c in self._at.get(name, ())]

    # --- rows ------------------------------------------------------------------------------------------------------

    def counts(self, claims: Sequence[Claim]) -> NDArray[np.int64]:
        """Counts [n, width]; units and charges in thousandths."""
        at: list[int] = []
        often: list[int] = []
        for row, claim in enumerate(claims):
            here = row * self.width
            columns = [c for d in claim.diagnoses for c in self.of_diagnosis(d.code)]
            if claim.diagnoses:
                columns += self.of_principal(claim.principal)
            at += [here + c for c in columns]
            often += [1] * len(columns)
            for c, n in self._others(claim):
                at.append(here + c)
                often.append(n)
        out = np.zeros(len(claims) * self.width, dtype=np.int64)
        np.add.at(out, at, often)
        return out.reshape(len(claims), self.width)

    def finish(self, counts: NDArray[np.int64], columns: Any = slice(None)) -> NDArray[np.float64]:
        """Counts [n, columns] to what the model sees, column by column.

        Args:
            counts: of these columns.
            columns: an index into the encoder's columns; all of them by default.
        """
        capped = np.minimum(counts, self._cap[columns])
        scale = self._scale[columns]
        return np.asarray(np.where(scale == 1, capped.astype(np.float64), capped / scale))

    def rows(self, claims: Sequence[Claim]) -> NDArray[np.float64]:
        """Claims to the rows [n, width] that the model is fitted to and asked about."""
        return self.finish(self.counts(claims))


def _thousandths(value: float) -> int:
    return round(value * THOUSAND)


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for code, name in pairs:
        found[code] = (*found.get(code, ()), name)
    return found


def _values(kind: str, claim: Claim, classes: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    """The values of one kind of feature that a claim has."""
    place, _, sort = kind.partition("_") if kind.startswith("principal") else ("", "", kind)
    codes = claim.codes[:1] if place else claim.codes
    if place and not sort:
        sort = "code"
    if sort == "code":
        return codes
    if sort == "category":
        return map(category, codes)
    if sort == "class":
        return (name for c in codes for name in classes.get(c, (c,)))
    others: dict[str, Iterable[str]] = {
        "procedure": claim.procedures,
        "line": (line.code for line in claim.lines),
        "sex": (claim.sex,),
        "setting": (claim.setting,),
        "discharge": (claim.discharge,),
    }
    if sort not in others:
        raise TargetError(f"The encoder learns no feature of kind {kind!r}.", f"Kinds: {', '.join(NAMED)}.")
    return (v for v in others[sort] if v)
