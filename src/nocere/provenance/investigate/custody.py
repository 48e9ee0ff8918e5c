"""What the log says of one input, in order: captured, amended, shown to which model; and its bounds in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nocere.core.errors import VerificationError
from nocere.provenance.merkle import root
from nocere.provenance.site import Site

WORDS = {
    "capture": "captured",
    "amendment": "amended",
    "inference": "shown to the gate",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One record about the input.

    Attributes:
        index: place in the log; the order of events is the order of indices.
        what: captured, amended, shown to the gate.
        agent: who wrote the record.
        clock: what the agent's clock said; a claim.
        told: the rest of the record in words.
        problem: why the record does not verify; empty when it does.
    """

    index: int
    what: str
    agent: str
    clock: str
    told: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Bracket:
    """Between which records of the log a record was written.

    The order is proven: the record holds the root of the checkpoint that its agent knew, so it was written after that,
    and `covered_by` is the first record of another agent that knew a checkpoint with it inside, so it was written
    before that. The clocks beside them are claims of the agents that wrote those records.

    Attributes:
        after: entries that were in the log already; `after_clock` is the newest clock among them.
        index: the record's own place.
        covered_by: index of that later record, None when there is none yet.
    """

    after: int
    after_clock: str
    index: int
    clock: str
    covered_by: int | None
    covered_clock: str


def timeline(site: Site, index: int, suspect_f0: str = "") -> list[Event]:
    """Every record about captured input `index`, and every time that the suspect's very bytes were shown to a gate."""
    rows = {row.index: row for row in [site.vault.at(index)] if row is not None}
    rows |= {r.index: r for r in site.vault.find(f"of:{index}", "1", "amendment", 10_000)}
    rows |= {r.index: r for r in site.vault.find(f"input:{index}", "1", "inference", 10_000)}
    if suspect_f0:
        rows |= {r.index: r for r in site.vault.find("f0", suspect_f0, "inference", 10_000)}
    return [_event(site, i) for i in sorted(i for i in rows if i is not None)]


def shown(site: Site, f0: str) -> list[Event]:
    """Every time that these very bytes were shown to a gate."""
    indices = sorted(r.index for r in site.vault.find("f0", f0, "inference", 10_000) if r.index is not None)
    return [_event(site, i) for i in indices]


def _event(site: Site, index: int) -> Event:
    problem = ""
    try:
        record = site.record(index)
        site.ring().author(record)
    except VerificationError as e:
        problem = str(e)
        record = site.record(index)
    body = record.body
    return Event(index, WORDS.get(record.type, record.type), body["agent"], body["clock"], _told(body), problem)


def _told(body: Any) -> str:
    if body["type"] == "inference":
        how = {"verified": "verified and handed over", "unverified": "handed over UNVERIFIED", "refused": "refused"}
        verdicts = ", ".join(body["verdict"])
        return f"{verdicts}: {how.get(body['mode'], body['mode'])}; model {body['model']} {body['version']}"
    if body["type"] == "amendment":
        return f"{body['reason']} of {', '.join(body['fields'])}"
    return str(body.get("kind", ""))


def bracket(site: Site, index: int) -> Bracket:
    """The bounds of one record.

    Raises:
        VerificationError: a record does not verify, or claims a checkpoint that this log never had.
    """
    record = site.verified(index)
    after = int(record.body["seen"]["size"])
    if after > index or root(after, site.log.published.hashes(site.log.size)).hex() != record.body["seen"]["root"]:
        raise VerificationError(f"Record {index} names a checkpoint that this log never had.")
    after_clock = site.record(after - 1).body["clock"] if after else ""
    for later in range(index + 1, min(site.log.size, index + 1 + 4096)):
        other = site.record(later)
        if other.body["agent"] != record.body["agent"] and other.body["seen"]["size"] > index:
            return Bracket(after, after_clock, index, record.body["clock"], later, other.body["clock"])
    return Bracket(after, after_clock, index, record.body["clock"], None, "")
