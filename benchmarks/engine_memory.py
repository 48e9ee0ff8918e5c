"""Memory of an audit of 10,000 cases: peak resident size above what the model and one batch need.

    python benchmarks/engine_memory.py [--cases 10000]

Images are drawn from their number when they are loaded, so that the data set itself takes no memory. Linux only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from nocere.attacks.image.pgd import Pgd
from nocere.audit.runner import run_audit
from nocere.audit.spec import CellSpec, Spec
from nocere.cases.image import ImageCodec, array_case
from nocere.core.budget import Budget
from nocere.core.case import Case, CaseRef, CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.goal import Goal
from nocere.targets.torch import TorchTarget
from nocere.threats.base import Threat
from nocere.threats.pixels import Linf

SIDE = 64
LABELS = ("benign", "malignant")


def peak() -> float:
    """Peak resident size of this process in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def drawn(case_id: str) -> Case:
    """The case of this number."""
    k = int(case_id)
    x = np.random.default_rng(k).integers(0, 256, (3, SIDE, SIDE)).astype(np.uint8)
    return array_case(case_id, x, Truth.of(LABELS[k % 2]), group=f"p{k}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    n = parser.parse_args().cases
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(1)
    )
    with torch.no_grad():
        net(torch.zeros(1, 3, SIDE, SIDE))
    target = TorchTarget(net, OneLogit(LABELS))
    refs = [CaseRef(c.id, c.truth, c.group, c.attrs, c.sha256) for c in (drawn(str(k)) for k in range(n))]
    x = torch.rand(128, 3, SIDE, SIDE, requires_grad=True)
    net(x).sum().backward()
    before = peak()
    threat = Threat(Linf(), Goal(), frozenset({"scores", "labels", "gradients"}), Budget(1000))
    cell = CellSpec("noise", threat, (Pgd(3),), (1.0, 2.0), "flip", tuple(r.id for r in refs))
    began = time.time()
    with tempfile.TemporaryDirectory() as out:
        cases = CaseSet(refs, drawn, phantom=True, name="drawn")
        run_audit(Spec("memory", target, ImageCodec(), cases, (cell,)), Path(out) / "bundle")
    print("| cases | image | peak above model and one batch, MB | seconds |\n|---|---|---|---|")
    print(f"| {n} | 3 x {SIDE} x {SIDE} | {peak() - before:.0f} | {time.time() - began:.0f} |")


if __name__ == "__main__":
    main()
