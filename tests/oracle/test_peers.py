"""Attacks of other libraries inside of a cell: the same flips as the library alone, every evaluation counted, refereed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import Linear, audit, cell, heads, labelled, pictures
from tests.oracle.test_linear_model import closed_form

from nocere.attacks.base import attack_json
from nocere.attacks.peers.adv_lib import AdvLibAttack
from nocere.attacks.peers.art import ArtAttack
from nocere.attacks.peers.foolbox import FoolboxAttack
from nocere.attacks.peers.peer import PeerAttack
from nocere.audit.plan import make_plan, resolve
from nocere.core.budget import Budget
from nocere.core.errors import NocereError, TargetError
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import L2

foolbox_here = pytest.mark.skipif(find_spec("foolbox") is None, reason="foolbox is not installed")
art_here = pytest.mark.skipif(find_spec("art") is None, reason="adversarial-robustness-toolbox is not installed")
adv_lib_here = pytest.mark.skipif(find_spec("adv_lib") is None, reason="adv-lib is not installed")
N = 16
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, when the tests call them themselves
PGD = {"steps": 8, "rel_stepsize": 0.25, "random_start": False}


class Counting(torch.nn.Module):
    """A net that counts rows that went forward."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net, self.rows = net, 0

    def forward(self, x: Any) -> Any:
        self.rows += len(x)
        return self.net(x)


def linear(head: str = "softmax") -> tuple[Any, Any, Any, Any, Any, Any]:
    """Cases, target, x, decision, weight, bias."""
    decision, weight, bias = heads()[head]
    x = pictures(N)
    cases = labelled(x, decision, weight, bias)
    return cases, TorchTarget(Linear(weight, bias), decision), x, decision, weight, bias


def kinds(bundle: Any) -> dict[str, str]:
    return {o.case_id: o.kind for o in bundle.outcomes("cell")}


@foolbox_here
def test_foolbox_flips_what_it_flips_alone_with_as_many_evaluations(tmp_path: Path) -> None:
    import foolbox

    cases, target, x, decision, weight, bias = linear()
    radius = 2.0
    bundle = audit(
        tmp_path / "b", cases, target, cell(cases, (FoolboxAttack("LinfPGD", PGD),), radii=(radius,), search="shipped")
    )
    net = Linear(weight, bias).eval()
    ours = kinds(bundle)
    used = {o.case_id: o.meter for o in bundle.outcomes("cell")}
    flipped = 0
    for i, ref in enumerate(cases.refs):
        truth = decision.labels.index(next(iter(ref.truth.labels)))
        counting = Counting(torch.nn.Sequential(Scaled(), net)).eval()
        model = foolbox.PyTorchModel(counting, bounds=(0, 1), device="cpu")
        start = torch.from_numpy(x[i : i + 1].astype(np.float32)) / 255
        _, made, success = foolbox.attacks.LinfPGD(**PGD)(model, start, torch.tensor([truth]), epsilons=radius / 255)
        assert (ours[ref.id] == "broken") == bool(success[0])
        flipped += bool(success[0])
        if ours[ref.id] == "held":
            # One look more than the library takes alone: at what it hands back.
            assert used[ref.id]["forward"] == counting.rows + 1
            assert used[ref.id]["backward"] == PGD["steps"]
        else:
            assert used[ref.id]["forward"] <= counting.rows
    assert 0 < flipped < N


class Scaled(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 255


@pytest.mark.parametrize("head", ["one_logit", "two_logit", "softmax", "multi_label"])
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda: FoolboxAttack("LinfPGD", PGD), marks=foolbox_here, id="foolbox"),
        pytest.param(lambda: ArtAttack("ProjectedGradientDescent", {"max_iter": 8}), marks=art_here, id="art"),
        pytest.param(
            lambda: AdvLibAttack("pgd_linf", {"steps": 8, "relative_step_size": 0.25, "random_init": False}),
            marks=adv_lib_here, id="adv-lib",
        ),
    ],
)  # fmt: skip
def test_pgd_of_all_breaks_exactly_what_the_closed_form_allows(tmp_path: Path, head: str, attack: Any) -> None:
    cases, target, x, decision, weight, bias = linear(head)
    exact = closed_form(x, decision, weight, bias, "linf")
    radius = float(np.ceil(np.median(exact)))
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (attack(),), radii=(radius,)))
    for ref, e in zip(cases.refs, exact, strict=True):
        if abs(e - radius) > 0.05 * radius or head == "one_logit":
            assert kinds(bundle)[ref.id] == ("broken" if e < radius else "held"), (ref.id, e, radius)


