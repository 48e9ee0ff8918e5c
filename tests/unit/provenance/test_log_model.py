"""The order of writing as a small state machine, every interleaving of two writers and crashes searched.

A head is the tuple of its entries. The state is what is on disk (database, memory, published file), the set of all heads
that ever left, and where each writer stands. Promise: the heads that left form a chain. The model shows that the order
of the code keeps it without any lock, that publishing before the compare and swap breaks it, and that only the memory
keeps it when the database is set back.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import pytest

Head = tuple[str, ...]


class Writer(NamedTuple):
    step: int = 0
    base: Head = ()
    new: Head = ()


class State(NamedTuple):
    database: Head = ()
    memory: Head = ()
    published: Head = ()
    left: frozenset[Head] = frozenset()
    writers: tuple[Writer, ...] = (Writer(), Writer())
    crashes: int = 0
    setbacks: int = 0


SAFE = ("read", "commit", "remember", "publish")
UNSAFE = ("read", "publish", "commit", "remember")


def prefix(a: Head, b: Head) -> bool:
    return b[: len(a)] == a


def successors(state: State, order: tuple[str, ...], *, setbacks: int, memory: bool) -> Iterator[State]:
    for w, writer in enumerate(state.writers):
        for after, now in act(state, writer, "ab"[w], order, memory):
            writers = list(state.writers)
            writers[w] = now
            yield after._replace(writers=tuple(writers))
        if state.crashes < 2 and writer.step:  # it loses all that it knew
            writers = list(state.writers)
            writers[w] = Writer()
            yield state._replace(writers=tuple(writers), crashes=state.crashes + 1)
    if state.setbacks < setbacks and not any(w.step for w in state.writers):
        for n in range(len(state.database)):
            yield state._replace(database=state.database[:n], setbacks=state.setbacks + 1)


def act(
    state: State, writer: Writer, name: str, order: tuple[str, ...], memory: bool
) -> Iterator[tuple[State, Writer]]:
    """One step of one writer; nothing where it is refused (it starts again)."""
    step, done = order[writer.step], writer.step + 1 == len(order)
    after = Writer() if done else writer._replace(step=writer.step + 1)
    if step == "read":
        if memory and not prefix(state.memory, state.database):
            return
        if len(state.database) < 4:
            yield state, Writer(1, state.database, (*state.database, name))
        if state.published != state.database:  # a head that a crash left behind is made up for first
            yield state, Writer(1, state.database, state.database)
    elif step == "commit":  # the compare and swap
        if state.database == writer.base:
            yield state._replace(database=writer.new), after
        else:
            yield state, Writer()
    elif step == "remember":
        if memory and not (prefix(state.memory, writer.new)):
            yield state, Writer()
        else:
            yield state._replace(memory=max(state.memory, writer.new, key=len)), after
    else:
        published = max(state.published, writer.new, key=len)
        yield state._replace(published=published, left=state.left | {writer.new}), after


def split_view(state: State) -> bool:
    return any(not prefix(a, b) and not prefix(b, a) for a, b in combinations(state.left, 2))


def search(order: tuple[str, ...], *, setbacks: int = 0, memory: bool = True) -> tuple[int, State | None]:
    """Number of states seen, and one with a split view, if any."""
    seen, todo = {State()}, [State()]
    while todo:
        for state in successors(todo.pop(), order, setbacks=setbacks, memory=memory):
            if split_view(state):
                return len(seen), state
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return len(seen), None


@pytest.mark.parametrize("setbacks", [0, 1])
def test_the_order_of_the_code_never_shows_two_histories(setbacks: int) -> None:
    states, bad = search(SAFE, setbacks=setbacks)
    assert bad is None
    assert states > 1000  # it did search


def test_publishing_before_the_compare_and_swap_does() -> None:
    assert search(UNSAFE)[1] is not None


def test_without_its_memory_a_log_that_was_set_back_does() -> None:
    assert search(SAFE, setbacks=1, memory=False)[1] is not None


def test_publishing_before_remembering_does_when_set_back() -> None:
    assert search(("read", "commit", "publish", "remember"), setbacks=1)[1] is not None
