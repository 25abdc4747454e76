"""The queue before the runtime: what waits is run together, in one thread of its own, and the results are parted again.

Requests come validated; one that fails all the same never spoils another. Knows no HTTP and no ONNX.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

import numpy as np

from frugal_serve.datatypes import Array
from frugal_serve.errors import InferenceFailed, QueueFull, RequestError

Tensors = Mapping[str, Array]
Run = Callable[[Tensors], Tensors]
"""One call of the runtime; raises RequestError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How much runs together, how long the first may wait for more, how many requests may wait."""

    max_rows: int
    delay_seconds: float
    queue_limit: int
    is_batched: bool  # False: each request runs alone, whatever max_rows is


class BatchObserver(Protocol):
    """Who is told of each batch, in the event loop's thread."""

    def ran(self, *, rows: int, compute_seconds: float, waits_seconds: Sequence[float]) -> None:
        """A batch was run."""


@dataclass(slots=True, eq=False)
class Work:
    """One request's tensors, and the future of its results; a cancelled future is never run once seen."""

    tensors: Tensors
    rows: int
    future: asyncio.Future[Tensors]
    queued_at: float = field(default_factory=time.perf_counter)

    def fits(self, other: Work) -> bool:
        """Whether both can be parts of one tensor."""
        return all(array.shape[1:] == other.tensors[name].shape[1:] for name, array in self.tensors.items())


@dataclass(frozen=True, slots=True)
class _Ran:
    outcomes: Sequence[Tensors | RequestError]  # one for each work
    seconds: float


class Batcher:
    """Runs submitted tensors, in order of arrival, as many together as the policy allows."""

    def __init__(self, run: Run, *, policy: BatchPolicy, observer: BatchObserver) -> None:
        self._run, self._policy, self._observer = run, policy, observer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Work] = deque()
        self._is_busy = False
        self._timer: asyncio.Handle | None = None
        self._handed: SimpleQueue[list[Work] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="frugal-inference", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Requests that wait: neither those that run nor those whose client went away."""
        return sum(not work.future.cancelled() for work in self._waiting)

    @property
    def is_alive(self) -> bool:
        """Whether the thread that runs batches is there."""
        return self._thread.is_alive()

    def submit(self, tensors: Tensors, *, rows: int) -> asyncio.Future[Tensors]:
        """Return the future results for `tensors`; raises QueueFull. Cancelling it takes the work out of the queue."""
        if len(self._waiting) >= self._policy.queue_limit:
            self._drop_cancelled()
        if len(self._waiting) >= self._policy.queue_limit:
            raise QueueFull(limit=self._policy.queue_limit)
        work = Work(tensors, rows, self._loop.create_future())
        self._waiting.append(work)
        self._wake()
        return work.future

    def stop(self) -> None:
        """End the thread after the batch that it runs."""
        self._handed.put(None)
        self._thread.join()

    def _wake(self) -> None:
        """Look at the queue after all that this turn of the loop brings, unless a look is due already."""
        if self._is_busy:
            return
        if isinstance(self._timer, asyncio.TimerHandle) and self._is_full():
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_soon(self._dispatch)

    def _is_full(self) -> bool:
        return sum(work.rows for work in self._waiting) >= self._policy.max_rows

    def _drop_cancelled(self) -> None:
        self._waiting = deque(work for work in self._waiting if not work.future.cancelled())

    def _dispatch(self) -> None:
        """Hand the next batch to the thread, or look again when its delay is over."""
        self._timer = None
        while self._waiting and self._waiting[0].future.cancelled():
            self._waiting.popleft()
        if self._is_busy or not self._waiting:
            return
        left_seconds = self._waiting[0].queued_at + self._policy.delay_seconds - time.perf_counter()
        if left_seconds > 0 and not self._is_full():
            self._timer = self._loop.call_later(left_seconds, self._dispatch)
            return
        self._is_busy = True
        self._handed.put(self._take())

    def _take(self) -> list[Work]:
        """Return the first in the queue and those behind it that fit, up to the policy's rows; at least one."""
        batch = [self._waiting.popleft()]
        rows = batch[0].rows
        while self._policy.is_batched and self._waiting:
            candidate = self._waiting[0]
            if not candidate.future.cancelled():
                rows += candidate.rows
                if rows > self._policy.max_rows or not batch[0].fits(candidate):
                    break
                batch.append(candidate)
            self._waiting.popleft()
        return batch

    def _serve(self) -> None:
        """Run what is handed over; the thread's only function."""
        while (batch := self._handed.get()) is not None:
            started = time.perf_counter()
            try:
                outcomes = self._outcomes(batch)
            except Exception as error:  # no memory to join the batch, or a bug: the next batch may fare better
                outcomes = [InferenceFailed(f"{type(error).__name__}: {error}")] * len(batch)
            ran = _Ran(outcomes, time.perf_counter() - started)
            self._loop.call_soon_threadsafe(self._finish, batch, ran, started)

    def _outcomes(self, batch: list[Work]) -> Sequence[Tensors | RequestError]:
        """Return one outcome for each of `batch`; when the whole fails, each is run alone."""
        if len(batch) == 1:
            return [self._alone(batch[0])]
        joined = {name: np.concatenate([work.tensors[name] for work in batch]) for name in batch[0].tensors}
        try:
            return _parted(self._run(joined), [work.rows for work in batch])
        except RequestError:
            return [self._alone(work) for work in batch]

    def _alone(self, work: Work) -> Tensors | RequestError:
        """Return one request's outcome, in slices when it alone has more rows than the policy allows."""
        most = self._policy.max_rows
        try:
            if not self._policy.is_batched or work.rows <= most:
                return self._run(work.tensors)
            slices = [
                self._run({name: array[start : start + most] for name, array in work.tensors.items()})
                for start in range(0, work.rows, most)
            ]
        except RequestError as error:
            return error
        return {name: np.concatenate([part[name] for part in slices]) for name in slices[0]}

    def _finish(self, batch: list[Work], ran: _Ran, started: float) -> None:
        """Give each request its outcome, then look for the next batch."""
        self._is_busy = False
        for work, outcome in zip(batch, ran.outcomes, strict=True):
            if work.future.cancelled():
                continue
            if isinstance(outcome, RequestError):
                work.future.set_exception(outcome)
            else:
                work.future.set_result(outcome)
        waits_seconds = [started - work.queued_at for work in batch]
        rows = sum(work.rows for work in batch)
        self._observer.ran(rows=rows, compute_seconds=ran.seconds, waits_seconds=waits_seconds)
        if self._waiting:
            self._dispatch()


def _parted(results: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Return the share of each request: `rows` of them, in order; raises InferenceFailed when there are not as many."""
    total = sum(rows)
    if not all(array.shape[:1] == (total,) for array in results.values()):
        raise InferenceFailed(f"{total} rows went in, and another number came out")
    ends = np.cumsum(rows).tolist()
    starts = [0, *ends[:-1]]
    return [
        {name: array[start:end] for name, array in results.items()} for start, end in zip(starts, ends, strict=True)
    ]
