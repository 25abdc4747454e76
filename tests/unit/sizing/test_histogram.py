from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from frugal.sizing.histogram import CPU_CORES, MEMORY_BYTES, Buckets, Histogram

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def histogram(*values: float, at: datetime = NOON, buckets: Buckets = CPU_CORES) -> Histogram:
    made = Histogram.empty(buckets)
    for value in values:
        made = made.add(value, at=at)
    return made


def test_the_buckets_are_those_of_the_vertical_pod_autoscaler() -> None:
    assert CPU_CORES.count == 176  # ceil(log(1000 * 0.05 / 0.01 + 1) / log 1.05) + 1
    assert CPU_CORES.start(1) == pytest.approx(0.01)
    assert CPU_CORES.start(2) == pytest.approx(0.01 + 0.01 * 1.05)
    assert MEMORY_BYTES.start(1) == pytest.approx(1e7)


@pytest.mark.parametrize("value", [0.0, 0.0099, 0.01, 0.5, 1.0, 7.3, 999.0])
def test_a_value_lies_between_the_edges_of_its_bucket(value: float) -> None:
    index = CPU_CORES.index(value)

    assert CPU_CORES.start(index) <= value < CPU_CORES.start(index + 1)


def test_a_value_over_the_top_counts_in_the_last_bucket() -> None:
    assert CPU_CORES.index(1e9) == CPU_CORES.count - 1


def test_a_percentile_is_the_upper_edge_of_its_bucket() -> None:
    made = histogram(*[0.1] * 90, *[0.5] * 10)

    assert 0.1 <= made.percentile(0.9) <= 0.1 * 1.15  # edges are 5 % of the value plus first / value apart
    assert 0.5 <= made.percentile(0.91) <= 0.5 * 1.06


def test_a_sample_of_yesterday_weighs_half() -> None:
    made = histogram(0.1, at=NOON - timedelta(days=1)).add(2.0, at=NOON)

    assert made.percentile(0.33) < 0.2  # 0.5 of 1.5
    assert made.percentile(0.34) > 1.9


def test_a_late_sample_counts_as_if_it_had_come_in_time() -> None:
    in_time = histogram(0.1, at=NOON - timedelta(hours=5)).add(2.0, at=NOON)
    late = histogram(2.0, at=NOON).add(0.1, at=NOON - timedelta(hours=5))

    shares = [[weight / made.total_weight for weight in made.weights] for made in (in_time, late)]
    assert shares[0] == pytest.approx(shares[1])


def test_a_year_of_silence_leaves_only_what_came_after_it() -> None:
    made = histogram(5.0, at=NOON).add(0.1, at=NOON + timedelta(days=365))

    assert made.percentile(1.0 - 1e-12) < 0.2


def test_what_never_got_a_sample_is_empty_and_saves_as_nothing() -> None:
    empty = Histogram.empty(CPU_CORES)

    assert empty.is_empty
    assert empty.to_json() == {}
    assert Histogram.from_json({}, CPU_CORES) == empty


def test_a_saved_histogram_names_the_same_percentiles() -> None:
    made = histogram(*[0.05 * number for number in range(1, 200)])

    loaded = Histogram.from_json(json.loads(json.dumps(made.to_json())), CPU_CORES)

    assert [loaded.percentile(q / 20) for q in range(21)] == [made.percentile(q / 20) for q in range(21)]


def test_a_saved_histogram_keeps_only_buckets_that_hold_something() -> None:
    assert set(histogram(0.005, 0.005, 1.0).to_json()["weights"].values()) == {10_000, 5_000}


def test_histograms_of_different_buckets_do_not_mix() -> None:
    with pytest.raises(AssertionError):
        histogram(1.0).merge(Histogram.empty(MEMORY_BYTES))
