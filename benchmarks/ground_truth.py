"""How often is an evaluator wrong? Small models whose true robust accuracy is exact, at several budgets.

ReLU nets with two hidden layers of 20, on scikit-learn's digits (10 classes, softmax) and on its breast-cancer table (one
logit), both stored as 8-bit images; linear models, a tree, a forest and boosted trees on the same table. The truth is
about whole stored values: integer programs for nets and trees (`nocere.audit.truth`), the dual norm for linear models.

For every evaluator: robust accuracy reported and true, and the false-PASS rate: of the cases that it said held, the share
that a stored image within the budget breaks, with its Wilson interval.

    python benchmarks/ground_truth.py [--n 60]

NOCERE_PEERS names the Python of another environment with foolbox, ART, adv-lib and torchattacks; they then get the same
nets, cases and budgets in a process of their own, and what they return is rounded to stored values inside of the budget
and shown to the net. Peers do not take one logit: there they get the same net with two (0 and the logit).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

torch.set_num_threads(1)
HIDDEN = 20
PEERS = ("Foolbox", "ART, batch 128", "torchattacks", "adv-lib", "adv-lib APGD-100")


# --- tasks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """Stored images [n, 1, H, W] and classes; the last ones are for testing."""

    name: str
    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    classes: int
    tested: int
    budgets: tuple[int, ...]

    @property
    def d(self) -> int:
        return int(np.prod(self.x.shape[1:]))


def digits() -> Task:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    x = np.rint(bunch.images * 255 / 16).astype(np.uint8)[:, None]
    return Task("digits", x[order], bunch.target.astype(np.int64)[order], 10, 300, (4, 8, 16, 32))


def table() -> Task:
    """Wisconsin breast cancer: 30 measurements, each scaled to 0..255 over all patients, as an image of 5 x 6."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    low, high = bunch.data.min(0), bunch.data.max(0)
    x = np.rint((bunch.data - low) / (high - low) * 255).astype(np.uint8).reshape(-1, 1, 5, 6)
    order = np.random.default_rng(0).permutation(len(x))
    return Task("breast table", x[order], (1 - bunch.target).astype(np.int64)[order], 2, 150, (2, 4, 8, 16))


# --- nets ------------------------------------------------------------------------------------------------------------


def net_of(task: Task, hardened: float, seed: int = 0) -> nn.Sequential:
    """A net on values in [0, 1], trained plainly or on the worst of ten signed steps within `hardened` grey levels."""
    torch.manual_seed(seed)
    outputs = 1 if task.classes == 2 else task.classes
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(task.d, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs)
    )  # fmt: skip
    x = torch.from_numpy(task.x[: -task.tested].astype(np.float32)) / 255
    y = torch.from_numpy(task.y[: -task.tested])
    best = torch.optim.Adam(net.parameters(), 3e-3)
    eps = hardened / 255

    def loss(z: Tensor, labels: Tensor) -> Tensor:
        if outputs == 1:
            return nn.functional.binary_cross_entropy_with_logits(z[:, 0], labels.float())
        return nn.functional.cross_entropy(z, labels)

    for _ in range(60):
        for part in torch.randperm(len(x)).split(64):
            clean, labels = x[part], y[part]
            now = clean
            if eps:
                now = (clean + eps * (2 * torch.rand_like(clean) - 1)).clamp(0, 1)
                for _ in range(10):
                    now.requires_grad_(True)
                    (g,) = torch.autograd.grad(loss(net(now), labels), now)
                    now = (now.detach() + eps / 4 * g.sign()).clamp(clean - eps, clean + eps).clamp(0, 1)
            best.zero_grad()
            loss(net(now), labels).backward()
            best.step()
    return net.eval()


