"""Data, models and edits of the claims benchmarks: DE-SynPUF in ICD-10-CM, LightGBM on high payment and high weight.

Patients of the test part are in no training claim. Claims, models and encoders are made once under one seed and kept in
the folder `--cache`, which is never a part of the repository.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from nocere.cases.datasets.claims_desynpuf import mapped_split
from nocere.clinical.codes.payment import DrgPayment
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.target import ClaimTarget

LABELS = ("usual", "high")
HIGH = 0.8  # quantile from which on a claim is high
SIZES = {"200x15": (200, 15), "600x31": (600, 31)}
TARGETS = ("payment", "weight")
TESTED = 12_000  # test claims that are kept


@dataclass(frozen=True)
class World:
    """Claims of the test part with what is true of them, and the encoder and models fitted to the other patients."""

    tests: tuple[Case[Any], ...]
    values: dict[str, NDArray[np.float64]]
    lines: dict[str, float]
    encoder: Encoder
    models: dict[tuple[str, str], str]
    auc: dict[tuple[str, str], float]
    unmapped: float

    def target(self, what: str, size: str) -> ClaimTarget:
        """The model of one target and size, with its line at the share that is high."""
        import lightgbm

        booster = lightgbm.Booster(model_str=self.models[what, size])
        return ClaimTarget(booster, self.encoder, OneLogit(LABELS, HIGH_LINE), name=f"{what} {size}")

    def cases(self, what: str, n: int) -> CaseSet:
        """The first n test claims, labelled by one target."""
        high = self.values[what][:n] >= self.lines[what]
        return CaseSet.of(
            [
                Case(c.id, c.x, c.header, Truth.of(LABELS[int(h)]), c.group, c.attrs, c.sha256)
                for c, h in zip(self.tests, high, strict=False)
            ],
            name="DE-SynPUF test part",
        )


HIGH_LINE = 1.0 - HIGH  # operating threshold: near the share of claims that are high


def world(data: Path, cache: Path, limit: int = 0) -> World:
    """The world, made now or taken from the cache."""
    kept = cache / f"claims-{limit}.pickle"
    if kept.exists():
        made: World = pickle.loads(kept.read_bytes())
        return made
    import lightgbm
    from sklearn.metrics import roc_auc_score

    started = time.process_time()
    folder = data / "claims"
    inpatient, beneficiary = folder / "desynpuf_inpatient.csv.xz", folder / "desynpuf_beneficiary.csv.xz"
    parts = mapped_split(inpatient, beneficiary, limit=limit)
    train = list(parts.train)
    order = np.random.default_rng(0).permutation(len(parts.test))[:TESTED]
    tests = tuple(parts.test.load(parts.test.refs[i].id) for i in order)
    print(f"  {len(train)} training claims, {len(tests)} test claims kept, {time.process_time() - started:.0f} s")
    pays = DrgPayment()

    def value(what: str, cases: Sequence[Case[Any]]) -> NDArray[np.float64]:
        if what == "payment":
            return np.array([float(c.header["payment"]) for c in cases])  # type: ignore[arg-type]
        return np.array([pays.weight(c.x).weight for c in cases])

    encoder = Encoder.learn([c.x for c in train], least=100)
    x, xt = encoder.rows([c.x for c in train]), encoder.rows([c.x for c in tests])
    values, lines, models, auc = {}, {}, {}, {}
    for what in TARGETS:
        known = value(what, train)
        values[what], lines[what] = value(what, tests), float(np.quantile(known, HIGH))
        y, yt = known >= lines[what], values[what] >= lines[what]
        for size, (trees, leaves) in SIZES.items():
            about = {"objective": "binary", "num_leaves": leaves, "learning_rate": 0.05, "min_data_in_leaf": 50}
            booster = lightgbm.train(
                {**about, "num_threads": 1, "seed": 0, "deterministic": True, "verbose": -1},
                lightgbm.Dataset(x, y.astype(int)),
                trees,
            )
            models[what, size] = booster.model_to_string()
            auc[what, size] = float(roc_auc_score(yt, booster.predict(xt)))
            print(f"  {what} {size}: AUC {auc[what, size]:.3f}, {time.process_time() - started:.0f} s", flush=True)
    made = World(tests, values, lines, encoder, models, auc, parts.unmapped)
    kept.write_bytes(pickle.dumps(made))
    return made
