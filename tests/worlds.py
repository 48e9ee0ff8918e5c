"""Small worlds of every later modality: codecs, perturbation sets, targets and attacks that only tests use.

They prove that the contracts carry notes, claims, signals and records unchanged; nothing here is a product feature.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from nocere.attacks.base import Ask, AttackDefaults, Certificate, Job, Propose, Search, Share
from nocere.cases.record import RecordCodec, record_case
from nocere.core.candidate import Cost, Violation
from nocere.core.canonical import digest
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.units import Kind, Unit
from nocere.targets.callable import callable_target
from nocere.targets.torch import TorchTarget

LABELS = ("low", "high")
DECISION = OneLogit(LABELS)

# --- notes ---------------------------------------------------------------------------------------------------------

WORDS = {"pain": 1.0, "ache": 0.4, "abuse": 2.0, "dependence": 0.5, "chronic": 0.3, "lumbago": 0.1, "walks": -1.0}
SAME = {"pain": ("ache", "lumbago"), "abuse": ("dependence",)}
BIAS = -1.6


class NoteCodec:
    name = "note"

    def encode(self, case: Case[Any], x: Any) -> dict[str, bytes]:
        return {"note.txt": x.encode("utf-8")}

    def decode(self, files: Mapping[str, bytes]) -> tuple[Any, Mapping[str, Any]]:
        return files["note.txt"].decode("utf-8"), {}


@dataclass(frozen=True)
class WordSwaps:
    """At most `radius` words replaced by a word of the same concept; the proof lists every swap."""

    radius: float = 1.0
    name: ClassVar[str] = "test.word_swaps"
    unit: ClassVar[Unit] = Unit.EDITS
    kind: ClassVar[Kind] = Kind.TRUTHFUL

    def at(self, radius: float) -> WordSwaps:
        return replace(self, radius=radius)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "radius": self.radius}

    def check(self, case: Case[Any], x: Any, proof: Any) -> Violation | None:
        if not isinstance(proof, list) or len(proof) > self.radius:
            return Violation("more edits than allowed, or no proof")
        words = case.x.split(" ")
        for edit in proof:
            at, new = edit["at"], edit["to"]
            if new not in SAME.get(words[at], ()):
                return Violation(f"{words[at]} -> {new} is no swap of the same concept")
            words[at] = new
        return None if " ".join(words) == x else Violation("the proof does not give this note")

    def cost(self, case: Case[Any], x: Any, proof: Any) -> Cost:
        return Cost(float(len(proof)), str(self.unit))

    def moves(self, case: Case[Any], x: Any, proof: Any) -> Iterator[tuple[Any, Any]]:
        done = {e["at"] for e in proof or []}
        words = x.split(" ")
        for at, word in enumerate(words):
            for new in SAME.get(word, ()) if at not in done else ():
                yield " ".join([*words[:at], new, *words[at + 1 :]]), [*(proof or []), {"at": at, "to": new}]


@dataclass(frozen=True)
class GreedyMoves(AttackDefaults):
    """Take the best single move, again and again."""

    name: ClassVar[str] = "test.greedy"
    needs: ClassVar[frozenset[Any]] = frozenset({"scores"})

    def search(self, job: Job) -> Search:
        at: list[tuple[Any, Any]] = [(x, None) for x in job.x0]
        alive = list(range(len(at)))
        for _ in range(int(job.radius.max())):
            near = [(i, list(job.pset.moves(job.cases[i], *at[i]))) for i in alive]  # type: ignore[attr-defined]
            near = [(i, m) for i, m in near if m]
            if not near:
                break
            rows = np.array([i for i, m in near for _ in m])
            flat = [move for _, m in near for move in m]
            answer = yield Ask([x for x, _ in flat], rows, proofs=[p for _, p in flat])
            alive = []
            for i, _ in near:
                mine = np.flatnonzero((rows == i) & answer.live)
                if mine.size:
                    at[i] = flat[mine[np.argmax(answer.margin[mine])]]
                    alive.append(i)
        return []


def score_notes(notes: list[str]) -> np.ndarray[Any, Any]:
    return np.array([BIAS + sum(WORDS.get(w, 0.0) for w in n.split(" ")) for n in notes])


def notes() -> tuple[CaseSet, Any]:
    texts = ["chronic pain and abuse", "pain after a fall walks", "abuse abuse of chronic pain", "walks home"]
    cases = [
        Case(f"n{i}", t, {}, Truth.of(LABELS[int(s > 0)]))
        for i, (t, s) in enumerate(zip(texts, score_notes(texts), strict=True))
    ]
    return CaseSet.of(cases, phantom=True), callable_target(score_notes, DECISION, outputs="logits", name="notes")


# --- claims --------------------------------------------------------------------------------------------------------

CODES = {"A1": 1.2, "A2": 0.9, "B1": -0.8, "B2": -0.5, "C1": 0.3}
OPTIONAL = ("B1", "B2", "C1")


class ClaimCodec:
    name = "claim"

    def encode(self, case: Case[Any], x: Any) -> dict[str, bytes]:
        return {"claim.json": json.dumps({"codes": list(x), **case.header}).encode()}

    def decode(self, files: Mapping[str, bytes]) -> tuple[Any, Mapping[str, Any]]:
        data = json.loads(files["claim.json"])
        return tuple(data.pop("codes")), data


@dataclass(frozen=True)
class OptionalCodes:
    """Any subset of the optional codes added or left out, at most `radius` of them."""

    radius: float = 1.0
    name: ClassVar[str] = "test.optional_codes"
    unit: ClassVar[Unit] = Unit.EDITS
    kind: ClassVar[Kind] = Kind.TRUTHFUL

    def at(self, radius: float) -> OptionalCodes:
        return replace(self, radius=radius)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "radius": self.radius}

    def check(self, case: Case[Any], x: Any, proof: Any) -> Violation | None:
        changed = set(x) ^ set(case.x)
        if not changed <= set(OPTIONAL):
            return Violation("a code that is not optional was touched")
        return Violation("too many edits") if len(changed) > self.radius else None

    def cost(self, case: Case[Any], x: Any, proof: Any) -> Cost:
        return Cost(float(len(set(x) ^ set(case.x))), str(self.unit))

    def members(self, case: Case[Any]) -> Iterator[tuple[Any, Any]]:
        for n in range(1, int(self.radius) + 1):
            for chosen in itertools.combinations(OPTIONAL, n):
                yield tuple(sorted(set(case.x) ^ set(chosen))), None


@dataclass(frozen=True)
class Exhaustive(AttackDefaults):
    """Propose every member; certify when none was accepted. `lie` claims a certificate without looking."""

    lie: bool = False
    name: ClassVar[str] = "test.exhaustive"
    cohort: ClassVar[int | None] = 1

    def search(self, job: Job) -> Search:
        at: Any = job.pset.at(float(job.radius[0]))
        members = list(at.members(job.cases[0]))
        if not self.lie:
            for x, proof in members:
                answer = yield Propose([x], proofs=[proof])
                if not answer.live[0]:
                    return []
        return [Certificate(0, "exhaustive", {"members": len(members)})]


def score_claims(claims: list[tuple[str, ...]]) -> np.ndarray[Any, Any]:
    return np.array([-1.0 + sum(CODES.get(c, 0.0) for c in claim) for claim in claims])


def claims() -> tuple[CaseSet, Any]:
    contents = [("A1",), ("A1", "A2"), ("A2", "B1"), ("A1", "A2", "C1"), ("B1", "B2")]
    scores = score_claims(contents)
    cases = [
        Case(f"k{i}", c, {"year": 2019}, Truth.of(LABELS[int(s > 0)]))
        for i, (c, s) in enumerate(zip(contents, scores, strict=True))
    ]
    return CaseSet.of(cases, phantom=True), callable_target(score_claims, DECISION, outputs="logits", name="claims")


# --- signals -------------------------------------------------------------------------------------------------------


class SignalCodec:
    name = "signal"

    def encode(self, case: Case[Any], x: Any) -> dict[str, bytes]:
        out = io.BytesIO()
        np.save(out, x)
        return {"signal.npy": out.getvalue()}

    def decode(self, files: Mapping[str, bytes]) -> tuple[Any, Mapping[str, Any]]:
        return np.load(io.BytesIO(files["signal.npy"])), {}


@dataclass(frozen=True)
class Counts:
    """Every sample changed by at most `radius` ADC counts."""

    radius: float = 4.0
    name: ClassVar[str] = "test.counts"
    unit: ClassVar[Unit] = Unit.COUNTS
    kind: ClassVar[Kind] = Kind.TAMPERING
    resolution: ClassVar[float] = 1.0

    def at(self, radius: float) -> Counts:
        return replace(self, radius=radius)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "radius": self.radius}

    def check(self, case: Case[Any], x: Any, proof: Any) -> Violation | None:
        if x.dtype != case.x.dtype or x.shape != case.x.shape:
            return Violation("other form")
        worst = np.abs(x.astype(int) - case.x.astype(int)).max()
        return Violation(f"{worst} counts") if worst > self.radius else None

    def cost(self, case: Case[Any], x: Any, proof: Any) -> Cost:
        return Cost(float(np.abs(x.astype(int) - case.x.astype(int)).max()), str(self.unit))

    def project(self, x: Any, x0: Any, radius: Any) -> Any:
        r = torch.as_tensor(radius, dtype=x.dtype).view(-1, 1, 1)
        return x.clamp(x0 - r, x0 + r)

    @property
    def span(self) -> tuple[float, float]:
        return -32768.0, 32767.0

    def distance(self, x: Any, x0: Any) -> Any:
        return (x - x0).abs().flatten(1).amax(1).double().numpy()

    def inside(self, x: Any, x0: Any, radius: Any) -> Any:
        return ((x - x0).abs().flatten(1).amax(1) <= torch.as_tensor(radius, dtype=x.dtype) + 1e-3).numpy()

    def realise(self, x: Any, case: Case[Any], radius: float) -> Any:
        r = int(radius)
        values = np.rint(x.detach().numpy()).astype(int)
        return np.clip(values, case.x.astype(int) - r, case.x.astype(int) + r).astype(case.x.dtype)

    def ascend(self, g: Any) -> Any:
        return g.sign()

    def random(self, draws: Any, x0: Any, radius: Any) -> Any:
        return self.project(x0 + draws * torch.as_tensor(radius, dtype=x0.dtype).view(-1, 1, 1), x0, radius)

    def shift(self, case: Case[Any], delta: Any) -> tuple[Any, Any]:
        return self.realise(torch.from_numpy(case.x.astype(np.float32)) + delta, case, self.radius), None


def linear_signal(seed: int = 0) -> tuple[torch.nn.Module, np.ndarray[Any, Any]]:
    w = np.random.default_rng(seed).normal(size=(2, 32)).astype(np.float32)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.from_numpy(w.reshape(1, -1) / 100))
    return net, w


def signals(n: int = 24, scale: float = 60.0) -> tuple[CaseSet, TorchTarget]:
    net, w = linear_signal()
    rng = np.random.default_rng(5)
    cases = []
    for i in range(n):
        x = np.rint(rng.normal(0, scale, (2, 32))).astype(np.int16)
        label = LABELS[int(float((x * w).sum()) > 0)]
        cases.append(Case(f"s{i}", x, {}, Truth.of(label), group=f"p{i // 2}", sha256=digest(x.tolist())))
    return CaseSet.of(cases, phantom=True), TorchTarget(net, DECISION, name="signals")


@dataclass(frozen=True)
class MeanSign(AttackDefaults):
    """Universal: the sign of the mean gradient over the fit cases, as one change for all. `peek` looks at others."""

    peek: bool = False
    name: ClassVar[str] = "test.universal"
    scope: ClassVar[Any] = "group"
    needs: ClassVar[frozenset[Any]] = frozenset({"gradients"})

    def search(self, job: Job) -> Search:
        rows = np.arange(len(job.cases)) if self.peek else np.flatnonzero(job.fit)
        answer = yield Ask(job.x0[rows], rows, grad=True)
        for sign in (1.0, -1.0):
            yield Share(sign * answer.grad.mean(0).sign() * float(job.radius.max()))
        return []


# --- records -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecordEdits:
    """One part of a record edited by the rules of that part; the proof names the part."""

    radius: float = 2.0
    name: ClassVar[str] = "test.record"
    unit: ClassVar[Unit] = Unit.EDITS
    kind: ClassVar[Kind] = Kind.TRUTHFUL
    parts: ClassVar[dict[str, Any]] = {"note": WordSwaps(), "claim": OptionalCodes()}

    def at(self, radius: float) -> RecordEdits:
        return replace(self, radius=radius)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "radius": self.radius}

    def _part(self, case: Case[Any], part: str) -> Case[Any]:
        return Case(case.id, case.x[part], case.header[part], case.truth)  # type: ignore[arg-type]

    def check(self, case: Case[Any], x: Any, proof: Any) -> Violation | None:
        if not isinstance(proof, dict) or proof.get("part") not in self.parts:
            return Violation("no part named")
        part = proof["part"]
        if any(x[p] != case.x[p] for p in self.parts if p != part):
            return Violation("another part was touched")
        return self.parts[part].at(self.radius).check(self._part(case, part), x[part], proof["proof"])

    def cost(self, case: Case[Any], x: Any, proof: Any) -> Cost:
        part = proof["part"]
        return self.parts[part].cost(self._part(case, part), x[part], proof["proof"])

    def moves(self, case: Case[Any], x: Any, proof: Any) -> Iterator[tuple[Any, Any]]:
        if proof is None or proof["part"] == "note":
            inner = None if proof is None else proof["proof"]
            for y, p in self.parts["note"].moves(self._part(case, "note"), x["note"], inner):
                yield {**x, "note": y}, {"part": "note", "proof": p}
        if proof is None:
            for y, p in self.parts["claim"].at(self.radius).members(self._part(case, "claim")):
                yield {**x, "claim": y}, {"part": "claim", "proof": p}


def score_records(records: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    return 0.5 * score_notes([r["note"] for r in records]) + score_claims([r["claim"] for r in records])


def records() -> tuple[CaseSet, Any, RecordCodec]:
    note_cases, claim_cases = list(notes()[0]), list(claims()[0])
    cases = []
    for i, (n, c) in enumerate(zip(note_cases, claim_cases, strict=False)):
        label = LABELS[int(score_records([{"note": n.x, "claim": c.x}])[0] > 0)]
        cases.append(record_case(f"r{i}", {"note": n, "claim": c}, Truth.of(label)))
    target = callable_target(score_records, DECISION, outputs="logits", name="records")
    return CaseSet.of(cases, phantom=True), target, RecordCodec({"note": NoteCodec(), "claim": ClaimCodec()})
