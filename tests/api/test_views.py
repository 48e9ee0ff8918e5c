"""Transfer and differentiable views from a plan: what is searched is the attacker's, what is judged is the target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.plans import N, rows_asked, written

from nocere.audit.bundle import Bundle
from nocere.audit.plan import load_spec
from nocere.audit.runner import run_audit
from nocere.audit.work import Source
from nocere.core.errors import NocereError, PlanError, TargetError
from nocere.targets.reference import student

TRANSFER = """
[[cell]]
name = "transfer"
threat = "image.linf"
radii = [4, 8]
attacks = [{name = "image.pgd", steps = 10}]
view = "VIEW"
confirms = 3
[[cell]]
name = "control"
threat = "image.linf"
radii = [4, 8]
attacks = [{name = "image.random_noise", draws = 20}]
"""
SURROGATE = """
[[view]]
name = "stand-in"
kind = "surrogate"
queries = 120
learns = "LEARNS"
size = 24
[view.cases]
dataset = "image.folder"
manifest = "labels.csv"
split = "own"
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the command line runs: small nets gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ran(plan: Path, out: str = "b", workers: int = 1) -> Bundle:
    return run_audit(load_spec(plan), plan.parent / out, workers=workers, source=Source(plan, False))


def share(bundle: Bundle, cell: str) -> float:
    return float(np.mean([o.kind == "broken" for o in bundle.outcomes(cell) if o.radius == 8 or o.kind == "broken"]))


@pytest.mark.parametrize(("target", "learns"), [("labels", "labels"), ("scores", "scores")])
def test_a_surrogate_trained_on_counted_answers_transfers(tmp_path: Path, target: str, learns: str) -> None:
    body = SURROGATE.replace("LEARNS", learns) + TRANSFER.replace("VIEW", "stand-in")
    plan = written(tmp_path, target, body)
    bundle = ran(plan)
    record = bundle.artefacts["stand-in"]
    assert record["queries"] == record["budget"] == 120
    assert record["learns"] == learns
    assert record["agreement"] > 0.8
    assert share(bundle, "control") < 0.1
    assert share(bundle, "transfer") > 0.5
    # Every row that the model saw is in the bundle: clean looks (each once, once more, eight alone twice), training
    # answers, the referee's queries, and what the control asked by itself. The surrogate's own evaluations are none.
    transfer, control = list(bundle.outcomes("transfer")), list(bundle.outcomes("control"))
    clean = N + N + 8 + 8
    judged = {o.case_id: o.meter["queries"] for o in transfer}
    blind = {o.case_id: o.meter["forward"] + o.meter["queries"] for o in control}
    assert rows_asked(tmp_path) == clean + 120 + sum(judged.values()) + sum(blind.values())
    assert max(judged.values()) <= 2 * (3 + 1)
    assert all(o.meter["backward"] > 0 for o in transfer)
    # The bundle opens, and its surrogate is numbers only.
    assert student.unpack(bundle.bytes("artefacts/stand-in")).decision.labels == ("dark", "light")
    assert bundle.plan["cells"][0]["view"] == "stand-in"


def test_workers_and_a_second_run_give_the_same_evidence(tmp_path: Path) -> None:
    body = SURROGATE.replace("LEARNS", "labels").replace("120", "60") + TRANSFER.replace("VIEW", "stand-in")
    plan = written(tmp_path, "labels", body)
    one, two = ran(plan, "1"), ran(plan, "2", workers=2)
    assert one.hash == two.hash
    before = rows_asked(tmp_path)
    assert ran(plan, "1").hash == one.hash
    assert rows_asked(tmp_path) == before


def test_without_pictures_of_its_own_a_surrogate_asks_about_the_cases(tmp_path: Path) -> None:
    view = SURROGATE.split("[view.cases]")[0].replace("LEARNS", "labels").replace("120", "70")
    bundle = ran(written(tmp_path, "labels", view + TRANSFER.replace("VIEW", "stand-in")))
    # All 32 cases, then what it grew from these, and from those.
    assert bundle.artefacts["stand-in"]["queries"] == 70
    assert bundle.plan["artefacts"][0]["view"]["pictures"]["name"] == bundle.plan["cases"]["name"]


def test_another_model_is_searched_and_the_target_judged(tmp_path: Path) -> None:
    view = '[[view]]\nname = "other"\nkind = "target"\ntarget = "other.toml"\n'
    bundle = ran(written(tmp_path, "labels", view + TRANSFER.replace("VIEW", "other")))
    assert share(bundle, "transfer") > 0.5 > share(bundle, "control")
    for o in bundle.outcomes("transfer"):
        if o.kind == "broken":
            # Labels were told, and by the model under test: the other one tells logits.
            assert o.finding is not None
            assert set(o.finding.margins) == {1.0, -1.0}


def test_parts_are_differentiated_straight_through_from_a_plan(tmp_path: Path) -> None:
    view = '[[view]]\nname = "straight"\nkind = "bpda"\nparts = ["0"]\n'
    blind = TRANSFER.replace('view = "VIEW"\n', "").split("[[cell]]")[1].replace('"transfer"', '"blind"')
    rule = '[[criterion]]\nname = "r"\nmeasure = "flip_rate"\ncell = "blind"\nradius = 8\nat_most = 0.99\n'
    body = view + "[[cell]]" + blind + TRANSFER.replace("VIEW", "straight") + rule
    bundle = ran(written(tmp_path, "rounded", body))
    assert share(bundle, "blind") == 0
    assert share(bundle, "transfer") > 0.5
    assert bundle.verdicts[0]["word"] in ("ERROR", "INCONCLUSIVE")
    assert {"dead_gradients"} <= {i.key for i in bundle.indicators if "blind" in i.cells}


