"""A model in a program of its own, of any language: a line of JSON for each batch in, a line of JSON out.

Question: {"id": 7, "shape": [8, 3, 224, 224], "dtype": "float32", "data": BASE64, "seeds": [..] or null}, values in C
order, little endian. Answer: {"id": 7, "shape": [8, 2], "dtype": "float32" or "float64", "data": BASE64}, or
{"id": 7, "labels": ["benign", ..]}, or {"id": 7, "error": "why"}. What the program writes to standard error is kept
for messages. It ends when its standard input does.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.canonical import sha256
from nocere.core.decision import Decision
from nocere.core.errors import TargetError
from nocere.core.registry import register
from nocere.targets.blackbox import LabellingBox, Outputs, ScoringBox, box
from nocere.targets.preprocess import Preprocess

TYPES = {"float32": "<f4", "float64": "<f8"}
STARTS = 2  # for a batch: the program is started again once where it ends without an answer
TAIL = 300  # characters of standard error
LARGEST = 64 << 20  # bytes of an answer


class _EndedError(Exception):
    """The program ended without an answer."""


class ProcessPort:
    """A program that answers on its standard output.

    Args:
        command: program and arguments.
        folder: where it runs.
        files: files of the model; their content is part of the fingerprint, as is the command.
        timeout: seconds for an answer; the first one after a start has `start` seconds.
        start: see there.

    Raises:
        TargetError: no command, or a missing file.
    """

    counted = False

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path = Path(),
        files: Sequence[str] = (),
        timeout: float = 60.0,
        start: float = 120.0,
    ) -> None:
        if not command or not all(isinstance(c, str) for c in command):
            raise TargetError("A program is given as a list: its name, then its arguments.")
        if timeout <= 0 or start <= 0:
            raise TargetError("timeout and start of a program must be positive.")
        self._command, self._folder = list(command), folder
        self._timeout, self._start = timeout, start
        try:
            hashes = [sha256((folder / f).read_bytes()) for f in files]
        except OSError as e:
            raise TargetError(f"The file {e.filename} of the model cannot be read: {e.strerror}.") from e
        self.about: Mapping[str, Any] = {"process": self._command, "files": hashes}
        self._number = 0
        self._running: _Running | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": None}

    def ask(self, x: NDArray[np.float32], name: str, seeds: NDArray[np.uint64] | None = None) -> NDArray[Any]:
        """Answers to rows [n, ...].

        Raises:
            TargetError: the program cannot be started, ends twice, is too slow, reports an error, or gives an answer
                that cannot be.
        """
        self._number += 1
        question = {
            "id": self._number,
            "shape": list(x.shape),
            "dtype": "float32",
            "data": base64.b64encode(x.astype("<f4").tobytes()).decode(),
            "seeds": None if seeds is None else [int(s) for s in seeds],
        }
        line = json.dumps(question).encode() + b"\n"
        for left in reversed(range(STARTS)):
            fresh = self._running is None
            if self._running is None:
                self._running = _Running(self._command, self._folder, name)
            seconds = self._start if fresh else self._timeout
            try:
                return _read(self._running.exchange(line, seconds), self._number, len(x), name)
            except _EndedError:
                code, said = self._stop()
                if not left:
                    raise TargetError(f"{name} ended with status {code} instead of an answer{said}.") from None
            except TimeoutError:
                _, said = self._stop()
                raise TargetError(
                    f"{name} gave no answer within {seconds:g} s{said}.", "Give it more time in the card (timeout)."
                ) from None
            except TargetError:
                self._stop()  # what it says next may belong to this question
                raise
        raise AssertionError("unreachable")

    def _stop(self) -> tuple[int | None, str]:
        assert self._running is not None
        running, self._running = self._running, None
        return running.stop()


class _Running:
    """One run of a program."""

    def __init__(self, command: Sequence[str], folder: Path, name: str) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the program
        try:
            self._process = subprocess.Popen(  # noqa: S603  the user's own program, from the user's own card
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as e:
            self._errors.close()
            raise TargetError(f"{name} cannot be started: {' '.join(command)}: {e.strerror}.") from e
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._rest = b""
        self._finalizer = weakref.finalize(self, _end, self._process, self._errors)

    def exchange(self, line: bytes, seconds: float) -> bytes:
        """Send a line and wait for one; both pipes are served, so that neither side waits for the other for ever."""
        ends = time.monotonic() + seconds
        writing, reading = self._process.stdin, self._process.stdout
        assert writing is not None
        assert reading is not None
        left = memoryview(line)
        with selectors.DefaultSelector() as ready:
            ready.register(reading, selectors.EVENT_READ)
            ready.register(writing, selectors.EVENT_WRITE)
            while b"\n" not in self._rest:
                events = ready.select(max(ends - time.monotonic(), 0))
                if not events:
                    raise TimeoutError
                for key, _ in events:
                    if key.fileobj is reading:
                        part = os.read(reading.fileno(), 1 << 16)
                        if not part:
                            raise _EndedError
                        self._rest += part
                        if len(self._rest) > LARGEST:
                            raise TargetError(f"A program answered with more than {LARGEST >> 20} MB.")
                    else:
                        try:
                            left = left[os.write(writing.fileno(), left) :]
                        except BrokenPipeError:
                            raise _EndedError from None
                        if not left:
                            ready.unregister(writing)
        answer, _, self._rest = self._rest.partition(b"\n")
        return answer

    def stop(self) -> tuple[int | None, str]:
        """End it; its status, and the end of what it wrote to standard error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)  # one that ended by itself has a status of its own
        code, said = self._process.returncode, self._finalizer()
        return code, f" (it said: {said})" if said else ""


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    """End a program; the end of what it wrote to standard error."""
    # The group: a program may have started others, and they hold the pipes too.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    errors.seek(0)
    said = " ".join(errors.read().decode(errors="replace").split())[-TAIL:]
    errors.close()
    return said


