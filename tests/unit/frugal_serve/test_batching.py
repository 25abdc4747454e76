"""The queue before the runtime: what runs together, what each request gets, what is never run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from frugal_serve.batching import Batcher, BatchPolicy, Tensors
from frugal_serve.errors import BadRequest, InferenceFailed, QueueFull


@dataclass
class Observed:
    """Rows of each run, in order."""

    rows: list[int] = field(default_factory=list)
    waits: int = 0

    def ran(self, *, rows: int, compute_seconds: float, waits_seconds: Sequence[float]) -> None:
        assert compute_seconds >= 0
        assert min(waits_seconds) >= 0
        self.rows.append(rows)
        self.waits += len(waits_seconds)


@dataclass
class Gate:
    """A runtime that doubles x, refuses negative values, and runs only while it is open."""

    opened: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    seen: list[list[float]] = field(default_factory=list)

    def run(self, tensors: Tensors) -> Tensors:
        self.entered.set()
        assert self.opened.wait(10)
        self.seen.append(tensors["x"].ravel().tolist())
        if min(self.seen[-1]) < 0:
            raise BadRequest("x", "is negative")
        return {"y": tensors["x"] * 2}


def x(*values: float) -> Tensors:
    return {"x": np.array(values, np.float32).reshape(-1, 1)}


def values(result: Tensors) -> list[float]:
    found: list[float] = result["y"].ravel().tolist()
    return found


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def observed() -> Observed:
    return Observed()


Make = Callable[..., Batcher]


@pytest.fixture
async def make(gate: Gate, observed: Observed) -> AsyncIterator[Make]:
    """Batchers before the gate; make(max_rows=4, ...)."""
    made: list[Batcher] = []

    def batcher(
        *, max_rows: int = 4, delay_seconds: float = 0, queue_limit: int = 100, is_batched: bool = True
    ) -> Batcher:
        policy = BatchPolicy(
            max_rows=max_rows, delay_seconds=delay_seconds, queue_limit=queue_limit, is_batched=is_batched
        )
        made.append(Batcher(gate.run, policy=policy, observer=observed))
        return made[-1]

    yield batcher
    gate.opened.set()
    for each in made:
        each.stop()


async def occupy(batcher: Batcher, gate: Gate) -> asyncio.Future[Tensors]:
    """Return the future of a first request that is running, behind the closed gate."""
    first = batcher.submit(x(0), rows=1)
    await asyncio.to_thread(gate.entered.wait, 10)
    return first


async def test_what_is_queued_runs_together_and_each_gets_its_own(make: Make, gate: Gate, observed: Observed) -> None:
    batcher = make(max_rows=4)
    first = await occupy(batcher, gate)
    futures = [batcher.submit(x(1), rows=1), batcher.submit(x(2, 3), rows=2), batcher.submit(x(4), rows=1)]

    gate.opened.set()

    assert [values(result) for result in await asyncio.gather(first, *futures)] == [[0], [2], [4, 6], [8]]
    assert gate.seen == [[0], [1, 2, 3, 4]]
    assert observed.rows == [1, 4]
    assert observed.waits == 4


async def test_a_batch_has_at_most_the_rows_allowed_and_keeps_the_order(make: Make, gate: Gate) -> None:
    batcher = make(max_rows=4)
    first = await occupy(batcher, gate)
    futures = [batcher.submit(x(*rows), rows=len(rows)) for rows in ((1, 1, 1), (2, 2), (3,))]

    gate.opened.set()
    await asyncio.gather(first, *futures)

    assert gate.seen == [[0], [1, 1, 1], [2, 2, 3]]  # 3 + 2 rows are more than 4


async def test_one_request_with_more_rows_is_run_in_slices(make: Make, gate: Gate) -> None:
    batcher = make(max_rows=2)
    gate.opened.set()

    result = await batcher.submit(x(1, 2, 3, 4, 5), rows=5)

    assert values(result) == [2, 4, 6, 8, 10]
    assert gate.seen == [[1, 2], [3, 4], [5]]


async def test_a_request_that_fails_does_not_spoil_its_batch(make: Make, gate: Gate) -> None:
    batcher = make()
    first = await occupy(batcher, gate)
    good, bad, other = (batcher.submit(x(value), rows=1) for value in (1, -1, 2))

    gate.opened.set()
    await first

    assert values(await good) == [2]
    assert values(await other) == [4]
    with pytest.raises(BadRequest, match="negative"):
        await bad


async def test_rows_of_other_shapes_are_not_joined(make: Make, gate: Gate) -> None:
    batcher = make()
    first = await occupy(batcher, gate)
    narrow = batcher.submit({"x": np.ones((1, 1), np.float32)}, rows=1)
    wide = batcher.submit({"x": np.ones((1, 3), np.float32)}, rows=1)

    gate.opened.set()
    await asyncio.gather(first, narrow, wide)

    assert gate.seen == [[0], [1], [1, 1, 1]]


async def test_a_model_without_rows_runs_each_request_alone(make: Make, gate: Gate) -> None:
    batcher = make(is_batched=False)
    first = await occupy(batcher, gate)
    futures = [batcher.submit(x(1), rows=1), batcher.submit(x(2), rows=1)]

    gate.opened.set()
    await asyncio.gather(first, *futures)

    assert gate.seen == [[0], [1], [2]]


async def test_what_nobody_waits_for_is_not_run(make: Make, gate: Gate) -> None:
    batcher = make()
    first = await occupy(batcher, gate)
    kept, dropped, last = (batcher.submit(x(value), rows=1) for value in (1, 2, 3))

    dropped.cancel()
    depth = batcher.depth
    gate.opened.set()
    await asyncio.gather(first, kept, last)

    assert depth == 2
    assert gate.seen == [[0], [1, 3]]


async def test_a_full_queue_refuses_until_somebody_leaves(make: Make, gate: Gate) -> None:
    batcher = make(queue_limit=2)
    first = await occupy(batcher, gate)
    one, two = batcher.submit(x(1), rows=1), batcher.submit(x(2), rows=1)

    with pytest.raises(QueueFull, match="2 requests are queued"):
        batcher.submit(x(3), rows=1)
    one.cancel()
    four = batcher.submit(x(4), rows=1)
    gate.opened.set()

    assert values(await two) == [4]
    assert values(await four) == [8]
    await first


async def test_the_first_waits_for_others_at_most_for_the_delay(make: Make, gate: Gate) -> None:
    batcher = make(max_rows=2, delay_seconds=0.05)
    gate.opened.set()

    alone = await batcher.submit(x(1), rows=1)

    assert values(alone) == [2]


async def test_a_full_batch_waits_for_no_delay(make: Make, gate: Gate) -> None:
    batcher = make(max_rows=2, delay_seconds=60)
    gate.opened.set()

    first = batcher.submit(x(1), rows=1)
    await asyncio.sleep(0)  # the delay's timer runs
    second = batcher.submit(x(2), rows=1)
    results = await asyncio.wait_for(asyncio.gather(first, second), 10)

    assert [values(result) for result in results] == [[2], [4]]
    assert gate.seen == [[1, 2]]


async def test_results_that_lost_rows_are_an_error_of_the_batch_alone(observed: Observed) -> None:
    def sums_the_rows(tensors: Tensors) -> Tensors:
        return {"y": tensors["x"].sum(axis=0, keepdims=True)}

    policy = BatchPolicy(max_rows=8, delay_seconds=0.01, queue_limit=8, is_batched=True)
    batcher = Batcher(sums_the_rows, policy=policy, observer=observed)

    results = await asyncio.gather(batcher.submit(x(1), rows=1), batcher.submit(x(2), rows=1))
    batcher.stop()

    assert [values(result) for result in results] == [[1], [2]]


async def test_a_fault_that_nobody_foresaw_fails_its_batch_alone(observed: Observed) -> None:
    def breaks_on_zero(tensors: Tensors) -> Tensors:
        if tensors["x"].ravel().tolist() == [0]:
            raise MemoryError("no room")
        return {"y": tensors["x"]}

    policy = BatchPolicy(max_rows=1, delay_seconds=0, queue_limit=8, is_batched=True)
    batcher = Batcher(breaks_on_zero, policy=policy, observer=observed)

    with pytest.raises(InferenceFailed, match="MemoryError: no room"):
        await batcher.submit(x(0), rows=1)
    after = await batcher.submit(x(1), rows=1)
    batcher.stop()

    assert values(after) == [1]


async def test_a_stopped_batcher_says_that_it_is_dead(make: Make, gate: Gate) -> None:
    batcher = make()
    assert batcher.is_alive

    batcher.stop()

    assert not batcher.is_alive


def test_a_failure_of_the_runtime_is_no_fault_of_the_client() -> None:
    assert InferenceFailed("out of memory").status == 500
