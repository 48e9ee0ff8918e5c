"""The referee: the only place where an attack's success is decided.

It writes a candidate as the real file of its kind, reads the file back, checks content and proof against the
perturbation set, asks the shipped target again in tiles of a fixed shape, and counts every query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.evaluate import Parts, fitting, goal_margins, tiles
from nocere.attacks.item import UNCHANGED
from nocere.cases.codec import Codec
from nocere.core.budget import Meter
from nocere.core.candidate import Candidate, Files, Finding
from nocere.core.canonical import sha256
from nocere.core.case import Case, CaseSet
from nocere.core.errors import TargetError
from nocere.core.goal import Goal, Literals
from nocere.core.intervals import clopper_pearson
from nocere.core.rng import seed_of
from nocere.targets.base import Scores, Target, check_answers
from nocere.threats.base import PerturbationSet

TILE = 8
NOISE_FLOOR = 1e-6
SAFETY = 10.0


@dataclass(frozen=True, slots=True)
class Clean:
    """The shipped target's answer to an unchanged case; `why` says what went wrong, else empty."""

    case_id: str
    margins: tuple[float, ...]
    probabilities: tuple[float, ...] | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Draws:
    """How often a stochastic target is asked, and from which flip share on a candidate counts as broken."""

    m: int = 40
    tau: float = 0.5


