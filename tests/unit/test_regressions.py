"""Each of these was once wrong: found by review, fixed, and kept here."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tests.images import LABELS, Linear, audit, cell, heads, labelled, pictures, world

from nocere.attacks.base import Ask, AttackDefaults, Job, Propose, Search
from nocere.attacks.image.pgd import Pgd
from nocere.audit.guard import Guard
from nocere.audit.measures.compute import compute
from nocere.audit.measures.measure import Results
from nocere.audit.referee import Referee
from nocere.audit.replay import replay
from nocere.cases.image import ImageCodec, array_case
from nocere.core.case import CaseRef, Truth
from nocere.core.decision import MultiLabel, OneLogit
from nocere.core.errors import PlanError
from nocere.targets.callable import callable_target
from nocere.targets.sklearn import SklearnTarget
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import L2


@dataclass(frozen=True)
class WritesThrough(AttackDefaults):
    """torch writes through numpy's read-only flag."""

    name: ClassVar[str] = "test.writes"

    def search(self, job: Job) -> Search:
        for c in job.cases:
            torch.from_numpy(c.x).copy_(torch.zeros_like(torch.from_numpy(c.x)))
        yield Ask(job.x0 + 1.0)
        yield Propose([c.x for c in job.cases])
        return []


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_an_attack_cannot_rewrite_the_originals(tmp_path: Path) -> None:
    cases, target = world(8)
    before = {c.id: c.x.copy() for c in cases}
    audit(tmp_path / "b", cases, target, cell(cases, (WritesThrough(),), radii=(1.0,)))
    for c in cases:
        np.testing.assert_array_equal(c.x, before[c.id])


@dataclass(frozen=True)
class Bad(AttackDefaults):
    what: str = ""
    name: ClassVar[str] = "test.bad"

    def search(self, job: Job) -> Search:
        if self.what == "none":
            yield None  # type: ignore[misc]
        elif self.what == "rows":
            yield Propose([job.cases[0].x], rows=np.array([99]))
        elif self.what == "floats":
            yield Ask(job.x0, np.arange(len(job.cases)) + 0.5)
        elif self.what == "short":
            yield Propose([])
        elif self.what == "ask none":
            yield Ask(None)
        return 5  # type: ignore[return-value]


@pytest.mark.parametrize("what", ["none", "rows", "floats", "short", "ask none", "returns a number"])
def test_malformed_turns_cost_the_attack_only(tmp_path: Path, what: str) -> None:
    cases, target = world(6)
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Bad(what), Pgd(3)), radii=(1.0,)))
    assert {o.kind for o in bundle.outcomes("cell")} <= {"broken", "errored", "held"}
    if what != "returns a number":
        assert "held" not in {o.kind for o in bundle.outcomes("cell")}


@dataclass(frozen=True)
class Outside(AttackDefaults):
    name: ClassVar[str] = "test.outside"

    def search(self, job: Job) -> Search:
        yield Propose([np.zeros_like(c.x) for c in job.cases])
        return []


def test_a_refused_candidate_is_no_comfort(tmp_path: Path) -> None:
    cases, target = world(6)
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Outside(),), radii=(1.0,)))
    assert {o.kind for o in bundle.outcomes("cell")} == {"errored"}
    accuracy = next(m for m in bundle.measures if m.key == "accuracy" and m.cell == "cell")
    assert accuracy.value is None and accuracy.missing == 6


def test_a_worst_cell_that_never_ran_measures_nothing(tmp_path: Path) -> None:
    cases, target = world(20)
    bundle = audit(
        tmp_path / "b", cases, target, cell(cases, (Pgd(3),), radii=(1.0,), aim="worst", access=frozenset({"scores"}))
    )
    area = next(m for m in bundle.measures if m.key == "auroc" and m.cell == "cell")
    assert area.missing == 20
    assert all(m.value is None for m in bundle.measures if m.key.startswith("confident_flip"))


def test_probabilities_of_findings_are_logits_of_their_own() -> None:
    d = MultiLabel(("x", "y"), (0.5, 0.5))
    target: Any = callable_target(lambda x: np.tile([0.9, 0.2], (len(x), 1)), d)
    from nocere.core.batch import Batch

    m = d.margins(target.scores(Batch([0, 0], (None, None))))  # type: ignore[arg-type]
    np.testing.assert_allclose(m[0], [np.log(9), np.log(0.25)])


def test_sensitivity_of_findings_looks_at_the_positive_one_and_no_finding_is_known() -> None:
    d = MultiLabel(("x", "z"), (0.5, 0.5), positive="x")
    refs = [CaseRef(f"c{i}", Truth(labels=frozenset({"x"} if i < 3 else ())), f"p{i}", {}, "") for i in range(6)]
    clean = {r.id: (1.0 if "x" in r.truth.labels else -1.0, 1.0) for r in refs}  # z always wrong
    tie = CaseRef("tie", Truth.from_votes({"x": 1, "z": 1}), "p9", {}, "")
    everyone = (*refs, tie)
    results = Results(
        everyone,
        d,
        {**clean, "tie": (1.0, 1.0)},
        dict.fromkeys([r.id for r in everyone]),
        {},
        (),
        {r.id: r for r in everyone},
    )
    m = {x.key: x for x in compute(results) if x.group == "all"}
    assert (m["sensitivity"].k, m["sensitivity"].n) == (3, 3)
    assert (m["specificity"].k, m["specificity"].n) == (3, 3)
    assert m["auroc"].n == 6 and m["auroc"].value == 1.0
    assert m["accuracy"].n == 6 and m["accuracy"].value == 0.0