def _read(line: bytes, number: int, n: int, name: str) -> NDArray[Any]:
    try:
        told = json.loads(line)
        answered = told["id"]
    except (ValueError, KeyError, TypeError) as e:
        shown = line[:60].decode(errors="replace")
        raise TargetError(
            f"{name} wrote {shown!r} where an answer was expected.",
            "Only answers go to standard output, one JSON object a line; write messages to standard error.",
        ) from e
    if answered != number:
        raise TargetError(f"{name} answered question {answered!r} where {number} was asked.")
    if "error" in told:
        raise TargetError(f"{name} says: {' '.join(str(told['error']).split())[:TAIL]}")
    if "labels" in told:
        if not isinstance(told["labels"], list) or len(told["labels"]) != n:
            raise TargetError(f"{name} did not answer {n} rows with {n} labels.")
        return np.array(told["labels"], dtype=object)
    try:
        kind, shape = TYPES[told["dtype"]], [int(d) for d in told["shape"]]
        values = np.frombuffer(base64.b64decode(told["data"], validate=True), dtype=kind)
    except (KeyError, ValueError, TypeError, binascii.Error) as e:
        raise TargetError(
            f"{name} gave an answer without a dtype ({' or '.join(TYPES)}), a shape and data in base64."
        ) from e
    if values.size != int(np.prod(shape)) or shape[:1] != [n]:
        raise TargetError(f"{name} answered {n} rows with {values.size} values under the shape {shape}.")
    return values.reshape(shape).astype(np.float64)


@register("target", "process", source="nocere's own protocol, docs/targets.md")
def process_target(
    command: Sequence[str],
    decision: Decision,
    input: Preprocess | None = None,
    *,
    outputs: Outputs = "logits",
    stochastic: bool = False,
    name: str = "model",
    **more: Any,
) -> ScoringBox | LabellingBox:
    """A program that answers lines of JSON on its standard input by lines on its standard output.

    Args:
        command: program and arguments.
        decision: how scores become labels.
        input: stored values to network input; default sends stored values.
        outputs: "logits", "probabilities" or "labels".
        stochastic: True where it draws; it is given a seed a row.
        name: shown in reports.
        more: folder, files, timeout and start of `ProcessPort`.
    """
    return box(ProcessPort(command, **more), decision, input, outputs=outputs, stochastic=stochastic, name=name)
