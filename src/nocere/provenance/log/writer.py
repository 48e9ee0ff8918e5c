"""Group commit: many callers hand in entries one by one, one thread appends them together.

One durable commit costs a handful of disk syncs, whether it holds one entry or thousands; so entries are gathered for a
few milliseconds and share it. Each caller gets its receipt when the commit that holds its entry is published.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from nocere.core.errors import UsageError
from nocere.provenance.log.log import Log
from nocere.provenance.log.sequencer import Receipt
from nocere.provenance.log.tiles import check_entry

MAX_BATCH = 4096
MAX_WAITING = 65_536
_Item = tuple[bytes, str | None, "Future[Receipt]"]


class Writer:
    """Gathers entries for `delay` seconds, or 4,096 of them, and appends them to the log; close it to finish."""

    def __init__(self, log: Log, delay: float = 0.02) -> None:
        """Start the thread.

        Raises:
            UsageError: the log was opened without its key.
        """
        self._sequencer = log.sequencer
        self._delay = delay
        self._queue: queue.Queue[_Item | None] = queue.Queue(MAX_WAITING)
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="nocere-log-writer", daemon=True)
        self._thread.start()

    def submit(self, entry: bytes, key: str | None = None) -> Future[Receipt]:
        """Hand in one entry; waits while 65,536 are waiting already.

        The future gives the receipt, or raises what `Log.append` raises; a key conflict fails its own entry only.

        Raises:
            UsageError: the entry is too long, or the writer is closed.
        """
        check_entry(entry)
        future: Future[Receipt] = Future()
        with self._closing:
            if self._closed:
                raise UsageError("The log writer is closed.", "Open a new one.")
            self._queue.put((entry, key, future))
        return future

    def close(self) -> None:
        """Append what was handed in, then end the thread."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._gather()
            batch = [item for item in batch if item[2].set_running_or_notify_cancel()]
            if batch:
                self._append(batch)

    def _gather(self) -> tuple[list[_Item], bool]:
        """The next batch, and whether more may come."""
        batch: list[_Item] = []
        item = self._queue.get()
        until = time.monotonic() + self._delay
        while item is not None:
            batch.append(item)
            if len(batch) == MAX_BATCH:
                return batch, True
            try:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return batch, True
        return batch, False

    def _append(self, batch: list[_Item]) -> None:
        entries, keys, futures = zip(*batch, strict=True)
        try:
            out = self._sequencer.append(entries, keys, whole=False)
        except Exception as e:  # the callers hear of it; the thread goes on for those who try again
            for future in futures:
                future.set_exception(e)
            return
        for future, receipt in zip(futures, out, strict=True):
            if isinstance(receipt, UsageError):
                future.set_exception(receipt)
            else:
                future.set_result(receipt)
