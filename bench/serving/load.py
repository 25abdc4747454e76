"""A closed-loop load over HTTP/1.1: each connection sends the next request when it has its answer. Loopback only.

`python -m bench.serving.load PORT CONNECTIONS SECONDS json|binary` prints what `load` returns.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import numpy as np
import uvloop

MAX_REQUESTS = 200_000


def request_bytes(form: str) -> bytes:
    """Return one whole request with a random image, in JSON or as a binary tensor."""
    image = np.random.default_rng(1).random(784).astype(np.float32)
    tensor: dict[str, object] = {"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32"}
    if form == "json":
        # eight digits, as float32 needs
        body = json.dumps({"inputs": [{**tensor, "data": [round(float(value), 8) for value in image]}]}).encode()
        extra = ""
    else:
        tensor["parameters"] = {"binary_data_size": image.nbytes}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        body, extra = head + image.tobytes(), f"Inference-Header-Content-Length: {len(head)}\r\n"
    return (
        f"POST /v2/models/cnn/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Client(asyncio.Protocol):
    """One connection of the load."""

    def __init__(self, payload: bytes, deadline: float, latencies: list[float]) -> None:
        self._payload, self._deadline, self._latencies = payload, deadline, latencies
        self._found = b""
        self.failed = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._payload)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer, and send the next request."""
        self._found += data
        head, separator, body = self._found.partition(b"\r\n\r\n")
        if not separator:
            return
        fields = head.lower().split(b"content-length:")[1]
        if len(body) < int(fields.split(b"\r\n")[0]):
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent_at)
        self.failed += not head.startswith(b"HTTP/1.1 200")
        self._found = b""
        if now < self._deadline and len(self._latencies) < MAX_REQUESTS:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that this connection is done."""
        self.ended.set_result(None)


async def load(port: int, *, connections: int, seconds: float, form: str) -> dict[str, float]:
    """Return requests, failed, seconds, p50 and p99 (seconds) of one load."""
    loop, payload, latencies = asyncio.get_running_loop(), request_bytes(form), list[float]()
    started = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: Client(payload, started + seconds, latencies), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.wait([client.ended for client in clients], timeout=seconds + 10)
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "requests": len(latencies),
        "failed": sum(client.failed for client in clients),
        "seconds": time.perf_counter() - started,
        "p50": float(p50),
        "p99": float(p99),
    }


def main() -> None:
    """Run one load and print its figures."""
    port, connections, seconds, form = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(load(port, connections=connections, seconds=seconds, form=form))))


if __name__ == "__main__":
    main()
