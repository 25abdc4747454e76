"""Status conditions by the Kubernetes API conventions, and every reason that Frugal gives. Decides none of them.

`Ready`, `Reconciling` and `Stalled` follow kstatus, so that `kubectl wait`, Flux and Argo CD read both kinds rightly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from frugal.api.base import MachineModel
from frugal.units import rfc3339


class ConditionType(StrEnum):
    """Every condition type of both kinds."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    VALID = "Valid"
    VERIFIED = "Verified"
    PUBLISHED = "Published"
    WORTH_IT = "WorthIt"
    SLO_MET = "SLOMet"
    RIGHT_SIZED = "RightSized"
    WITHIN_BUDGET = "WithinBudget"
    TELEMETRY_AVAILABLE = "TelemetryAvailable"


class Reason(StrEnum):
    """Every machine-readable reason of a condition or an event."""

    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    INVALID_INPUT = "InvalidInput"
    PENDING = "Pending"
    SUSPENDED = "Suspended"
    QUEUED = "Queued"
    ESTIMATING = "Estimating"
    SEARCHING = "Searching"
    VERIFYING = "Verifying"
    PUBLISHING = "Publishing"
    SUCCEEDED = "Succeeded"
    REJECTED = "LossAboveLimit"
    NOT_WORTH_IT = "NotWorthIt"
    WORTH_IT = "WorthIt"
    PAYBACK_UNKNOWN = "PaybackUnknown"
    POD_FAILED = "PodFailed"
    OUT_OF_MEMORY = "OutOfMemory"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    UNSCHEDULABLE = "Unschedulable"
    FORBIDDEN = "Forbidden"
    CONFLICT = "Conflict"
    REFERENCE_MISSING = "ReferenceMissing"
    WAITING_FOR_ARTIFACT = "WaitingForArtifact"
    PROGRESSING = "Progressing"
    SERVING = "Serving"
    ROLLOUT_FAILED = "RolloutFailed"
    SCALED_TO_ZERO = "ScaledToZero"
    OBJECTIVE_MET = "ObjectiveMet"
    OBJECTIVE_MISSED = "ObjectiveMissed"
    NO_OBJECTIVE = "NoObjective"
    NO_TRAFFIC = "NoTraffic"
    TOO_FEW_SAMPLES = "TooFewSamples"
    TELEMETRY_STALE = "TelemetryStale"
    TELEMETRY_MISSING = "TelemetryMissing"
    TELEMETRY_FRESH = "TelemetryFresh"
    PRICE_MISSING = "PriceMissing"
    APPLIED = "Applied"
    RECOMMENDED = "Recommended"
    WITHIN_DEAD_BAND = "WithinDeadBand"
    COOLING_DOWN = "CoolingDown"
    OUTSIDE_CHANGE_WINDOW = "OutsideChangeWindow"
    FAILED_BEFORE = "FailedBefore"
    ON_TRIAL = "OnTrial"
    ROLLED_BACK = "RolledBack"
    OFF = "Off"
    UNSUPPORTED = "Unsupported"
    WITHIN_BUDGET = "WithinBudget"
    OVER_BUDGET = "OverBudget"
    NO_BUDGET = "NoBudget"


class Condition(MachineModel):
    """One condition, as `metav1.Condition`."""

    type: Annotated[str, Field(max_length=64, description="Which condition this is.")]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="Whether it holds.")]
    reason: Annotated[str, Field(max_length=256, description="Why, in one CamelCase word for machines.")]
    message: Annotated[str, Field(max_length=4096, description="Why, in a sentence for people, with its figures.")] = ""
    last_transition_time: Annotated[str, Field(max_length=32, description="When `status` last changed.")]
    observed_generation: Annotated[int, Field(description="The generation of the spec that this speaks of.")] = 0


def condition(
    kind: ConditionType, status: bool | None, reason: Reason, message: str, *, generation: int, now: datetime
) -> Condition:
    """Return a condition; `status` None is Unknown. `lastTransitionTime` is `now` until `carry_transitions` sets it."""
    word: Literal["True", "False", "Unknown"] = "Unknown" if status is None else "True" if status else "False"
    return Condition(
        type=kind.value,
        status=word,
        reason=reason.value,
        message=message[:4096],
        last_transition_time=rfc3339(now),
        observed_generation=generation,
    )


def carry_transitions(new: Iterable[Condition], previous: Iterable[Mapping[str, Any]]) -> list[Condition]:
    """Return `new` in order of type, each with the transition time of its predecessor while its status is the same.

    previous: the conditions that stand in the object's status now, as the API server holds them.
    """
    before = {old.get("type"): old for old in previous}
    carried = []
    for fresh in sorted(new, key=lambda one: one.type):
        old = before.get(fresh.type)
        if old is not None and old.get("status") == fresh.status and old.get("lastTransitionTime"):
            fresh = fresh.model_copy(update={"last_transition_time": str(old["lastTransitionTime"])})
        carried.append(fresh)
    return carried
