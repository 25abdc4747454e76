"""The HTTP server of /metrics, in a thread of its own, so that a slow scrape holds up nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server

from frugal.metrics.collector import FleetCollector
from frugal.metrics.snapshot import FleetSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsServer:
    """A running server; `port` is the one that it really listens on."""

    port: int
    server: WSGIServer
    thread: threading.Thread

    def stop(self) -> None:
        """Stop answering and free the port; twice is as good as once."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def fleet_registry(snapshot: Callable[[], FleetSnapshot]) -> CollectorRegistry:
    """Return a registry of its own that shows the fleet; the operator's instruments are added to it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FleetCollector(snapshot))
    return registry


def serve_metrics(registry: CollectorRegistry, *, address: str, port: int) -> MetricsServer:
    """Serve `registry` at http://address:port/metrics; port 0 takes a free one. Raises OSError when it is taken."""
    # *_created doubles the series of each counter and nothing of ours reads it; the call has no types
    disable_created_metrics()  # type: ignore[no-untyped-call]
    server, thread = start_http_server(port, addr=address, registry=registry)
    return MetricsServer(port=server.server_port, server=server, thread=thread)
