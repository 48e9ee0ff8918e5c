"""Gradients averaged over draws of a target that answers at random (expectation over transformation)."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from nocere.attacks.base import Answer, Ask


def averaged(ask: Ask, draws: int) -> Generator[Ask, Answer, Answer]:
    """Ask every row `draws` times, in one turn, and hear the means (Athalye et al. 2018, arXiv:1707.07397).

    A row is live when all of its draws were granted.
    """
    if draws == 1:
        return (yield ask)
    rows = np.arange(len(ask.x)) if ask.rows is None else ask.rows
    towards = None if ask.towards is None else np.repeat(ask.towards, draws)
    x = ask.x.repeat_interleave(draws, 0)
    a = yield Ask(x, np.repeat(rows, draws), ask.grad, None, ask.loss, towards)
    n = len(rows)
    grad = None if a.grad is None else a.grad.reshape(n, draws, *a.grad.shape[1:]).mean(1)
    live = np.asarray(a.live.reshape(n, draws).all(axis=1))
    return Answer(a.margin.reshape(n, draws).mean(axis=1), grad, live, a.loss.reshape(n, draws).mean(axis=1))
