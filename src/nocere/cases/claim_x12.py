"""X12 837 professional (005010X222A1) and institutional (005010X223A2) claims, read only.

The segments are read here and not by hccinfhir's extractor, which has no charges, minutes, present on admission,
procedures, age or sex, and fixed separators; it is the oracle of the tests. Qualifiers are those of the guides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from nocere.cases.claim import Claim, Diagnosis, Line, Setting, System
from nocere.cases.claim_text import Found, age_on, amount, day, dotted, fiscal_year, procedure
from nocere.core.canonical import Json
from nocere.core.errors import DataError

GUIDES = {"005010X222A1": "837P", "005010X223A2": "837I"}
# HI qualifiers: principal, other and external cause diagnoses; admitting and reason for visit stay out of them.
PRINCIPAL: dict[str, System] = {"ABK": "ICD-10-CM", "BK": "ICD-9-CM"}
OTHER: dict[str, System] = {"ABF": "ICD-10-CM", "BF": "ICD-9-CM", "ABN": "ICD-10-CM", "BN": "ICD-9-CM"}
ADMITTING: dict[str, System] = {"ABJ": "ICD-10-CM", "BJ": "ICD-9-CM"}
PROCEDURE = ("BBR", "BBQ", "BR", "BQ")
STAY_BILLS = ("11", "12", "18", "21", "22", "41")  # type of bill: hospital, swing bed and skilled nursing inpatient
READ = frozenset({"HL", "NM1", "DMG", "CLM", "CL1", "DTP", "HI", "SV1", "SV2"})

Segment: TypeAlias = list[str]


def read_x12(text: str, where: str) -> list[Found]:
    """All claims of an 837 file, in order.

    Args:
        text: the interchange.
        where: the file, as errors name it.

    Raises:
        DataError: not an 837 of these guides, cut off, or a claim that cannot be understood.
    """
    segments, part = _segments(text, where)
    found: list[Found] = []
    guide = ""
    opened: Segment | None = None
    reader: _Transaction | None = None
    for s in segments:
        if s[0] == "GS":
            guide = _at(s, 8)
        elif s[0] == "ST":
            guide = _at(s, 3) or guide
            if opened is not None:
                raise DataError(f"{where}: broken 837, transaction {_at(opened, 2)} has no end (SE).")
            if _at(s, 1) != "837" or guide not in GUIDES:
                raise DataError(
                    f"{where}: transaction {_at(s, 1)} of guide {guide or 'not stated'} is not read.",
                    f"Read are 837 claims of {' and '.join(GUIDES)}.",
                )
            opened, reader = s, _Transaction(GUIDES[guide], part, where)
        elif s[0] == "SE":
            if opened is None or reader is None or _at(s, 2) != _at(opened, 2):
                raise DataError(f"{where}: broken 837, a transaction ends (SE {_at(s, 2)}) that did not begin.")
            found += reader.end()
            opened = reader = None
        elif reader is not None:
            reader.take(s)
    if opened is not None or segments[-1][0] != "IEA":
        raise DataError(f"{where}: broken 837, the file ends before its interchange does (IEA).", "It may be cut off.")
    if not found:
        raise DataError(f"{where}: this 837 holds no claim.")
    return found


def _segments(text: str, where: str) -> tuple[list[Segment], str]:
    """Segments and the separator within elements, as the ISA segment declares them."""
    text = text.lstrip("\ufeff \r\n\t")
    if not text.startswith("ISA") or len(text) < 106:
        raise DataError(f"{where}: not an X12 interchange: it does not begin with ISA.")
    isa = text.split(text[3], 16)
    if len(isa) != 17 or len(isa[16]) < 2:
        raise DataError(f"{where}: broken 837, its ISA segment has not 16 elements.")
    part, end = isa[16][0], isa[16][1]
    split = [s.strip().split(text[3]) for s in text.split(end)]
    return [s for s in split if s != [""]], part


def _at(segment: Sequence[str], place: int) -> str:
    return segment[place].strip() if len(segment) > place else ""


@dataclass(slots=True)
class _Person:
    """Subscriber or patient of the claims that follow."""

    id: str = ""
    born: str = ""
    sex: str = ""


@dataclass(slots=True)
class _Open:
    """A claim whose segments are still coming."""

    id: str
    charge: float
    bill: str
    frequency: str
    provider: str
    person: _Person
    diagnoses: list[tuple[str, System, Diagnosis]] = field(default_factory=list)
    procedures: list[str] = field(default_factory=list)
    dates: dict[str, str] = field(default_factory=dict)
    discharge: str = ""
    header: dict[str, Json] = field(default_factory=dict)
    lines: list[tuple[Line, list[str]]] = field(default_factory=list)


class _Transaction:
    """One ST to SE: billing provider, subscriber, patient, claims and their lines (loops 2000 to 2400)."""

    def __init__(self, guide: str, part: str, where: str) -> None:
        self.guide, self.part, self.file = guide, part, where
        self.provider = ""
        self.subscriber, self.patient = _Person(), _Person()
        self.named = ""
        self.claim: _Open | None = None
        self.done: list[Found] = []

    def end(self) -> list[Found]:
        self.close()
        return self.done

    def take(self, s: Segment) -> None:
        if s[0] in READ:
            getattr(self, f"_{s[0].lower()}")(s)

    def parts(self, element: str) -> list[str]:
        return element.split(self.part)

    @property
    def where(self) -> str:
        return f"Claim {self.claim.id}" if self.claim is not None else self.file

    def _hl(self, s: Segment) -> None:
        self.close()
        level = _at(s, 3)
        if level == "20":
            self.provider = ""
        if level in ("20", "22"):
            self.subscriber = _Person()
        self.patient = _Person()

    def _nm1(self, s: Segment) -> None:
        self.named = _at(s, 1)
        if self.claim is not None:  # rendering, facility and other providers of the claim
            return
        if self.named == "85":
            self.provider = _at(s, 9)
        elif self.named == "IL":
            self.subscriber.id = _at(s, 9)
        elif self.named == "QC":
            self.patient.id = _at(s, 9) or f"{_at(s, 3)} {_at(s, 4)}".strip()

    def _dmg(self, s: Segment) -> None:
        if self.claim is None and self.named in ("IL", "QC"):
            person = self.subscriber if self.named == "IL" else self.patient
            person.born, person.sex = _at(s, 2), _at(s, 3)

    def _clm(self, s: Segment) -> None:
        self.close()
        if not _at(s, 1):
            raise DataError(f"{self.file}: broken 837, a claim (CLM) has no id.")
        bill = self.parts(_at(s, 5))
        person = self.patient if self.patient != _Person() else self.subscriber
        charge = amount(_at(s, 2), f"Claim {_at(s, 1)}", "its charge")
        self.claim = _Open(_at(s, 1), charge, bill[0], _at(bill, 2), self.provider, person)

    def _cl1(self, s: Segment) -> None:
        if self.claim is not None:
            self.claim.discharge = _at(s, 3)

    def _dtp(self, s: Segment) -> None:
        if self.claim is None:
            return
        value = _at(s, 3)
        if _at(s, 2) == "RD8":
            first, _, last = value.partition("-")
            self.claim.dates.setdefault(_at(s, 1), first)
            self.claim.dates.setdefault(_at(s, 1) + "-", last)
        elif _at(s, 2) in ("D8", "DT"):
            self.claim.dates.setdefault(_at(s, 1), value[:8])

    def _hi(self, s: Segment) -> None:
        claim = self.claim
        if claim is None:
            return
        for element in s[1:]:
            if not element:
                continue
            parts = self.parts(element)
            kind, code = parts[0], _at(parts, 1)
            if not code:
                raise DataError(f"{self.where}: broken 837, HI element {element!r} has no code.")
            if kind in PRINCIPAL or kind in OTHER:
                system = PRINCIPAL.get(kind) or OTHER[kind]
                claim.diagnoses.append((kind, system, Diagnosis(dotted(code, system), _at(parts, 8))))
            elif kind in ADMITTING:
                claim.header["admitting"] = dotted(code, ADMITTING[kind])
            elif kind in PROCEDURE:
                claim.procedures.append(code)
            elif kind == "DR":
                claim.header["drg"] = code

    def _sv1(self, s: Segment) -> None:
        self._line(s, service=1, charge=2, unit=3, quantity=4, pointers=_at(s, 7))

    def _sv2(self, s: Segment) -> None:
        self._line(s, service=2, charge=3, unit=4, quantity=5, pointers="")

    def _line(self, s: Segment, *, service: int, charge: int, unit: int, quantity: int, pointers: str) -> None:
        if self.claim is None:
            raise DataError(f"{self.file}: broken 837, a service line stands before any claim.")
        parts = self.parts(_at(s, service))
        number = amount(_at(s, quantity) or "1", self.where, "the quantity of a line")
        minutes = number if _at(s, unit) == "MJ" else 0.0  # anaesthesia is billed in minutes
        if minutes != int(minutes):
            raise DataError(f"{self.where}: a line has {minutes:g} minutes; whole minutes are billed.")
        money = amount(_at(s, charge), self.where, "the charge of a line")
        points = [p for p in self.parts(pointers) if p]
        units = 1.0 if minutes else number
        line = Line(_at(parts, 1), tuple(p for p in parts[2:6] if p), units, int(minutes), money)
        self.claim.lines.append((line, points))

    def close(self) -> None:
        """The claim is whole: order its diagnoses, resolve pointers, and put it down."""
        claim = self.claim
        if claim is None:
            return
        where = self.where
        systems = {system for _, system, _ in claim.diagnoses}
        if len(systems) > 1:
            raise DataError(f"{where}: its diagnoses mix ICD-9-CM and ICD-10-CM.")
        system: System = systems.pop() if systems else "ICD-10-CM"
        order = sorted(range(len(claim.diagnoses)), key=lambda i: claim.diagnoses[i][0] not in PRINCIPAL)
        dates = claim.dates
        start = next((dates[k] for k in ("434", "472", "435") if dates.get(k)), "")
        last = next((dates[k] for k in ("434-", "472-", "434", "472", "435") if dates.get(k)), "")
        if not last:
            raise DataError(f"{where}: no service date (DTP 434, 435 or 472), so its code year is unknown.")
        begin, end = day(start or last, where), day(last, where)
        admitted = day(dates["435"], where) if dates.get("435") else begin
        born = claim.person.born
        setting = self._setting(claim)
        header: dict[str, Json] = {"from": begin.isoformat(), "thru": end.isoformat(), **claim.header}
        if claim.frequency not in ("", "1"):
            header["frequency"] = claim.frequency  # 7 replaces and 8 voids an earlier claim
        whole = Claim(
            diagnoses=tuple(claim.diagnoses[i][2] for i in order),
            procedures=tuple(procedure(c, system) for c in claim.procedures),
            lines=tuple(self._resolved(line, points, order) for line, points in claim.lines),
            system=system,
            code_year=fiscal_year(end),
            setting=setting,
            age=age_on(day(born, where), admitted, where) if born else -1,
            sex="F" if claim.person.sex == "F" else "M" if claim.person.sex == "M" else "",
            days=max(0, (end - begin).days) if setting == "inpatient" else 0,
            charge=claim.charge,
            provider=claim.provider,
            patient=claim.person.id,
            discharge=claim.discharge,
        )
        self.done.append(Found(claim.id, whole, header))
        self.claim = None

    def _setting(self, claim: _Open) -> Setting:
        if self.guide == "837P":
            return "professional"
        return "inpatient" if claim.bill in STAY_BILLS else "outpatient"

    def _resolved(self, line: Line, points: Sequence[str], order: Sequence[int]) -> Line:
        for p in points:
            if not p.isdecimal() or not 1 <= int(p) <= len(order):
                raise DataError(f"{self.where}: a line points to diagnosis {p}, which the claim does not have.")
        return replace(line, pointers=tuple(order.index(int(p) - 1) for p in points))


def claims_in(files: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Found]]:
    """Claims of several files with ids that tell them apart: `file/claim`, and `#2` where a file repeats an id."""
    for name, text in files:
        seen: dict[str, int] = {}
        for found in read_x12(text, name):
            seen[found.id] = seen.get(found.id, 0) + 1
            again = f"#{seen[found.id]}" if seen[found.id] > 1 else ""
            yield f"{name.rsplit('.', 1)[0]}/{found.id}{again}", found
