from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from frugal.api.price_book import PriceBook
from frugal.decisions.snapshot import Environment, Measured
from frugal.metrics.fleet import Seen, compression_figures, fleet_snapshot, inference_figures
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.state import WorkloadState

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


def environment(**entry: str) -> Environment:
    prices = {"cpuPerCoreHour": "0.04", "memoryPerGiBHour": "0.01"} | entry
    book = {"currency": "USD", "source": "a test", "retrievedAt": "2026-03-01", "entries": [prices]}
    return Environment(now=NOON, jobs_image="jobs", serve_image="serve", prices=PriceBook.model_validate(book))


def manifest(status: dict[str, Any] | None = None, *, kind: str = "InferenceDeployment", **spec: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"namespace": "shop", "name": "fashion", "uid": "u", "generation": 1},
        "spec": {"model": {"uri": "pvc://models/m.onnx"}, **spec},
        "status": status or {},
    }


def measured(latencies: tuple[tuple[float, int], ...] = ((0.05, 990), (0.1, 1_000))) -> Measured:
    usage = tuple(UsageSample(at=NOON, cpu_cores=cores, memory_bytes=2**29) for cores in (0.2, 0.3))
    load = LoadSample(
        at=NOON,
        interval_seconds=10,
        requests=1_000,
        failed=0,
        service_seconds=0.003,
        latency_buckets=latencies,
        in_flight=0,
        replicas=2,
    )
    state = WorkloadState.empty().observe(Observation(usage=usage, load=load))
    return Measured(state=state, observed_at=NOON, usage=usage, load=load)


def test_the_parts_of_the_cost_add_up_to_what_status_says() -> None:
    figures = inference_figures(Seen(manifest=manifest(STATUS)), environment())

    assert figures.hourly == {"cpu": Decimal("0.04"), "memory": Decimal("0.02")}  # 2 * 0.5 * 0.04, 2 * 1 * 0.01
    assert sum(figures.hourly.values()) == Decimal("0.06")
    assert figures.is_price_missing is False


def test_a_price_that_changed_since_does_not_change_the_sum() -> None:
    figures = inference_figures(Seen(manifest=manifest(STATUS)), environment(cpuPerCoreHour="0.40"))

    assert sum(figures.hourly.values()) == pytest.approx(Decimal("0.06"))


def test_without_prices_the_last_known_cost_is_one_sum() -> None:
    figures = inference_figures(
        Seen(manifest=manifest(STATUS)), Environment(now=NOON, jobs_image="jobs", serve_image="serve")
    )

    assert figures.hourly == {"all": Decimal("0.06")}
    assert figures.is_price_missing is True


def test_savings_are_rates_an_hour() -> None:
    figures = inference_figures(Seen(manifest=manifest(STATUS)), environment())

    assert figures.recommended_saving_hourly == Decimal("0.02")  # 14.60 / 730
    assert figures.saved_hourly == Decimal("0.04")  # 0.10 - 0.06


def test_use_is_a_sum_and_utilization_a_mean_of_the_replicas() -> None:
    figures = inference_figures(Seen(manifest=manifest(STATUS), measured=measured()), environment())

    assert figures.cpu_cores == pytest.approx(0.5)
    assert figures.memory_bytes == 2**30
    assert figures.utilization == pytest.approx({"cpu": 0.5, "memory": 0.5})  # 0.25 of 0.5, 512Mi of 1Gi
    assert figures.requests_per_second == 100
    assert figures.samples == 1


def test_the_objective_is_shown_with_what_was_measured_of_it() -> None:
    slo = {"latency": {"threshold": "50ms", "quantile": 0.99}}

    figures = inference_figures(Seen(manifest=manifest(STATUS, slo=slo), measured=measured()), environment())

    assert (figures.slo_target_seconds, figures.slo_quantile, figures.slo_observed_seconds) == (0.05, 0.99, 0.05)
    assert (figures.slo_met, figures.slo_missed) == (990, 10)


def test_only_a_reason_that_holds_back_is_told_as_such() -> None:
    def held(reason: str, status: str) -> str:
        said = {"type": "RightSized", "status": status, "reason": reason, "lastTransitionTime": "2026-03-10T11:00:00Z"}
        return inference_figures(Seen(manifest=manifest(STATUS | {"conditions": [said]})), environment()).held_back

    assert held("CoolingDown", "False") == "CoolingDown"
    assert held("Recommended", "False") == ""
    assert held("Applied", "True") == ""


def test_a_brand_new_object_shows_what_is_known_of_it() -> None:
    figures = inference_figures(Seen(manifest=manifest()), environment())

    assert (figures.hourly, figures.applied, figures.is_price_missing) == ({}, None, False)


def test_a_status_that_cannot_be_read_is_taken_for_none() -> None:
    broken = manifest({"cost": {"hourly": "a lot"}})

    assert inference_figures(Seen(manifest=broken), environment()).month_to_date is None


def test_a_compression_shows_its_best_candidate() -> None:
    status = {
        "phase": "Succeeded",
        "best": {"loss": 0.21, "lossUpperBound": 0.43, "sizeRatio": 7.9, "latencyRatio": 3.2},
        "cost": {"amount": "0.42", "currency": "USD"},
    }

    figures = compression_figures(manifest(status, kind="CompressionJob"))

    assert (figures.phase, figures.size_ratio, figures.speedup_ratio) == ("Succeeded", 7.9, 3.2)
    assert (figures.loss_points, figures.loss_upper_points, figures.cost) == (0.21, 0.43, Decimal("0.42"))


def test_a_fleet_has_both_kinds() -> None:
    fleet = fleet_snapshot(
        (Seen(manifest=manifest(STATUS)), Seen(manifest=manifest(kind="CompressionJob"))),
        environment=environment(),
        version="0.1.0",
        python_version="3.11",
        input_ages_seconds={"pods": 3.0},
    )

    assert (fleet.at, len(fleet.inferences), len(fleet.compressions)) == (NOON, 1, 1)
    assert fleet.compressions[0].phase == "Pending"
