"""The gate before the model: bytes in, verdict and the verified array out, and a record of what the model was shown.

The bytes are read once. What is hashed is what is decoded, and what was decoded is what goes through the recipe and is
handed over: no path is opened again, no second parser is asked.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nocere.core.errors import DataError, NocereError, VerificationError
from nocere.provenance.fingerprint.reading import Content, Reading, Undecodable, read, received_hash
from nocere.provenance.fingerprint.tiers import fingerprint
from nocere.provenance.fingerprint.verdict import Finding, Verdict
from nocere.provenance.gate.recorder import Recorder
from nocere.provenance.gate.route import Route, registered
from nocere.provenance.match import Match, match
from nocere.provenance.site import Draft, Site

Mode = Literal["verified", "unverified", "refused"]
Alarm = Callable[[str], None]


class Judged(NamedTuple):
    """What the gate says of one input.

    Attributes:
        match: findings, and the record that they rest on.
        mode: verified: handed over. unverified: handed over all the same, by the route's policy, and logged as an
            override. refused: nothing was handed over.
        record: the place of the inference record; of an unverified or refused input it is there already.
        sentence: one line for people.
    """

    match: Match
    mode: Mode
    record: Future[int]
    sentence: str


class Opened(NamedTuple):
    """`array` is None exactly when the input was refused."""

    array: NDArray[Any] | None
    verdict: Judged


def tensor_hash(array: NDArray[Any]) -> str:
    """SHA-256 over dtype, shape and little-endian values in C order: what the model was shown."""
    x = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    head = f"{x.dtype.str}{list(x.shape)}".encode()
    return hashlib.sha256(len(head).to_bytes(8, "big") + head + x.tobytes()).hexdigest()


def _loud(sentence: str) -> None:
    print(f"nocere gate: ALARM: {sentence}", file=sys.stderr, flush=True)


class Gate:
    """A gate on one route. Use as a context manager: leaving it waits for the records that are under way.

    Args:
        site: log and vault.
        route: model, recipe and policy.
        agent: who writes the records; an agent with the role gate.
        alarm: called with a sentence whenever an input does not verify or a record cannot be written.

    Raises:
        UsageError: the recipe is not registered, or there is no such agent.
    """

    def __init__(self, site: Site, route: Route, *, agent: str = "gate", alarm: Alarm = _loud) -> None:
        site.key(agent)
        self.site, self.route, self.alarm = site, route, alarm
        self.recipe_index = registered(site, route.recipe)
        self._site_key = site.site_key
        self._recorder = Recorder(site.folder, agent)

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the records that are under way.

        Raises:
            WriteError: some could not be written.
        """
        self._recorder.close()

    def open(self, content: Content, expected: int | None = None) -> Opened:
        """Judge an input, and hand over exactly what was judged.

        Args:
            content: the received bytes (files by name for WFDB). They are not read again from anywhere.
            expected: the capture record that this should be, where the caller knows.

        Returns:
            The array that the recipe makes of the verified samples, and the verdict. An input that does not verify
            gives None, or the array marked unverified, as the route says.

        Raises:
            DataError: the recipe does not fit an input that verifies.
        """
        reading: Reading | None = None
        try:
            reading = read(content)
            found = match(self.site, fingerprint(reading, self._site_key, advisory=False), expected)
        except Undecodable as e:
            found = Match((Finding(Verdict.UNDECODABLE, False, str(e), ()),))
        except VerificationError as e:
            found = Match((Finding(Verdict.EVIDENCE_INVALID, False, str(e), ()),))
        except DataError as e:
            found = Match((Finding(Verdict.UNDECODABLE, False, f"The input breaks the rules of its format. {e}", ()),))
        if found.passed:
            assert reading is not None
            return self._verified(reading, found)
        return self._unverified(content, reading, found)

    def _verified(self, reading: Reading, found: Match) -> Opened:
        array = self.route.recipe.run(reading)
        problem = self._recorder.problem
        if problem is not None:
            # What is shown to a model must end up in the log: without a log the route's policy decides.
            self.alarm(f"Inference records cannot be written: {problem}")
            if self.route.unverified == "refuse":
                array = None  # type: ignore[assignment]
        mode: Mode = "verified" if array is not None else "refused"
        record = self._recorder.submit([self._inference(reading.received, array, found, mode)])
        verdict = found.findings[0].verdict.value
        sentence = f"{verdict}: verified against record {found.record.index if found.record else '?'}."
        return Opened(array, Judged(found, mode, record, sentence))

    def _unverified(self, content: Content, reading: Reading | None, found: Match) -> Opened:
        worst = next(f for f in found.findings if not (f.authorised and f.verdict.severity <= 3))
        array: NDArray[Any] | None = None
        if self.route.unverified == "mark" and reading is not None:
            try:
                array = self.route.recipe.run(reading)
            except DataError:
                array = None
        mode: Mode = "refused" if array is None else "unverified"
        drafts = [self._inference(received_hash(content), array, found, mode)]
        if array is not None:
            override = {"route": self.route.name, "policy": "mark", "verdict": worst.verdict.value}
            drafts.insert(0, Draft("override", override))
        sentence = f"{worst.verdict.value}: {worst.sentence}"
        self.alarm(f"route {self.route.name}: input {mode}. {sentence}")
        record = self._recorder.submit(drafts)
        try:
            # An override that is not in the log did not happen: the array waits for it.
            record.result()
        except NocereError as e:
            self.alarm(f"The override cannot be logged: {e}")
            array, mode = None, "refused"
        return Opened(array, Judged(found, mode, record, sentence))

    def _inference(self, received: str, array: NDArray[Any] | None, found: Match, mode: Mode) -> Draft:
        fields = {
            "route": self.route.name,
            "model": self.route.model,
            "version": self.route.version,
            "recipe": self.recipe_index,
            "input": found.record.index if found.record else None,
            "verdict": [f.verdict.value for f in found.findings],
            "mode": mode,
        }
        clear = {"f0": received}
        if array is not None:
            clear["tensor"] = tensor_hash(array)
        about = {} if found.record is None else {f"input:{found.record.index}": "1"}
        return Draft.committed("inference", fields, clear, finds=about)