class Referee:
    """Judges candidates on the shipped target.

    Args:
        target: the shipped target; never a search twin or a view.
        codec: writes and reads the real files.
        cases: the originals.
        seed: for stochastic targets.
        draws: for stochastic targets.
        tile: rows a call; replay uses 1.
    """

    def __init__(
        self,
        target: Target,
        codec: Codec,
        cases: CaseSet,
        *,
        seed: int = 0,
        draws: Draws | None = None,
        tile: int = TILE,
    ) -> None:
        self.target, self.codec, self.seed, self.tile = target, codec, seed, tile
        self.draws = draws or Draws()
        self.load = lru_cache(maxsize=512)(cases.load)
        self.noise = NOISE_FLOOR

    # --- clean cases ---------------------------------------------------------------------------------------------

    def clean(self, ids: Sequence[str]) -> list[Clean]:
        """Answers to the unchanged cases, as their realised files are read back.

        Raises:
            TargetError: the target answers differently to the same rows without being declared stochastic, gives
                the same scores to every case or probabilities for logits, or cannot be asked.
        """
        out: list[Clean] = []
        seen: list[NDArray[np.float64]] = []
        spread = NOISE_FLOOR
        for at in range(0, len(ids), 64):
            cases = [self.load(i) for i in ids[at : at + 64]]
            read = [self.codec.decode(self.codec.encode(c, c.x)) for c in cases]
            for c, (x, header) in zip(cases, read, strict=True):
                if not _same(x, c.x) or dict(header) != dict(c.header):
                    raise TargetError(f"Case {c.id} does not survive being written and read back.")
            contents = [x for x, _ in read]
            for index in _by_shape(contents):
                group = [cases[i] for i in index]
                rows = [contents[i] for i in index]
                m, p, z = self._ask(rows, group)
                seen += [] if z is None else [z]
                if at == 0 and not self.target.stochastic:
                    again, _, _ = self._ask(rows, group)
                    alone, _, _ = self._ask(rows[:8], group[:8], tile=1)
                    # One call may draw once for all of its rows: a few rows are asked one by one, and that twice.
                    once_more, _, _ = self._ask(rows[:8], group[:8], tile=1)
                    for a, b in ((again, m), (once_more, alone)):
                        if not np.array_equal(np.nan_to_num(a), np.nan_to_num(b)):
                            raise TargetError(
                                f"{self.target.name} answers differently to the same input "
                                f"(up to {np.nanmax(np.abs(a - b)):.2g} in the margin).",
                                "Declare stochastic = true, or switch its randomness off.",
                            )
                    spread = max(spread, float(np.nan_to_num(np.abs(alone - m[:8])).max()))
                for k, c in enumerate(group):
                    finite = bool(np.isfinite(m[k]).all())
                    why = "" if finite else "the target returned a score that is not finite"
                    values = tuple(map(float, m[k])) if finite else ()
                    probabilities = None if p is None or not finite else tuple(map(float, p[k]))
                    out.append(Clean(c.id, values, probabilities, why))
        if seen:
            check_answers(np.concatenate(seen), self.target)
        # A power of ten, so that the rule does not hang on the last bit of the measurement itself.
        self.noise = 0.0 if not isinstance(self.target, Scores) else float(10.0 ** np.ceil(np.log10(spread)))
        order = {c.case_id: c for c in out}
        return [order[i] for i in ids]

    def _ask(
        self, contents: Sequence[Any], cases: Sequence[Case[Any]], tile: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """Decision margins, probabilities and scores; over draws, medians of margins, means of the others."""
        lit = Literals(np.ones((len(cases), len(self.target.decision.labels))), np.zeros((len(cases), 1)))
        m, p, z = [], [], []
        for draw in range(self.draws.m if self.target.stochastic else 1):
            seeds = self._seeds(contents, cases, draw)
            _, margins, scores = goal_margins(
                self.target, rows_of(contents), cases, lit, Goal(), seeds, _parts(tile or self.tile, contents)
            )
            m.append(margins)
            p.append(None if scores is None else self.target.decision.probabilities(scores))
            z.append(scores)
        mean_p = None if p[0] is None else np.mean([q for q in p if q is not None], axis=0)
        mean_z = None if z[0] is None else np.mean([s for s in z if s is not None], axis=0)
        # The median: a clean answer is what most draws say, as a break is decided by the share of draws.
        return np.median(m, axis=0), mean_p, mean_z

    def _seeds(self, contents: Sequence[Any], cases: Sequence[Case[Any]], draw: int) -> NDArray[np.uint64] | None:
        if not self.target.stochastic:
            return None
        keys = [sha256(_bytes(x)) for x in contents]
        drawn = [seed_of(self.seed, "referee", c.id, k, draw) for c, k in zip(cases, keys, strict=True)]
        return np.array(drawn, dtype=np.uint64)

    # --- candidates ----------------------------------------------------------------------------------------------

    def court(self, pset: PerturbationSet, goal: Goal, literals: Mapping[str, Literals], meter: Meter) -> Court:
        """A judge for one cell."""
        return Court(self, pset, goal, literals, meter)


@dataclass(slots=True)
class Court:
    """The referee at work on one cell: implements `Judge`."""

    referee: Referee
    pset: PerturbationSet
    goal: Goal
    literals: Mapping[str, Literals]
    meter: Meter

    @property
    def target(self) -> Target:
        """The shipped target, for checkers of certificates."""
        return self.referee.target

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding]:
        """A finding for every candidate, in order; a candidate that is not inside is never shown to the target."""
        findings: list[Finding | None] = [None] * len(candidates)
        ready: list[tuple[int, Case[Any], Any, Files]] = []
        for i, c in enumerate(candidates):
            case = self.referee.load(c.case_id)
            read = self._realise(case, c)
            if isinstance(read, str):
                findings[i] = Finding(False, read, -float(np.finfo(np.float32).max), None, None, (), 0.0, None, c.proof)
            else:
                ready.append((i, case, *read))
        for index in _by_shape([r[2] for r in ready]):
            group = [ready[k] for k in index]
            for (i, case, _, _), finding in zip(group, self._decide(group, candidates), strict=True):
                findings[i] = finding
                self.meter.asked(case.id, self.referee.draws.m if self.referee.target.stochastic else 1)
        return [f for f in findings if f is not None]

    def _realise(self, case: Case[Any], c: Candidate) -> tuple[Any, Files] | str:
        """Content as a reader of the written file finds it, and the file; or why it is no candidate."""
        codec = self.referee.codec
        try:
            files = codec.encode(case, c.x)
            x, header = codec.decode(files)
        except Exception as e:
            return f"cannot be written as a {codec.name} file: {type(e).__name__}: {e}"
        if dict(header) != dict(case.header):
            return "the written file differs from the original in more than its content"
        if _same(x, case.x):
            return UNCHANGED
        violation = self.pset.at(c.radius).check(case, x, c.proof)
        return (x, files) if violation is None else f"not in the set: {violation.why}"

    def _decide(
        self, group: Sequence[tuple[int, Case[Any], Any, Files]], candidates: Sequence[Candidate]
    ) -> list[Finding]:
        r = self.referee
        cases, contents = [g[1] for g in group], [g[2] for g in group]
        lit = Literals.join([self.literals[c.id] for c in cases])
        goals, decided, probs = [], [], []
        parts = _parts(r.tile, contents)
        for draw in range(r.draws.m if r.target.stochastic else 1):
            seeds = r._seeds(contents, cases, draw)
            g, m, scores = goal_margins(r.target, rows_of(contents), cases, lit, self.goal, seeds, parts)
            goals.append(g)
            decided.append(m)
            probs.append(None if scores is None else r.target.decision.probabilities(scores))
        goal, margins = np.array(goals), np.mean(decided, axis=0)
        probabilities = None if probs[0] is None else np.mean([p for p in probs if p is not None], axis=0)
        out = []
        for k, (i, case, x, files) in enumerate(group):
            met = goal[:, k] > SAFETY * r.noise
            proof = candidates[i].proof
            cost = self.pset.cost(case, x, proof)
            margin, rate = float(np.mean(goal[:, k])), float(met.mean())
            if not np.isfinite(goal[:, k]).all():
                out.append(Finding(False, "the target's score is not finite", -1e30, cost, None, (), 0.0, None, proof))
                continue
            if r.target.stochastic:
                low = clopper_pearson(int(met.sum()), len(met)).low
                ok = bool(low > r.draws.tau)
                why = f"goal met in {int(met.sum())} of {len(met)} draws; lower limit {low:.2f}"
            else:
                ok = bool(met[0])
                why = "goal met" if ok else "goal not met"
                if not ok and margin > 0:
                    why = f"goal met, but by less than {SAFETY:g} times the target's numerical noise"
            out.append(
                Finding(
                    ok,
                    why,
                    margin,
                    cost,
                    files if ok else None,
                    tuple(map(float, margins[k])),
                    rate,
                    None if probabilities is None else tuple(map(float, probabilities[k])),
                    proof,
                )
            )
        return out


def rows_of(contents: Sequence[Any]) -> Any:
    """Stored contents as rows for a target: a float32 tensor for arrays, a list for objects."""
    if not isinstance(contents[0], np.ndarray):
        return list(contents)
    import torch

    return torch.from_numpy(np.stack([c.astype(np.float32) for c in contents]))


def _parts(tile: int, contents: Sequence[Any]) -> Parts:
    """Tiles of a fixed shape for contents of one shape."""
    first = contents[0]
    return partial(tiles, size=fitting(tile, first.size) if isinstance(first, np.ndarray) else tile)


def _same(a: Any, b: Any) -> bool:
    if isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


def _bytes(x: Any) -> bytes:
    return x.tobytes() if isinstance(x, np.ndarray) else repr(x).encode()


def _by_shape(contents: Sequence[Any]) -> list[list[int]]:
    """Positions of contents of one shape, bucket by bucket."""
    buckets: dict[Any, list[int]] = {}
    for i, x in enumerate(contents):
        buckets.setdefault(x.shape if isinstance(x, np.ndarray) else None, []).append(i)
    return list(buckets.values())
