"""Replay: every adversarial file of a bundle is opened, checked and shown to the target again, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nocere.attacks.outcome import Outcome
from nocere.audit.bundle import Bundle, evidence_path, mask_path, short
from nocere.audit.codecs import codec_named
from nocere.audit.referee import Draws, Referee
from nocere.cases.codec import Codec
from nocere.core.budget import Budget, Meter
from nocere.core.candidate import Candidate
from nocere.core.canonical import sha256
from nocere.core.case import Case, CaseSet
from nocere.core.errors import VerificationError
from nocere.core.goal import Goal
from nocere.core.registry import get
from nocere.targets.base import Target


@dataclass(frozen=True, slots=True)
class Replay:
    """How many examples were replayed, which failed and why."""

    replayed: int
    failed: tuple[str, ...]

    @property
    def total(self) -> int:
        """Examples in the bundle."""
        return self.replayed + len(self.failed)


def replay(
    bundle: Bundle,
    target: Target,
    codec: Codec | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Replay:
    """Judge every reported example again, from its file, with one row a call.

    Raises:
        VerificationError: the bundle has been changed, or `target` is not the model that it is about.
    """
    codec = codec or codec_named(bundle.plan["cases"]["codec"])
    bundle.verify()
    want = bundle.manifest["target"]
    if target.fingerprint != want:
        raise VerificationError(
            f"This target has the fingerprint {target.fingerprint[:12]}, but the audit is about {want[:12]}.",
            "Give the same model, preprocessing, labels and threshold with --target.",
        )
    work = [
        (c, o)
        for c in bundle.plan["cells"]
        for o in bundle.outcomes(c["name"])
        if o.finding is not None and o.finding.ok
    ]
    originals = _originals(bundle, codec, {o.case_id for _, o in work})
    draws = Draws(**bundle.plan["draws"])
    referee = Referee(target, codec, originals, seed=bundle.plan["seed"], draws=draws, tile=1)
    referee.noise = bundle.read("clean.json")["noise"]
    clean = {r["case_id"]: np.array(r["margins"]) for r in bundle.read("clean.json")["cases"]}
    failed, good = [], 0
    for done, (cell, outcome) in enumerate(work):
        why = _again(bundle, cell, outcome, referee, clean[outcome.case_id])
        if why:
            failed.append(f"{cell['name']} {outcome.case_id} at {outcome.radius:g}: {why}")
        else:
            good += 1
        if progress is not None:
            progress(done + 1, len(work))
    return Replay(good, tuple(failed))


def _originals(bundle: Bundle, codec: Codec, ids: set[str]) -> CaseSet:
    refs = [r for r in bundle.refs if r.id in ids]
    by_id = {r.id: r for r in refs}

    def load(case_id: str) -> Case[Any]:
        ref = by_id[case_id]
        x, header = codec.decode(_files(bundle, f"originals/{short(case_id)}"))
        mask = bundle.bytes(mask_path(case_id)) if ref.mask else b""
        if ref.mask and sha256(mask) != ref.mask:
            raise VerificationError(f"{bundle.folder}: the mask of {case_id} is not the one that the audit listed.")
        return Case(ref.id, x, header, ref.truth, ref.group, ref.attrs, ref.sha256, mask)

    return CaseSet(refs, load, phantom=bundle.manifest["phantom"], name="originals")


def _files(bundle: Bundle, folder: str) -> dict[str, bytes]:
    names = [n for n in bundle.manifest["files"] if n.startswith(folder + "/")]
    return {n.removeprefix(folder + "/"): bundle.bytes(n) for n in names}


def _again(bundle: Bundle, cell: dict[str, Any], outcome: Outcome, referee: Referee, clean: Any) -> str:
    """Why the example does not stand, or nothing."""
    assert outcome.finding is not None
    args = dict(cell["threat"])
    pset = get("threat", args.pop("name")).make(**args)
    g = cell["goal"]
    goal = Goal(tuple(g["want"]), g["when"], g["combine"], g["shift"])
    files = _files(bundle, evidence_path(cell["name"], outcome.case_id, outcome.radius))
    if not files:
        return "its evidence file is missing"
    case = referee.load(outcome.case_id)
    lit = goal.bind(case, referee.target.decision, clean)
    if lit is None:
        return "its goal does not apply"
    x, _ = referee.codec.decode(files)
    court = referee.court(pset, goal, {case.id: lit}, Meter(Budget(1)))
    finding = court.judge([Candidate(case.id, x, outcome.radius, outcome.finding.proof)])[0]
    if finding.ok:
        return ""
    # The margin of ten times the noise was demanded when it was found; here meeting the goal is enough.
    return "" if finding.margin > 0 and not referee.target.stochastic else finding.why
