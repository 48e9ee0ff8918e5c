"""The phantom payer: a model that learns from the phantom's history what a payer used to deny, or what audits found.

It sees what a payer's model sees: codes, services, age, sex, days. It never sees facts, provider types or the policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.cases.phantoms.claims import LABELS, Bill, draw
from nocere.cases.phantoms.sets import FIRST
from nocere.core.decision import OneLogit
from nocere.core.errors import PrerequisiteError, UsageError
from nocere.core.intervals import Estimate, Interval, cluster_bootstrap
from nocere.core.ranking import auroc
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.target import ClaimTarget

KINDS = ("code", "category", "principal_category", "procedure", "line", "setting", "sex")
SUMS = ("diagnoses", "minutes", "age", "days")
CAPACITY = 0.05  # share of claims that reviewers of documentation have time for
Learns: TypeAlias = Literal["denial", "audit"]
Model: TypeAlias = Literal["lightgbm", "logistic"]


@dataclass(frozen=True, slots=True)
class Payer:
    """A trained payer.

    Args:
        target: claims to the logit of "deny" (or of "review").
        auroc: on claims of patients that were not trained on.
        auprc: average precision on them.
        base_rate: share of them that were denied (or found unsupported).
        trained_on: number of claims.
    """

    target: ClaimTarget
    auroc: Estimate
    auprc: Estimate
    base_rate: float
    trained_on: int


def train_payer(
    *,
    n: int = 8_000,
    seed: int = 7,
    learns: Learns = "denial",
    model: Model = "lightgbm",
    encoder: Encoder | None = None,
    trees: int = 200,
    leaves: int = 15,
) -> Payer:
    """Trains on `n` claims of the phantom's history, and looks at half as many of other patients.

    Args:
        n: claims of the train split; where audits are learnt, those of them that were audited.
        seed: of the phantom's world and of the model.
        learns: "denial": what was decided; the line is where the model denies as large a share as the payer did.
            "audit": what audits of the documentation found; the line is where it sends 5 % of claims to review.
        model: LightGBM or logistic regression.
        encoder: how claims become rows; default: codes, categories, services, sums that 20 claims or more have.
        trees: of LightGBM.
        leaves: of each tree.

    Raises:
        UsageError: fewer than 1,000 claims.
        PrerequisiteError: LightGBM is not installed.
    """
    if n < 1_000:
        raise UsageError(f"A phantom payer needs a history of at least 1,000 claims; got {n}.")
    train = history(n, seed, "train", learns)
    if encoder is None:
        encoder = Encoder.learn([b.claim for b in train], KINDS, least=20, sums=SUMS)
    fitted = fit(encoder.rows([b.claim for b in train]), outcome(train, learns), model, encoder, trees, leaves, seed)
    val = history(n // 2, seed, "val", learns)
    claims, groups = [b.claim for b in val], [b.claim.patient for b in val]
    truth = outcome(val, learns)
    asked = ClaimTarget(fitted, encoder, OneLogit(LABELS))
    scores = asked.row_scores(encoder.rows(claims))[:, 0]
    share = float(truth.mean()) if learns == "denial" else CAPACITY
    line = float(1 / (1 + np.exp(-np.quantile(scores, 1 - share))))
    decision = OneLogit(LABELS if learns == "denial" else ("pass", "review"), line)
    target = ClaimTarget(fitted, encoder, decision, name=f"phantom payer ({learns}, {model})")
    return Payer(target, auroc(scores, truth, groups), auprc(scores, truth, groups), float(truth.mean()), len(train))


def history(n: int, seed: int, split: str, learns: Learns) -> list[Bill]:
    """Claims of the phantom that have an outcome to learn, among the first `n` of a split."""
    bills = [draw(seed, FIRST[split] + i) for i in range(n)]
    return bills if learns == "denial" else [b for b in bills if b.audit]


def outcome(bills: list[Bill], learns: Learns) -> NDArray[np.int64]:
    """What the payer decided or its audits found: 1 for "deny" or "unsupported"."""
    return np.array([b.denied if learns == "denial" else b.audit == "unsupported" for b in bills], dtype=np.int64)


def fit(
    rows: NDArray[np.float64],
    truth: NDArray[np.int64],
    model: Model,
    encoder: Encoder,
    trees: int,
    leaves: int,
    seed: int,
    *,
    monotone: tuple[int, ...] = (),
    start: NDArray[np.float64] | None = None,
) -> Any:
    """A fitted model of rows [n, features]; the same rows and seed give the same model.

    Args:
        rows: encoded claims [n, features].
        truth: 0 or 1 [n].
        model: which kind.
        encoder: of the rows.
        trees: of LightGBM.
        leaves: of each tree.
        seed: of LightGBM.
        monotone: -1, 0 or +1 for each feature: the sign of what it may do to the score (LightGBM).
        start: logits [n] that the model adds to (LightGBM).
    """
    if model == "logistic":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000)).fit(rows, truth)
    try:
        import lightgbm  # type: ignore[import-untyped, unused-ignore]
    except ModuleNotFoundError as e:
        raise PrerequisiteError("The phantom payer needs the package lightgbm.", "pip install 'nocere[claims]'") from e
    about = {
        "objective": "binary",
        "num_leaves": leaves,
        "learning_rate": 0.05,
        "min_data_in_leaf": 20,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    if monotone:
        about["monotone_constraints"] = list(monotone)
    data = lightgbm.Dataset(rows, truth, init_score=start, feature_name=list(encoder.features))
    return lightgbm.train(about, data, trees)


def auprc(scores: NDArray[np.float64], truth: NDArray[np.int64], groups: list[str]) -> Estimate:
    """Average precision with a bootstrap interval over patients."""
    from sklearn.metrics import average_precision_score

    def value(rows: NDArray[np.int64]) -> float:
        return float(average_precision_score(truth[rows], scores[rows])) if truth[rows].any() else float("nan")

    found = value(np.arange(len(truth)))
    around = cluster_bootstrap(value, groups, draws=200)
    interval = Interval(min(around.low, found), max(around.high, found), around.level, around.method)
    return Estimate(found, len(truth), None, interval, len(set(groups)))
