"""The view model of a report: everything that the page shows, in plain JSON types.

It computes no number: it selects, orders, counts outcomes by kind and puts into words what the bundle holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nocere.attacks.outcome import Outcome
from nocere.audit.bundle import Bundle
from nocere.audit.criteria import overall
from nocere.audit.indicators import Indicator
from nocere.audit.measures.measure import Measure, state_at
from nocere.audit.referee import SAFETY
from nocere.core.canonical import plain
from nocere.core.decision import Decision, from_json
from nocere.report.cells import cell_view, forests, number
from nocere.report.exhibits import Found, all_found, best_figure, exhibit, tests_the_model, worst_cases
from nocere.report.share import WITHHELD, Shield
from nocere.report.words import (
    ACCESS,
    ICONS,
    KINDS,
    LINES,
    MEANINGS,
    access_level,
    amount,
    artefact_words,
    attack_words,
    group_name,
    limit_words,
    line_words,
    summary,
    title,
)

SCHEMA = 1
FEW = "The number is withheld from a shared report: too few cases."
UNKNOWN = ("errored", "not_reached", "not_applicable")


def view(bundle: Bundle, *, share_key: bytes | None = None) -> dict[str, Any]:
    """Everything that the page shows.

    Args:
        bundle: a finished run.
        share_key: the site's key; with it, pictures, ids, paths and proofs are withheld and ids are replaced by
            HMAC-SHA256(share_key, id)[:12].
    """
    shield = Shield(share_key, bundle.refs)
    plan, clean = bundle.plan, bundle.read("clean.json")
    decision = from_json(plan["target"]["decision"])
    outcomes = {c["name"]: list(bundle.outcomes(c["name"])) for c in plan["cells"]}
    measures = [m for m in bundle.measures if shield.keeps(m)]
    counts = {c["name"]: tally(c, outcomes[c["name"]]) for c in plan["cells"]}
    found = all_found(bundle, outcomes, clean)
    figure = best_figure(found, decision.labels, decision.positive)
    others = worst_cases(found, decision.labels, figure)

    def shown(f: Found) -> dict[str, Any]:
        e = exhibit(bundle, f, outcomes, measures, decision.labels, shared=shield.on)
        return {**e, "case": shield.case(e["case"])}

    units = {c["name"]: c["unit"] for c in plan["cells"]}
    verdicts = [_verdict(v, units.get(v["criterion"]["cell"], ""), shield) for v in bundle.verdicts]
    page = {
        "schema": SCHEMA,
        "shared": shield.on,
        "title": shield.text(plan["name"]),
        "intended_use": shield.text(plan["intended_use"]),
        "overall": _overall(verdicts),
        "model": _model(plan, decision, shield),
        "data": {
            "name": shield.text(plan["cases"]["name"]),
            "phantom": plan["cases"]["phantom"],
            "n": plan["cases"]["n"],
            "patients": len({r.group for r in bundle.refs}),
            "kind": plan["cases"]["codec"],
            "digest": plan["cases"]["digest"],
        },
        "verdicts": verdicts,
        "indicators": [_indicator(i, units) for i in bundle.indicators],
        "sanity": [c["name"] for c in plan["cells"] if c.get("sanity")],
        "figure": None if figure is None else shown(figure),
        "cells": (cells := [cell_view(bundle, c, measures, counts[c["name"]], shield) for c in tests_the_model(plan)]),
        "by_access": _by_access(plan, cells),
        "not_tested": _not_tested(plan, shield),
        "unknown": _unknown(counts, outcomes, shield),
        "clean": [number(m) for m in measures if not m.cell and m.group == "all" and m.line is None],
        "lines": _lines(plan, measures),
        "forests": forests(plan, measures),
        "exhibits": [shown(f) for f in others],
        "methods": _methods(plan, clean, measures, outcomes, bundle.artefacts, shield),
        "evidence": _evidence(bundle, shield),
    }
    made: dict[str, Any] = plain(page)
    return made


def tally(cell: Mapping[str, Any], outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many cases of a cell ended as what, at the largest budget."""
    by_case: dict[str, list[Outcome]] = {}
    for o in sorted(outcomes, key=lambda o: o.radius):
        by_case.setdefault(o.case_id, []).append(o)
    ends: Counter[str] = Counter()
    for rows in by_case.values():
        wrong = any(o.kind == "already_wrong" for o in rows)
        ends["already_wrong" if wrong else state_at(rows, max(cell["radii"]))] += 1
    return {kind: ends.get(kind, 0) for kind in KINDS}


