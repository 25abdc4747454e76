from __future__ import annotations

import gzip
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import Message
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from frugal.metrics.catalogue import CATALOGUE
from frugal.metrics.exposition import Exposition, MetricsServer, serve_metrics
from frugal.metrics.instruments import OperatorInstruments
from frugal.metrics.page import Format
from frugal.metrics.snapshot import (
    CompressionFigures,
    FleetSnapshot,
    InferenceFigures,
    OperatorFigures,
)
from tests.fakes.figures import FULL

PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
PLAIN = Format(is_openmetrics=False)
PACKED = Format(is_openmetrics=False, is_gzip=True)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
COMPRESSED = CompressionFigures(
    namespace="shop",
    name="fashion-cnn",
    phase="Succeeded",
    size_ratio=7.9,
    speedup_ratio=3.2,
    loss_points=0.21,
    loss_upper_points=0.43,
    cost=Decimal("0.42"),
    currency="USD",
)


class Fleet:
    """A fleet that is an hour older at each look."""

    def __init__(self, *, is_leader: bool = True) -> None:
        self.at, self.is_leader = NOON, is_leader

    def __call__(self) -> FleetSnapshot:
        self.at += timedelta(hours=1)
        held = "" if self.at == NOON + timedelta(hours=1) else FULL.held_back
        return FleetSnapshot(
            at=self.at,
            inferences=(replace(FULL, held_back=held, applied_since=f"{self.at:%H}"),),
            compressions=(COMPRESSED,),
        )

    def operator(self) -> OperatorFigures:
        return OperatorFigures(
            version="0.1.0",
            python_version="3.11",
            is_leader=self.is_leader,
            queue_depth=3,
            input_ages_seconds={"prometheus": 12.5},
        )


def exposed(fleet: Fleet) -> Exposition:
    return Exposition(fleet.operator, fleet, refresh_seconds=3600)


def scraped_twice(fleet: Fleet, form: Format = PLAIN) -> str:
    exposition = exposed(fleet)
    instruments = OperatorInstruments(exposition.registry)
    instruments.reconciled("InferenceDeployment", seconds=0.02, error="")
    instruments.reconciled("InferenceDeployment", seconds=0.02, error="Conflict")
    instruments.ticked(seconds=0.4, error="TelemetryError")
    exposition.refresh()
    exposition.refresh()
    return b"".join(exposition.answer(form)).decode()


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, metric: str, /, **labels: str) -> float:
    return samples(text)[metric, frozenset(labels.items())]


FASHION = {"namespace": "shop", "kind": "InferenceDeployment", "name": "fashion"}


def test_every_metric_of_the_catalogue_is_shown_and_no_other() -> None:
    shown = {family.name for family in text_string_to_metric_families(scraped_twice(Fleet()))}

    stripped = {name.removesuffix("_total") for name in CATALOGUE}
    assert {name for name in shown if not name.endswith("_created")} == stripped


def test_values_are_those_of_the_snapshot() -> None:
    text = scraped_twice(Fleet())

    assert value(text, "frugal_cost_hourly_rate", **FASHION, resource="gpu", currency="USD") == 0.45
    assert value(text, "frugal_replicas", **FASHION, state="ready") == 1
    assert value(text, "frugal_recommendation_cpu_cores", **FASHION, bound="target") == 0.25
    assert value(text, "frugal_compression_jobs", phase="Succeeded") == 1
    assert value(text, "frugal_reconcile_errors_total", kind="InferenceDeployment", error="Conflict") == 1


def test_counters_grow_between_two_scrapes() -> None:
    text = scraped_twice(Fleet())

    assert value(text, "frugal_cost_total", **FASHION, resource="cpu", currency="USD") == pytest.approx(0.10)
    assert value(text, "frugal_savings_verified_total", **FASHION, currency="USD") == pytest.approx(0.20)


def test_points_are_hundredths() -> None:
    labels = {"namespace": "shop", "kind": "CompressionJob", "name": "fashion-cnn", "bound": "upper"}

    assert value(scraped_twice(Fleet()), "frugal_compression_quality_loss_ratio", **labels) == pytest.approx(0.0043)


def test_who_does_not_lead_shows_no_workload() -> None:
    text = scraped_twice(Fleet(is_leader=False))

    assert value(text, "frugal_leader") == 0
    assert 'name="fashion' not in text


def test_what_is_not_known_is_absent() -> None:
    bare = FleetSnapshot(at=NOON, inferences=(InferenceFigures(namespace="shop", name="new"),))
    exposition = Exposition(Fleet().operator, lambda: bare, refresh_seconds=3600)

    exposition.refresh()

    text = b"".join(exposition.answer(PLAIN)).decode()
    shown = {name for name, labels in samples(text) if ("name", "new") in labels}
    assert shown == {"frugal_price_missing"}


def test_a_workload_has_at_most_forty_series() -> None:
    told = [labels for _, labels in samples(scraped_twice(Fleet())) if ("name", "fashion") in labels]

    assert 30 <= len(told) <= 40


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    exposition = exposed(Fleet())
    exposition.refresh()
    running = serve_metrics(exposition, address="127.0.0.1", port=0)
    yield running
    running.stop()


def fetched(server: MetricsServer, **headers: str) -> tuple[Message, bytes]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(f"http://127.0.0.1:{server.port}/metrics", headers=names), timeout=10) as answer:
        return answer.headers, answer.read()


def test_metrics_are_served_as_text_to_whoever_asks_for_nothing(server: MetricsServer) -> None:
    headers, body = fetched(server)

    assert headers["Content-Type"].startswith("text/plain")
    assert "Content-Encoding" not in headers
    assert "frugal_build_info" in body.decode()


def test_openmetrics_is_served_compressed_to_prometheus(server: MetricsServer) -> None:
    headers, body = fetched(
        server, Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1", Accept_Encoding="gzip"
    )

    text = gzip.decompress(body).decode()
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    parsed = openmetrics_families(text)  # type: ignore[no-untyped-call] # raises on what breaks the format
    families = {family.name for family in parsed}
    assert {"frugal_cost", "frugal_cost_month_to_date", "frugal_leader"} <= families
    assert families <= {name.removesuffix("_total") for name in CATALOGUE}
    assert text.endswith("# EOF\n")


def test_both_halves_of_a_compressed_answer_are_one_stream() -> None:
    exposition = exposed(Fleet())
    exposition.refresh()

    packed = b"".join(exposition.answer(PACKED))

    decompressor = zlib.decompressobj(31)
    text = decompressor.decompress(packed)
    assert decompressor.eof
    assert not decompressor.unused_data
    assert text == b"".join(exposition.answer(PLAIN))


def test_an_answer_between_two_ticks_shows_one_moment() -> None:
    fleet = Fleet()
    exposition = exposed(fleet)
    exposition.refresh()
    before = exposition.answer(PLAIN)[0]

    fleet.at += timedelta(hours=9)

    assert exposition.answer(PLAIN)[0] == before


def test_labels_that_the_settings_allow_can_be_joined() -> None:
    labels = {**FASHION, "label_app_kubernetes_io_part_of": 'shop "A"'}

    assert value(scraped_twice(Fleet()), "frugal_workload_labels", **labels) == 1


def test_a_stopped_server_frees_its_port(server: MetricsServer) -> None:
    server.stop()

    again = serve_metrics(exposed(Fleet()), address="127.0.0.1", port=server.port)
    again.stop()
    assert again.port == server.port


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_finds_nothing_to_complain_of() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped_twice(Fleet()), capture_output=True, text=True, timeout=60
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
