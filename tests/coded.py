"""Small claims, encoders and models for tests of searches over codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nocere.audit.bundle import Bundle
from nocere.audit.runner import run_audit
from nocere.audit.spec import CellSpec, Spec
from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.claim_json import ClaimCodec
from nocere.core.batch import Batch
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.target import claim_target
from nocere.targets.structure import LinearForm

LABELS = ("paid", "denied")
DECISION = OneLogit(LABELS, 0.4)
# Codes with residual siblings, combination codes, partners and Excludes1 notes among them.
POOL = (
    "E11.9", "E11.22", "E11.65", "E11.42", "I10", "I11.9", "I50.9", "I50.22", "N18.30", "N18.9", "E78.5", "E78.2", "E66.9",
    "J44.1", "J44.9", "J18.9", "M54.50", "M54.16", "F32.A", "F32.1", "K21.9", "K21.00", "G89.29", "R07.9", "R10.9", "D64.9",
)  # fmt: skip
SYSTEMS = ("code", "category", "principal", "principal_category")


def coded(n: int, seed: int = 0, *, most: int = 5, lines: bool = False) -> list[Case[Claim]]:
    """Random claims with facts: most of their codes have evidence, and some facts are not on the claim."""
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(n):
        codes = [str(c) for c in rng.choice(POOL, rng.integers(1, most + 1), replace=False)]
        if rng.random() < 0.15 and len(codes) > 1:
            codes.append(codes[-1])
        more = [str(c) for c in rng.choice(POOL, 3, replace=False)]
        facts = [
            {"code": c, "evidence": ["doc-1"] if rng.random() < 0.8 else [], "principal": bool(rng.random() < 0.5)}
            for c in dict.fromkeys([*codes, *more])
        ]
        served = (Line("A0001", units=2.1, minutes=32, pointers=(0,), evidence=("chart",)),) if lines else ()
        header: dict[str, Any] = {"facts": facts}
        if lines:
            header["documented"] = [{"line": 0, "minutes": 31, "evidence": ["chart"]}]
        claim = Claim(
            tuple(Diagnosis(c) for c in codes), lines=served, age=int(rng.integers(20, 90)), sex="F", days=int(rng.integers(0, 9))
        )  # fmt: skip
        cases.append(Case(f"k{i:03d}", claim, header, Truth.of(LABELS[int(rng.random() < 0.5)])))
    return cases


def encoder(kind: str) -> Encoder:
    """Encoders of several makes; every code that edits can lead to is known to some of them."""
    from nocere.clinical.codes.graph import load_rules

    rules = load_rules()
    near = [c for code in POOL for c in (code, *rules.laterals(code)[:6], *(g for g, _ in rules.generalisations(code)))]
    codes = sorted(set(near))
    if kind == "codes":
        names = [f"code={c}" for c in codes] + [f"principal={c}" for c in POOL]
        return Encoder((*names, "age", "days", "sex=F"))
    if kind == "counts":
        names = [f"n:category={c}" for c in sorted({c[:3] for c in codes})] + [f"code={c}" for c in codes[::2]]
        return Encoder(
            (*names, "diagnoses", "principal_category=E11", "principal_category=I10", "minutes", "units", "age")
        )
    # Classes that several codes of one claim feed.
    classes = {c: f"class-{ord(c[1]) % 4}" for c in codes}
    names = [f"class=class-{i}" for i in range(4)] + [f"n:class=class-{i}" for i in range(4)]
    names += [f"principal_class=class-{i}" for i in range(4)]
    return Encoder((*names, *(f"code={c}" for c in codes[::3]), "diagnoses", "age"), tuple(sorted(classes.items())))


def fitted(make: str, enc: Encoder, seed: int = 0) -> Any:
    """A model of a make, fitted to a noisy rule with interactions on random claims."""
    rng = np.random.default_rng(seed)
    claims = [c.x for c in coded(500, seed + 100, lines=True)]
    x = enc.rows(claims)
    z = (x > 0) @ rng.normal(size=enc.width) + (x[:, :1] * x[:, 1:2]).ravel() + rng.normal(size=len(x))
    y = (z > np.median(z)).astype(int)
    if make == "lightgbm":
        import lightgbm

        about = {"objective": "binary", "num_leaves": 9, "min_data_in_leaf": 5, "learning_rate": 0.3, "verbose": -1}
        return lightgbm.train({**about, "num_threads": 1, "seed": 0}, lightgbm.Dataset(x, y), 25)
    if make == "xgboost":
        import xgboost

        about = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.3, "nthread": 1}
        return xgboost.train(about, xgboost.DMatrix(x, y), 20)
    if make == "scorecard":
        weight = np.round(rng.normal(size=(enc.width, 1)), 2) * (rng.random((enc.width, 1)) < 0.6)
        return LinearForm(weight, np.array([-0.2]))
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    made = {
        "logistic": LogisticRegression(max_iter=500),
        "forest": RandomForestClassifier(9, max_depth=5, random_state=0),
        "boosted": GradientBoostingClassifier(n_estimators=12, max_depth=3, random_state=0),
    }[make]
    return made.fit(x, y)


def target(make: str, kind: str) -> Any:
    """A target of a make of model behind a kind of encoder."""
    enc = encoder(kind)
    return claim_target(fitted(make, enc), enc, DECISION, name=f"{make} {kind}")


def scores(model: Any, claims: list[Claim]) -> np.ndarray[Any, Any]:
    """The shipped target's own answers."""
    return np.asarray(model.scores(Batch(claims, (None,) * len(claims))))  # type: ignore[arg-type]


def judged(model: Any, n: int, seed: int = 0, **about: Any) -> CaseSet:
    """Random claims whose truth is what the model says."""
    cases = coded(n, seed, **about)
    z = scores(model, [c.x for c in cases])
    margins = model.decision.margins(z)
    return CaseSet.of([replace(c, truth=Truth.of(LABELS[int(m[1] > 0)])) for c, m in zip(cases, margins, strict=True)])


def audited(out: Path, cases: CaseSet, model: Any, *cells: CellSpec, lanes: int = 64) -> Bundle:
    """A run over claims with referee, files and bundle."""
    return run_audit(Spec("test", model, ClaimCodec(), cases, cells), out, lanes=lanes)
