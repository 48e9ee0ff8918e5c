"""Claim: one bill for care, in the words of FHIR R4 Claim and X12 837, as a value that can be hashed and compared.

Codes are stored in dotted form (`E11.9`, `428.0`; ICD-10-PCS and HCPCS have no dot). Diagnoses are ordered; the first
one is the principal diagnosis. Money is in US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from nocere.core.canonical import Json

System: TypeAlias = Literal["ICD-9-CM", "ICD-10-CM"]
Setting: TypeAlias = Literal["inpatient", "outpatient", "professional"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A diagnosis code, whether it was present on admission (Y, N, U, W, 1 or empty), and what supports it.

    `evidence` holds references to documents of the record (attachments), not their text.
    """

    code: str
    poa: str = ""
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A service line: HCPCS Level II code, modifiers, units, minutes (0: none stated), charge, and what it is for.

    `pointers` are positions in the claim's diagnoses, from 0.
    """

    code: str
    modifiers: tuple[str, ...] = ()
    units: float = 1.0
    minutes: int = 0
    charge: float = 0.0
    pointers: tuple[int, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim.

    Args:
        diagnoses: in order, the principal one first.
        procedures: ICD-10-PCS (or ICD-9-CM volume 3) codes.
        lines: service lines.
        system: code system of the diagnoses.
        code_year: fiscal year of the code set (from 1 October of the year before).
        setting: where the care was given.
        age: years at admission, or -1 where unknown.
        sex: "F", "M" or "" where unknown.
        days: length of stay, 0 where there was none.
        charge: total charge, US dollars.
        provider: id of who bills.
        patient: id of the patient.
        discharge: discharge status code of the UB-04 form, "" where unknown.
    """

    diagnoses: tuple[Diagnosis, ...]
    procedures: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    system: System = "ICD-10-CM"
    code_year: int = 2026
    setting: Setting = "inpatient"
    age: int = -1
    sex: Literal["F", "M", ""] = ""
    days: int = 0
    charge: float = 0.0
    provider: str = ""
    patient: str = ""
    discharge: str = ""

    @property
    def codes(self) -> tuple[str, ...]:
        """The diagnosis codes in order."""
        return tuple(d.code for d in self.diagnoses)

    @property
    def principal(self) -> str:
        """The principal diagnosis code, "" where the claim has none."""
        return self.diagnoses[0].code if self.diagnoses else ""

    def with_diagnoses(self, diagnoses: tuple[Diagnosis, ...]) -> Claim:
        """The same claim with other diagnoses."""
        return replace(self, diagnoses=diagnoses)

    def to_json(self) -> dict[str, Json]:
        """Plain form, read back by `from_json`."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Claim:
        """Inverse of `to_json`; what is not there has its default.

        Raises:
            TypeError: a field that a claim does not have.
        """
        made = dict(data)
        made["diagnoses"] = tuple(_made(Diagnosis, d) for d in data.get("diagnoses", ()))
        made["lines"] = tuple(_made(Line, d) for d in data.get("lines", ()))
        made["procedures"] = tuple(data.get("procedures", ()))
        return cls(**made)


def _plain(value: Any) -> Json:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, (Diagnosis, Line)):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    plain: Json = value
    return plain


def _made(cls: Any, data: Mapping[str, Any]) -> Any:
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
