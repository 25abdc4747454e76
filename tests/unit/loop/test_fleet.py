from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from frugal.loop.fleet import fleet_snapshot
from frugal.loop.measurements import Measurements
from frugal.loop.ports import INFERENCE_DEPLOYMENT, ObjectKey, Reading
from frugal.metrics.snapshot import FleetSnapshot
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from tests.fakes.cluster import FakeCluster

KEY = ObjectKey(INFERENCE_DEPLOYMENT, "shop", "fashion")
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SIZE = {"cpu": "500m", "memory": "1Gi", "replicas": 2}
STATUS: dict[str, Any] = {
    "replicas": 2,
    "readyReplicas": 1,
    "applied": {"size": SIZE, "since": "2026-03-10T11:00:00Z"},
    "cost": {
        "hourly": "0.06",
        "monthToDate": "13.50",
        "forecastMonth": "44.00",
        "currency": "USD",
        "observedAt": "2026-03-10T11:55:00Z",
    },
    "savings": {"sinceCreation": "2.00", "referenceHourly": "0.10", "observedAt": "2026-03-10T11:55:00Z"},
    "recommendation": {
        "target": SIZE | {"cpu": "250m"},
        "lower": SIZE | {"cpu": "200m"},
        "upper": SIZE,
        "saving": {"monthly": "14.60", "percent": 33.3},
        "explanation": "because",
        "observedAt": "2026-03-10T11:55:00Z",
    },
}


def manifest(status: dict[str, Any] | None = None, *, kind: str = "InferenceDeployment", **spec: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"namespace": "shop", "name": "fashion", "uid": "u", "generation": 1},
        "spec": {"model": {"uri": "pvc://models/m.onnx"}, **spec},
        "status": status or {},
    }


def measured() -> Measurements:
    usage = tuple(UsageSample(at=NOON, cpu_cores=cores, memory_bytes=2**29) for cores in (0.2, 0.3))
    load = LoadSample(
        at=NOON,
        interval_seconds=10,
        requests=1_000,
        failed=0,
        service_seconds=0.003,
        latency_buckets=((0.05, 990), (0.1, 1_000)),
        in_flight=0,
        replicas=2,
    )
    known = Measurements()
    observed = {KEY: Observation(usage=usage, load=load)}
    list(known.take(Reading(observations=observed, problems={}, ages_seconds={"pods": 3.0}), now=NOON))
    return known


def fleet(*manifests: dict[str, Any], measurements: Measurements | None = None, at: datetime = NOON) -> FleetSnapshot:
    cluster = FakeCluster()
    for one in manifests:
        cluster.create(one)
    return fleet_snapshot(cluster, measurements or Measurements(), now=at, is_leader=True, queue_depth=2)


def inference(status: dict[str, Any] | None = None, *, measurements: Measurements | None = None, **spec: Any) -> Any:
    (figures,) = fleet(manifest(status, **spec), measurements=measurements).inferences
    return figures


def test_the_cost_is_what_status_says_and_the_month_goes_on_by_itself() -> None:
    figures = inference(STATUS)

    assert figures.hourly == {"all": Decimal("0.06")}
    assert figures.month_to_date == Decimal("13.505")  # 13.50 five minutes ago, at 0.06 an hour
    assert figures.is_price_missing is False


def test_without_a_cost_a_price_is_missing() -> None:
    assert inference({key: value for key, value in STATUS.items() if key != "cost"}).is_price_missing is True


def test_savings_are_rates_an_hour() -> None:
    figures = inference(STATUS)

    assert figures.recommended_saving_hourly == Decimal("0.02")  # 14.60 / 730
    assert figures.saved_hourly == Decimal("0.04")  # 0.10 - 0.06


def test_use_is_a_sum_and_utilization_a_mean_of_the_replicas() -> None:
    figures = inference(STATUS, measurements=measured())

    assert figures.cpu_cores == pytest.approx(0.5)
    assert figures.memory_bytes == 2**30
    assert figures.utilization == pytest.approx({"cpu": 0.5, "memory": 0.5})  # 0.25 of 0.5, 512Mi of 1Gi
    assert figures.requests_per_second == 100
    assert figures.samples == 1


def test_figures_of_a_reading_that_failed_are_not_shown() -> None:
    known = measured()
    list(known.take(Reading(observations={}, problems={KEY: "no answer"}, ages_seconds={}), now=NOON))

    assert inference(STATUS, measurements=known).cpu_cores is None


def test_the_objective_is_shown_with_what_was_measured_of_it() -> None:
    figures = inference(STATUS, measurements=measured(), slo={"latency": {"threshold": "50ms", "quantile": 0.99}})

    assert (figures.slo_target_seconds, figures.slo_quantile, figures.slo_observed_seconds) == (0.05, 0.99, 0.05)
    assert (figures.slo_met, figures.slo_missed) == (990, 10)


def test_why_a_change_waits_is_told_only_while_it_waits() -> None:
    def held(reason: str, status: str) -> str:
        said = {"type": "RightSized", "status": status, "reason": reason, "lastTransitionTime": "2026-03-10T11:00:00Z"}
        return str(inference(STATUS | {"conditions": [said]}).held_back)

    assert held("CoolingDown", "False") == "CoolingDown"
    assert held("Applied", "True") == ""


def test_a_brand_new_object_shows_what_is_known_of_it() -> None:
    figures = inference()

    assert (figures.hourly, figures.applied, figures.recommended) == ({}, None, {})


def test_a_status_that_cannot_be_read_is_taken_for_none() -> None:
    assert inference({"cost": {"hourly": "a lot"}}).month_to_date is None


def test_a_compression_shows_its_best_candidate() -> None:
    status = {
        "phase": "Succeeded",
        "best": {"loss": 0.21, "lossUpperBound": 0.43, "sizeRatio": 7.9, "latencyRatio": 3.2},
        "cost": {"amount": "0.42", "currency": "USD"},
    }

    (figures,) = fleet(manifest(status, kind="CompressionJob")).compressions

    assert (figures.phase, figures.size_ratio, figures.speedup_ratio) == ("Succeeded", 7.9, 3.2)
    assert (figures.loss_points, figures.loss_upper_points, figures.cost) == (0.21, 0.43, Decimal("0.42"))


def test_a_fleet_has_both_kinds_and_the_age_of_its_inputs() -> None:
    seen = fleet(manifest(STATUS), manifest(kind="CompressionJob"), measurements=measured())

    assert (seen.at, len(seen.inferences), len(seen.compressions), seen.queue_depth) == (NOON, 1, 1, 2)
    assert seen.input_ages_seconds == {"pods": 3.0}
    assert seen.compressions[0].phase == "Pending"