@foolbox_here
def test_a_search_by_labels_hears_labels_and_ends_with_its_budget(tmp_path: Path) -> None:
    cases, target, x, decision, weight, bias = linear()
    attack = FoolboxAttack("HopSkipJumpAttack", {"steps": 3, "initial_gradient_eval_steps": 20}, "labels", minimal=True)
    exact = closed_form(x, decision, weight, bias, "l2")
    top = float(np.ceil(2.5 * exact.max()))
    spec = cell(
        cases, (attack,), pset=L2(), radii=(top,), aim="closest", budget=Budget(150), access=frozenset({"labels"})
    )  # fmt: skip
    outcomes = list(audit(tmp_path / "b", cases, target, spec).outcomes("cell"))
    broken = [o for o in outcomes if o.kind == "broken"]
    assert len(broken) >= N // 2
    for o in broken:
        assert o.finding.cost.value >= exact[int(o.case_id[-3:])] * (1 - 1e-6)
    assert {o.kind for o in outcomes} <= {"broken", "held", "not_reached"}
    assert {o.meter["backward"] for o in outcomes} == {0}
    assert max(o.meter["forward"] for o in outcomes) == 150


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda: FoolboxAttack("LinfPGD", {"steps": 3}), marks=foolbox_here, id="torch"),
        pytest.param(
            lambda: ArtAttack("ProjectedGradientDescent", {"max_iter": 3, "num_random_init": 1}),
            marks=art_here,
            id="numpy",
        ),
    ],
)
def test_a_search_is_repeated_exactly_and_leaves_the_random_numbers_alone(tmp_path: Path, attack: Any) -> None:
    cases, target, *_ = linear()
    spec = cell(cases, (attack(),), radii=(2.0,), aim="worst", ids=tuple(r.id for r in cases.refs[:4]))
    hashes = set()
    for lanes in (1, 64):
        torch.manual_seed(lanes)
        np.random.seed(lanes)
        state, numpys = torch.get_rng_state(), np.random.get_state()[1]
        hashes.add(audit(tmp_path / str(lanes), cases, target, spec, lanes=lanes).hash)
        assert torch.equal(state, torch.get_rng_state())
        assert np.array_equal(numpys, np.random.get_state()[1])
    assert len(hashes) == 1


@foolbox_here
def test_the_library_sees_scores_and_gradients_of_the_net_or_labels_alone(tmp_path: Path) -> None:
    import foolbox

    seen: list[tuple[Any, Any]] = []

    class Looks(foolbox.attacks.LinfPGD):
        def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any, **about: Any) -> Any:
            x = torch.cat([inputs, 1 - inputs, inputs / 2]).requires_grad_(True)
            z = model(x)
            g = torch.autograd.grad(z[:, 1].sum(), x)[0] if z.shape[1] == 4 else None
            seen.append((z.detach(), g))
            return None, inputs, None

    cases, target, x, decision, weight, bias = linear()
    ids = tuple(r.id for r in cases.refs[:1])
    first = torch.from_numpy(x[:1].astype(np.float32))
    for access in ("gradients", "labels"):
        # A radius of the whole range, and an aim that no success ends: every row is answered.
        spec = cell(
            cases, (PeerAttack.of(Looks(), access=access),), radii=(255.0,), aim="worst", ids=ids, search="shipped"
        )
        (o,) = audit(tmp_path / access, cases, target, spec).outcomes("cell")
        assert o.meter["forward"] == 3 + 1
        assert o.meter["backward"] == (3 if access == "gradients" else 0)
    (z, g), (labels, _) = seen
    assert torch.allclose(z, Linear(weight, bias)(torch.cat([first, 255 - first, first / 2])), atol=1e-4)
    assert torch.allclose(g.flatten(1), torch.from_numpy(255 * weight[1]).float().expand(3, -1), rtol=1e-4)
    assert set(labels.unique().tolist()) <= {-1.0, 0.0, 1.0}


@foolbox_here
def test_success_of_the_library_counts_for_nothing(tmp_path: Path) -> None:
    """An attack that claims everything and returns a picture far outside of the set."""
    import foolbox

    class Boast(foolbox.attacks.LinfPGD):
        def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any, **about: Any) -> Any:
            model(torch.ones_like(inputs))  # white, which may well turn the model
            return None, torch.ones_like(inputs), torch.ones(1, dtype=torch.bool)

    cases, target, x, decision, weight, bias = linear("one_logit")
    attack = PeerAttack.of(Boast())
    assert isinstance(attack, FoolboxAttack)
    assert "0x" not in str(attack_json(attack))
    outcomes = list(audit(tmp_path / "b", cases, target, cell(cases, (attack,), radii=(1.0,))).outcomes("cell"))
    exact = closed_form(x, decision, weight, bias, "linf")
    for o, e in zip(outcomes, exact, strict=True):
        assert o.kind == "held" or e <= 1.0
        if o.finding is not None and o.finding.cost is not None:
            assert o.finding.cost.value <= 1.0
    assert "held" in {o.kind for o in outcomes}


