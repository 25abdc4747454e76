"""Samples of metrics as values, from the Prometheus text format. What is no measurement is dropped here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from frugal.errors import TelemetryError

SENTINEL = 9.2e18  # DCGM publishes what it cannot measure as 9223372036854775794 and its neighbours


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one moment."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse_exposition(text: str) -> tuple[Sample, ...]:
    """Return the samples in a page of metrics; raises TelemetryError when it is no such page."""
    try:
        return tuple(_samples(text))
    except ValueError as error:
        raise TelemetryError(f"not in the Prometheus text format: {error}") from error


def is_measurement(value: float) -> bool:
    """Whether a number was measured: neither NaN nor infinite nor a placeholder for what is absent."""
    return math.isfinite(value) and abs(value) < SENTINEL


def _samples(text: str) -> Iterator[Sample]:
    # Without its TYPE a counter keeps the name under which it is written; with it the parser adds _total, which
    # Triton's and DCGM's counters do not have, and under which Prometheus does not store them.
    untyped = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for family in text_string_to_metric_families(untyped + "\n"):
        for sample in family.samples:
            if is_measurement(sample.value):
                yield Sample(sample.name, sample.labels, sample.value)