def right(net: nn.Module, x: NDArray[Any], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which stored images the net classifies correctly."""
    with torch.inference_mode():
        z = net(torch.from_numpy(x.astype(np.float32)) / 255)
    said = (z[:, 0] > 0).long() if z.shape[1] == 1 else z.argmax(1)
    return np.asarray(said.numpy() == y)


def conditions(classes: int, label: int, link: str = "identity") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Any of these conditions on outputs is a wrong answer."""
    if classes == 2:
        sign = 1.0 if label == 0 else -1.0
        return np.array([[sign]]), np.array([-sign * (0.5 if link != "identity" else 0.0)])
    e = np.eye(classes)
    return np.array([e[j] - e[label] for j in range(classes) if j != label]), np.zeros(classes - 1)


# --- truth -----------------------------------------------------------------------------------------------------------


def truths(task: Task, n: int, correct: NDArray[np.bool_], answer: Any, what: str) -> dict[int, list[str]]:
    """Budget -> "wrong", "broken", "robust" or "unknown" for each of the first n test cases.

    `answer(label, low, high)` gives the exact answer for one box. Broken stays broken at larger budgets.
    """
    started = time.process_time()
    x, y = task.x[-task.tested :][:n].reshape(n, -1).astype(np.int64), task.y[-task.tested :][:n]
    out: dict[int, list[str]] = {}
    known = ["robust" if c else "wrong" for c in correct]
    for r in task.budgets:
        for i in range(n):
            if known[i] in ("robust", "unknown"):
                known[i] = answer(int(y[i]), np.maximum(x[i] - r, 0), np.minimum(x[i] + r, 255))
        out[r] = list(known)
    print(f"  truth of {what}: {time.process_time() - started:.0f} CPU s", flush=True)
    return out


def relu_answer(net: nn.Sequential, classes: int, seconds: float) -> Any:
    from nocere.audit.truth import ReluNet, relu_truth

    linear = [m for m in net if isinstance(m, nn.Linear)]
    layers = [(m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in linear]
    stored = ReluNet(((layers[0][0] / 255, layers[0][1]), *layers[1:]))

    def answer(label: int, low: NDArray[np.int64], high: NDArray[np.int64]) -> str:
        return relu_truth(stored, *conditions(classes, label), low, high, seconds).answer

    return answer


def structure_answer(structure: Any, classes: int, seconds: float) -> Any:
    from nocere.audit.truth import tree_truth
    from nocere.targets.structure import LinearForm

    def answer(label: int, low: NDArray[np.int64], high: NDArray[np.int64]) -> str:
        if isinstance(structure, LinearForm):
            # The dual norm of the slopes, cut at what can be stored.
            weight, offset = conditions(classes, label)
            slope = structure.weight @ weight.T
            most = np.maximum(slope * low[:, None], slope * high[:, None]).sum(0) + structure.bias @ weight.T + offset
            return "broken" if most.max() > 0 else "robust"
        return tree_truth(structure, *conditions(classes, label, structure.link), low, high, seconds).answer

    return answer


# --- evaluators ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What an evaluator said of each case at one budget: "wrong", "broken", "held", "certified", or another word."""

    kinds: list[str]
    seconds: float


def nocere(target: Any, task: Task, n: int, attacks: tuple[Any, ...], budget: int) -> Said:
    from engine_world import search

    from nocere.cases.image import array_case
    from nocere.core.case import CaseSet, Truth
    from nocere.threats.pixels import Linf

    x, y = task.x[-task.tested :][:n], task.y[-task.tested :][:n]
    cases = CaseSet.of([array_case(f"{i:05d}", x[i], Truth.of(str(y[i]))) for i in range(n)])
    found = search(target, cases, attacks, Linf(float(budget)), (float(budget),), access=target.access)
    kinds = [found.outcomes[i].kind for i in sorted(found.outcomes)]
    return Said(["wrong" if k == "already_wrong" else k for k in kinds], found.seconds)


def net_evaluators(classes: int) -> dict[str, tuple[Any, ...]]:
    from nocere.core.registry import get

    def made(name: str, **about: Any) -> Any:
        return get("attack", name).make(**about)

    ladder = [made("image.pgd", steps=40), made("image.apgd", steps=100, restarts=5)]
    if classes > 3:
        ladder.append(made("image.apgd", steps=100, targets=min(9, classes - 1)))
    return {
        "nocere image.pgd, 20 steps": (made("image.pgd"),),
        "nocere image.pgd, 40 steps x 5": (made("image.pgd", steps=40, restarts=5),),
        "nocere image.apgd, 100 steps": (made("image.apgd", steps=100),),
        "nocere pgd, then apgd x 5" + (", then targeted" if classes > 3 else ""): tuple(ladder),
    }


def line(name: str, task: Task, budget: int, truth: list[str], said: Said) -> str:
    from nocere.core.intervals import wilson

    n = len(truth)
    decided = [i for i in range(n) if truth[i] != "unknown" and said.kinds[i] != "errored"]
    m = len(decided)
    true = sum(truth[i] == "robust" for i in decided)
    passed = [i for i in decided if said.kinds[i] in ("held", "certified")]
    false = sum(truth[i] == "broken" for i in passed)
    certified = sum(k == "certified" for k in said.kinds)
    wrong = sum(said.kinds[i] == "broken" and truth[i] != "broken" for i in decided)
    lied = sum(said.kinds[i] == "certified" and truth[i] == "broken" for i in decided)
    assert not wrong + lied, f"{name} at {budget}: {wrong} false breaks, {lied} false certificates"
    ci = wilson(false, len(passed))
    return (
        f"| {task.name} | {name} | {budget} | {len(passed) / m:.3f} | {true / m:.3f} | {(len(passed) - true) / m:+.3f} | "
        f"{false} / {len(passed)} | {ci.low:.3f} to {ci.high:.3f} | {certified} | {n - m} | {said.seconds:.1f} |"
    )


HEAD = (
    "| task | evaluator | grey levels | robust accuracy said | true | gap | false PASS | 95 % (Wilson) | certified | not counted | CPU s |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


# --- peers -----------------------------------------------------------------------------------------------------------


class TwoLogits(nn.Module):
    """One logit as two: 0 and the logit."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        return torch.cat([torch.zeros_like(z), z], dim=1) if z.shape[1] == 1 else z


def peers(task: Task, net: nn.Sequential, n: int) -> dict[str, dict[int, Said]]:
    """Every peer's verdicts, by name and budget; empty where there is no environment for them."""
    python = os.environ.get("NOCERE_PEERS", "")
    if not python:
        print("  peers are not compared: NOCERE_PEERS names no Python")
        return {}
    x, y = task.x[-task.tested :][:n], task.y[-task.tested :][:n]
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.pt", Path(folder) / "out.npz"
        torch.save(
            {"net": net, "x": torch.from_numpy(x), "y": torch.from_numpy(y), "classes": task.classes,
             "budgets": task.budgets}, given,
        )  # fmt: skip
        subprocess.run([python, __file__, "--peers", str(given), str(made)], check=True)
        with np.load(made) as npz:
            arrays = dict(npz)
    out: dict[str, dict[int, Said]] = {}
    clean = right(net, x, y)
    for key, stored in arrays.items():
        name, budget, seconds = key.split("|")
        inside = np.clip(stored.astype(int), x.astype(int) - int(budget), x.astype(int) + int(budget)).astype(np.uint8)
        held = right(net, inside, y)
        kinds = ["wrong" if not c else "held" if h else "broken" for c, h in zip(clean, held, strict=True)]
        out.setdefault(name, {})[int(budget)] = Said(kinds, float(seconds))
    return out


def peer_process(given: str, made: str) -> None:
    """In the peers' environment: adversarial images of every peer at every budget, as stored values."""
    import engine_peers

    engine_peers.prepare()
    work = torch.load(given, weights_only=False)
    net = TwoLogits(work["net"]).eval()
    x, y = work["x"].float() / 255, work["y"]
    runs = {**engine_peers.PGD, "adv-lib APGD-100": engine_peers.adv_lib_apgd}
    out: dict[str, NDArray[np.uint8]] = {}
    for name in PEERS:
        for budget in work["budgets"]:
            started = time.process_time()
            try:
                found = runs[name](net, x, y, budget / 255, work["classes"])
            except Exception as e:
                print(f"  {name} failed at {budget}: {type(e).__name__}: {e}")
                break
            seconds = time.process_time() - started
            values = np.rint(found.detach().numpy().astype(np.float64) * 255).clip(0, 255)
            label = name if "APGD" in name else f"{name.partition(',')[0]} PGD-40"
            out[f"{label}|{budget}|{seconds:.2f}"] = values.astype(np.uint8)
    np.savez(made, **out)


# --- the two parts ---------------------------------------------------------------------------------------------------


def nets(task: Task, n: int, seconds: float) -> list[str]:
    from nocere.core.decision import OneLogit, Softmax
    from nocere.targets.preprocess import ImageInput
    from nocere.targets.torch import TorchTarget

    labels = tuple(map(str, range(task.classes)))
    decision: Any = OneLogit(("0", "1")) if task.classes == 2 else Softmax(labels)
    rows = []
    x, y = task.x[-task.tested :][:n], task.y[-task.tested :][:n]
    for kind, hardened in (("plain net", 0.0), ("hardened net", float(task.budgets[2]))):
        net = net_of(task, hardened)
        about = Task(f"{task.name}, {kind}", task.x, task.y, task.classes, task.tested, task.budgets)
        truth = truths(task, n, right(net, x, y), relu_answer(net, task.classes, seconds), about.name)
        target = TorchTarget(net, decision, ImageInput(1))
        for name, attacks in net_evaluators(task.classes).items():
            rows += [line(name, about, r, truth[r], nocere(target, task, n, attacks, r)) for r in task.budgets]
        for name, said in peers(task, net, n).items():
            rows += [line(name, about, r, truth[r], s) for r, s in said.items()]
    return rows


def structures(task: Task, n: int, seconds: float) -> list[str]:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    from nocere.core.decision import OneLogit
    from nocere.core.registry import get
    from nocere.targets.sklearn import SklearnTarget

    def made(name: str, **about: Any) -> Any:
        return get("attack", name).make(**about)

    models = {
        "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), made("linear.closed_form")),
        "tree": (DecisionTreeClassifier(max_depth=6, random_state=0), made("tree.leaf_box")),
        "forest of 25": (RandomForestClassifier(25, max_depth=5, random_state=0), made("tree.threshold_search")),
        "boosted, 60 of depth 3": (
            GradientBoostingClassifier(n_estimators=60, random_state=0),
            made("tree.threshold_search"),
        ),
    }
    flat, y = task.x.reshape(len(task.x), -1), task.y.astype(str)
    rows = []
    for name, (model, exact) in models.items():
        target = SklearnTarget(
            model.fit(flat[: -task.tested], y[: -task.tested]), OneLogit(("0", "1")), name=name
        )  # fmt: skip
        about = Task(f"{task.name}, {name}", task.x, task.y, 2, task.tested, task.budgets)
        correct = model.predict(flat[-task.tested :][:n]) == y[-task.tested :][:n]
        truth = truths(task, n, correct, structure_answer(target.structure, 2, seconds), about.name)
        for label, attack in ((f"nocere {exact.name}", exact), ("nocere image.square, 1000", made("image.square"))):
            rows += [line(label, about, r, truth[r], nocere(target, task, n, (attack,), r)) for r in task.budgets]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--n", type=int, default=60, help="test cases of each task")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of one integer program")
    parser.add_argument("--peers", nargs=2, metavar=("IN", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", default=["digits", "table", "structures"])
    args = parser.parse_args()
    if args.peers:
        peer_process(*args.peers)
        return
    rows: list[str] = []
    if "digits" in args.parts:
        rows += nets(digits(), args.n, args.seconds)
    if "table" in args.parts:
        rows += nets(table(), args.n, args.seconds)
    if "structures" in args.parts:
        rows += structures(table(), args.n, args.seconds)
    print(HEAD)
    print("\n".join(rows))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