def _overall(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    word = overall(v["word"] for v in verdicts) or "MEASURED"
    meaning = "Every criterion could be decided and is met." if word == "PASS" else MEANINGS[word]
    return {"word": word, "icon": ICONS[word], "meaning": meaning}


def _verdict(v: Mapping[str, Any], unit: str, shield: Shield) -> dict[str, Any]:
    c, m = v["criterion"], v["measure"]
    floor = c["at_least"] is not None
    limit = c["at_least"] if floor else c["at_most"]
    # A verdict on a few cases says their number in its reason too.
    hidden = shield.hides(c["group"]) or (m is not None and not shield.keeps(Measure(**m)))
    why = FEW if hidden else shield.text(v["why"])
    return {
        "name": shield.text(c["name"]),
        "word": v["word"],
        "icon": ICONS[v["word"]],
        "why": why,
        # The sentence after the number, which the page gives in its own form.
        "reason": why.partition("): ")[2] or why,
        "measure": title(c["measure"]),
        "rule": "at least" if floor else "at most",
        "limit": limit,
        "limit_words": limit_words(c["measure"], limit, unit),
        "budget": "" if c["radius"] is None else amount(c["radius"], unit),
        "cell": c["cell"],
        "radius": c["radius"],
        "group": WITHHELD if hidden else c["group"],
        "group_name": WITHHELD if hidden else group_name(c["group"]),
        "number": number(Measure(**m)) if m is not None and not hidden else None,
    }


def _indicator(i: Indicator, units: Mapping[str, str]) -> dict[str, Any]:
    budget = "" if i.radius is None else amount(i.radius, units[i.cells[0]])
    name = i.key.replace("_", " ").capitalize()
    return {**i.to_json(), "title": name, "budget": budget}


def _model(plan: Mapping[str, Any], decision: Decision, shield: Shield) -> dict[str, Any]:
    target = plan["target"]
    return {
        "name": shield.text(target["name"]),
        "fingerprint": target["fingerprint"],
        "short": target["fingerprint"][:12],
        "labels": list(decision.labels),
        "positive": decision.positive,
        "threshold": target["decision"].get("threshold"),
        "decision": target["decision"]["kind"].replace("_", " "),
        "stochastic": target["stochastic"],
    }


def _by_access(plan: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each level of access found, and why nothing is known of the others."""
    offered = set(plan["target"]["access"])
    rows = []
    for level, words in ACCESS.items():
        found = [{"cell": c["name"], "result": c["result"]} for c in cells if c["access"] == level]
        given = level not in ("structure", "gradients", "scores", "labels") or level in offered
        why = "no search of this plan had it" if given else "the model as it was given offers none"
        if found or level in ("gradients", "scores", "labels"):
            rows.append({"level": level, "words": words, "found": found, "why": "" if found else why})
    return rows


def _not_tested(plan: Mapping[str, Any], shield: Shield) -> dict[str, Any]:
    cells = tests_the_model(plan)
    tried = {c["line"] for c in cells}
    levels = {access_level(c) for c in cells if c["aim"] != "sample"}
    return {
        "named": [shield.text(t) for t in plan["not_tested"]],
        "lines": [line_words(n) for n in LINES if n not in tried],
        "access": [{"level": level, "words": words} for level, words in ACCESS.items() if level not in levels],
    }


def _unknown(
    counts: Mapping[str, Mapping[str, int]], outcomes: Mapping[str, Sequence[Outcome]], shield: Shield
) -> list[dict[str, Any]]:
    """Cases of which nothing is known, with the reasons; reasons of a shared report may name cases and stay out."""
    out = []
    for cell, ends in counts.items():
        for kind in UNKNOWN:
            if ends[kind]:
                why = Counter(o.why for o in outcomes[cell] if o.kind == kind and o.why)
                reasons = [] if shield.on else [f"{text} ({n} times)" for text, n in why.most_common(3)]
                row = {"cell": cell, "kind": KINDS[kind][0], "words": KINDS[kind][1]}
                out.append({**row, "count": ends[kind], "of": sum(ends.values()), "why": reasons})
    return out


def _lines(plan: Mapping[str, Any], measures: Sequence[Measure]) -> list[dict[str, Any]]:
    out = []
    for n in LINES:
        cells = [c for c in tests_the_model(plan) if c["line"] == n]
        worst = [number(m) for m in measures if m.key.endswith("_up_to_line") and m.line == n]
        sampled = [
            {"cell": m.cell, **number(m)}
            for m in measures
            if m.line == n and m.key in ("draw_flip_share", "draw_flip_share_p95")
        ]
        out.append({
            **line_words(n),
            "tested": bool(cells),
            "cells": [c["name"] for c in cells],
            "worst": {m["key"].removesuffix("_up_to_line"): m for m in worst},
            "sampled": sampled,
        })  # fmt: skip
    return out


def _methods(
    plan: Mapping[str, Any],
    clean: Mapping[str, Any],
    measures: Sequence[Measure],
    outcomes: Mapping[str, Sequence[Outcome]],
    made: Mapping[str, Mapping[str, Any]],
    shield: Shield,
) -> dict[str, Any]:
    attacks = []
    for c in plan["cells"]:
        # A case's meter runs on over its radii: the last one holds them all.
        last = {o.case_id: o.meter for o in sorted(outcomes[c["name"]], key=lambda o: o.meter.get("forward", 0))}
        spent: Counter[str] = Counter()
        for meter in last.values():
            spent.update(meter)
        attacks.append({
            "cell": c["name"],
            "attacks": [shield.text(attack_words(a)) for a in c["attacks"]],
            "summaries": [summary("attack", a["name"], {}) for a in c["attacks"]],
            "looks": c["budget"]["looks"],
            "confirms": c["budget"]["confirms"],
            "campaign": c["budget"]["campaign"],
            "spent": {k: spent.get(k, 0) for k in ("forward", "backward", "queries")},
        })  # fmt: skip
    return {
        "attacks": attacks,
        "seed": plan["seed"],
        "draws": dict(plan["draws"]),
        "noise": f"{clean['noise']:g}",
        "safety": f"{SAFETY:g}",
        # The text up to the first comma names the method; the rest counts cases and patients.
        "intervals": sorted({m.method.partition(",")[0] for m in measures if m.method}),
        "artefacts": [
            {"name": a["name"], "round": a["round"], "words": shield.text(artefact_words(a, made.get(a["name"], {})))}
            for a in plan["artefacts"]
        ],
    }


def _evidence(bundle: Bundle, shield: Shield) -> dict[str, Any]:
    run = bundle.run
    return {
        "manifest": bundle.hash,
        "plan": bundle.manifest["plan"],
        "files": len(bundle.manifest["files"]),
        "exhibits": len({n.rsplit("/", 1)[0] for n in bundle.manifest["files"] if n.startswith("evidence/")}),
        "finished": run.get("finished"),
        "nocere": run.get("nocere"),
        "python": run.get("python"),
        "machine": run.get("machine"),
        "packages": dict(run.get("packages", {})),
        "sources": {} if shield.on else {k: str(v) for k, v in run.get("sources", {}).items()},
    }
