"""The HTTP server of /metrics: a thread that makes the fleet's part once a tick, and one for each scrape.

A scrape only joins bytes: it waits for no event loop and renders no workload.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from frugal.metrics.catalogue import CATALOGUE
from frugal.metrics.page import Format, Part, make_part, negotiated
from frugal.metrics.series import FleetSeries
from frugal.metrics.snapshot import FleetSnapshot, OperatorFigures
from frugal.metrics.totals import Totals

STANDBY_SECONDS = 1.0  # how often one that does not lead looks whether it leads now
PROMETHEUS = Format(is_openmetrics=True, is_gzip=True)  # what it asks for

_log = logging.getLogger(__name__)


class OperatorCollector(Collector):
    """Shows the operator's own gauges as they are at the scrape."""

    def __init__(self, figures: Callable[[], OperatorFigures]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: a registry would otherwise ask for the figures when the collector is registered."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        now = self._figures()
        yield _gauge("frugal_build_info", {(now.version, now.python_version): 1})
        yield _gauge("frugal_leader", {(): int(now.is_leader)})
        yield _gauge("frugal_workqueue_depth", {(): now.queue_depth})
        if now.input_ages_seconds:
            yield _gauge("frugal_input_age_seconds", {(name,): age for name, age in now.input_ages_seconds.items()})


class Exposition:
    """What /metrics answers at any moment.

    operator: the operator's own figures, cheap and callable from any thread. fleet: everything about the objects, from
    any thread, and asked only while this process leads. refresh_seconds: between two looks at the fleet.
    """

    def __init__(
        self,
        operator: Callable[[], OperatorFigures],
        fleet: Callable[[], FleetSnapshot],
        *,
        refresh_seconds: float,
        totals: Totals | None = None,
    ) -> None:
        # *_created doubles the series of each counter and nothing of ours reads it; the call has no types
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(OperatorCollector(operator))
        self._operator, self._fleet, self.refresh_seconds = operator, fleet, refresh_seconds
        self._series = FleetSeries(totals)
        self._parts: dict[Format, Part] = {}
        self._asked_for = {PROMETHEUS}  # others are added when somebody asks for them
        self._families: dict[str, str] = {}
        self._making = threading.Lock()

    def refresh(self) -> float:
        """Make the fleet's part anew, and return the seconds after which to do it again."""
        if not self._operator().is_leader:
            return min(STANDBY_SECONDS, self.refresh_seconds)
        snapshot = self._fleet()
        with self._making:
            self._families = dict(self._series.update(snapshot))
            self._parts = {form: make_part(self._families, form) for form in self._asked_for}
        return self.refresh_seconds

    def answer(self, form: Format) -> tuple[bytes, bytes]:
        """Return the answer to a scrape, in two halves; who does not lead shows no workload."""
        generate = generate_openmetrics if form.is_openmetrics else generate_latest
        part = self._part(form) if self._operator().is_leader else make_part({}, form)
        return part.answer(generate(self.registry))

    def _part(self, form: Format) -> Part:
        part = self._parts.get(form)
        if part is not None:
            return part
        with self._making:  # the first time that this format is asked for
            self._asked_for.add(form)
            self._parts = {**self._parts, form: make_part(self._families, form)}
            return self._parts[form]


class MetricsServer:
    """Serves an exposition and keeps it fresh; `port` is the one that it really listens on."""

    def __init__(self, exposition: Exposition, *, address: str, port: int) -> None:
        self._exposition = exposition
        self._server = ThreadingHTTPServer((address, port), _handler(exposition))
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True),
            threading.Thread(target=self._keep_fresh, name="metrics of the fleet", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop answering and free the port; twice is as good as once."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def _keep_fresh(self) -> None:
        seconds = 0.0
        while not self._stopping.wait(seconds):
            try:
                seconds = self._exposition.refresh()
            except Exception:  # as in the engine: one snapshot that fails must not end all later ones
                if not self._stopping.is_set():
                    _log.exception("the metrics of the fleet could not be made; the last ones stay")
                seconds = self._exposition.refresh_seconds


def serve_metrics(exposition: Exposition, *, address: str, port: int) -> MetricsServer:
    """Serve `exposition` at http://address:port/metrics; port 0 takes a free one. Raises OSError when it is taken."""
    return MetricsServer(exposition, address=address, port=port)


def _handler(exposition: Exposition) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in ("/", "/metrics"):
                self.send_error(404)
                return
            accept, encoding = self.headers.get("Accept", ""), self.headers.get("Accept-Encoding", "")
            form = negotiated(accept=accept, accept_encoding=encoding)
            halves = exposition.answer(form)
            self.send_response(200)
            self.send_header("Content-Type", form.media_type)
            if form.is_gzip:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(sum(map(len, halves))))
            self.end_headers()
            for half in halves:
                self.wfile.write(half)

        def log_message(self, *_: object) -> None:
            """Log no scrape."""

    return Handler


def _gauge(name: str, values: dict[tuple[str, ...], float]) -> GaugeMetricFamily:
    metric = CATALOGUE[name]
    family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
