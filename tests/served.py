"""A loopback server that speaks the Open Inference Protocol v2, honest or with one fault."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

Scorer = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


@contextmanager
def served(
    scorer: Scorer,
    shape: tuple[int, ...],
    columns: int,
    *,
    datatype: str = "FP32",
    name: str = "net",
    change: Callable[[dict[str, Any]], Any] = lambda told: told,
    statuses: tuple[int, ...] = (),
    sleep: float = 0.0,
    seen: list[dict[str, Any]] | None = None,
    metadata: dict[str, Any] | None = None,
    output: str = "FP32",
) -> Iterator[str]:
    """The URL of a server of `scorer`.

    `change` alters its answers, `statuses` are answered first, `seen` gets headers and bodies of all requests.
    """
    left = list(statuses)
    about = {
        "name": name,
        "versions": ["1"],
        "platform": "test",
        "inputs": [{"name": "x", "datatype": datatype, "shape": [-1, *shape]}],
        "outputs": [{"name": "scores", "datatype": output, "shape": [-1, columns]}],
        **(metadata or {}),
    }

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def _send(self, told: Any, status: int = 200) -> None:
            data = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            known = self.path == f"/v2/models/{name}"
            self._send(about if known else {"error": f"unknown model {self.path}"}, 200 if known else 404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if seen is not None:
                seen.append({"headers": dict(self.headers), **body})
            time.sleep(sleep)
            if left:
                self._send({"error": "try later"}, left.pop(0))
                return
            (given,) = body["inputs"]
            kind = {"FP32": np.float32, "UINT8": np.uint8}[given["datatype"]]
            z = np.asarray(scorer(np.array(given["data"], dtype=kind).reshape(given["shape"])))
            told = {
                "model_name": name,
                "model_version": "1",
                "id": body["id"],
                "outputs": [{"name": "scores", "datatype": output, "shape": list(z.shape), "data": z.ravel().tolist()}],
            }
            self._send(change(told))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
