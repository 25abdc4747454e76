"""Latency per sample at batch 1 on one thread of one core, two models in alternation, so that both meet the same noise.

Each figure carries process-CPU / wall: near 1 is a quiet core, below it others had it, above it more threads ran.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugal_jobs.models.model import Runnable
from frugal_jobs.models.running import Arrays, Run, opened

WARM_UP_RUNS = 10
ROUNDS = 7  # the median of seven ratios; a burst of other work spoils one or two
RUN_SECONDS = 0.6  # of a whole comparison, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds per sample, and the share of wall time in which this process had the core."""

    p50_seconds: float
    p95_seconds: float
    runs: int
    cpu_per_wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two models measured in alternation; `ratio` is the median over rounds of baseline p50 / candidate p50."""

    baseline: Latency
    candidate: Latency
    ratio: float


def compare(baseline: Runnable, candidate: Runnable, feed: Arrays, *, seconds: float = RUN_SECONDS) -> Comparison:
    """Return both latencies; `feed` is one sample, or a whole batch for a model with a fixed one."""
    with one_core():
        runners = [_runner(model, feed) for model in (baseline, candidate)]
        slowest = max(_warmed_up(run) for run in runners)
        runs = max(5, min(300, int(seconds / ROUNDS / (2 * slowest))))
        wall, cpu = time.perf_counter(), time.process_time()
        rounds = [[_timed(run, runs) for run in runners] for _ in range(ROUNDS)]
        share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    samples = len(next(iter(feed.values())))
    medians = [[float(np.median(times)) for times in pair] for pair in rounds]
    before, after = (_latency([pair[side] for pair in rounds], samples, share) for side in (0, 1))
    return Comparison(
        baseline=before, candidate=after, ratio=float(np.median([first / second for first, second in medians]))
    )


def _runner(model: Runnable, feed: Arrays) -> tuple[Run, Arrays]:
    return opened(model), dict(feed)


def _timed(runner: tuple[Run, Arrays], runs: int) -> NDArray[np.float64]:
    run, feed = runner
    ticks = np.empty(runs + 1)
    ticks[0] = time.perf_counter()
    for number in range(runs):
        run(feed)
        ticks[number + 1] = time.perf_counter()
    return np.diff(ticks)


def _warmed_up(runner: tuple[Run, Arrays]) -> float:
    return max(float(np.median(_timed(runner, WARM_UP_RUNS))), 1e-6)


def _latency(rounds: list[NDArray[np.float64]], samples: int, share: float) -> Latency:
    times = np.concatenate(rounds) / samples
    return Latency(
        p50_seconds=float(np.median(times)), p95_seconds=float(np.quantile(times, 0.95)), runs=len(times),
        cpu_per_wall=round(share, 3),
    )  # fmt: skip


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread on the core where it is, where the system can (Linux)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
