"""Writes a gate's records in groups, off the path of the model: one disk flush for all that wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from nocere.core.errors import NocereError, WriteError
from nocere.provenance.site import Draft, Site

GROUP = 256


class Recorder:
    """A thread with its own view of the site.

    Attributes:
        problem: why the last group could not be written; None while all is well.
    """

    def __init__(self, folder: Path, agent: str) -> None:
        self.problem: NocereError | None = None
        self._folder, self._agent = folder, agent
        self._queue: queue.SimpleQueue[tuple[Sequence[Draft], Future[int]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="nocere-gate-records", daemon=True)
        self._thread.start()

    def submit(self, drafts: Sequence[Draft]) -> Future[int]:
        """Queue records that belong together; the future gives the place of the last one."""
        done: Future[int] = Future()
        self._queue.put((drafts, done))
        return done

    def close(self) -> None:
        """Write what waits, and stop.

        Raises:
            WriteError: some of it could not be written.
        """
        self._queue.put(None)
        self._thread.join()
        if self.problem is not None:
            raise WriteError(f"Records of the gate could not be written: {self.problem}")

    def _run(self) -> None:
        site: Site | None = None
        ended = False
        while not ended:
            group = [self._queue.get()]
            while not self._queue.empty() and len(group) < GROUP:
                group.append(self._queue.get())
            ended = None in group
            jobs = [job for job in group if job is not None]
            if not jobs:
                continue
            try:
                site = site or Site.open(self._folder)
                places = iter(site.write(self._agent, [d for drafts, _ in jobs for d in drafts]))
                for drafts, done in jobs:
                    done.set_result([next(places) for _ in drafts][-1])
                self.problem = None
            except Exception as e:
                told = e if isinstance(e, NocereError) else WriteError(f"{type(e).__name__}: {e}")
                self.problem = told
                for _, done in jobs:
                    done.set_exception(told)
        if site is not None:
            site.close()