@pytest.mark.parametrize(
    ("target", "view", "why"),
    [
        ("labels", 'kind = "target"\ntarget = "gone.toml"', "There is no target at"),
        ("labels", 'kind = "surrogate"\nqueries = 50\nlearns = "scores"', "tells no scores"),
        ("labels", 'kind = "surrogate"\nqueries = 50\narch = "giant"', "unknown network 'giant'"),
        ("labels", 'kind = "surrogate"', "queries"),
        ("labels", 'kind = "bpda"\nparts = ["0"]', "no parts to differentiate"),
        ("rounded", 'kind = "bpda"\nparts = ["7"]', "has no part '7'"),
        ("labels", 'kind = "oracle"', "surrogate"),
        ("labels", 'kind = "target"\ntarget = "other.toml"\nqueries = 3', "there is no such field"),
    ],
)
def test_a_view_that_cannot_be_is_one_sentence(tmp_path: Path, target: str, view: str, why: str) -> None:
    plan = written(tmp_path, target, f'[[view]]\nname = "v"\n{view}\n' + TRANSFER.replace("VIEW", "v"), n=4)
    with pytest.raises((PlanError, TargetError), match=why):
        load_spec(plan)


def test_cells_and_views_must_fit(tmp_path: Path) -> None:
    other = '[[view]]\nname = "other"\nkind = "target"\ntarget = "other.toml"\n'
    cells = TRANSFER.replace("VIEW", "other")

    def refused(body: str, why: str) -> None:
        with pytest.raises(NocereError, match=why):
            load_spec(written(tmp_path, "labels", body, n=4))

    refused(cells, "there is no view 'other'. Declare it")
    refused(other + TRANSFER.replace("VIEW", "mine"), "no view 'mine'. Views: other")
    refused(other + other + cells, "same name")
    refused(other + cells.replace('view = "other"', 'view = "other"\nanswers = "top1"'), "the attacker's own")
    refused(other + cells.replace('view = "other"', 'view = "other"\naccess = ["labels"]'), "the view with this access")
    written(tmp_path, "labels", other + cells, n=4)
    card = tmp_path / "other.toml"
    card.write_text(card.read_text().replace('["dark", "light"]', '["light", "dark"]'))
    with pytest.raises(PlanError, match="same labels in the same order"):
        load_spec(tmp_path / "plan.toml")


def test_a_surrogate_of_answers_that_are_all_the_same_is_refused(tmp_path: Path) -> None:
    body = SURROGATE.replace("LEARNS", "labels").replace("120", "5") + TRANSFER.replace("VIEW", "stand-in")
    with pytest.raises(PlanError, match="at least 8 answers"):
        ran(written(tmp_path, "labels", body, n=12))
    body = body.replace("queries = 5", "queries = 20").replace('split = "own"', 'split = "one"')
    plan = written(tmp_path / "2", "labels", body, n=12)
    table = plan.parent / "labels.csv"
    rows = [r.replace(",own", ",one") if ",dark," in r else r for r in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")
    with pytest.raises(PlanError, match="answered the same to all 10 pictures"):
        ran(plan)


def test_an_attack_that_turns_the_view_costs_its_own_results_only(tmp_path: Path) -> None:
    from tests.unit.test_referee import EditsTheTarget

    from nocere.attacks.image.pgd import Pgd
    from nocere.audit.spec import CellSpec, Spec

    other = '[[view]]\nname = "other"\nkind = "target"\ntarget = "other.toml"\n'
    plan = written(tmp_path, "labels", other + TRANSFER.replace("VIEW", "other"), n=12)
    spec = load_spec(plan)

    def made(name: str, attack: Any) -> CellSpec:
        c = spec.cells[0]
        return CellSpec(name, c.threat, (attack,), (8.0,), "flip", c.cases, view="other")

    class Blind(EditsTheTarget):
        needs = frozenset()

        def search(self, job: Any) -> Any:
            next(EditsTheTarget.search(self, job))
            return []
            yield

    def audited(out: str, *cells: CellSpec) -> Bundle:
        parts = {f: getattr(spec, f) for f in ("name", "target", "codec", "cases", "artefacts")}
        return run_audit(Spec(cells=cells, **parts), tmp_path / out)

    # The first cell turns every model that it finds before the view is opened, the second one the view itself.
    before = CellSpec("before", spec.cells[1].threat, (Blind(),), (8.0,), "flip", spec.cells[1].cases)
    spoiled = audited("1", before, made("a", EditsTheTarget()), made("honest", Pgd(10)))
    assert all("view 'other'" in o.why for o in spoiled.outcomes("a"))
    spec = load_spec(plan)
    alone = audited("2", made("honest", Pgd(10)))
    assert [o.to_json() for o in spoiled.outcomes("honest")] == [o.to_json() for o in alone.outcomes("honest")]
