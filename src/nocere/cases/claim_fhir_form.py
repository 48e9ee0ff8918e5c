"""A FHIR resource as parsed JSON: every step into it checks the form, and errors name the claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nocere.cases.claim_json import LARGEST
from nocere.core.errors import DataError


class Resource:
    """One resource.

    Args:
        data: the resource.
        where: the claim, as errors name it. All methods raise DataError where a part has another form than FHIR's.
    """

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data, self.where = data, where

    def part(self, of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """An object, empty where there is none."""
        value = of.get(key, {})
        if not isinstance(value, Mapping):
            raise DataError(f"{self.where}: broken FHIR, {key} must be an object; got {type(value).__name__}.")
        return value

    def parts(self, of: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
        """A list of objects."""
        value = of.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, Mapping) for v in value):
            raise DataError(f"{self.where}: broken FHIR, {key} must be a list of objects.")
        return iter(value)

    def text(self, of: Mapping[str, Any], key: str) -> str:
        """A text, empty where there is none."""
        value = of.get(key, "")
        if not isinstance(value, str):
            raise DataError(f"{self.where}: broken FHIR, {key} must be text; got {value!r}.")
        return value

    def number(self, of: Mapping[str, Any], key: str) -> float:
        """A finite number, 0 where there is none."""
        value = of.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
            raise DataError(f"{self.where}: broken FHIR, {key} must be a number; got {value!r}.")
        return float(value)

    def place(self, of: Mapping[str, Any], what: str) -> int:
        """The sequence number of a part, which others point to."""
        value = of.get("sequence")
        if type(value) is not int:
            raise DataError(f"{self.where}: broken FHIR, a {what} has no sequence number.")
        return value

    def numbers(self, of: Mapping[str, Any], key: str) -> list[int]:
        """A list of sequence numbers."""
        value = of.get(key, [])
        if not isinstance(value, list) or not all(type(v) is int for v in value):
            raise DataError(f"{self.where}: broken FHIR, {key} must be a list of positions.")
        return value

    def codings(self, of: Mapping[str, Any], key: str) -> list[tuple[str, str, str]]:
        """System, code and version of every coding of a CodeableConcept."""
        codings = self.parts(self.part(of, key), "coding")
        return [(self.text(c, "system"), self.text(c, "code"), self.text(c, "version")) for c in codings]

    def who(self, key: str) -> str:
        """Identifier of what a reference names, or the last part of its address."""
        given = self.part(self.data, key)
        reference = self.text(given, "reference")
        inside = self.contained(reference)
        named = [self.text(i, "value") for i in self.parts(inside, "identifier")]
        outside = "" if reference.startswith("#") else reference.rsplit("/", 1)[-1]
        return self.text(self.part(given, "identifier"), "value") or next((n for n in named if n), outside)

    def contained(self, reference: str) -> Mapping[str, Any]:
        """The resource inside of this one that a reference such as `#patient` names, empty where there is none."""
        inside = self.parts(self.data, "contained")
        return next((c for c in inside if reference and reference == f"#{c.get('id')}"), {})
