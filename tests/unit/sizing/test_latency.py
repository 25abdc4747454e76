from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from frugal.sizing.latency import LatencyHistory
from frugal.sizing.samples import LoadSample

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, MONTH = 3_600.0, 30 * 86_400.0


def load(*buckets: tuple[float, int], at: datetime = NOON, requests: float = 100, failed: float = 0) -> LoadSample:
    return LoadSample(
        at=at,
        interval_seconds=60,
        requests=requests,
        failed=failed,
        service_seconds=0.003,
        latency_buckets=buckets,
        in_flight=0,
        replicas=1,
    )


def test_the_share_in_time_is_what_the_buckets_count() -> None:
    history = LatencyHistory().add(load((0.01, 60), (0.05, 97), (0.1, 100)))

    assert history.share_within(0.05, window_seconds=HOUR, now=NOON) == pytest.approx(0.97)


def test_a_threshold_between_two_edges_counts_only_what_is_surely_within() -> None:
    history = LatencyHistory().add(load((0.01, 60), (0.05, 97), (0.1, 100)))

    assert history.within(0.049, window_seconds=HOUR, now=NOON) == 60
    assert history.within(0.001, window_seconds=HOUR, now=NOON) == 0


def test_no_request_is_no_share() -> None:
    assert LatencyHistory().share_within(0.05, window_seconds=HOUR, now=NOON) is None


def test_the_quantile_is_the_edge_within_which_it_was_reached() -> None:
    history = LatencyHistory().add(load((0.01, 60), (0.05, 97), (0.1, 100)))

    assert history.quantile_seconds(0.95, window_seconds=HOUR, now=NOON) == 0.05
    assert history.quantile_seconds(0.99, window_seconds=HOUR, now=NOON) == 0.1


def test_a_quantile_above_the_highest_edge_is_not_known() -> None:
    history = LatencyHistory().add(load((0.01, 60), (0.05, 97)))

    assert history.quantile_seconds(0.99, window_seconds=HOUR, now=NOON) is None


def test_the_window_leaves_out_what_is_older() -> None:
    history = LatencyHistory().add(load((0.05, 0), at=NOON - timedelta(hours=6))).add(load((0.05, 100)))

    assert history.share_within(0.05, window_seconds=HOUR, now=NOON) == 1.0
    assert history.share_within(0.05, window_seconds=MONTH, now=NOON) == 0.5


def test_new_edges_keep_what_the_old_ones_surely_said() -> None:
    history = LatencyHistory().add(load((0.01, 60), (0.1, 100))).add(load((0.05, 90), (0.1, 100)))

    assert history.within(0.05, window_seconds=HOUR, now=NOON) == 60 + 90
    assert history.within(0.1, window_seconds=HOUR, now=NOON) == 200


def test_counts_since_the_first_sample_never_leave() -> None:
    history = LatencyHistory().add(load((0.05, 70), at=NOON - timedelta(days=400))).add(load((0.05, 100)))

    assert history.lifetime_within(0.05) == (170, 30)


def test_failures_are_counted_in_the_window() -> None:
    history = LatencyHistory().add(load((0.05, 100), failed=3))

    assert history.failed(window_seconds=HOUR, now=NOON) == 3


def test_a_sample_without_latencies_says_nothing() -> None:
    assert LatencyHistory().add(load()) == LatencyHistory()


def test_a_saved_history_loads_equal() -> None:
    history = LatencyHistory().add(load((0.05, 70), at=NOON - timedelta(days=3))).add(load((0.05, 100)))

    assert LatencyHistory.from_json(history.to_json()) == history
