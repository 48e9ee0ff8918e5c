"""Case, Truth and CaseSet: one clinical input, what is known of it, and many of them loaded one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from nocere.core.canonical import Json, sha256
from nocere.core.errors import DataError

X = TypeVar("X")


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a case: labels, or how many readers said what.

    `labels` holds every label that is true: one for exclusive labels, any number for findings. With `votes`, the
    label with most votes is the true one; a tie has no label. `borderline` is decided by the votes alone, never by
    the model under test: the majority is smaller than three quarters of the votes.
    """

    labels: frozenset[str] = frozenset()
    votes: Mapping[str, int] = field(default_factory=dict)
    value: float | None = None

    @classmethod
    def of(cls, *labels: str) -> Truth:
        """Truth with these labels asserted."""
        return cls(labels=frozenset(labels))

    @classmethod
    def from_votes(cls, votes: Mapping[str, int]) -> Truth:
        """Truth by majority of reader votes; a tie leaves the case without a label."""
        if not votes or sum(votes.values()) <= 0 or min(votes.values()) < 0:
            raise DataError(f"Reader votes must be whole numbers with at least one vote; got {dict(votes)}.")
        top = max(votes.values())
        winners = [k for k, v in votes.items() if v == top]
        return cls(labels=frozenset(winners if len(winners) == 1 else ()), votes=MappingProxyType(dict(votes)))

    @property
    def label(self) -> str | None:
        """The one true label, or None where there is none or more than one."""
        return next(iter(self.labels)) if len(self.labels) == 1 else None

    @property
    def borderline(self) -> bool | None:
        """True or False by reader votes; None where nobody voted."""
        if not self.votes:
            return None
        return max(self.votes.values()) / sum(self.votes.values()) < 0.75

    def to_json(self) -> Json:
        """Plain form for manifests and bundles."""
        return {"labels": sorted(self.labels), "votes": dict(self.votes), "value": self.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Truth:
        """Inverse of `to_json`."""
        return cls(frozenset(data["labels"]), MappingProxyType(dict(data["votes"])), data["value"])


@dataclass(frozen=True, slots=True)
class Case(Generic[X]):
    """One clinical input.

    `x` is the stored value under attack (integers of an image or signal, a note, a claim), read-only; `header` is
    everything else in its file. `group` is the patient (or whatever makes cases dependent); `sha256` is taken over
    the source bytes once, at load. `mask` is a picture of the pixels that a reader marked (`cases.masks`), or empty.
    """

    id: str
    x: X
    header: Mapping[str, Json] = field(default_factory=dict)
    truth: Truth = field(default_factory=Truth)
    group: str = ""
    attrs: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    mask: bytes = b""

    def with_x(self, x: Any) -> Case[Any]:
        """The same case with another content."""
        return replace(self, x=x)


@dataclass(frozen=True, slots=True)
class CaseRef:
    """A case without its content: what a plan, a table and a report need. `mask` is the hash of its mask, if any."""

    id: str
    truth: Truth
    group: str
    attrs: Mapping[str, str]
    sha256: str
    mask: str = ""

    def to_json(self) -> dict[str, Json]:
        """Plain form for bundles."""
        return {
            "id": self.id,
            "truth": self.truth.to_json(),
            "group": self.group,
            "attrs": dict(self.attrs),
            "sha256": self.sha256,
            **({"mask": self.mask} if self.mask else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CaseRef:
        """Inverse of `to_json`."""
        return cls(
            data["id"],
            Truth.from_json(data["truth"]),
            data["group"],
            data["attrs"],
            data["sha256"],
            data.get("mask", ""),
        )


class CaseSet:
    """Cases by id, each loaded when it is asked for.

    Args:
        refs: the cases without content; ids must be unique.
        loader: id -> Case; must give the same case every time.
        phantom: True where the cases are synthetic. Phantoms and data are never mixed in one set.
    """

    def __init__(
        self, refs: Sequence[CaseRef], loader: Callable[[str], Case[Any]], *, phantom: bool, name: str
    ) -> None:
        ids = [r.id for r in refs]
        if len(set(ids)) != len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise DataError(f"Case id {twice!r} appears more than once in {name}.", "Give every case its own id.")
        self.refs = tuple(refs)
        self.phantom = phantom
        self.name = name
        self._loader = loader

    @classmethod
    def of(cls, cases: Sequence[Case[Any]], *, phantom: bool = False, name: str = "memory") -> CaseSet:
        """A set over cases that are in memory already."""
        by_id = {c.id: c for c in cases}
        refs = [
            CaseRef(c.id, c.truth, c.group or c.id, c.attrs, c.sha256, sha256(c.mask) if c.mask else "") for c in cases
        ]
        return cls(refs, by_id.__getitem__, phantom=phantom, name=name)

    def __len__(self) -> int:
        return len(self.refs)

    def __iter__(self) -> Iterator[Case[Any]]:
        return (self.load(r.id) for r in self.refs)

    def load(self, case_id: str) -> Case[Any]:
        """The whole case.

        Raises:
            DataError: the file behind it is missing, unreadable or has changed since it was listed.
        """
        return self._loader(case_id)

    def take(self, ids: Sequence[str]) -> CaseSet:
        """The cases with these ids, in this order."""
        by_id = {r.id: r for r in self.refs}
        missing = [i for i in ids if i not in by_id]
        if missing:
            raise DataError(f"Case {missing[0]!r} is not in {self.name}.")
        return CaseSet([by_id[i] for i in ids], self._loader, phantom=self.phantom, name=self.name)
