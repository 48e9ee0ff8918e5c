"""A model behind an HTTP server that speaks the Open Inference Protocol v2 (KServe, Triton, MLServer, OpenVINO).

Plain JSON tensors and the standard library's client; no proxy, no redirect. Servers on this machine are asked freely;
any other only with its owner's authorisation (`targets.authorisation`). What a server says of itself is compared with
what it answers. Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
from numpy.typing import NDArray

from nocere.core.decision import Decision
from nocere.core.errors import TargetError
from nocere.core.registry import register
from nocere.targets.authorisation import HEADER, Authorisation, Count, read_authorisation, read_public
from nocere.targets.blackbox import LabellingBox, Outputs, ScoringBox, box
from nocere.targets.preprocess import Preprocess

FLOATS = ("FP16", "FP32", "FP64")
WHOLE = {f"{sign}INT{bits}": (sign, bits) for sign in ("U", "") for bits in (8, 16, 32, 64)}
AGAIN = (429, 502, 503, 504)
PORTS = {"http": 80, "https": 443}
LARGEST = 64 << 20  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Manners:
    """How a server is treated.

    Args:
        timeout: seconds to wait for an answer.
        tries: how often a request is made at most; each counts.
        pause: seconds before the second try, doubled before each one after it; the server may ask for more.
        rate: rows a second at most; 0 for no limit.
        rows: rows a request at most.
    """

    timeout: float = 30.0
    tries: int = 4
    pause: float = 0.25
    rate: float = 0.0
    rows: int = 32

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.tries < 1 or self.pause < 0 or self.rate < 0 or self.rows < 1:
            raise TargetError("timeout, tries and rows of a server must be positive, pause and rate not negative.")


class KServePort:
    """A model on a server.

    Args:
        url: "http://127.0.0.1:8000" or any server that the authorisation names.
        model, version: name and, where the server has several, version of the model.
        output: name of the output that holds the scores; default is the only one.
        manners: time-outs and limits.
        queries: rows that may be asked by this process; None for no cap.
        authorisation, owner_key: files; needed for any host but this machine.

    Raises:
        TargetError: another host without authorisation, no such server or model, or no classifier of arrays.
    """

    counted = True

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: str = "",
        output: str = "",
        manners: Manners | None = None,
        queries: int | None = None,
        authorisation: Path | None = None,
        owner_key: Path | None = None,
    ) -> None:
        self.url, self._host, self._port, self._secure = origin(url)
        self.model, self.version = model, version
        self.manners = manners or Manners()
        self.authorisation: Authorisation | None = None
        if authorisation is not None:
            if owner_key is None:
                raise TargetError("An authorisation needs owner_key: the owner's public key (PEM), got from the owner.")
            self.authorisation = read_authorisation(authorisation)
            self.authorisation.check(read_public(owner_key), self.url, model, datetime.now(UTC))
        elif not _here(self._host):
            raise TargetError(
                f"{self.url} is another machine, and there is no authorisation of its owner.",
                "Have the owner make one (`nocere authorise`), and name it in the card with the owner's public key.",
            )
        self._counts = [Count(queries, None, f"The card of {model}")]
        if self.authorisation is not None and authorisation is not None:
            used = authorisation.with_name(authorisation.name + ".used")
            self._counts.append(
                Count(self.authorisation.queries, used, f"The authorisation of {self.authorisation.owner}")
            )
        self._free = 0.0
        self._asked = 0
        self._declared(output)

    # --- what the server says of itself ---------------------------------------------------------------------------

    def _declared(self, output: str) -> None:
        told = self._json("GET", self._path, None, f"the metadata of {self.model!r}")
        try:
            inputs, outputs = [_tensor(t) for t in told["inputs"]], [_tensor(t) for t in told["outputs"]]
            name, platform = str(told["name"]), str(told.get("platform", ""))
        except (KeyError, TypeError, ValueError) as e:
            raise TargetError(f"{self.url} gives no metadata of inputs and outputs for {self.model!r}.") from e
        if name != self.model:
            raise TargetError(f"{self.url} calls the model {name!r}; {self.model!r} was asked for.")
        if len(inputs) != 1 or inputs[0][1] not in (*FLOATS, *WHOLE):
            shown = ", ".join(f"{n} {t}" for n, t, _ in inputs) or "none"
            raise TargetError(f"{self.model} has the inputs {shown}; one array of numbers is needed.")
        named = [t for t in outputs if t[0] == output] if output else outputs
        if len(named) != 1:
            raise TargetError(
                f"{self.model} has the outputs {', '.join(n for n, _, _ in outputs) or 'none'}"
                f"{f', and no {output!r}' if output else ''}.",
                "Name the one that holds the scores as [target] output.",
            )
        (self._input,), (self._output,) = inputs, named
        self.about: Mapping[str, Any] = {
            "kserve": self.model,
            "version": self.version,
            "versions": [str(v) for v in told.get("versions") or ()] if not self.version else [],
            "platform": platform,
            "input": self._input,
            "output": self._output,
        }

    @property
    def _path(self) -> str:
        version = f"/versions/{quote(self.version, safe='')}" if self.version else ""
        return f"/v2/models/{quote(self.model, safe='')}{version}"

    # --- questions ------------------------------------------------------------------------------------------------

    def ask(self, x: NDArray[np.float32], name: str, seeds: NDArray[np.uint64] | None = None) -> NDArray[Any]:
        """Answers to rows [n, ...].

        Raises:
            TargetError: rows of another shape or type than declared, no answer, a cap, or an answer that cannot be.
        """
        tensor, kind, shape = self._input
        # Servers leave the axis of rows out of the shape, or write -1 for it.
        rest = shape[1:] if len(shape) == x.ndim else shape
        if len(rest) != x.ndim - 1 or any(d not in (-1, n) for d, n in zip(rest, x.shape[1:], strict=True)):
            want = " x ".join("any" if d < 0 else str(d) for d in rest)
            raise TargetError(
                f"{name} takes input of shape {want} (as its server says); got {' x '.join(map(str, x.shape[1:]))}.",
                "Declare channels, size and resize in the target's [input].",
            )
        if kind in WHOLE and not _whole(x, *WHOLE[kind]):
            raise TargetError(
                f"{name} takes whole numbers ({kind}); its input is not.", "Leave [input] out to send stored values."
            )
        fixed = shape[0] if len(shape) == x.ndim and shape[0] > 0 else 0
        step = fixed or self.manners.rows
        parts = []
        for at in range(0, len(x), step):
            rows = x[at : at + step]
            n = len(rows)
            if fixed > n:
                rows = np.concatenate([rows, np.repeat(rows[-1:], fixed - n, axis=0)])
            parts.append(self._infer(rows, tensor, kind, name)[:n])
        return np.concatenate(parts)

    def _infer(self, rows: NDArray[np.float32], tensor: str, kind: str, name: str) -> NDArray[Any]:
        self._asked += 1
        number = f"nocere-{self._asked}"
        data = rows.astype(np.int64) if kind in WHOLE else rows
        body = {
            "id": number,
            "inputs": [{"name": tensor, "shape": list(rows.shape), "datatype": kind, "data": data.ravel().tolist()}],
            "outputs": [{"name": self._output[0]}],
        }
        told = self._json("POST", f"{self._path}/infer", body, f"{len(rows)} rows", rows=len(rows))
        if told.get("id", number) != number:
            raise TargetError(f"{name} answered request {told['id']!r} where {number!r} was asked.")
        if told.get("model_name", self.model) != self.model:
            raise TargetError(f"{self.url} answered by the model {told['model_name']!r}, not by {self.model!r}.")
        version = str(told.get("model_version") or "")
        if self.version and version and version != self.version:
            raise TargetError(f"{name} answered by version {version}; {self.version} was asked for.")
        return self._values(told, len(rows), name)

    def _values(self, told: Mapping[str, Any], n: int, name: str) -> NDArray[Any]:
        output, declared, shape = self._output
        try:
            (found,) = [t for t in told["outputs"] if t["name"] == output]
            size, kind, flat = [int(d) for d in found["shape"]], str(found["datatype"]), _flat(found["data"])
        except (KeyError, TypeError, ValueError) as e:
            raise TargetError(f"{name} gave no output {output!r} with a shape, a datatype and data.") from e
        if kind != declared:
            raise TargetError(f"{name} declares {output!r} as {declared}, but answered with {kind}.")
        rest = shape[1:] if len(shape) == len(size) else shape
        if (
            size[:1] != [n]
            or len(rest) != len(size) - 1
            or any(d not in (-1, s) for d, s in zip(rest, size[1:], strict=True))
        ):
            raise TargetError(
                f"{name} declares {output!r} of shape {list(shape)}, but answered {n} rows with shape {size}."
            )
        if len(flat) != int(np.prod(size)):
            raise TargetError(f"{name} answered with {len(flat)} values under the shape {size}.")
        if kind == "BYTES":
            if not all(isinstance(v, str) for v in flat):
                raise TargetError(f"{name} declares {output!r} as BYTES, but not all of its values are text.")
            return np.array(flat, dtype=object).reshape(size)
        if not all(isinstance(v, (int, float)) for v in flat):
            raise TargetError(f"{name} declares {output!r} as {kind}, but not all of its values are numbers.")
        values = np.array(flat, dtype=np.float64).reshape(size)
        if not np.isfinite(values).all():
            raise TargetError(f"{name} answered with a value that is not finite (NaN or infinity).")
        return values.astype(np.int64) if kind in WHOLE else values

    # --- transport ------------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, body: Any, what: str, *, rows: int = 0) -> Mapping[str, Any]:
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        why, wait = "", 0.0
        for tried in range(self.manners.tries):
            time.sleep(wait)
            wait = self.manners.pause * 2**tried
            self._may_ask(rows)
            try:
                status, after, answer = self._request(method, path, data)
            except TimeoutError:
                why = f"gave no answer within {self.manners.timeout:g} s"
                continue
            except (OSError, http.client.HTTPException) as e:
                why = f"cannot be reached ({e or type(e).__name__})"
                continue
            if status in AGAIN:
                why = f"answered with status {status}{_said(answer)}"
                wait = max(wait, min(after, self.manners.timeout))
                continue
            if status != 200:
                raise TargetError(f"{self.url} refused {what} with status {status}{_said(answer)}.")
            try:
                told = json.loads(answer)
            except ValueError as e:
                raise TargetError(f"{self.url} answered {what} with something that is not JSON.") from e
            if not isinstance(told, dict):
                raise TargetError(f"{self.url} answered {what} with JSON that is no object.")
            return told
        raise TargetError(
            f"{self.url} {why}, in {self.manners.tries} tries, when asked for {what}.",
            "Start the server, or give it more time in the card (timeout).",
        )

    def _may_ask(self, rows: int) -> None:
        if self.authorisation is not None:
            self.authorisation.check_time(datetime.now(UTC))
        for count in self._counts:
            count.take(rows)
        if self.manners.rate:
            now = time.monotonic()
            time.sleep(max(self._free - now, 0.0))
            self._free = max(self._free, now) + rows / self.manners.rate

    def _request(self, method: str, path: str, data: bytes | None) -> tuple[int, float, bytes]:
        """Status, seconds that the server asks to wait, and body; at most `timeout` seconds in all."""
        ends = time.monotonic() + self.manners.timeout
        connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(
                self._host, self._port, timeout=self.manners.timeout, context=ssl.create_default_context()
            )
            if self._secure
            else http.client.HTTPConnection(self._host, self._port, timeout=self.manners.timeout)
        )
        try:
            headers = {"Content-Type": "application/json"}
            if self.authorisation is not None:
                headers[HEADER] = self.authorisation.header
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            body = b""
            # A time-out of a socket is for each read: a server that drips bytes would never run into it.
            while part := answer.read1(1 << 16):
                body += part
                if time.monotonic() > ends:
                    raise TimeoutError
                if len(body) > LARGEST:
                    raise TargetError(f"{self.url} answered with more than {LARGEST >> 20} MB.")
            after = answer.getheader("Retry-After", "")
            return answer.status, float(after) if after.isdigit() else 0.0, body
        finally:
            connection.close()


@register("target", "kserve", source="Open Inference Protocol v2, REST")
def kserve_target(
    url: str,
    model: str,
    decision: Decision,
    input: Preprocess | None = None,
    *,
    outputs: Outputs = "logits",
    stochastic: bool = False,
    name: str = "model",
    **more: Any,
) -> ScoringBox | LabellingBox:
    """A model behind a KServe v2 HTTP server on this machine, or on another one that its owner has authorised.

    Args:
        url: scheme, host and port.
        model: its name on the server.
        decision: how scores become labels.
        input: stored values to network input; default sends stored values.
        outputs: "logits", "probabilities" or "labels".
        stochastic: True where equal rows may get different answers.
        name: shown in reports.
        more: version, output, manners, queries, authorisation and owner_key of `KServePort`.
    """
    port = KServePort(url, model, **more)
    return box(port, decision, input, outputs=outputs, stochastic=stochastic, name=name)


def origin(url: str) -> tuple[str, str, int, bool]:
    """A URL as scheme://host:port, and its host, port and whether it is encrypted."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as e:
        raise TargetError(f"{url!r} is not a server's address: {e}.") from e
    if parts.scheme not in PORTS or not host or parts.path.strip("/") or parts.query or parts.username:
        raise TargetError(
            f"{url!r} is not a server's address.", 'Write "http://127.0.0.1:8000" or "https://HOST:PORT".'
        )
    port = port or PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}", host, port, parts.scheme == "https"


def _here(host: str) -> bool:
    """Whether a host is this machine, whatever name it goes by."""
    try:
        found = {str(at[4][0]) for at in socket.getaddrinfo(host, None)} if host == "localhost" else {host}
        return bool(found) and all(ipaddress.ip_address(a).is_loopback for a in found)
    except (OSError, ValueError):
        return False


def _tensor(told: Mapping[str, Any]) -> tuple[str, str, tuple[int, ...]]:
    return str(told["name"]), str(told["datatype"]), tuple(int(d) for d in told["shape"])


def _whole(x: NDArray[np.float32], sign: str, bits: int) -> bool:
    low, high = (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return bool(((x == np.rint(x)) & (x >= low) & (x <= high)).all())


def _flat(data: Any) -> list[Any]:
    """Values of a tensor, which servers send flat or nested."""
    flat: Callable[[Any], Sequence[Any]] = lambda v: [w for u in v for w in flat(u)] if isinstance(v, list) else [v]  # noqa: E731
    if not isinstance(data, list):
        raise ValueError("data is no list")
    return list(flat(data))


def _said(answer: bytes) -> str:
    """What a server said of an error."""
    try:
        told = json.loads(answer)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({' '.join(str(told).split())[:200]})"
