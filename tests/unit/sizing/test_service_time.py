from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from frugal.sizing.samples import LoadSample
from frugal.sizing.service_time import ServiceTime

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def load(requests: float, service_seconds: float | None, *, minutes: float = 0) -> LoadSample:
    return LoadSample(
        at=NOON + timedelta(minutes=minutes),
        interval_seconds=60,
        requests=requests,
        failed=0,
        service_seconds=service_seconds,
        latency_buckets=(),
        in_flight=0,
        replicas=1,
    )


def test_the_mean_is_over_requests_not_over_intervals() -> None:
    known = ServiceTime().add(load(900, 0.002), cpu_cores=None).add(load(100, 0.012), cpu_cores=None)

    assert known.mean_seconds == pytest.approx(0.003)


def test_a_new_version_of_the_model_shows_within_the_hour() -> None:
    known = ServiceTime().add(load(1_000, 0.010), cpu_cores=None).add(load(1_000, 0.001, minutes=60), cpu_cores=None)

    assert known.mean_seconds == pytest.approx((0.5 * 0.010 + 0.001) / 1.5)


def test_nothing_computed_is_no_service_time() -> None:
    assert ServiceTime().add(load(0, None), cpu_cores=0.1).mean_seconds is None


def test_the_cpu_of_a_request_has_what_is_around_its_computing() -> None:
    known = ServiceTime().add(load(6_000, 0.002), cpu_cores=0.5)

    assert known.cpu_seconds_per_request == pytest.approx(0.005)  # 0.5 * 60 / 6000


def test_the_cpu_of_loading_a_model_is_not_a_requests() -> None:
    starting = ServiceTime().add(load(3, 0.002), cpu_cores=0.9)

    assert starting.cpu_seconds_per_request is None  # 54 s of CPU for 6 ms of computing


def test_a_saved_service_time_loads_equal() -> None:
    known = ServiceTime().add(load(6_000, 0.002), cpu_cores=0.5)

    assert ServiceTime.from_json(known.to_json()) == known
