from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.request import urlopen

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from frugal.metrics.catalogue import CATALOGUE
from frugal.metrics.exposition import MetricsServer, fleet_registry, serve_metrics
from frugal.metrics.instruments import OperatorInstruments
from frugal.metrics.snapshot import CompressionFigures, FleetSnapshot, InferenceFigures, RecommendedSize

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SIZE = RecommendedSize(replicas=2, cpu_cores=0.25, memory_bytes=2.3e8)
FULL = InferenceFigures(
    namespace="shop",
    name="fashion",
    currency="USD",
    hourly={"cpu": Decimal("0.10"), "gpu": Decimal("0.45")},
    month_to_date=Decimal("214.10"),
    forecast_month=Decimal("402.00"),
    recommended_saving_hourly=Decimal("0.35"),
    saved_hourly=Decimal("0.20"),
    cpu_cores=0.4,
    memory_bytes=3.6e8,
    gpu_ratio=0.11,
    gpu_memory_bytes=3.1e9,
    utilization={"cpu": 0.8, "memory": 0.78, "gpu": 0.11},
    requests_per_second=84.0,
    recommended={"lower": SIZE, "target": SIZE, "upper": SIZE},
    samples=20_160,
    replicas={"desired": 2, "current": 2, "ready": 1},
    applied=SIZE,
    applied_since="2026-03-10T11:00:00Z",
    held_back="CoolingDown",
    slo_target_seconds=0.05,
    slo_quantile=0.99,
    slo_observed_seconds=0.025,
    slo_met=1_000,
    slo_missed=4,
)
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
        applied = f"{self.at:%H}"
        one = {field: getattr(FULL, field) for field in FULL.__slots__} | {"held_back": held, "applied_since": applied}
        return FleetSnapshot(
            at=self.at,
            version="0.1.0",
            python_version="3.11",
            is_leader=self.is_leader,
            inferences=(InferenceFigures(**one),),
            compressions=(COMPRESSED,),
            input_ages_seconds={"prometheus": 12.5},
            queue_depth=3,
        )


def scraped_twice(fleet: Fleet) -> str:
    registry = fleet_registry(fleet)
    instruments = OperatorInstruments(registry)
    instruments.reconciled("InferenceDeployment", seconds=0.02, error="")
    instruments.reconciled("InferenceDeployment", seconds=0.02, error="Conflict")
    instruments.ticked(seconds=0.4, error="TelemetryError")
    generate_latest(registry)
    return generate_latest(registry).decode()


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
    bare = FleetSnapshot(
        at=NOON, version="1", python_version="3", inferences=(InferenceFigures(namespace="shop", name="new"),)
    )

    text = generate_latest(fleet_registry(lambda: bare)).decode()

    shown = {name for name, labels in samples(text) if ("name", "new") in labels}
    assert shown == {"frugal_price_missing"}


def test_a_workload_has_at_most_forty_series() -> None:
    told = [labels for _, labels in samples(scraped_twice(Fleet())) if ("name", "fashion") in labels]

    assert 30 <= len(told) <= 40


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    running = serve_metrics(fleet_registry(Fleet()), address="127.0.0.1", port=0)
    yield running
    running.stop()


def test_metrics_are_served_on_the_given_address(server: MetricsServer) -> None:
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "frugal_build_info" in answer.read().decode()


def test_a_stopped_server_frees_its_port(server: MetricsServer) -> None:
    server.stop()

    again = serve_metrics(fleet_registry(Fleet()), address="127.0.0.1", port=server.port)
    again.stop()
    assert again.port == server.port


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_finds_nothing_to_complain_of() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped_twice(Fleet()), capture_output=True, text=True, timeout=60
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
