"""The fleet at one moment: what is known is shown, what is not is left out, money goes on between two statuses."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

from frugal.loop.fleet import Fleet, fleet_snapshot, see
from frugal.loop.measurements import Measurements
from frugal.loop.ports import ObjectKey, Reading
from frugal.metrics.snapshot import FleetSnapshot
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from tests.fakes.cluster import FakeCluster
from tests.unit.loop.world import NOON, compression_job, inference_deployment

SIZE = {"cpu": "500m", "memory": "128Mi", "replicas": 2}


def shown(cluster: FakeCluster, measurements: Measurements | None = None, *, minutes: int = 0) -> FleetSnapshot:
    now = NOON + timedelta(minutes=minutes)
    return fleet_snapshot(see(cluster, measurements or Measurements(), now=now), ("team",))[0]


def with_status(manifest: dict[str, Any], **status: Any) -> FakeCluster:
    cluster = FakeCluster()
    cluster.create({**manifest, "status": status})
    return cluster


def measured(key: ObjectKey, *usage: UsageSample) -> Measurements:
    load = LoadSample(
        at=NOON,
        interval_seconds=10,
        requests=50,
        failed=0,
        service_seconds=None,
        latency_buckets=((0.01, 40), (0.1, 50)),
        in_flight=0,
        replicas=2,
    )
    measurements = Measurements()
    reading = Reading(observations={key: Observation(usage=usage, load=load)}, problems={}, ages_seconds={"pods": 1.0})
    assert list(measurements.take(reading, now=NOON)) == [key]
    return measurements


def test_a_new_object_shows_no_figure_that_nobody_knows() -> None:
    cluster = with_status(inference_deployment(), observedGeneration=-1)

    (figures,) = shown(cluster).inferences

    assert (figures.cpu_cores, figures.month_to_date, figures.requests_per_second) == (None, None, None)
    assert not figures.is_price_missing  # nothing runs yet, so nothing has to be priced


def test_what_runs_without_a_cost_misses_a_price() -> None:
    cluster = with_status(inference_deployment(), applied={"size": SIZE, "since": "2026-11-24T11:00:00Z"})

    (figures,) = shown(cluster).inferences

    assert figures.is_price_missing


def test_the_month_to_date_goes_on_while_the_status_rests() -> None:
    cost = {
        "hourly": "0.60",
        "monthToDate": "10.00",
        "forecastMonth": "99.00",
        "currency": "EUR",
        "observedAt": "2026-11-24T12:00:00Z",
    }
    cluster = with_status(inference_deployment(), cost=cost)

    (figures,) = shown(cluster, minutes=30).inferences

    assert figures.month_to_date == Decimal("10.30")  # half an hour at 0.60
    assert (figures.hourly, figures.currency) == ({"all": Decimal("0.60")}, "EUR")


def test_use_is_added_over_the_replicas_and_utilization_is_their_mean() -> None:
    applied = {"size": SIZE, "since": "2026-11-24T11:00:00Z"}
    cluster = with_status(inference_deployment(), applied=applied)
    samples = [UsageSample(at=NOON, cpu_cores=cores, memory_bytes=32 * 1024**2) for cores in (0.1, 0.3)]

    (figures,) = shown(cluster, measured(cluster.keys()[0], *samples)).inferences

    assert (figures.cpu_cores, figures.memory_bytes) == (0.4, 64 * 1024**2)
    assert figures.utilization == {"cpu": 0.4, "memory": 0.25}  # (0.1 + 0.3) / 2 of 0.5 cores; 32 of 128 MiB
    assert figures.requests_per_second == 5


def test_the_objective_is_counted_by_requests() -> None:
    objective = {"latency": {"threshold": "10ms", "quantile": 0.99}}
    cluster = with_status(inference_deployment(slo=objective))
    sample = UsageSample(at=NOON, cpu_cores=0.1, memory_bytes=1)

    (figures,) = shown(cluster, measured(cluster.keys()[0], sample)).inferences

    assert (figures.slo_met, figures.slo_missed) == (40, 10)
    assert (figures.slo_target_seconds, figures.slo_quantile) == (0.01, 0.99)


def test_figures_of_a_failed_reading_are_not_shown_as_if_they_were_new() -> None:
    cluster = with_status(inference_deployment())
    key = cluster.keys()[0]
    measurements = measured(key, UsageSample(at=NOON, cpu_cores=0.1, memory_bytes=1))
    list(measurements.take(Reading(observations={}, problems={key: "away"}, ages_seconds={}), now=NOON))

    (figures,) = shown(cluster, measurements).inferences

    assert figures.cpu_cores is None


def test_a_change_that_waits_is_shown_with_its_reason() -> None:
    waiting = {
        "type": "RightSized",
        "status": "False",
        "reason": "CoolingDown",
        "lastTransitionTime": "2026-11-24T12:00:00Z",
    }

    (figures,) = shown(with_status(inference_deployment(), conditions=[waiting])).inferences

    assert figures.held_back == "CoolingDown"


def test_a_compression_is_shown_by_its_best_candidate() -> None:
    best = {"loss": 0.2, "lossUpperBound": 0.4, "sizeRatio": 7.9, "latencyRatio": 3.2}
    cluster = with_status(compression_job(), phase="Succeeded", best=best)

    (figures,) = shown(cluster).compressions

    assert (figures.phase, figures.size_ratio, figures.speedup_ratio) == ("Succeeded", 7.9, 3.2)
    assert (figures.loss_points, figures.loss_upper_points) == (0.2, 0.4)


def test_a_status_that_somebody_else_broke_does_not_hide_the_others() -> None:
    cluster = with_status(inference_deployment("broken"), replicas="many")
    cluster.create(inference_deployment("good"))

    names = [figures.name for figures in shown(cluster).inferences]

    assert names == ["broken", "good"]


def test_only_the_labels_that_are_allowed_are_shown() -> None:
    manifest = inference_deployment()
    manifest["metadata"]["labels"] = {"team": "shop", "commit": "4f2a"}
    cluster = with_status(manifest)

    (figures,) = shown(cluster).inferences

    assert figures.labels == {"team": "shop"}


async def test_a_changed_status_is_read_again_and_others_are_not() -> None:
    cluster = with_status(inference_deployment("still"), replicas=1)
    cluster.create({**inference_deployment("moved"), "status": {"replicas": 1}})
    first, readings = fleet_snapshot(see(cluster, Measurements(), now=NOON))
    cluster.create({**inference_deployment("moved"), "status": {"replicas": 2}})

    second, again = fleet_snapshot(see(cluster, Measurements(), now=NOON), (), readings)

    assert [one.replicas["current"] for one in first.inferences] == [1, 1]
    assert {one.name: one.replicas["current"] for one in second.inferences} == {"moved": 2, "still": 1}
    assert {key.name for key in again if again[key] is readings[key]} == {"still"}


async def test_another_thread_sees_what_stands_in_the_event_loop() -> None:
    cluster = with_status(inference_deployment(), replicas=3)
    fleet = Fleet(lambda: see(cluster, Measurements(), now=NOON), asyncio.get_running_loop())

    snapshot = await asyncio.to_thread(fleet)

    assert snapshot.inferences[0].replicas["current"] == 3
