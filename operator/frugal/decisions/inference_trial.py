"""Whether a change that saves stands: it is watched, taken back when it misses the objective, and not tried again.

Only changes that take something from a replica are on trial; growth is never taken back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from frugal.api.inference_deployment import InferenceDeploymentSpec, LatencyObjective
from frugal.api.status import AppliedStatus, RejectedSize, Size, TrialStatus
from frugal.decisions.snapshot import Measured
from frugal.sizing.stability import urgent_part
from frugal.sizing.vertical import samples_for
from frugal.units import parse_rfc3339, rfc3339

TRIAL_SECONDS = 3_600.0  # field practice: an hour; longer until enough requests have come, at most a day
LONGEST_TRIAL_SECONDS = 86_400.0
FORGET_SECONDS = 7 * 86_400.0  # every hour of a week has then come again
SURELY_DEVIATIONS = 3.09  # one look in a thousand is wrong; there is a look every tick
LEAST_MISSED = 5  # below it the normal approximation of a count says nothing
NEAR_RATIO = 1.1  # a size that differs by less than the dead band is the same size
MAX_REJECTED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a rollout stands, as far as a trial needs it. version: of the model."""

    is_complete: bool
    is_overdue: bool
    version: str


def saves(before: Size, after: Size) -> bool:
    """Whether `after` takes something from a replica, so that it must prove itself."""
    same_number = before.model_copy(update={"replicas": after.replicas})
    return urgent_part(same_number, after) != after


def fault_of(
    applied: AppliedStatus | None, spec: InferenceDeploymentSpec, measured: Measured | None, progress: Progress
) -> str:
    """Return why the size on trial must be taken back; empty while nothing speaks against it."""
    if applied is None or applied.trial is None or not spec.rollout.rollback:
        return ""
    if progress.is_overdue and not applied.trial.since:
        return "its pods did not become ready in time"
    counted = _counted(applied.trial, spec.slo.latency, measured)
    if counted is None or spec.slo.latency is None:
        return ""
    requests, missed = counted
    allowed = 1 - spec.slo.latency.quantile
    surely = requests * allowed + SURELY_DEVIATIONS * math.sqrt(requests * allowed * (1 - allowed))
    if missed < LEAST_MISSED or missed <= surely:
        return ""
    return (
        f"{missed} of {requests} requests took longer than {spec.slo.latency.threshold}, "
        f"{allowed * 100:.3g} % are allowed"
    )


def goes_on(
    applied: AppliedStatus,
    spec: InferenceDeploymentSpec,
    measured: Measured | None,
    progress: Progress,
    *,
    now: datetime,
) -> TrialStatus | None:
    """Return the trial as it is now: begun when the last replica has the new size, None when it is passed."""
    trial = applied.trial
    if trial is None:
        return None
    if not trial.since:
        return _begun(trial, spec.slo.latency, measured, now) if progress.is_complete else trial
    age = (now - parse_rfc3339(trial.since)).total_seconds()
    counted = _counted(trial, spec.slo.latency, measured)
    if counted is None:  # counts were lost with a checkpoint: what is left of the trial is counted from here
        lost = spec.slo.latency is not None and measured is not None
        trial = _begun(trial, spec.slo.latency, measured, parse_rfc3339(trial.since)) if lost else trial
    asked = samples_for(spec.slo.latency.quantile) if spec.slo.latency is not None else 0
    is_judged = (counted[0] if counted else 0) >= asked
    return None if age >= (TRIAL_SECONDS if is_judged else LONGEST_TRIAL_SECONDS) else trial


def remembered(rejected: Sequence[RejectedSize], *, version: str, now: datetime) -> list[RejectedSize]:
    """Return what is still held against a size: of this version, and not older than a week."""
    oldest = now - timedelta(seconds=FORGET_SECONDS)
    return [one for one in rejected if one.version == version and parse_rfc3339(one.at) > oldest][-MAX_REJECTED:]


def with_rejected(
    rejected: Sequence[RejectedSize], size: Size, previous: Size, *, version: str, reason: str, now: datetime
) -> list[RejectedSize]:
    """Return the memory with one more size that was taken back for `previous`."""
    is_kind = _kind(size) != _kind(previous)
    fresh = RejectedSize(size=size, at=rfc3339(now), version=version, is_kind=is_kind, reason=reason[:512])
    return [*rejected, fresh][-MAX_REJECTED:]


def failed_before(size: Size, rejected: Sequence[RejectedSize]) -> RejectedSize | None:
    """Return the failure that speaks against changing to `size`: nothing in it is clearly more than what failed.

    A kind that failed is out with any request, because what it lacked was no CPU or memory of the pod's.
    """
    for one in reversed(rejected):
        if _kind(one.size) == _kind(size) and (one.is_kind or _is_no_more(size, one.size)):
            return one
    return None


def _is_no_more(size: Size, failed: Size) -> bool:
    cpu, memory = float(failed.cpu.value) * NEAR_RATIO, float(failed.memory.value) * NEAR_RATIO
    return float(size.cpu.value) < cpu and float(size.memory.value) < memory and size.replicas <= failed.replicas


def _kind(size: Size) -> tuple[str, str, int]:
    return size.accelerator, size.product, size.count


def _begun(
    trial: TrialStatus, objective: LatencyObjective | None, measured: Measured | None, at: datetime
) -> TrialStatus:
    requests, missed = _lifetime(objective, measured)
    return trial.model_copy(update={"since": rfc3339(at), "requests": requests, "missed": missed})


def _counted(
    trial: TrialStatus, objective: LatencyObjective | None, measured: Measured | None
) -> tuple[int, int] | None:
    """Return (requests, missed) since the trial began; None before it began and where counts were lost since."""
    if not trial.since or objective is None or measured is None:
        return None
    requests, missed = _lifetime(objective, measured)
    counted = requests - trial.requests, missed - trial.missed
    return counted if min(counted) >= 0 else None


def _lifetime(objective: LatencyObjective | None, measured: Measured | None) -> tuple[int, int]:
    if objective is None or measured is None:
        return 0, 0
    met, missed = measured.state.latency.lifetime_within(objective.threshold.seconds)
    return round(met + missed), round(missed)
