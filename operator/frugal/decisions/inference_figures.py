"""What was measured, recommended and promised, as status fields and conditions. Sizes are decided in inference_size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from frugal.api.conditions import ConditionType, Reason
from frugal.api.inference_deployment import InferenceDeploymentSpec, Scaling, SizingMode
from frugal.api.money import Saving
from frugal.api.status import (
    AlternativeStatus,
    InferenceDeploymentStatus,
    RecommendationStatus,
    Size,
    UtilizationStatus,
)
from frugal.decisions.conditions import Told, find
from frugal.decisions.inference_size import SizeDecision, is_same_replica, is_same_size
from frugal.decisions.snapshot import Measured
from frugal.pricing.cost import rounded
from frugal.sizing.latency import LatencyHistory
from frugal.sizing.recommendation import Alternative, Recommendation
from frugal.sizing.request import STALE_AFTER_SECONDS
from frugal.sizing.samples import UsageSample
from frugal.units import duration_text, rfc3339

MAX_ALTERNATIVES = 16
USUAL_QUANTILE = 0.99  # of the shown latency, where no objective names one


def utilization_of(measured: Measured, size: Size, spec: InferenceDeploymentSpec) -> UtilizationStatus | None:
    """Return used / requested of the newest samples; None when there are none."""
    if not measured.usage:
        return None
    quantile = spec.slo.latency.quantile if spec.slo.latency is not None else USUAL_QUANTILE
    return UtilizationStatus(
        cpu=_share(_mean(measured.usage, lambda one: one.cpu_cores), size.cpu.cores),
        memory=_share(_mean(measured.usage, lambda one: one.memory_bytes), float(size.memory.value)),
        gpu=_rounded(_mean(measured.usage, lambda one: one.gpu_ratio)),
        requests_per_second=_rounded(measured.load.rate) if measured.load is not None else None,
        latency_seconds=_newest_quantile(measured, quantile),
        observed_at=rfc3339(measured.observed_at),
    )


def recommendation_of(
    decision: SizeDecision, before: InferenceDeploymentStatus, *, saving: Saving | None, is_due: bool, now: datetime
) -> RecommendationStatus | None:
    """Return the recommendation as the status has it: rewritten when it says another size, or when it is due."""
    advice, known = decision.advice, before.recommendation
    if not isinstance(advice, Recommendation):
        return known
    is_told = known is not None and is_same_size(known.target, advice.target) and _is_same_saving(known.saving, saving)
    if is_told and not is_due:
        return known
    return RecommendationStatus(
        target=advice.target,
        lower=advice.lower,
        upper=advice.upper,
        saving=saving,
        explanation=advice.explanation,
        alternatives=[_told_alternative(one) for one in advice.alternatives[:MAX_ALTERNATIVES]],
        observed_at=rfc3339(now),
    )


def _told_alternative(one: Alternative) -> AlternativeStatus:
    hourly = None if one.hourly is None else rounded(one.hourly)
    return AlternativeStatus(size=one.size, hourly=hourly, reason=one.reason[:256], measured=one.is_measured)


def _is_same_saving(known: Saving | None, now: Saving | None) -> bool:
    """Whether both say a saving, or both none: once a size is applied there is nothing to save any more."""
    return bool(known and known.monthly) == bool(now and now.monthly)


def told_telemetry(measured: Measured | None, *, now: datetime) -> Told:
    """Return `TelemetryAvailable`."""
    kind = ConditionType.TELEMETRY_AVAILABLE
    if measured is None:
        return Told(kind, False, Reason.TELEMETRY_MISSING, "nothing has been measured yet")
    if measured.problem:
        return Told(kind, False, Reason.TELEMETRY_MISSING, measured.problem)
    if (now - measured.observed_at).total_seconds() > STALE_AFTER_SECONDS:
        limit = duration_text(STALE_AFTER_SECONDS)
        message = f"the newest sample is of {rfc3339(measured.observed_at)}, older than {limit}: the size stays"
        return Told(kind, False, Reason.TELEMETRY_STALE, message)
    return Told(kind, True, Reason.TELEMETRY_FRESH, "samples arrive")


def told_size(spec: InferenceDeploymentSpec, decision: SizeDecision, telemetry: Told) -> Told:
    """Return `RightSized` with the sentence that explains it.

    telemetry: `TelemetryAvailable`, whose words hold here too where samples are too old: they name no age that grows.
    """
    kind, advice = ConditionType.RIGHT_SIZED, decision.advice
    if spec.right_sizing.mode is SizingMode.OFF:
        return Told(kind, None, Reason.OFF, "spec.rightSizing.mode is Off")
    if decision.taken_back:
        return Told(
            kind, False, Reason.ROLLED_BACK, f"the size before the last change runs again: {decision.taken_back}"
        )
    if advice is None:
        return Told(kind, None, Reason.TELEMETRY_MISSING, "nothing has been measured yet")
    if not isinstance(advice, Recommendation):
        message = telemetry.message if advice.reason is telemetry.reason else advice.message
        return Told(kind, None, advice.reason, message)
    is_ours = spec.right_sizing.scaling is Scaling.FRUGAL
    if (is_same_size if is_ours else is_same_replica)(decision.size, advice.target):
        return Told(kind, True, Reason.APPLIED, advice.explanation)
    if decision.capped_from is not None:
        return Told(kind, False, Reason.OVER_BUDGET, f"the budget allows {decision.size.replicas} replicas")
    if decision.objection is not None:
        is_near = decision.objection.reason is Reason.WITHIN_DEAD_BAND
        return Told(kind, is_near, decision.objection.reason, decision.objection.message)
    return Told(kind, False, Reason.RECOMMENDED, advice.explanation)


def told_objective(spec: InferenceDeploymentSpec, measured: Measured | None, *, now: datetime) -> Told:
    """Return `SLOMet`: the first part of the objective that is missed, or the figures of what is kept."""
    history = measured.state.latency if measured is not None else LatencyHistory()
    parts = [part for part in (_latency(spec, history, now), _availability(spec, history, now)) if part is not None]
    if not parts:
        return Told(ConditionType.SLO_MET, None, Reason.NO_OBJECTIVE, "the spec has no slo")
    missed = [part for part in parts if part.holds is False]
    if missed or len(parts) == 1:
        return (missed or parts)[0]
    known = [part for part in parts if part.holds] or parts[:1]
    return Told(ConditionType.SLO_MET, known[0].holds, known[0].reason, "; ".join(part.message for part in known))


def steady(told: Iterable[Told], before: Iterable[Mapping[str, Any]], *, generation: int, is_due: bool) -> list[Told]:
    """Return the conditions, those that say the same with newer figures in their old words until they are due."""
    known = list(before)
    return [one if is_due else _in_old_words(one, find(known, one.type), generation) for one in told]


def _in_old_words(one: Told, old: Mapping[str, Any], generation: int) -> Told:
    status = "Unknown" if one.holds is None else str(one.holds)
    same = (old.get("status"), old.get("reason"), old.get("observedGeneration")) == (status, one.reason, generation)
    return Told(one.type, one.holds, one.reason, str(old.get("message", ""))) if same else one


def _latency(spec: InferenceDeploymentSpec, history: LatencyHistory, now: datetime) -> Told | None:
    objective = spec.slo.latency
    if objective is None:
        return None
    share = history.share_within(objective.threshold.seconds, window_seconds=objective.window.seconds, now=now)
    what = f"answered within {objective.threshold} over {objective.window}"
    return _kept(share, objective.quantile, what)


def _availability(spec: InferenceDeploymentSpec, history: LatencyHistory, now: datetime) -> Told | None:
    if spec.slo.availability is None:
        return None
    window = spec.slo.latency.window if spec.slo.latency is not None else None
    seconds = window.seconds if window is not None else 30 * 86_400.0
    requests = history.requests(window_seconds=seconds, now=now)
    failed = history.failed(window_seconds=seconds, now=now)
    share = 1 - failed / requests if requests else None
    return _kept(share, spec.slo.availability / 100, f"answered without an error over {duration_text(seconds)}")


def _kept(share: float | None, promised: float, what: str) -> Told:
    kind = ConditionType.SLO_MET
    if share is None:
        return Told(kind, None, Reason.NO_TRAFFIC, "no request was measured in the window")
    holds = share >= promised
    reason = Reason.OBJECTIVE_MET if holds else Reason.OBJECTIVE_MISSED
    return Told(
        kind, holds, reason, f"{share * 100:.5g} % of the requests were {what}; {promised * 100:.5g} % are promised"
    )


def _newest_quantile(measured: Measured, quantile: float) -> float | None:
    if measured.load is None:
        return None
    newest = LatencyHistory().add(measured.load)
    return newest.quantile_seconds(quantile, window_seconds=3600, now=measured.load.at)


def _mean(usage: tuple[UsageSample, ...], read: Callable[[UsageSample], float | None]) -> float | None:
    values = [value for one in usage if (value := read(one)) is not None]
    return sum(values) / len(values) if values else None


def _share(used: float | None, available: float) -> float | None:
    return _rounded(used / available) if used is not None and available else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
