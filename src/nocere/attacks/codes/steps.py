"""The edits of one claim as steps of its counts: what a search over sets of edits adds up.

Counts are linear in codes, so the counts after several edits are those of the claim plus one step an edit. Only which
diagnosis stands first is not: two edits that both change it are replayed together, and what they do beyond the sum of
their steps is kept for the pair. Edits that the model cannot tell apart and that exclude each other are one option.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nocere.cases.claim import Claim
from nocere.core.case import Case
from nocere.targets.claims.encoder import Encoder
from nocere.threats.codes.edit import Edit, ordered, replay

Key = str | int


@dataclass(frozen=True, slots=True)
class Options:
    """What can be done to one claim, as the model sees it.

    Args:
        edits: all of them, in the order of the set.
        members: for every option, the edits that it stands for, as positions in `edits`.
        counts: of the claim, in the columns that some edit changes and the model reads [c].
        columns: those columns of the encoder [c].
        steps: change of the counts by every option [n, c].
        joint: for pairs of options, a < b, what both together do beyond the sum of their steps [c].
        clash: [n, n], True where two options touch the same thing, and on the diagonal.
    """

    edits: tuple[Edit, ...]
    members: tuple[tuple[int, ...], ...]
    counts: NDArray[np.int64]
    columns: NDArray[np.intp]
    steps: NDArray[np.int64]
    joint: dict[tuple[int, int], NDArray[np.int64]]
    clash: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.members)


def options(
    case: Case[Claim], edits: Sequence[Edit], encoder: Encoder, used: NDArray[np.bool_], base: NDArray[np.int64]
) -> Options:
    """The options of one claim.

    Args:
        case: the original.
        edits: all single edits of the set.
        encoder: of the model.
        used: columns that the model reads [width].
        base: counts of the claim [width].
    """
    claim = case.x
    first = {k: p for k, e in enumerate(edits) if (p := _first(claim, e)) != claim.principal}
    plain = [_step(claim, e, encoder, first.get(k)) for k, e in enumerate(edits)]
    columns = np.array(sorted({c for step in plain for c in step if used[c]}), dtype=np.intp)
    place = {int(c): i for i, c in enumerate(columns)}
    rows = np.zeros((len(edits), len(columns)), dtype=np.int64)
    for row, step in zip(rows, plain, strict=True):
        for c, n in step.items():
            if c in place:
                row[place[c]] += n
    groups: dict[tuple[bytes, frozenset[Key]], list[int]] = {}
    shared: dict[tuple[bytes, frozenset[Key]], set[Key]] = {}
    for k, e in enumerate(edits):
        keys = _touched(e)
        # Edits that only add go together with each other: each is its own option.
        own = (rows[k].tobytes(), _held(e) or frozenset(keys))
        groups.setdefault(own, []).append(k)
        shared[own] = keys & shared[own] if own in shared else keys
    members = tuple(tuple(m) for m in groups.values())
    steps = rows[[m[0] for m in members]] if members else rows
    made = Options(
        tuple(edits), members, base[columns], columns, steps, {}, _clash([shared[own] for own in groups])
    )  # fmt: skip
    made.joint.update(_joint(claim, made, first, encoder, place))
    return made


def _touched(e: Edit) -> set[Key]:
    """What an edit touches; two edits of one set touch nothing together."""
    return {*e.add, *_held(e)}


def _held(e: Edit) -> frozenset[Key]:
    """What of the original claim an edit takes for itself: codes, the order, a line."""
    keys: set[Key] = set(e.remove)
    if e.principal or e.order:
        keys |= {"", *([e.principal] if e.principal else [])}
    if e.line >= 0:
        keys.add(e.line)
    return frozenset(keys)


def _clash(shared: Sequence[set[Key]]) -> NDArray[np.bool_]:
    out = np.eye(len(shared), dtype=bool)
    holders: dict[Key, list[int]] = {}
    for k, keys in enumerate(shared):
        for key in keys:
            holders.setdefault(key, []).append(k)
    for mine in holders.values():
        out[np.ix_(mine, mine)] = True
    return out


def _first(claim: Claim, e: Edit) -> str:
    """The principal diagnosis after an edit."""
    if e.principal:
        return e.principal
    if claim.principal in e.remove or e.order or not claim.diagnoses:
        return replay(claim, [e]).principal
    return claim.principal


def _step(claim: Claim, e: Edit, encoder: Encoder, first: str | None) -> dict[int, int]:
    """Columns that an edit changes, and by how much; `first` is a new principal diagnosis."""
    step: dict[int, int] = {}
    if e.line >= 0:
        change = encoder.counts([replay(claim, [e])])[0] - encoder.counts([claim])[0]
        return {int(c): int(change[c]) for c in np.flatnonzero(change)}
    for codes, sign in ((e.remove, -1), (e.add, 1)):
        for code in codes:
            often = claim.codes.count(code) if sign < 0 else 1
            for c in encoder.of_diagnosis(code):
                step[c] = step.get(c, 0) + sign * often
    if first is not None:
        for code, sign in ((claim.principal, -1), (first, 1)):
            for c in encoder.of_principal(code) if code else ():
                step[c] = step.get(c, 0) + sign
    return step


def _joint(
    claim: Claim, made: Options, first: dict[int, str], encoder: Encoder, place: dict[int, int]
) -> dict[tuple[int, int], NDArray[np.int64]]:
    """What pairs of edits that both change the principal diagnosis do beyond the sum of their steps."""
    changers = [k for k, m in enumerate(made.members) if any(i in first for i in m)]
    read = {
        p: [place[c] for c in encoder.of_principal(p) if c in place] for p in {claim.principal, *first.values()} if p
    }
    if not any(read.values()):
        return {}
    found = {}
    for a, b in itertools.combinations(changers, 2):
        i, j = made.members[a][0], made.members[b][0]
        together = None if made.clash[a, b] else _principal(claim, made, a, b)
        if together is None:
            continue
        beyond = np.zeros(len(made.columns), dtype=np.int64)
        for code, sign in ((together, 1), (claim.principal, 1), (first[i], -1), (first[j], -1)):
            beyond[read.get(code, [])] += sign
        if beyond.any():
            found[a, b] = beyond
    return found


def _principal(claim: Claim, made: Options, a: int, b: int) -> str | None:
    """The principal diagnosis after two options, or None where no edits of theirs replay together."""
    for i, j in itertools.product(made.members[a], made.members[b]):
        try:
            return replay(claim, ordered([made.edits[i], made.edits[j]])).principal
        except ValueError:
            continue
    return None
