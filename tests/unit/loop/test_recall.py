"""What is learnt of a workload whose checkpoint is lost, and how often its past is asked for."""

from __future__ import annotations

from datetime import timedelta

from frugal.decisions.snapshot import Children
from frugal.loop.measurements import RECALL_TRIES, Measurements
from frugal.loop.ports import ObjectKey, Reading
from frugal.sizing.samples import Observation, UsageSample
from tests.unit.loop.world import NOON

KEY = ObjectKey("InferenceDeployment", "team", "fashion")


def observation(hours_ago: float, cores: float) -> Observation:
    usage = UsageSample(at=NOON - timedelta(hours=hours_ago), cpu_cores=cores, memory_bytes=1024)
    return Observation(usage=(usage,))


def at_first_sight() -> Measurements:
    measurements = Measurements()
    measurements.of(KEY, Children())
    return measurements


def test_a_workload_without_a_checkpoint_learns_its_past() -> None:
    measurements = at_first_sight()

    measurements.recall(KEY, tuple(observation(hours, 0.5) for hours in (3, 2, 1)))

    known = measurements.known(KEY)
    assert known is not None
    assert known.observed_at == NOON - timedelta(hours=1)
    assert not measurements.is_to_recall(KEY)


def test_what_was_learnt_meanwhile_stays_the_newest() -> None:
    measurements = at_first_sight()
    newest = observation(0, 0.7)
    list(measurements.take(Reading(observations={KEY: newest}, problems={}, ages_seconds={}), now=NOON))

    measurements.recall(KEY, (observation(2, 0.5), observation(1, 0.5)))

    known = measurements.known(KEY)
    assert known is not None
    assert known.usage == newest.usage
    assert known.observed_at == NOON


def test_a_past_that_cannot_be_told_is_asked_for_again_but_not_for_ever() -> None:
    measurements = at_first_sight()

    asked = 0
    while measurements.is_to_recall(KEY):
        measurements.recall(KEY, None)
        asked += 1

    assert asked == RECALL_TRIES
    assert measurements.known(KEY) is None


def test_a_workload_without_a_past_is_asked_for_it_once() -> None:
    measurements = at_first_sight()

    measurements.recall(KEY, ())

    assert not measurements.is_to_recall(KEY)
