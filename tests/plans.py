"""A world on disk for tests that begin with a plan: pictures, a label-only model that counts, a second model, a card each.

Pictures are grey noise whose middle is lighter or darker than its border: what any small network learns from few answers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 24
N = 32
CODE = '''
from pathlib import Path
import numpy as np
import torch

COUNT = Path(__file__).with_name("rows.txt")


def contrast(x):
    middle = x[:, :, 6:18, 6:18].mean((1, 2, 3))
    return middle - (x.sum((1, 2, 3)) - 144 * middle) / (24 * 24 - 144)


def counted(x):
    with COUNT.open("a") as f:
        f.write(f"{len(x)}\\n")
    # Whole numbers tie often: a tie is dark by more than any rounding.
    return contrast(np.asarray(x, dtype=np.float64)) - 1e-3


def labels(x):
    return ["light" if v > 0 else "dark" for v in counted(x)]


def logits(x):
    return 5.0 * counted(x)


class Other(torch.nn.Module):
    """Looks at a smaller middle than the model under test does."""

    def __init__(self):
        super().__init__()
        weight = torch.full((24, 24), -1.0 / (24 * 24 - 100))
        weight[7:17, 7:17] = 0.01
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x):
        return (x * self.weight).sum((1, 2, 3))[:, None] * 0.3


class Rounding(torch.nn.Module):
    def forward(self, x):
        return torch.round(x / 4) * 4


def other():
    return Other()


def rounded():
    return torch.nn.Sequential(Rounding(), Other())
'''
PLAIN = "\n[input]\nchannels = 1\nscale = 1.0\n"
DECISION = '\n[decision]\nkind = "one_logit"\nlabels = ["dark", "light"]\n'
CARDS = {
    "labels": 'kind = "callable"\nfactory = "model.py:labels"\noutputs = "labels"',
    "scores": 'kind = "callable"\nfactory = "model.py:logits"\noutputs = "logits"',
    "other": 'kind = "torch"\nfactory = "model.py:other"',
    "rounded": 'kind = "torch"\nfactory = "model.py:rounded"',
}
HEAD = 'name = "t"\n[cases]\ndataset = "image.folder"\nmanifest = "labels.csv"\nsplit = "test"\n'


def drawn(n: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Pictures [n, SIDE, SIDE] and what they show."""
    rng = np.random.default_rng(seed)
    x = rng.integers(90, 160, (n, SIDE, SIDE)).astype(float)
    gap = rng.uniform(2.0, 12.0, n) * rng.choice([-1, 1], n)
    x[:, 6:18, 6:18] += gap[:, None, None]
    x = x.clip(0, 255).round().astype(np.uint8)
    rest = np.ones((SIDE, SIDE), bool)
    rest[6:18, 6:18] = False
    return x, ["light" if r[~rest].mean() > r[rest].mean() else "dark" for r in x]


def written(folder: Path, target: str, body: str, n: int = N) -> Path:
    """A plan on `target` with these cells and views; `n` test pictures, and 200 of the attacker's own (split "own")."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(CODE)
    for name, card in CARDS.items():
        (folder / f"{name}.toml").write_text("[target]\n" + card + (PLAIN if "torch" in card else "") + DECISION)
    rows = ["path,label,patient,split"]
    for split, count, seed in (("test", n, 1), ("own", 200, 2)):
        x, labels = drawn(count, seed)
        for k, (row, label) in enumerate(zip(x, labels, strict=True)):
            Image.fromarray(row).save(folder / f"{split}{k}.png")
            rows.append(f"{split}{k}.png,{label},{split}{k},{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    plan = folder / "plan.toml"
    plan.write_text(f'target = "{target}.toml"\n{HEAD}{body}')
    return plan


def rows_asked(folder: Path) -> int:
    """Rows that the model itself has seen."""
    return sum(int(line) for line in (folder / "rows.txt").read_text().split())
