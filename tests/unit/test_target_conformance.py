"""The conformance kit passes targets that keep their promises, and finds each broken promise by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.images import LABELS, SIDE, Linear, heads, pictures

from nocere.cli.main import main
from nocere.core.case import Case
from nocere.core.decision import OneLogit, Softmax
from nocere.core.errors import TargetError
from nocere.targets.answers import LabelsOnly
from nocere.targets.callable import callable_target
from nocere.targets.conformance import conform, failures
from nocere.targets.preprocess import ImageInput
from nocere.targets.torch import TorchTarget
from nocere.targets.zoo import Quantised, Shattered

CASES = [Case(str(i), x) for i, x in enumerate(pictures(12))]


def linear(head: str = "one_logit") -> TorchTarget:
    decision, weight, bias = heads()[head]
    return TorchTarget(Linear(weight, bias), decision)


def broken(target: Any, **more: Any) -> set[str]:
    return {c.name for c in failures(conform(target, CASES, **more))}


@pytest.mark.parametrize("head", list(heads()))
def test_honest_targets_pass(head: str) -> None:
    for target in (linear(head), LabelsOnly(linear(head))):
        assert not broken(target), [c for c in conform(target, CASES) if c.ok is False]
    told = {c.name: c for c in conform(linear(head), CASES, lambda: linear(head))}
    assert told["gradients"].ok and "loaded again and copied" in told["fingerprint is stable"].told


class Net(torch.nn.Module):
    def __init__(self, change: Any) -> None:
        super().__init__()
        self.inner = Linear(*heads()["one_logit"][1:])
        self.change = change

    def forward(self, x: Any) -> Any:
        return self.change(self, x)


def of(change: Any) -> TorchTarget:
    return TorchTarget(Net(change), heads()["one_logit"][0])


def remembers(net: Any, x: Any) -> Any:
    net.calls = getattr(net, "calls", 0) + 1
    return net.inner(x) + 0.01 * net.calls


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:  # type: ignore[override]
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:  # type: ignore[override]
        return 1.5 * g


BROKEN: dict[str, tuple[Any, set[str]]] = {
    "draws": (
        lambda n, x: n.inner(x) + torch.rand(len(x), 1),
        {"same rows, same answers", "a row's answer does not depend on its batch", "gradients"},
    ),
    "batch statistics": (
        lambda n, x: n.inner(x - x.mean(0, keepdim=True)),
        {"a row's answer does not depend on its batch"},
    ),
    "half of the rows": (
        lambda n, x: torch.where(torch.arange(len(x))[:, None] < 8, n.inner(x), 0 * n.inner(x)),
        {"a row's answer does not depend on its batch"},
    ),
    "gradient of another size": (lambda n, x: n.inner(Wrong.apply(x)), {"gradients"}),
    "constant": (lambda n, x: 0 * n.inner(x), {"outputs are what is declared", "gradients"}),
    "NaN": (lambda n, x: n.inner(x) + torch.where(x[:, :1, 0, 0] > 128, torch.nan, 0.0), {"finite"}),
    "probabilities": (lambda n, x: torch.sigmoid(40 * n.inner(x)), {"outputs are what is declared"}),
    "writes into its input": (lambda n, x: n.inner(x.detach().sub_(1)), {"input is left alone"}),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_each_broken_promise_is_named(name: str) -> None:
    change, want = BROKEN[name]
    found = broken(of(change))
    assert want <= found, found
    if name in ("gradient of another size", "constant", "probabilities", "batch statistics"):
        assert found <= want | {"gradients"}, found


def test_defences_that_break_gradients_are_found() -> None:
    net = Linear(*heads()["one_logit"][1:])
    decision = heads()["one_logit"][0]
    for made in (Quantised(net, 32.0), Shattered(net, 3.0)):
        assert broken(TorchTarget(made, decision)) == {"gradients"}, made


def test_state_fingerprint_labels_and_errors() -> None:
    def trains(net: Any, x: Any) -> Any:
        net.train()
        return net.inner(x)

    assert "state is left alone" in broken(of(trains))
    other = TorchTarget(Linear(*heads(seed=9)["one_logit"][1:]), heads()["one_logit"][0])
    assert broken(linear(), again=lambda: other) == {"fingerprint is stable"}
    always = callable_target(lambda x: ["malignant"] * len(x), OneLogit(LABELS), outputs="labels")
    assert broken(always) == {"outputs are what is declared"}
    (only,) = failures(conform(callable_target(lambda x: x[:, :3, 0, 0], Softmax(LABELS), outputs="logits"), CASES))
    assert only.name == "answers" and "reads 2 column" in only.told
    assert {c.name: c.ok for c in conform(LabelsOnly(linear()), CASES)}["gradients"] is None
    with pytest.raises(TargetError, match="too few to check"):
        conform(linear(), CASES[:1])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(Linear(*heads()["one_logit"][1:]).state_dict(), tmp_path / "w.pt")
    (tmp_path / "net.py").write_text(
        "from tests.images import Linear\nimport numpy as np\n"
        f"def build(): return Linear(np.zeros((1, {3 * SIDE * SIDE})), np.zeros(1))\n"
    )
    card = (
        '[target]\nkind = "torch"\nfactory = "net.py:build"\nweights = "w.pt"\n{}'
        f'[decision]\nkind = "one_logit"\nlabels = ["{LABELS[0]}", "{LABELS[1]}"]\n'
    )
    (tmp_path / "card.toml").write_text(card.format(f"[input]\nsize = [{SIDE}, {SIDE}]\nscale = 1.0\n"))
    assert main(["target", "check", str(tmp_path / "card.toml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(c["ok"] is not False for c in told["checks"]) and "gradients" in told["access"]
    (tmp_path / "card.toml").write_text(card.format(""))
    assert main(["target", "check", str(tmp_path / "card.toml")]) == 2
    assert "does not say what size" in capsys.readouterr().err
    (tmp_path / "card.toml").write_text(card.format(f"[input]\nsize = [{SIDE}, {SIDE}]\nresize = true\nscale = 1.0\n"))
    (tmp_path / "cases.toml").write_text('[cases]\nphantom = "image.dermoscopy"\nn = 8\nsize = 16\n')
    args = ["target", "check", str(tmp_path / "card.toml"), "--cases", str(tmp_path / "cases.toml")]
    assert main(args) == 0
    shown = capsys.readouterr().out
    assert "fingerprint is stable" in shown and "gradients" in shown


def test_the_owner_authorises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nocere.targets.authorisation import read_authorisation, read_public
    from nocere.targets.kserve import kserve_target

    def args(**change: str) -> list[str]:
        given = {"model": "net", "owner": "A. Hospital", "key": str(tmp_path / "k.pem"), "until": "2099-12-31"}
        given |= {"queries": "50", "out": str(tmp_path / "auth.json"), **change}
        return ["authorise", "http://192.0.2.7:8000", *[p for k, v in given.items() for p in (f"--{k}", v)]]

    assert main(args()) == 0
    assert "allows 50 queries to net at http://192.0.2.7:8000" in capsys.readouterr().out
    assert (tmp_path / "k.pem").stat().st_mode & 0o77 == 0
    made = read_authorisation(tmp_path / "auth.json")
    from datetime import UTC, datetime

    made.check(read_public(tmp_path / "k.pem.pub"), "http://192.0.2.7:8000", "net", datetime.now(UTC))
    key = (tmp_path / "k.pem").read_bytes()
    assert main(args(until="2099-01-01T00:00:00+01:00")) == 0 and (tmp_path / "k.pem").read_bytes() == key
    files: Any = {"authorisation": tmp_path / "auth.json", "owner_key": tmp_path / "k.pem.pub"}
    with pytest.raises(
        TargetError, match=r"is for the model 'net' at http://192.0.2.7:8000, not for 'net' at http://192.0.2.8"
    ):
        kserve_target("http://192.0.2.8:8000", "net", OneLogit(LABELS), ImageInput(3), **files)
    for change, said in (
        ({"until": "2001-01-01"}, "is over already"),
        ({"until": "soon"}, "no date or time"),
        ({"until": "2099-01-01T00:00:00"}, "has no zone"),
        ({"queries": "0"}, "allow nothing"),
    ):
        assert main(args(**change)) == 2
        assert said in capsys.readouterr().err