class Failing(torch.nn.Module):
    """Fails on a single row that is not a stored picture: what only a search asks."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Any:
        if bool((x != x.round()).any()):
            raise RuntimeError("the server is gone")
        return self.net(x)


@foolbox_here
def test_a_target_that_fails_stops_the_cell_although_the_library_is_in_between(tmp_path: Path) -> None:
    cases, _, _, decision, weight, bias = linear()
    target = TorchTarget(Failing(Linear(weight, bias)), decision)
    attack = FoolboxAttack("LinfPGD", {"steps": 5, "rel_stepsize": 0.3, "random_start": True})
    with pytest.raises(TargetError, match="the server is gone"):
        audit(tmp_path / "b", cases, target, cell(cases, (attack,), radii=(2.0,), search="shipped"))


@foolbox_here
def test_gradients_are_refused_by_name_where_a_cell_grants_none(tmp_path: Path) -> None:
    cases, target, *_ = linear()
    scores = frozenset({"scores", "labels"})
    spec = cell(cases, (FoolboxAttack("LinfPGD", PGD),), radii=(2.0,), access=scores)
    outcomes = list(audit(tmp_path / "b", cases, target, spec).outcomes("cell"))
    assert {o.kind for o in outcomes} == {"not_applicable"}
    assert "peer.foolbox" in outcomes[0].why
    # It says that it needs scores, and asks for gradients nevertheless: its own fault, told in a sentence.
    spec = cell(cases, (FoolboxAttack("LinfPGD", PGD, "scores"),), radii=(2.0,), access=scores)
    outcomes = list(audit(tmp_path / "c", cases, target, spec).outcomes("cell"))
    assert {o.kind for o in outcomes} == {"errored"}
    assert "gradients" in outcomes[0].why


@foolbox_here
@art_here
def test_objects_names_and_what_is_neither() -> None:
    import foolbox

    one, two = FoolboxAttack("LinfPGD", PGD), PeerAttack.of(foolbox.attacks.LinfPGD(**PGD))
    assert (one.name, one.needs) == (two.name, two.needs) == ("peer.foolbox", {"gradients"})
    assert attack_json(one)["args"] == PGD
    assert "steps=8" in str(attack_json(two)["attack"])
    for made, said in (
        (lambda: PeerAttack.of(print), "no attack of ART"),
        (lambda: FoolboxAttack("Nothing"), "no attack 'Nothing'"),
        (lambda: FoolboxAttack("LinfPGD", {"stpes": 3}), "stpes"),
        (lambda: FoolboxAttack("LinfPGD", access="structure"), "access is"),
        (lambda: PeerAttack.of(foolbox.attacks.LinfPGD(), args={"steps": 3}), "has its arguments already"),
        (lambda: ArtAttack("Nothing"), "no attack 'Nothing'"),
        (lambda: ArtAttack("FastGradientMethod", {"epsilon": 3}), "no argument 'epsilon'"),
    ):
        with pytest.raises(NocereError, match=said):
            made()


@foolbox_here
def test_a_plan_names_it() -> None:
    cases, target, *_ = linear()
    table = {"name": "peer.foolbox", "attack": "LinfPGD", "args": {"steps": 3}}
    about = {"name": "c", "threat": "image.linf", "radii": [2], "attacks": [table]}
    spec = resolve(make_plan({"name": "p", "cell": [about]}), target, cases)
    assert spec.cells[0].attacks == (FoolboxAttack("LinfPGD", {"steps": 3}),)
    with pytest.raises(NocereError, match=r"Cell 'c': .*no attack 'LinfPDG'"):
        resolve(
            make_plan({"name": "p", "cell": [{**about, "attacks": [{**table, "attack": "LinfPDG"}]}]}), target, cases
        )
    assert "gradients" in spec.cells[0].threat.access


@adv_lib_here
def test_adv_lib_functions_get_the_norm_of_the_set(tmp_path: Path) -> None:
    from functools import partial

    cases, target, x, decision, weight, bias = linear("one_logit")
    exact = closed_form(x, decision, weight, bias, "l2")
    radius = float(np.ceil(np.median(exact) * 1.2))
    attack = AdvLibAttack("fmn", {"steps": 60}, minimal=True)
    spec = cell(cases, (attack,), pset=L2(), radii=(radius,))
    for o, e in zip(audit(tmp_path / "b", cases, target, spec).outcomes("cell"), exact, strict=True):
        if abs(e - radius) > 0.15 * radius:
            assert o.kind == ("broken" if e < radius else "held")
    fmn = AdvLibAttack("fmn")._function()
    assert PeerAttack.of(partial(fmn, steps=3)).name == PeerAttack.of(fmn).name == "peer.adv_lib"
