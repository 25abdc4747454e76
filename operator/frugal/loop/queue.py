"""A keyed work queue: each key at most once in it, never in two hands at a time, failures back off. Knows no kind."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from frugal.loop.ports import ObjectKey

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 60.0


class KeyedQueue:
    """Keys that wait to be looked at, each due at a time; adding a key that waits only makes it due earlier.

    A key that is added while it is being worked on comes again after `done`. `time` is a monotonic clock in seconds.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._due: dict[ObjectKey, float] = {}
        self._heap: list[tuple[float, int, ObjectKey]] = []
        self._order = itertools.count()
        self._working: set[ObjectKey] = set()
        self._again: dict[ObjectKey, float] = {}
        self._failures: dict[ObjectKey, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: ObjectKey, *, after_seconds: float = 0.0) -> None:
        """Make `key` due `after_seconds` from now, or earlier if it already waits for an earlier time."""
        due = self._time() + after_seconds
        if key in self._working:
            self._again[key] = min(due, self._again.get(key, due))
        elif due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, next(self._order), key))
            self._changed.set()

    async def take(self) -> ObjectKey:
        """Return the next key when it is due; it stays in this hand until `done` or `failed`."""
        while True:
            self._drop_outdated()
            wait = self._heap[0][0] - self._time() if self._heap else None
            if wait is not None and wait <= 0:
                _, _, key = heapq.heappop(self._heap)
                del self._due[key]
                self._working.add(key)
                return key
            await self._wait(wait)

    def done(self, key: ObjectKey, *, requeue_seconds: float | None = None) -> None:
        """Hand `key` back as looked at; it comes again after `requeue_seconds`, if given."""
        self._failures.pop(key, None)
        self._hand_back(key, requeue_seconds)

    def failed(self, key: ObjectKey) -> float:
        """Hand `key` back for a retry with exponential backoff, and return the seconds until then."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        backoff = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(count, 20), LONGEST_BACKOFF_SECONDS)
        self._again.pop(key, None)  # an event during an outage must not shorten the backoff to nothing
        self._hand_back(key, backoff)
        return backoff

    def _hand_back(self, key: ObjectKey, after_seconds: float | None) -> None:
        self._working.discard(key)
        again = self._again.pop(key, None)
        if again is not None:
            self.add(key, after_seconds=max(0.0, again - self._time()))
        if after_seconds is not None:
            self.add(key, after_seconds=after_seconds)

    def _drop_outdated(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)

    async def _wait(self, seconds: float | None) -> None:
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
