"""A route: which model an input goes to, through which recipe, and what happens when it does not verify."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Self

from nocere.core.canonical import digest
from nocere.core.errors import DataError, UsageError, VerificationError
from nocere.provenance.gate.recipe import Recipe
from nocere.provenance.site import Draft, Site

Policy = Literal["refuse", "mark"]
POLICIES = ("refuse", "mark")


@dataclass(frozen=True, slots=True)
class Route:
    """One way to one model.

    Attributes:
        name: names the route in records.
        model, version: what runs behind the gate; the pair ends up in every inference record.
        recipe: registered preprocessing.
        unverified: "refuse" hands over nothing (fail closed); "mark" hands the array over marked as unverified, raises
            the alarm and logs the override first. A gate that blocks care is a hazard too (ISO 14971, 7.5): it is for
            the site to say which of the two a route needs.
    """

    name: str
    model: str
    version: str
    recipe: Recipe
    unverified: Policy = "refuse"

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read a route from JSON: name, model, version, recipe (an object), unverified.

        Raises:
            DataError: a field is missing, unknown or wrong.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            names = {k: data[k] for k in ("name", "model", "version")}
            recipe, policy = data["recipe"], data.get("unverified", "refuse")
            unknown = set(data) - {"name", "model", "version", "recipe", "unverified"}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(
                "This is not a route.", "A route is a JSON object with name, model, version, recipe, unverified."
            ) from None
        if unknown or policy not in POLICIES or not all(isinstance(v, str) and v for v in names.values()):
            raise DataError(
                "A field of the route is unknown or wrong.", f"Texts: name, model, version; unverified: {POLICIES}."
            )
        return cls(**names, recipe=Recipe.parse(json.dumps(recipe)), unverified=policy)


def register(site: Site, recipe: Recipe) -> int:
    """Register a recipe in the log; one that is registered already is not added again. Returns its place."""
    for row in site.vault.find("recipe", recipe.hash, "recipe"):
        if row.index is not None:
            return row.index
    draft = Draft("recipe", {"recipe": recipe.to_json(), "hash": recipe.hash}, finds={"recipe": recipe.hash})
    (index,) = site.write("registrar", [draft])
    return index


def registered(site: Site, recipe: Recipe) -> int:
    """The place of a recipe in the log, after checking that record.

    Raises:
        UsageError: it is not registered.
        VerificationError: the record does not verify or holds another recipe.
    """
    for row in site.vault.find("recipe", recipe.hash, "recipe"):
        if row.index is not None:
            record = site.verified(row.index)
            if digest(record.body["recipe"]) != recipe.hash:
                raise VerificationError(f"Record {row.index} holds another recipe than the one of the route.")
            return row.index
    raise UsageError(
        f"The recipe {recipe.name!r} is not registered in this log.", "Register it: nocere log register SITE ROUTE.json"
    )
