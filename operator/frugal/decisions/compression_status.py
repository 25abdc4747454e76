"""The status of a CompressionJob, put together from what was known, what the pod says and where the work stands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from frugal.api.compression_job import CompressionJob
from frugal.api.conditions import ConditionType, Reason
from frugal.api.money import CostBenefitStatus
from frugal.api.result import Candidate, CompressionResult, ProgressLine, ResultVerdict
from frugal.api.status import CompressionJobStatus, SearchProgress
from frugal.decisions.compression_money import after_work, cost_of, utilization_of
from frugal.decisions.compression_stage import Stage
from frugal.decisions.compression_work import Work
from frugal.decisions.conditions import Standing, Told
from frugal.decisions.snapshot import CompressionSnapshot, Manifest
from frugal.pricing.speedup import scored
from frugal.units import Duration, duration_text, rfc3339

MOST_CANDIDATES = 20  # as status.candidates allows


def status_before(manifest: Manifest) -> CompressionJobStatus:
    """Return the status that stands in the object; one that cannot be read counts as none, because it is a summary."""
    try:
        return CompressionJobStatus.model_validate(manifest.get("status") or {})
    except ValidationError:
        return CompressionJobStatus()


def for_inputs(previous: CompressionJobStatus, inputs_hash: str) -> CompressionJobStatus:
    """Return what of the previous status still speaks of these inputs.

    What earlier inputs published stays, with what it measured, until something newer is published.
    """
    if previous.inputs_hash == inputs_hash:
        return previous
    return CompressionJobStatus(
        inputs_hash=inputs_hash, best=previous.best, artifacts=previous.artifacts, report=previous.report
    )


def with_started(status: CompressionJobStatus, *, job_name: str, work: Work, now: datetime) -> CompressionJobStatus:
    """Return the status of work that has a Job; when it was first created is kept."""
    created = (work.job or {"metadata": {}})["metadata"].get("creationTimestamp") or rfc3339(now)
    return status.model_copy(update={"job_name": job_name, "started_at": status.started_at or created})


def with_progress(status: CompressionJobStatus, lines: Iterable[ProgressLine]) -> CompressionJobStatus:
    """Return the status with what the pod has printed; where it printed nothing yet, what was known stays."""
    told = tuple(lines)
    found: dict[str, Any] = {
        "progress": _progress(told),
        "baseline": next((line.baseline for line in reversed(told) if line.baseline is not None), None),
        "advice": next((line.message for line in reversed(told) if line.kind == "advice"), None),
        "candidates": pareto_front([line.candidate for line in told if line.candidate is not None]) or None,
    }
    return status.model_copy(update={name: value for name, value in found.items() if value is not None})


def with_result(
    status: CompressionJobStatus,
    job: CompressionJob,
    result: CompressionResult,
    *,
    work: Work,
    seen: CompressionSnapshot,
    finished_at: str,
) -> CompressionJobStatus:
    """Return the status with a delivered verdict."""
    cost = cost_of(job, result.usage, work, seen.environment)
    verdicts = (status.cost_benefit or CostBenefitStatus()).model_copy(
        update={"after": after_work(job, result, cost, seen)}
    )
    if verdicts.speedup is not None and result.best is not None and result.artifacts:
        verdicts = verdicts.model_copy(update={"speedup": scored(verdicts.speedup, result.best.latency_ratio)})
    known: dict[str, Any] = {
        "finished_at": finished_at,
        "advice": result.advice or status.advice,
        "baseline": result.baseline or status.baseline,
        "progress": _without_eta(status.progress, result),
        "utilization": utilization_of(job.spec, result.usage),
        "cost": cost,
        "cost_benefit": verdicts,
    }
    if result.artifacts:  # of a job with several targets some may be published though another failed
        known |= {"best": result.best, "artifacts": result.artifacts, "report": _page_of(result.report_uri)}
    return status.model_copy(update=known)


def with_late_candidates(status: CompressionJobStatus, lines: Iterable[ProgressLine]) -> CompressionJobStatus:
    """Return the status of ended work with lines that arrived only after its verdict."""
    front = pareto_front([line.candidate for line in lines if line.candidate is not None])
    return status.model_copy(update={"candidates": front}) if front else status


def outcome_conditions(stage: Stage, status: CompressionJobStatus) -> tuple[Told, ...]:
    """Return Verified and Published; `Published` of ended work remembers how it ended.

    Work that ended before its verification, for example by an outage, leaves `Verified` unknown.
    """
    verified = {Reason.SUCCEEDED: True, Reason.REJECTED: False}.get(stage.reason)
    if stage.is_final:
        return (
            Told(ConditionType.VERIFIED, verified, stage.reason, stage.message),
            Told(ConditionType.PUBLISHED, stage.standing is Standing.READY, stage.reason, stage.message),
        )
    kept = "; the artifacts of an earlier spec stay until then" if status.artifacts else ""
    return (
        Told(ConditionType.VERIFIED, None, stage.reason, "the verdict comes at the end of the work"),
        Told(ConditionType.PUBLISHED, None, stage.reason, f"nothing is published yet{kept}"),
    )


def pareto_front(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates that no other beats in loss, size and latency at once; at most 20, least loss first."""
    distinct = list({_axes(one): one for one in candidates}.items())
    front = [one for axes, one in distinct if not any(_dominates(other, axes) for other, _ in distinct)]
    return sorted(front, key=lambda one: (one.loss, -one.size_ratio, one.technique))[:MOST_CANDIDATES]


def _page_of(report_uri: str) -> str:
    """Return the report for people, which lies beside the one for programs."""
    folder, _, name = report_uri.rpartition("/")
    return f"{folder}/report.html" if name == "report.json" else report_uri


def _axes(one: Candidate) -> tuple[float, float, float]:
    return one.loss, -one.size_ratio, -one.latency_ratio


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))


def _progress(lines: tuple[ProgressLine, ...]) -> SearchProgress | None:
    counted = [line for line in lines if line.trials is not None]
    if not counted:
        return None
    newest = counted[-1]
    best = next((line.best for line in reversed(lines) if line.best is not None), None)
    eta = Duration(duration_text(newest.eta_seconds)) if newest.eta_seconds is not None else None
    return SearchProgress(trials=newest.trials or 0, of=newest.of or 0, eta=eta, best=best)


def _without_eta(progress: SearchProgress | None, result: CompressionResult) -> SearchProgress:
    known = progress or SearchProgress()
    trials = max(known.trials, result.trials)
    best = result.best if result.verdict is ResultVerdict.REJECTED and result.best is not None else known.best
    return SearchProgress(trials=trials, of=max(known.of, trials), best=best)
