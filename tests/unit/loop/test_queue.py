"""The keyed queue: once in it, never in two hands, back off on failure."""

import asyncio

from frugal.loop.ports import ObjectKey
from frugal.loop.queue import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, KeyedQueue

ONE = ObjectKey("CompressionJob", "default", "one")
TWO = ObjectKey("CompressionJob", "default", "two")


class HandClock:
    """A clock that moves only by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def nothing_is_due(queue: KeyedQueue) -> bool:
    taking = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    idle = not taking.done()
    taking.cancel()
    return idle


async def test_a_key_added_twice_comes_once() -> None:
    queue = KeyedQueue(HandClock())
    queue.add(ONE)
    queue.add(ONE)

    taken = await queue.take()

    assert taken == ONE
    assert await nothing_is_due(queue)


async def test_keys_come_in_the_order_in_which_they_are_due() -> None:
    clock = HandClock()
    queue = KeyedQueue(clock)
    queue.add(ONE, after_seconds=5)
    queue.add(TWO, after_seconds=1)
    clock.seconds = 6

    taken = [await queue.take(), await queue.take()]

    assert taken == [TWO, ONE]


async def test_an_earlier_time_wins_over_a_later_one() -> None:
    clock = HandClock()
    queue = KeyedQueue(clock)
    queue.add(ONE, after_seconds=60)
    queue.add(ONE, after_seconds=0)

    assert await queue.take() == ONE

    queue.done(ONE)
    clock.seconds = 61
    assert await nothing_is_due(queue)  # the later time went with the earlier one


async def test_a_key_in_a_hand_is_not_given_to_another_but_comes_again() -> None:
    queue = KeyedQueue(HandClock())
    queue.add(ONE)
    await queue.take()

    queue.add(ONE)

    assert await nothing_is_due(queue)
    queue.done(ONE)
    assert await queue.take() == ONE


async def test_failures_back_off_twice_as_long_each_time_up_to_a_bound() -> None:
    clock = HandClock()
    queue = KeyedQueue(clock)
    queue.add(ONE)

    waits = []
    for _ in range(12):
        await queue.take()
        waits.append(queue.failed(ONE))
        clock.seconds += waits[-1]

    assert waits[:3] == [FIRST_BACKOFF_SECONDS, 2 * FIRST_BACKOFF_SECONDS, 4 * FIRST_BACKOFF_SECONDS]
    assert waits[-1] == LONGEST_BACKOFF_SECONDS


async def test_success_forgets_the_failures() -> None:
    clock = HandClock()
    queue = KeyedQueue(clock)
    queue.add(ONE)
    await queue.take()
    clock.seconds += queue.failed(ONE)
    await queue.take()
    queue.done(ONE, requeue_seconds=0)
    await queue.take()

    assert queue.failed(ONE) == FIRST_BACKOFF_SECONDS


async def test_an_event_wakes_a_key_that_backs_off() -> None:
    queue = KeyedQueue(HandClock())
    queue.add(ONE)
    await queue.take()
    queue.failed(ONE)

    queue.add(ONE)

    assert await queue.take() == ONE
