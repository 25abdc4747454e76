from __future__ import annotations

from datetime import UTC, datetime, timedelta

from frugal.sizing.peaks import Peaks

MONDAY = datetime(2026, 3, 2, 0, 0, 30, tzinfo=UTC)
MEBIBYTE = 1024**2


def test_the_first_sample_of_a_fresh_service_already_is_a_peak() -> None:
    peaks = Peaks.empty().add(180 * MEBIBYTE, at=MONDAY)

    assert 180 * MEBIBYTE <= peaks.percentile(0.9) <= 190 * MEBIBYTE


def test_a_day_has_one_peak_however_many_samples_it_had() -> None:
    peaks = Peaks.empty()
    for minute in range(1_000):
        peaks = peaks.add(100 * MEBIBYTE, at=MONDAY + timedelta(minutes=minute))
    peaks = peaks.add(400 * MEBIBYTE, at=MONDAY + timedelta(minutes=1_001))

    assert peaks.percentile(0.5) >= 400 * MEBIBYTE


def test_the_peak_of_yesterday_still_counts_today() -> None:
    peaks = Peaks.empty().add(400 * MEBIBYTE, at=MONDAY).add(100 * MEBIBYTE, at=MONDAY + timedelta(days=1))

    assert peaks.percentile(0.98) >= 400 * MEBIBYTE
    assert peaks.percentile(0.5) < 120 * MEBIBYTE  # weights 1/3 (yesterday) and 2/3


def test_a_peak_fades_from_the_98th_percentile_within_a_week() -> None:
    peaks = Peaks.empty().add(400 * MEBIBYTE, at=MONDAY)
    for day in range(1, 8):
        peaks = peaks.add(100 * MEBIBYTE, at=MONDAY + timedelta(days=day))

    assert peaks.percentile(0.98) < 120 * MEBIBYTE  # its weight is 1 of 1 + 2 + ... + 128


def test_a_late_sample_counts_in_the_open_day() -> None:
    peaks = Peaks.empty().add(100 * MEBIBYTE, at=MONDAY).add(300 * MEBIBYTE, at=MONDAY - timedelta(minutes=2))

    assert peaks.peak == 300 * MEBIBYTE


def test_saved_peaks_load_again() -> None:
    peaks = Peaks.empty().add(400 * MEBIBYTE, at=MONDAY).add(100 * MEBIBYTE, at=MONDAY + timedelta(days=1))

    assert Peaks.from_json(peaks.to_json()) == peaks
    assert Peaks.from_json({}) == Peaks.empty()
