"""Claims as JSON: strict reading with one clear sentence for what is wrong, and the codec of evidence files.

The file of a claim case is `claim.json`, RFC 8785 bytes of `{"claim": ..., "header": ...}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, NoReturn, get_args

from nocere.cases.claim import Claim, Diagnosis, Line, Setting, System
from nocere.core.candidate import Files
from nocere.core.canonical import Json, dumps
from nocere.core.case import Case
from nocere.core.errors import DataError

FILE = "claim.json"
LARGEST = 2**53 - 1  # RFC 8785: beyond it not every reader of JSON finds the same number
CHOICES: dict[str, tuple[str, ...]] = {
    "System": get_args(System),
    "Setting": get_args(Setting),
    "Literal['F', 'M', '']": ("F", "M", ""),
}


class ClaimCodec:
    """Realises claim cases as canonical JSON."""

    name = "claim"

    def encode(self, case: Case[Any], x: Any) -> Files:
        return {FILE: dumps({"claim": x.to_json(), "header": case.header})}

    def decode(self, files: Files) -> tuple[Any, Mapping[str, Json]]:
        """Claim and header.

        Raises:
            DataError: not a file that this codec writes.
        """
        if FILE not in files:
            raise DataError(f"This evidence has no {FILE}.")
        data = parse_json(files[FILE], FILE)
        if not isinstance(data, dict) or set(data) != {"claim", "header"} or not isinstance(data["header"], dict):
            raise DataError(f"{FILE} must hold the objects claim and header, and nothing else.")
        claim = claim_of(data["claim"], FILE)
        header: dict[str, Json] = data["header"]
        try:
            again = dumps({"claim": claim.to_json(), "header": header})
        except ValueError:  # half of a surrogate pair, which UTF-8 cannot hold
            again = b""
        if again != files[FILE]:
            raise DataError(f"{FILE} is not in the canonical form (RFC 8785) in which it was written here.")
        return claim, header


def parse_json(data: bytes | str, where: str) -> Any:
    """Parsed JSON; a repeated field, NaN and infinity are refused.

    Raises:
        DataError: not JSON in UTF-8.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a field stands twice in one object")
        return made

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant[:40]} is not a number of JSON")

    def real(written: str) -> float:
        return float(written) if math.isfinite(float(written)) else refuse(written)

    def integer(written: str) -> int | float:
        return int(written) if abs(float(written)) <= LARGEST else real(written)

    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse, parse_float=real, parse_int=integer)
    except RecursionError as e:
        raise DataError(f"{where}: this JSON is nested too deeply.") from e
    except ValueError as e:
        raise DataError(f"{where}: not valid JSON ({e}).") from e


def claim_of(data: Any, where: str) -> Claim:
    """A claim from its plain form, every field checked for its type.

    Args:
        data: what `Claim.to_json` gives; fields may be left out where they have a default.
        where: the claim, as the error names it.

    Raises:
        DataError: an unknown or missing field, or a value of another type.
    """
    made: Claim = _record(Claim, data, where, "")
    return made


def _record(cls: Any, data: Any, where: str, path: str) -> Any:
    name = cls.__name__.lower()
    if not isinstance(data, Mapping):
        raise DataError(f"{where}: {path.rstrip('.') or name} must be an object; got {_short(data)}.")
    known = {f.name: f for f in fields(cls)}
    odd = sorted(set(data) - set(known))
    if odd:
        raise DataError(f"{where}: a {name} has no field {odd[0]!r}.", f"Its fields are: {', '.join(known)}.")
    missing = [f.name for f in known.values() if f.default is MISSING and f.name not in data]
    if missing:
        raise DataError(f"{where}: the {name} {path.rstrip('.')} has no field {missing[0]!r}.".replace("  ", " "))
    return cls(**{k: _value(str(known[k].type), v, where, path + k) for k, v in data.items()})


def _value(kind: str, v: Any, where: str, path: str) -> Any:
    def wrong(what: str) -> NoReturn:
        raise DataError(f"{where}: {path} must be {what}; got {_short(v)}.")

    if kind in CHOICES:
        return v if v in CHOICES[kind] else wrong(f"one of {', '.join(repr(c) for c in CHOICES[kind])}")
    if kind.startswith("tuple["):
        if not isinstance(v, (list, tuple)):
            wrong("a list")
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        records = {"Diagnosis": Diagnosis, "Line": Line}
        if inner in records:
            return tuple(_record(records[inner], d, where, f"{path}[{i}].") for i, d in enumerate(v))
        return tuple(_value(inner, d, where, f"{path}[{i}]") for i, d in enumerate(v))
    if kind == "str":
        return v if isinstance(v, str) else wrong("text")
    if isinstance(v, bool) or not isinstance(v, (int, float)) or not abs(v) <= LARGEST:
        wrong("a number")
    if kind == "float":
        return float(v)
    return int(v) if v == int(v) else wrong("a whole number")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
