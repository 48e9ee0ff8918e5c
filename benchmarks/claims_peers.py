"""Peers of claims_exact.py, run by the Python of their own environment: `claims_peers.py veritas|art FOLDER`."""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def veritas_search(folder: Path) -> dict[str, Any]:
    """The largest signed output in each box, with dtai-veritas on a LightGBM booster."""
    import importlib.metadata

    import lightgbm
    import veritas

    task = np.load(folder / "task.npz")
    model = lightgbm.Booster(model_file=str(folder / "model.txt"))
    plus = veritas.get_addtree(model)
    out: dict[str, Any] = {
        "value": [],
        "bound": [],
        "optimal": [],
        "ms": [],
        "version": importlib.metadata.version("dtai-veritas"),
    }
    for low, high, sign in zip(task["low"], task["high"], task["sign"], strict=True):
        kind = veritas.HeuristicType.MAX_OUTPUT if sign > 0 else veritas.HeuristicType.MIN_OUTPUT
        config = veritas.Config(kind)
        box = [
            veritas.Interval(float(a), float(np.nextafter(np.float32(b + 1e-3), np.float32(np.inf))))
            for a, b in zip(low, high, strict=True)
        ]
        started = time.process_time()
        search = config.get_search(plus, box)
        while time.process_time() - started < float(task["seconds"]):
            if search.steps(100) != veritas.StopReason.NONE:
                break
        out["ms"].append(1e3 * (time.process_time() - started))
        some = search.num_solutions() > 0
        out["value"].append(float(sign * search.get_solution(0).output) if some else None)
        out["bound"].append(float(sign * search.current_bounds().top_of_open))
        out["optimal"].append(bool(search.is_optimal()))
    return out


def art_attack(folder: Path) -> dict[str, Any]:
    """ART's attack on one scikit-learn tree."""
    import art
    from art.attacks.evasion import DecisionTreeAttack
    from art.estimators.classification.scikitlearn import ScikitlearnDecisionTreeClassifier

    x = np.load(folder / "task.npz")["x0"]
    tree = pickle.loads((folder / "tree.pickle").read_bytes())
    attack = DecisionTreeAttack(ScikitlearnDecisionTreeClassifier(tree), verbose=False)
    started = time.process_time()
    made = attack.generate(x)
    seconds = time.process_time() - started
    return {"x": np.asarray(made).tolist(), "seconds": seconds, "version": art.__version__}


if __name__ == "__main__":
    where = Path(sys.argv[2])
    answer = {"veritas": veritas_search, "art": art_attack}[sys.argv[1]](where)
    (where / "answer.json").write_text(json.dumps(answer))
