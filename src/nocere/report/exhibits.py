"""Chooses the findings that the report shows: the one figure of the first page, and the worst cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nocere.attacks.outcome import Outcome
from nocere.audit.bundle import Bundle, evidence_path
from nocere.audit.measures.measure import Measure
from nocere.core.case import CaseRef
from nocere.report.pictures import triptych
from nocere.report.words import amount, percent, plain_number

MOST = 6
ORDER = ("worst", "flip", "closest", "sample")


@dataclass(frozen=True, slots=True)
class Found:
    """One broken case with what was known of it."""

    cell: Mapping[str, Any]
    ref: CaseRef
    outcome: Outcome
    before: tuple[float, ...] | None

    @property
    def after(self) -> tuple[float, ...] | None:
        return self.outcome.finding.probabilities if self.outcome.finding else None

    def confidence(self, labels: Sequence[str]) -> tuple[float, float]:
        """Confidence in the truth before, and in the best wrong label after; 0 where not known."""
        label = self.ref.truth.label
        if self.before is None or self.after is None or label is None or label not in labels:
            return 0.0, 0.0
        truth = list(labels).index(label)
        return self.before[truth], max(self.after[:truth] + self.after[truth + 1 :], default=0.0)


def all_found(bundle: Bundle, outcomes: Mapping[str, Sequence[Outcome]], clean: Mapping[str, Any]) -> list[Found]:
    """Every broken case of every cell, each at the smallest radius that broke it (worst cells: at every radius)."""
    refs = {r.id: r for r in bundle.refs}
    before = {r["case_id"]: r["probabilities"] for r in clean["cases"]}
    out = []
    for cell in tests_the_model(bundle.plan):
        seen: set[str] = set()
        for o in sorted(outcomes[cell["name"]], key=lambda o: o.radius):
            if o.kind != "broken" or o.finding is None or not o.finding.ok:
                continue
            if o.case_id in seen and cell["aim"] != "worst":
                continue
            seen.add(o.case_id)
            p = before[o.case_id]
            out.append(Found(cell, refs[o.case_id], o, None if p is None else tuple(p)))
    return out


def best_figure(found: Sequence[Found], labels: Sequence[str], positive: str | None) -> Found | None:
    """The case that was most confidently right and ends most confidently wrong, from the first of these that has one:
    a case without the positive finding, searched for its worst; searched in any way; any case at all."""
    pool = [f for f in found if f.cell["aim"] != "sample" and f.cell["untargeted"]]
    negative = [f for f in pool if positive is not None and positive not in f.ref.truth.labels]
    for choice in ([f for f in negative if f.cell["aim"] == "worst"], negative, pool, list(found)):
        if choice:
            # The weaker of the two confidences decides; ties go to the smaller change and then to the id.
            return max(choice, key=lambda f: (min(f.confidence(labels)), -f.outcome.radius, f.ref.id))
    return None


def worst_cases(found: Sequence[Found], labels: Sequence[str], used: Found | None) -> list[Found]:
    """Up to six cases, the worst of each cell in turn, each case once."""
    taken = {used.ref.id} if used else set()
    names = dict.fromkeys(f.cell["name"] for aim in ORDER for f in found if f.cell["aim"] == aim)
    queues = [sorted((f for f in found if f.cell["name"] == n), key=lambda f: _rank(f, labels)) for n in names]
    out: list[Found] = []
    while len(out) < MOST and any(queues):
        for queue in queues:
            while queue and queue[0].ref.id in taken:
                queue.pop(0)
            if queue and len(out) < MOST:
                taken.add(queue[0].ref.id)
                out.append(queue.pop(0))
    return out


def _rank(f: Found, labels: Sequence[str]) -> tuple[float, float, str]:
    confidence = min(f.confidence(labels))
    return (0.0 if f.cell["aim"] == "worst" else f.outcome.radius, -confidence, f.ref.id)


def exhibit(
    bundle: Bundle,
    f: Found,
    outcomes: Mapping[str, Sequence[Outcome]],
    measures: Sequence[Measure],
    labels: Sequence[str],
    *,
    shared: bool,
) -> dict[str, Any]:
    """One finding as the page shows it; shared ones have no picture, path or proof."""
    o, finding = f.outcome, f.outcome.finding
    assert finding is not None
    cost = finding.cost
    proof = finding.proof if not shared else None
    folder = evidence_path(f.cell["name"], o.case_id, o.radius)
    return {
        "case": o.case_id,
        "cell": f.cell["name"],
        "aim": f.cell["aim"],
        "attack": o.stage,
        "radius": o.radius,
        "budget": amount(o.radius, f.cell["unit"]),
        "truth": ", ".join(sorted(f.ref.truth.labels)) or "no label",
        "votes": [f"{count} {label}" for label, count in sorted(f.ref.truth.votes.items())],
        "bars": _bars(labels, f.before, f.after, f.ref.truth.labels),
        "cost": None if cost is None else amount(cost.value, cost.unit),
        "distances": [] if cost is None else _distances(cost.more),
        "proof": None if proof is None else _proof(proof),
        "evidence": [] if shared else [n for n in sorted(bundle.manifest["files"]) if n.startswith(folder + "/")],
        "picture": None if shared else triptych(bundle, f.cell["name"], o.case_id, o.radius),
        "control": control(bundle, f, outcomes, measures),
    }


def _bars(labels: Sequence[str], before: Any, after: Any, truth: frozenset[str]) -> list[dict[str, Any]] | None:
    if before is None or after is None or len(before) != len(labels) or len(after) != len(labels):
        return None
    rows = [
        {"label": label, "true": label in truth, "before": b, "after": a, "text": f"{percent(b)} % → {percent(a)} %"}
        for label, b, a in zip(labels, before, after, strict=True)
    ]
    if len(rows) > MOST:
        # Many classes: the true ones, then those that either answer puts first.
        rows = sorted(rows, key=lambda r: (not r["true"], -max(r["before"], r["after"])))[:MOST]
    return rows


def _distances(more: Mapping[str, float]) -> list[str]:
    """The other distances of a change; parameters of a transform are its proof and stay out."""
    out = []
    if "linf" in more:
        out.append(f"largest change {plain_number(more['linf'])} grey levels")
    if "l2" in more:
        out.append(f"L2 length {plain_number(round(more['l2'], 1))} grey levels")
    if "changed" in more:
        out.append(f"{percent(more['changed'])} % of stored values changed")
    if "displayed" in more:
        out.append(f"largest displayed change {plain_number(round(more['displayed'], 2))} of 255 grey levels")
    if "jnd" in more:
        out.append(f"{plain_number(round(more['jnd'], 1))} just-noticeable differences (PS3.14, 0.5 to 350 cd/m2)")
    return out


def _proof(proof: Any) -> str:
    if isinstance(proof, Mapping):
        return ", ".join(f"{k} {plain_number(v) if isinstance(v, (int, float)) else v}" for k, v in proof.items())
    return str(proof)


def control(
    bundle: Bundle, f: Found, outcomes: Mapping[str, Sequence[Outcome]], measures: Sequence[Measure]
) -> dict[str, Any] | None:
    """Random changes from the same rules: the nearest sampled budget that is at least as large."""
    best: tuple[float, Mapping[str, Any]] | None = None
    for cell in bundle.plan["cells"]:
        if cell["aim"] == "sample" and same_rules(cell, f.cell):
            for radius in cell["radii"]:
                if radius >= f.outcome.radius and (best is None or radius < best[0]):
                    best = (radius, cell)
    if best is None:
        return None
    radius, cell = best
    m = next((m for m in measures if (m.key, m.cell, m.radius) == ("draw_flip_share", cell["name"], radius)), None)
    if m is None or m.value is None or m.high is None:
        return None
    own = next((o.trace for o in outcomes[cell["name"]] if (o.case_id, o.radius) == (f.ref.id, radius)), None)
    return {
        "cell": cell["name"],
        "budget": amount(radius, cell["unit"]),
        "draws": m.n,
        "flips": m.k,
        "share": percent(m.value),
        "upper": percent(m.high),
        "of": m.of,
        "own": None if own is None or not own.draws else {"draws": own.draws, "flips": own.flips},
    }


def tests_the_model(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The cells of a plan without those that only test the search."""
    return [c for c in plan["cells"] if not c.get("sanity")]


def same_rules(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Same perturbation set but for the radius."""
    keys = (set(a["threat"]) | set(b["threat"])) - {"radius"}
    return a["unit"] == b["unit"] and all(a["threat"].get(k) == b["threat"].get(k) for k in keys)
