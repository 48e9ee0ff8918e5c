"""A blinded sheet for a coder: sampled edits without what nocere thinks of them, and how far the two agree.

Half of the rows are edits that nocere calls truthful, half are ones that it calls false, in random order. The key stays
with the auditor.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nocere.clinical.codes.graph import RuleGraph
from nocere.core.case import Case
from nocere.core.errors import DataError
from nocere.core.intervals import cluster_bootstrap, rate
from nocere.core.rng import generator
from nocere.scenarios.claims_review.gaming import plain
from nocere.threats.codes.edit import Edit
from nocere.threats.codes.sets import AllEdits, Truthful
from nocere.threats.codes.truth import facts_of

COLUMNS = ("row", "claim", "documented facts", "codes before", "removed", "added", "other change", "truthful (yes/no)")
ANSWERS = {"yes": True, "y": True, "no": False, "n": False}


def sample(cases: Sequence[Case[Any]], n: int, seed: int) -> list[tuple[Case[Any], Edit, bool]]:
    """`n` single edits, at most one a claim of each sort, half of them truthful: case, edit, what nocere says.

    Raises:
        DataError: the cases do not have as many.
    """
    rng = generator(seed, "coder sheet")
    true, false = Truthful(1), AllEdits(1)
    found: dict[bool, list[tuple[Case[Any], Edit, bool]]] = {True: [], False: []}
    for i in rng.permutation(len(cases)):
        case = cases[int(i)]
        licensed = [e for e in true.edits(case) if e.edit != "E0" and true.permits(case, (e,))]
        known = {(e.remove, e.add, e.principal, e.line, e.minutes) for e in licensed}
        others = [
            e for e in false.edits(case)
            if e.edit in ("X7", "E4") and (e.remove, e.add, e.principal, e.line, e.minutes) not in known
            and false.permits(case, (e,))
        ]  # fmt: skip
        for said, edits in ((True, licensed), (False, others)):
            if edits:
                found[said].append((case, edits[int(rng.integers(len(edits)))], said))
    half = {True: (n + 1) // 2, False: n // 2}
    short = next((said for said in half if len(found[said]) < half[said]), None)
    if short is not None:
        what = "truthful" if short else "false"
        raise DataError(
            f"{len(cases)} claims give {len(found[short])} {what} edits; {half[short]} are needed.", "Give more claims."
        )
    rows = [*found[True][: half[True]], *found[False][: half[False]]]
    return [rows[int(i)] for i in rng.permutation(len(rows))]


def sheet(rows: Sequence[tuple[Case[Any], Edit, bool]], rules: RuleGraph) -> tuple[bytes, bytes]:
    """The coder's sheet and the auditor's key, both CSV."""
    told = []
    for number, (case, e, _) in enumerate(rows, 1):
        system = case.x.system

        def named(codes: Sequence[str], system: str = system) -> str:
            return "; ".join(f"{c} {rules.title(c, system)}" for c in codes)

        other = f"{e.principal} becomes principal diagnosis" if e.principal else ""
        if e.line >= 0:
            other = f"line {e.line + 1}: {e.minutes} minutes, {e.units:g} units"
        facts = named([f.code for f in facts_of(case).codes])
        told.append((number, f"claim {number}", facts, named(case.x.codes), named(e.remove), named(e.add), other, ""))
    key = [(number, case.id, e.edit, e.rule, "yes" if said else "no") for number, (case, e, said) in enumerate(rows, 1)]
    return _csv(COLUMNS, told), _csv(("row", "case", "class", "rule", "truthful"), key)


def agreement(answers: bytes, key: bytes) -> dict[str, Any]:
    """Share of rows on which coder and nocere agree, Cohen's kappa, and both kinds of disagreement.

    Raises:
        DataError: rows without a clear answer, or that are not in the key.
    """
    said = {r["row"]: r for r in _read(key, "the key")}
    pairs = []
    for r in _read(answers, "the sheet"):
        word = (r.get(COLUMNS[-1]) or "").strip().lower()
        if r.get("row") not in said:
            raise DataError(f"Row {r.get('row')!r} of the sheet is not in the key.", "Give the key of this sheet.")
        if word not in ANSWERS:
            raise DataError(f"Row {r['row']} of the sheet says {word!r}.", f"Write yes or no under {COLUMNS[-1]!r}.")
        entry = said[r["row"]]
        pairs.append((ANSWERS[word], entry["truthful"] == "yes", entry["case"], r["row"], entry["rule"]))
    if not pairs:
        raise DataError("The sheet has no row.")
    coder = np.array([p[0] for p in pairs])
    ours = np.array([p[1] for p in pairs])
    groups = [p[2] for p in pairs]

    def kappa(at: Any) -> float:
        a, b = coder[at], ours[at]
        chance = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
        return float(((a == b).mean() - chance) / (1 - chance)) if chance < 1 else float("nan")

    found = kappa(np.arange(len(pairs)))
    around = cluster_bootstrap(kappa, groups) if len(set(groups)) > 1 and np.isfinite(found) else None
    return {
        "agreement": plain(rate(coder == ours, groups)),
        "kappa": {
            "value": found if np.isfinite(found) else None,
            "low": None if around is None else around.low,
            "high": None if around is None else around.high,
        },
        "truthful_refused_by_coder": [p[3] for p in pairs if p[1] and not p[0]],
        "false_accepted_by_coder": [p[3] for p in pairs if p[0] and not p[1]],
    }


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()


def _read(data: bytes, what: str) -> list[Mapping[str, str]]:
    try:
        return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    except UnicodeDecodeError as e:
        raise DataError(f"{what.capitalize()} is not UTF-8 text.", "Save it as CSV (UTF-8).") from e
