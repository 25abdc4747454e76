"""A scrape of /metrics beside 100, 1,000 and 10,000 workloads, and prometheus_client with the same series beside it.

The server and the client run in this process on one core, which is harder on the server than life is.
"""

from __future__ import annotations

import gzip
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bench.figures import Figure, Goal, write
from frugal.metrics.exposition import Exposition, MetricsServer, serve_metrics
from frugal.metrics.snapshot import FleetSnapshot, InferenceFigures, OperatorFigures
from tests.fakes.figures import FULL

FLEETS = (100, 1_000, 10_000)
SCRAPES = 15
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEADERS = {"Accept": "text/plain"}


class Workloads:
    """Workloads with every figure that there can be; the money and a tenth of the loads move at each look."""

    def __init__(self, count: int) -> None:
        self._looks = 0
        self._figures = [_workload(number) for number in range(count)]

    def __call__(self) -> FleetSnapshot:
        self._looks += 1
        moved = tuple(self._moved(number, one) for number, one in enumerate(self._figures))
        return FleetSnapshot(at=START + timedelta(seconds=15 * self._looks), inferences=moved)

    def _moved(self, number: int, one: InferenceFigures) -> InferenceFigures:
        spent = Decimal(self._looks) / 100
        load = 84.0 + (self._looks if number % 10 == self._looks % 10 else 0)
        return replace(one, month_to_date=spent, requests_per_second=load, slo_met=1_000.0 + self._looks)


def _workload(number: int) -> InferenceFigures:
    return replace(
        FULL,
        namespace=f"team-{number % 50:02}",
        name=f"recommendations-{number:05}",
        labels={"team": f"team-{number % 50:02}"},
        hourly={name: Decimal("0.1") + number for name in ("cpu", "memory", "gpu")},
        month_to_date=Decimal(number),
        applied=None,
        applied_since="",
        held_back="",
    )


class SameSeries(Collector):
    """The series of a page, as prometheus_client is commonly given them: families with a list of label values."""

    def __init__(self, page: str) -> None:
        parsed = list(text_string_to_metric_families(page))
        self._samples = [
            (
                family.name,
                family.type,
                [(tuple(one.labels), tuple(one.labels.values()), one.value) for one in family.samples],
            )
            for family in parsed
        ]

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        for name, kind, samples in self._samples:
            made = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            for labels, group in groupby(samples, key=lambda one: one[0]):
                family = made(name, "The same.", labels=labels)
                for _, values, value in group:
                    family.add_metric(values, value)
                yield family


def measure(count: int) -> list[Figure]:
    """Return the figures beside `count` workloads."""
    exposition = Exposition(_operator, Workloads(count), refresh_seconds=3600)
    server = serve_metrics(exposition, address="127.0.0.1", port=0)
    try:
        exposition.refresh()
        plain = [_timed(lambda: _scrape(server, {})) for _ in range(SCRAPES)]
        packed = [_timed(lambda: _scrape(server, {"Accept-Encoding": "gzip"})) for _ in range(SCRAPES)]
        refreshes = [_timed(exposition.refresh) for _ in range(5)]
        page, small = _scrape(server, {}), _scrape(server, {"Accept-Encoding": "gzip"})
    finally:
        server.stop()
    assert len(gzip.decompress(small)) == len(page)
    theirs = CollectorRegistry(auto_describe=False)
    theirs.register(SameSeries(page.decode()))
    rendered = [_timed(lambda: generate_latest(theirs)) for _ in range(3)]
    series = sum(1 for line in page.splitlines() if line and not line.startswith(b"#") and b'name="' in line)
    return [
        _at_most(f"{count} workloads: scrape", statistics.median(plain) * 1e3, "ms", 250),
        _at_most(f"{count} workloads: scrape, compressed", statistics.median(packed) * 1e3, "ms", 250),
        _at_most(f"{count} workloads: scrape, compressed, slowest of {SCRAPES}", max(packed) * 1e3, "ms", 250),
        _at_most(f"{count} workloads: page", len(page) / 1e6, "MB", 60),
        _at_most(f"{count} workloads: page compressed", len(small) / 1e6, "MB", 60),
        _at_most(f"{count} workloads: series each", series / count, "series", 40),
        Figure(
            figure=f"{count} workloads: rendered and compressed, once a tick", value=max(refreshes) * 1e3, unit="ms"
        ),
        Figure(
            figure=f"{count} workloads: scrape beside prometheus_client's rendering",
            value=statistics.median(plain) * 1e3,
            unit="ms",
            baseline=statistics.median(rendered) * 1e3,
            goal=Goal(direction="at most", value=0.2),
        ),
    ]


def _operator() -> OperatorFigures:
    return OperatorFigures(version="0.1.0", python_version="3.11")


def _scrape(server: MetricsServer, headers: dict[str, str]) -> bytes:
    asked = urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics", headers={**HEADERS, **headers})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _at_most(name: str, value: float, unit: str, limit: float) -> Figure:
    return Figure(figure=name, value=value, unit=unit, goal=Goal(direction="at most", value=limit))


def main() -> int:
    """Run the benchmark; 1 where a goal is missed."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures = [figure for count in FLEETS for figure in measure(count)]
    print(write("metrics", figures))
    missed = [
        one for one in figures if one.goal and not one.goal.met(one.ratio if one.ratio is not None else one.value)
    ]
    for one in missed:
        print(f"missed: {one.figure}: {one.value:.3g} {one.unit}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
