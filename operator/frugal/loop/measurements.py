"""What telemetry has taught about each InferenceDeployment, from its checkpoint on. Reads no telemetry itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from frugal.decisions.snapshot import Children, Manifest, Measured
from frugal.errors import FrugalError
from frugal.loop.ports import History, ObjectKey, Reading
from frugal.resources.checkpoint import find_checkpoint, saved_state
from frugal.sizing.samples import Observation
from frugal.sizing.state import WorkloadState

RECALL_TRIES = 3  # ticks

_log = logging.getLogger(__name__)


class UnreadableHistory(FrugalError):
    """What was learnt of a workload cannot be read."""

    def __init__(self, config_map: str) -> None:
        self.config_map = config_map
        super().__init__(f"the ConfigMap {config_map} cannot be read; the operator learns it again")


class Measurements:
    """The measured state of every workload that was looked at."""

    def __init__(self) -> None:
        self._measured: dict[ObjectKey, Measured | None] = {}
        self._to_recall: dict[ObjectKey, int] = {}  # without a checkpoint: how often to ask for their past
        self.ages_seconds: Mapping[str, float] = {}  # by input: age of the newest sample at the newest reading

    def of(self, key: ObjectKey, children: Children) -> Measured | None:
        """Return what is known of a workload; at first sight, what its checkpoint among `children` says."""
        if key not in self._measured:
            state = _checkpoint(key, children)
            last_at = state.last_at if state is not None else None
            self._measured[key] = (
                Measured(state=state, observed_at=last_at) if state is not None and last_at is not None else None
            )
            if self._measured[key] is None:
                self._to_recall[key] = RECALL_TRIES
        return self._measured[key]

    def known(self, key: ObjectKey) -> Measured | None:
        """Return what is known of a workload, without a look at its checkpoint."""
        return self._measured.get(key)

    def forget(self, key: ObjectKey) -> None:
        """Drop what was learnt of a workload that is gone."""
        self._measured.pop(key, None)
        self._to_recall.pop(key, None)

    def is_to_recall(self, key: ObjectKey) -> bool:
        """Whether this workload has no checkpoint, and its past was not told yet."""
        return key in self._to_recall

    def recall(self, key: ObjectKey, past: History | None) -> None:
        """Learn a workload's past anew, instead of the little that was learnt since; None: it could not be told now."""
        tries = self._to_recall.pop(key, 0)
        if past is None and tries > 1:
            self._to_recall[key] = tries - 1
        if not past:
            return
        state = WorkloadState.empty()
        for observation in past:
            state = state.observe(observation)
        before = self._measured.get(key)
        if before is not None:
            self._measured[key] = replace(before, state=state)
        elif state.last_at is not None:
            self._measured[key] = Measured(state=state, observed_at=state.last_at)

    def take(self, reading: Reading, *, now: datetime) -> Iterator[ObjectKey]:
        """Learn from a reading, and yield each workload that it tells something new of."""
        self.ages_seconds = reading.ages_seconds
        for key, observation in reading.observations.items():
            self._measured[key] = _learnt(self._measured.get(key), observation, now=now)
            yield key
        for key, problem in reading.problems.items():
            before = self._measured.get(key)
            if before is None or before.problem != problem:
                known = before or Measured(state=WorkloadState.empty(), observed_at=now)
                self._measured[key] = replace(known, problem=problem)
                yield key


def _learnt(before: Measured | None, observation: Observation, *, now: datetime) -> Measured:
    state = (before.state if before is not None else WorkloadState.empty()).observe(observation)
    return Measured(
        state=state,
        observed_at=state.last_at or now,
        usage=observation.usage,
        load=observation.load,
    )


def _checkpoint(key: ObjectKey, children: Children) -> WorkloadState | None:
    """Return the saved state, or None; one that cannot be read is learnt again, because it is only a memory."""
    try:
        return state_of(find_checkpoint(key.name, children.config_maps))
    except UnreadableHistory as error:
        _log.warning("%s: the sizing checkpoint cannot be read and is learnt again: %s", key, error.__cause__)
        return None


def state_of(checkpoint: Manifest | None) -> WorkloadState | None:
    """Return what `checkpoint` has of a workload; None where nothing was saved yet. Raises UnreadableHistory."""
    saved = saved_state(checkpoint) if checkpoint is not None else None
    if checkpoint is None or saved is None:
        return None
    try:
        return WorkloadState.from_json(saved)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnreadableHistory(checkpoint["metadata"]["name"]) from error
