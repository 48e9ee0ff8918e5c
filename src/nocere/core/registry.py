"""One decorator to add a thing, one function to find it; third parties add theirs by an entry point.

Built-in things are found by importing the modules of their package, so a new file is all that a new attack needs.
A module whose optional package is missing is listed as unavailable, with the reason.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, TypeAlias, TypeVar

from nocere.core.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
What: TypeAlias = Literal["attack", "threat", "dataset", "phantom", "target", "measure", "defence", "scenario"]

PACKAGES: dict[str, str] = {
    "attack": "nocere.attacks",
    "threat": "nocere.threats",
    "dataset": "nocere.cases.datasets",
    "phantom": "nocere.cases.phantoms",
    "target": "nocere.targets",
    "measure": "nocere.audit.measures",
    "defence": "nocere.defences",
    "scenario": "nocere.scenarios",
}
ENTRY_POINTS = "nocere"


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered thing: its name, what makes it, one line for lists, its source, and free facts."""

    what: str
    name: str
    make: Callable[..., Any]
    summary: str
    source: str
    facts: dict[str, str] = field(default_factory=dict)


_ENTRIES: dict[tuple[str, str], Entry] = {}
_UNAVAILABLE: dict[str, str] = {}
_FOUND: set[str] = set()


def register(what: What, name: str, *, source: str = "", **facts: str) -> Callable[[F], F]:
    """Register a class or function; its first docstring line becomes the summary.

    Args:
        what: the kind of thing.
        name: `modality.technique`, the name that plans use.
        source: paper, standard or section it follows.
        facts: short texts for `nocere list` and the docs.
    """

    def add(make: F) -> F:
        summary = (make.__doc__ or "").strip().split("\n", 1)[0]
        if not summary:
            raise TypeError(f"{what} {name!r} needs a docstring: its first line is shown to users")
        known = _ENTRIES.get((what, name))
        if known is not None and (known.make.__module__, known.make.__qualname__) != (
            make.__module__,
            make.__qualname__,
        ):
            raise TypeError(f"{what} {name!r} is registered twice: {known.make.__module__} and {make.__module__}")
        _ENTRIES[what, name] = Entry(what, name, make, summary, source, facts)
        return make

    return add


def _discover(what: str) -> None:
    if what in _FOUND:
        return
    _FOUND.add(what)
    package = importlib.import_module(PACKAGES[what])
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            importlib.import_module(info.name)
        except ModuleNotFoundError as e:
            if (e.name or "").startswith("nocere"):
                raise
            _UNAVAILABLE[info.name] = f"needs the package {e.name!r}"
    for point in entry_points(group=ENTRY_POINTS):
        point.load()


def entries(what: What) -> list[Entry]:
    """All registered things of one kind, by name."""
    _discover(what)
    return [e for (w, _), e in sorted(_ENTRIES.items()) if w == what]


def unavailable() -> dict[str, str]:
    """Modules that could not be imported, and why."""
    return dict(_UNAVAILABLE)


def get(what: What, name: str) -> Entry:
    """The entry with this name.

    Raises:
        UsageError: no such name; the sentence lists what there is.
    """
    _discover(what)
    entry = _ENTRIES.get((what, name))
    if entry is None:
        known = ", ".join(e.name for e in entries(what))
        raise UsageError(f"Unknown {what} {name!r}.", f"Known: {known}. See `nocere list {what}s`.")
    return entry
