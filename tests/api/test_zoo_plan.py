"""Every broken defence of the zoo, audited from a plan as a user would: broken, or said to be unseen, never passed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.images import pictures
from tests.unit.test_zoo import NET

from nocere.audit.bundle import Bundle
from nocere.audit.plan import load_spec
from nocere.audit.runner import run_audit

N = 16
CODE = """
from pathlib import Path
import torch
from torch import nn
from nocere.targets import zoo

def net():
    made = nn.Sequential(nn.Flatten(), nn.Linear(432, 24), nn.Tanh(), nn.Linear(24, 1))
    made.load_state_dict(torch.load(Path(__file__).with_name("net.pt"), weights_only=True))
    return made.eval()

def shipped():
    return zoo.MEMBER

def view():
    return shipped().bpda()
"""
CARD = '[target]\nkind = "torch"\nfactory = "defence.py:WHAT"\nstochastic = RANDOM\n[input]\nscale = 1.0\n'
DECISION = '[decision]\nkind = "one_logit"\nlabels = ["benign", "malignant"]\n'
PLAN = """
name = "zoo"
target = "shipped.toml"
draws = 12
VIEW
[cases]
dataset = "image.folder"
manifest = "m.csv"
[[cell]]
name = "noise"
threat = "image.linf"
radii = [8]
attacks = [{name = "image.pgd", steps = 20, restarts = 2}]
[[cell]]
name = "any"
threat = "image.linf"
radii = [255]
attacks = [{name = "image.pgd", steps = 20, restarts = 2}]
limit = 8
sanity = true
[[cell]]
name = "blind"
threat = "image.linf"
radii = [8]
attacks = [{name = "image.square", queries = 200}]
limit = 8
sanity = true
[[criterion]]
name = "stands"
measure = "flip_rate"
cell = "noise"
radius = 8
at_most = 0.99
"""
ADAPTIVE = """
[[view]]
name = "smooth"
kind = "target"
target = "view.toml"
[[cell]]
name = "adaptive"
threat = "image.linf"
radii = [8]
attacks = [{name = "image.pgd", steps = 20, restarts = 2}]
view = "smooth"
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def audited(folder: Path, member: str, *, random: bool = False, adaptive: bool = False) -> Bundle:
    torch.save(NET.state_dict(), folder / "net.pt")
    (folder / "defence.py").write_text(CODE.replace("MEMBER", member))
    for what in ("shipped", "view"):
        text = CARD.replace("WHAT", what).replace("RANDOM", "true" if random else "false") + DECISION
        (folder / f"{what}.toml").write_text(text)
    x = pictures(N)
    with torch.inference_mode():
        said = NET(torch.from_numpy(x).float())[:, 0].numpy()
    rows = ["path,label"]
    for k, (row, z) in enumerate(zip(x, said, strict=True)):
        Image.fromarray(row.transpose(1, 2, 0)).save(folder / f"{k}.png")
        rows.append(f"{k}.png,{'malignant' if z > 0 else 'benign'}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    view, _, cell = ADAPTIVE.partition("[[cell]]")
    plan = PLAN.replace("VIEW", view if adaptive else "") + ("[[cell]]" + cell if adaptive else "")
    if random:  # every row is evaluated alone
        plan = plan.replace("queries = 200", "queries = 40").replace("limit = 8", "limit = 4")
        plan = plan.replace('name = "noise"', 'name = "noise"\nlimit = 8')
    (folder / "plan.toml").write_text(plan)
    return run_audit(load_spec(folder / "plan.toml"), folder / "b")


def broken(bundle: Bundle, cell: str) -> float:
    return float(np.mean([o.kind == "broken" for o in bundle.outcomes(cell) if o.kind != "already_wrong"]))


@pytest.mark.parametrize(
    ("member", "sign"),
    [
        ("Quantised(net())", "dead_gradients"),
        ("Thermometer(net())", "dead_gradients"),
        ("Saturated(net())", "dead_gradients"),
        ("Thresholded(net(), 2)", "dead_gradients"),
        ("Shattered(net())", "misleading_gradients"),
    ],
)
def test_a_hidden_gradient_is_said_to_be_hidden_and_a_view_of_the_plan_breaks_it(
    tmp_path: Path, member: str, sign: str
) -> None:
    bundle = audited(tmp_path, member, adaptive=True)
    assert bundle.verdicts[0]["word"] in ("INCONCLUSIVE", "ERROR")
    doubted = {i.key for i in bundle.indicators if "noise" in i.cells}
    assert {sign, "unbroken_unbounded"} <= doubted
    assert broken(bundle, "noise") < 0.5
    assert broken(bundle, "adaptive") >= 0.9


@pytest.mark.parametrize("member", ["Temperature(net(), 1e-4)", "Temperature(net(), 1e4)"])
def test_a_temperature_is_broken_as_if_it_were_not_there(tmp_path: Path, member: str) -> None:
    bundle = audited(tmp_path, member)
    assert broken(bundle, "noise") >= 0.9
    assert bundle.verdicts[0]["word"] != "PASS"


def test_a_temperature_that_sinks_margins_into_rounding_is_flagged(tmp_path: Path) -> None:
    bundle = audited(tmp_path, "Temperature(net(), 1e7)")
    assert bundle.verdicts[0]["word"] == "INCONCLUSIVE"
    assert "margins_near_noise" in {i.key for i in bundle.indicators if "noise" in i.cells}


@pytest.mark.parametrize("member", ["Noisy(net(), 8.0)", "Resized(net())"])
def test_a_random_defence_is_broken_or_flagged(tmp_path: Path, member: str) -> None:
    bundle = audited(tmp_path, member, random=True)
    doubted = {i.key for i in bundle.indicators if "noise" in i.cells}
    assert broken(bundle, "noise") >= 0.9 or "random_without_average" in doubted
    assert bundle.verdicts[0]["word"] != "PASS"
