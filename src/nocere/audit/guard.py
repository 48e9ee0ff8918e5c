"""Watches a target and the random state around a cell: an attack that touches them costs its own results."""

from __future__ import annotations

import copy
import hashlib
import pickle
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from nocere.targets.base import Target


def random_state(torch: Any) -> str:
    """A hash of the global random states of Python, numpy and, where it is given, torch."""
    h = hashlib.sha256(pickle.dumps(random.getstate()))
    h.update(pickle.dumps(np.random.get_state()))
    if torch is not None:
        h.update(torch.random.get_rng_state().numpy().tobytes())
    return h.hexdigest()


class Guard:
    """Keeps a pristine copy of the target and compares states before and after.

    Targets that cannot be copied (they hold a process or a handle) are watched, and not restored. `what` is how
    violations call it.
    """

    def __init__(self, target: Target, what: str = "the target") -> None:
        self._what = what
        self._state = target.state()
        self._pristine = freeze(target)
        self.target: Any = target if self._pristine is None else self._pristine()
        self.begin()

    def begin(self) -> None:
        """Before a cell. That torch is first loaded within one is no change of a state."""
        self._torch = sys.modules.get("torch")
        self._random = random_state(self._torch)

    def violation(self) -> str:
        """After a cell: what was touched, or nothing. A touched target is replaced by the pristine copy."""
        touched = []
        if self.target.state() != self._state:
            touched.append(f"{self._what} (weights, buffers or mode)")
            if self._pristine is not None:
                self.target = self._pristine()
        if random_state(self._torch) != self._random:
            touched.append("the global random state")
        return " and ".join(touched)


def freeze(target: Any) -> Callable[[], Any] | None:
    """A maker of fresh copies, or None where there can be none.

    Bytes where possible: nothing in this process can reach into them by accident.
    """
    try:
        frozen = pickle.dumps(target)
        pickle.loads(frozen)
    except (TypeError, AttributeError, RuntimeError, pickle.PicklingError):
        pass
    else:
        return lambda: pickle.loads(frozen)
    try:
        kept = copy.deepcopy(target)
    except (TypeError, RuntimeError, pickle.PicklingError):
        return None
    return lambda: copy.deepcopy(kept)
