"""What commands print: progress on standard error, results on standard output."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from nocere.core.canonical import dumps


class Told(Protocol):
    """Called with what is done, how much is done, and how much there is."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


@contextmanager
def progress(quiet: bool) -> Iterator[Told]:
    """A bar with the time left on a terminal, a line every few seconds elsewhere, nothing when quiet."""
    if quiet:
        yield _silent
    elif sys.stderr.isatty():
        yield from _bar()
    else:
        yield _Lines()


def _bar() -> Iterator[Told]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield told


def _silent(what: str, done: int, total: int) -> None:
    del what, done, total


class _Lines:
    """Plain progress for logs: at the start and the end of a stage, and every five seconds with the time left."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._ended: set[str] = set()
        self._last = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        began = self._began.setdefault(what, now)
        if what in self._ended or (done < total and now - self._last < 5.0):
            return
        # The first few cases of a stage say little about the rest.
        left = f", about {(now - began) / done * (total - done):.0f} s left" if 0.1 * total < done < total else ""
        print(f"{what}: {done} of {total}{left}", file=sys.stderr, flush=True)
        self._last = now
        if done == total:
            self._ended.add(what)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show_json(value: Any) -> None:
    """One canonical JSON object on standard output."""
    sys.stdout.write(dumps(value).decode() + "\n")


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on standard output; plain text where it is no terminal."""
    from rich.console import Console
    from rich.table import Table

    t = Table(title=title, title_justify="left")
    for column in columns:
        # Names are copied into plans: they are folded, never cut.
        t.add_column(column, overflow="fold")
    for row in rows:
        t.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(t, markup=False)
