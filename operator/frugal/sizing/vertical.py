"""What one replica needs: CPU and memory with their bounds, from histograms. Knows no price and no queue.

Percentiles, margin and the widening of bounds follow the VPA recommender (logic/estimator.go, logic/recommender.go in
kubernetes/autoscaler) except where a line says otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

from frugal.sizing.state import WorkloadState

MARGIN_RATIO = 0.15  # VPA: recommendation-margin-fraction; also KRR's memory buffer
CPU_QUANTILE = 0.95  # KRR: cpu_percentile; VPA takes 0.9, but its target is not a latency objective's
MEMORY_QUANTILE = 0.98  # Autopilot (EuroSys 2020), for memory; with daily peaks it is the highest of about a week
LOWER_QUANTILE = 0.5  # VPA: target lower bound
CPU_UPPER_QUANTILE = 0.99
CPU_FLOOR_CORES = 0.025  # VPA: pod-recommendation-min-cpu-millicores
MEMORY_FLOOR_BYTES = 64 * 1024**2  # our server with an empty model; VPA's 250 MB would hide small models
OUT_OF_MEMORY_FACTOR = 2.0  # VPA's 1.2 takes 8 kills from 1 to 4 GiB, doubling takes 2
MAX_LIMIT_RATIO = 2.0  # limit to request while evidence is thin: a node is overcommitted by no more than that
SHRINK_CONFIDENCE = 0.95  # of the bound from order statistics in `samples_for`


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one replica needs of one resource, in its base unit; lower <= target <= upper.

    measured: the percentile of use that the target comes from, before the margin.
    """

    measured: float
    lower: float
    target: float
    upper: float


def confidence(state: WorkloadState) -> float:
    """Return the VPA's confidence: days of history, or of minutes with a sample where those are fewer; above 0."""
    days = min(state.history_seconds / 86_400, state.usage_minutes / 1_440)
    return max(days, 1 / 1_440)


def samples_for(quantile: float) -> int:
    """Return how many samples carry a statement about `quantile`: 59 for p95, 299 for p99.

    With fewer, the highest sample lies under the true quantile more often than 1 - 0.95 (n = ln 0.05 / ln q).
    """
    return math.ceil(math.log(1 - SHRINK_CONFIDENCE) / math.log(quantile))


def cpu_need(state: WorkloadState, *, replicas: int | None) -> Need:
    """Return the cores that one of `replicas` needs, or of as many as there are (None); CPU must have been measured."""
    histogram, share = (state.cpu, 1) if replicas is None else (state.cpu_total, max(1, replicas))
    lower, measured, upper = (
        histogram.percentile(quantile) / share for quantile in (LOWER_QUANTILE, CPU_QUANTILE, CPU_UPPER_QUANTILE)
    )
    return _need(lower, measured, upper, floor=CPU_FLOOR_CORES, evidence=confidence(state))


def memory_need(state: WorkloadState, *, now: datetime) -> Need:
    """Return the bytes that a replica needs; memory must have been measured.

    After an out-of-memory kill it is at least twice what the killed container had, until measured peaks replace that.
    """
    peaks = state.memory.all()
    lower, measured, upper = (peaks.percentile(quantile) for quantile in (LOWER_QUANTILE, MEMORY_QUANTILE, 1.0))
    need = _need(lower, measured, upper, floor=MEMORY_FLOOR_BYTES, evidence=confidence(state))
    floor = out_of_memory_floor(state, now=now)
    return replace(need, lower=max(need.lower, floor), target=max(need.target, floor), upper=max(need.upper, floor))


def out_of_memory_floor(state: WorkloadState, *, now: datetime) -> float:
    """Return the bytes below which memory may not go after a recent kill; 0 when there was none."""
    kill = state.out_of_memory
    return OUT_OF_MEMORY_FACTOR * kill.killed_bytes if kill is not None and kill.holds(now) else 0.0


def settled(need: Need, applied: float) -> float:
    """Return what to ask for: `applied` while half of the margin over the measured use is left, else the target.

    So a percentile that wavers by one bucket (5 %) restarts nothing; more need never asks for less.
    """
    half_margin = need.target * (1 + MARGIN_RATIO / 2) / (1 + MARGIN_RATIO)
    return applied if half_margin <= applied <= need.target else need.target


def memory_limit(need: Need, request_bytes: float) -> float:
    """Return the limit for a memory request: the upper bound, between the request and twice the request."""
    return min(max(need.upper, request_bytes), MAX_LIMIT_RATIO * request_bytes)


def _need(lower: float, measured: float, upper: float, *, floor: float, evidence: float) -> Need:
    margin = 1 + MARGIN_RATIO
    target = max(floor, measured * margin)
    return Need(
        measured=measured,
        lower=min(target, max(floor, lower * margin * (1 + 0.001 / evidence) ** -2)),  # VPA: lower-bound confidence
        target=target,
        upper=max(target, upper * margin * (1 + 1 / evidence)),  # VPA: upper-bound confidence
    )