def test_sklearn_pipelines_and_forests_are_not_blamed_for_pickling() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = pictures(40).reshape(40, -1)
    y = (x.mean(1) > 127.5).astype(int)
    for model in (make_pipeline(StandardScaler(), LogisticRegression()), RandomForestClassifier(5, random_state=0)):
        guard = Guard(SklearnTarget(model.fit(x, y), OneLogit(LABELS)))
        guard.begin()
        assert guard.violation() == ""


def test_that_torch_is_first_loaded_within_a_cell_is_no_change_of_a_state() -> None:
    code = (
        "import numpy, sys\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from nocere.audit.guard import Guard\n"
        "from nocere.core.decision import OneLogit\n"
        "from nocere.targets.sklearn import SklearnTarget\n"
        "model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])\n"
        "guard = Guard(SklearnTarget(model, OneLogit(('a', 'b'))))\n"
        "assert 'torch' not in sys.modules\n"
        "guard.begin()\n"
        "import torch\n"
        "assert guard.violation() == '', guard.violation()\n"
        "guard.begin()\n"
        "torch.rand(1)\n"
        "assert 'random' in guard.violation()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_fingerprints_see_settings_beside_the_weights() -> None:
    class Signed(torch.nn.Module):
        def __init__(self, sign: float) -> None:
            super().__init__()
            self.sign = sign
            self.inner = Linear(*heads()["one_logit"][1:])

        def forward(self, x: Any) -> Any:
            return self.sign * self.inner(x)

    assert (
        TorchTarget(Signed(1.0), OneLogit(LABELS)).fingerprint
        != TorchTarget(Signed(-1.0), OneLogit(LABELS)).fingerprint
    )


def test_close_radii_have_evidence_of_their_own(tmp_path: Path) -> None:
    cases, target = world(12)
    bundle = audit(
        tmp_path / "b", cases, target, cell(cases, (Pgd(10),), pset=L2(), radii=(100.00001, 100.00002), aim="worst")
    )
    confirmed = sum(bool(o.finding and o.finding.ok) for o in bundle.outcomes("cell"))
    assert confirmed == len(list((bundle.folder / "evidence" / "cell").iterdir()))
    assert replay(bundle, target).replayed == confirmed


def test_l2_keeps_uniform_directions_alive() -> None:
    case = array_case("c", np.full((3, 12, 12), 128, np.uint8), Truth.of("a"))
    x0 = torch.from_numpy(case.x.astype(np.float32))
    for radius in (4.0, 8.0, 12.0):
        stored = L2(radius).realise(x0 + radius / 432**0.5, case, radius)
        changed = int((stored.astype(int) - 128).sum())
        assert changed == int(radius**2), (radius, changed)
        assert L2(radius).check(case, stored, None) is None


def test_short_l2_changes_survive_being_stored(tmp_path: Path) -> None:
    """A search that looked at unrounded values would find changes that no file can hold."""
    cases, target = world(60)
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Pgd(20),), pset=L2(), radii=(4.0, 8.0, 16.0, 32.0)))
    crossed = [o for o in bundle.outcomes("cell") if o.trace.crossed]
    assert len(crossed) >= 20
    assert all(o.finding is not None and o.finding.ok for o in crossed)


def test_the_noise_is_measured_and_not_assumed() -> None:
    cases, good = world(8)

    class Shape(torch.nn.Module):
        """Depends on the number of rows, as float kernels do, only much more."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = good._module

        def forward(self, x: Any) -> Any:
            return self.inner(x) + 0.003 * (len(x) == 1)

    referee = Referee(TorchTarget(Shape(), good.decision), ImageCodec(), cases)
    referee.clean([r.id for r in cases.refs])
    assert referee.noise == pytest.approx(0.01)


def test_plans_are_checked_before_the_run() -> None:
    cases, _ = world(4)
    with pytest.raises(PlanError, match="whole grey levels"):
        cell(cases, radii=(0.5,))
    with pytest.raises(PlanError, match="a name begins"):
        cell(cases, name="..")
    with pytest.raises(PlanError, match="positive and ascending"):
        cell(cases, radii=(float("nan"),))


def test_a_lone_case_list_of_a_killed_run_is_no_obstacle(tmp_path: Path) -> None:
    decision, weight, bias = heads()["one_logit"]
    cases, target = labelled(pictures(6), decision, weight, bias), TorchTarget(Linear(weight, bias), decision)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cases.json").write_text("[]")
    audit(tmp_path / "b", cases, target, cell(cases, radii=(1.0,))).verify()
