"""Where the work of a CompressionJob stands, and what a person is told. Small checks, the first that applies."""

from __future__ import annotations

from dataclasses import dataclass

from frugal.api.compression_job import CompressionJob
from frugal.api.conditions import Reason
from frugal.api.result import CompressionResult, ResultVerdict
from frugal.api.status import CompressionPhase
from frugal.decisions.compression_work import Work, ended_without_verdict, job_condition, newest_crash
from frugal.decisions.conditions import Standing, Told
from frugal.decisions.pods import last_words, phase_of, waiting_trouble
from frugal.resources.compression import job_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the work stands; `is_final` when nothing but a change of the object moves it on."""

    phase: CompressionPhase
    standing: Standing
    reason: Reason
    message: str
    is_final: bool = False


def suspended() -> Stage:
    """Return the stage of work that the spec has stopped."""
    return Stage(
        phase=CompressionPhase.SUSPENDED,
        standing=Standing.RESTING,
        reason=Reason.SUSPENDED,
        message="spec.suspend is true: the Job is deleted, its study is kept; set it to false to go on",
    )


def not_worth_it(explanation: str) -> Stage:
    """Return the stage of work that is not started because it would not pay."""
    return Stage(
        phase=CompressionPhase.PENDING,
        standing=Standing.STALLED,
        reason=Reason.NOT_WORTH_IT,
        message=f"not started (costBenefit.mode: Enforce): {explanation}",
    )


def waiting_for_pod(job: CompressionJob) -> Stage:
    """Return the stage before a pod is there."""
    name = job_name(job)
    return Stage(
        phase=CompressionPhase.PENDING,
        standing=Standing.WORKING,
        reason=Reason.PENDING,
        message=f"Job {name} waits for its pod to start; if it stays so, `kubectl describe job {name}` tells why",
    )


def of_result(job: CompressionJob, result: CompressionResult) -> Stage:
    """Return the stage that a delivered verdict ends in."""
    if result.verdict is ResultVerdict.SUCCEEDED:
        return _final(CompressionPhase.SUCCEEDED, Standing.READY, Reason.SUCCEEDED, _success(result))
    if result.verdict is ResultVerdict.REJECTED:
        return _final(CompressionPhase.FAILED, Standing.STALLED, Reason.REJECTED, _rejection(job, result))
    return _final(CompressionPhase.FAILED, Standing.STALLED, Reason.INVALID_INPUT, _blame(result))


def of_memory(outcome: Told) -> Stage:
    """Return the stage that the work ended in, as `Published` remembers it."""
    if outcome.holds:
        return _final(CompressionPhase.SUCCEEDED, Standing.READY, outcome.reason, outcome.message)
    return _final(CompressionPhase.FAILED, Standing.STALLED, outcome.reason, outcome.message)


def of_failure(job: CompressionJob, work: Work) -> Stage | None:
    """Return the stage in which the Job gave up, or None while it has not."""
    lost = ended_without_verdict(work)
    if lost is not None:
        words = last_words(lost.message) or "nothing"
        message = f"the pod ended without a verdict that can be read; it said {words}"
        return _final(CompressionPhase.FAILED, Standing.STALLED, Reason.POD_FAILED, message)
    failed = job_condition(work, "Failed")
    if not failed:
        return None
    if failed.get("reason") == "DeadlineExceeded":
        return _final(CompressionPhase.FAILED, Standing.STALLED, Reason.DEADLINE_EXCEEDED, _overtime(job))
    reason, message = _given_up(job, work)
    return _final(CompressionPhase.FAILED, Standing.STALLED, reason, message)


def of_running(job: CompressionJob, work: Work) -> Stage:
    """Return the stage of a Job that goes on."""
    if (work.job or {}).get("spec", {}).get("suspend"):
        queue = job.spec.queue_name or "its queue"
        message = f"Job {job_name(job)} is held back by {queue}"
        return _working(CompressionPhase.QUEUED, Reason.QUEUED, message)
    pod = work.newest_pod
    if pod is None:
        return waiting_for_pod(job)
    if phase_of(pod) == "Failed":
        return _retrying(job, work)
    trouble = waiting_trouble(pod)
    if trouble is not None:
        return _working(CompressionPhase.PENDING, trouble.reason, trouble.message)
    if phase_of(pod) == "Pending":
        return waiting_for_pod(job)
    return _at_work(job, work)


def _at_work(job: CompressionJob, work: Work) -> Stage:
    told = [line.phase for line in work.progress if line.phase is not None]
    phase = CompressionPhase(told[-1] if told else "Estimating")
    messages = {
        CompressionPhase.ESTIMATING: "the pod loads the inputs and measures the baseline",
        CompressionPhase.SEARCHING: "candidates are made and measured; .status.progress says how many",
        CompressionPhase.VERIFYING: "the best candidate is judged in a fresh process on spec.data.evaluation",
        CompressionPhase.PUBLISHING: f"verified artifacts are written to {job.spec.output.uri}",
    }
    return _working(phase, Reason(phase.value), messages[phase])


def _retrying(job: CompressionJob, work: Work) -> Stage:
    crash = newest_crash(work)
    reason = crash.reason if crash is not None else Reason.POD_FAILED
    said = crash.message if crash is not None else "its pod failed"
    attempts = f"attempt {work.failed_attempts} of {job.spec.backoff_limit + 1} failed"
    return _working(CompressionPhase.PENDING, reason, f"{attempts}, the Job tries again: {said}")


def _given_up(job: CompressionJob, work: Work) -> tuple[Reason, str]:
    crash = newest_crash(work)
    attempts = f"after {max(1, work.failed_attempts)} failed attempts (spec.backoffLimit: {job.spec.backoff_limit})"
    if crash is None:
        return Reason.BACKOFF_LIMIT_EXCEEDED, f"given up {attempts}; its pods are gone, so nothing more is known"
    reason = Reason.OUT_OF_MEMORY if crash.reason is Reason.OUT_OF_MEMORY else Reason.BACKOFF_LIMIT_EXCEEDED
    return reason, f"given up {attempts}: {crash.message}"


def _overtime(job: CompressionJob) -> str:
    return (
        f"the work took longer than spec.activeDeadlineSeconds ({job.spec.active_deadline_seconds}); raise it, "
        f"or lower spec.strategy.search.timeout ({job.spec.strategy.search.timeout}); its study is kept"
    )


def _success(result: CompressionResult) -> str:
    best = result.best
    if best is None:
        return result.message or "verified and published"
    bound = f", at most {best.loss_upper_bound:.3g} at its upper bound" if best.loss_upper_bound is not None else ""
    return (
        f"{best.technique}: {best.size_ratio:.3g}x smaller, {best.latency_ratio:.3g}x faster, "
        f"{best.loss:.3g} points lost{bound}"
    )


def _rejection(job: CompressionJob, result: CompressionResult) -> str:
    allowed = f"spec.objective.maxLoss is {job.spec.objective.max_loss:g}"
    said = result.message or "no candidate kept the bound on the loss"
    return f"nothing was published: {said} ({allowed})"


def _blame(result: CompressionResult) -> str:
    field = result.field if not result.field or result.field.startswith("spec.") else f"spec.{result.field}"
    message = result.message or "an input cannot be used"
    if not field or field in message:
        return message
    if result.field in message:
        return message.replace(result.field, field, 1)
    return f"{field}: {message}"


def _working(phase: CompressionPhase, reason: Reason, message: str) -> Stage:
    return Stage(phase=phase, standing=Standing.WORKING, reason=reason, message=message)


def _final(phase: CompressionPhase, standing: Standing, reason: Reason, message: str) -> Stage:
    return Stage(phase=phase, standing=standing, reason=reason, message=message, is_final=True)
