"""The plan for one CompressionJob: start, follow, retry, end, clean up, and say so. One look, one whole plan.

A verdict ends the work for its inputs, whatever becomes of the Job. `Published` and `finishedAt` in the status remember
it; everything else is read from the children each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from frugal.api.compression_job import CompressionJob, CostBenefitMode
from frugal.api.conditions import ConditionType, Reason
from frugal.api.money import CostBenefitStatus
from frugal.api.status import CompressionJobStatus, CompressionPhase
from frugal.decisions.compression_money import before_work, speedup_of, told_worth_it
from frugal.decisions.compression_stage import (
    Stage,
    not_worth_it,
    of_failure,
    of_memory,
    of_result,
    of_running,
    suspended,
    waiting_for_pod,
)
from frugal.decisions.compression_status import (
    for_inputs,
    outcome_conditions,
    status_before,
    with_late_candidates,
    with_progress,
    with_result,
    with_started,
)
from frugal.decisions.compression_work import Work, find_work, is_gone_or_going, result_of, verdict_is_lost
from frugal.decisions.conditions import ACCEPTED, Told, refused, retold, triple, written
from frugal.decisions.events import events_between
from frugal.decisions.parsing import parsed_compression_job
from frugal.decisions.plan import ObjectRef, Plan, ref_of
from frugal.decisions.pods import is_being_deleted
from frugal.decisions.reclaim import finalizers_for, finalizers_in, plan_removal
from frugal.decisions.snapshot import CompressionSnapshot, Manifest
from frugal.errors import InvalidObject
from frugal.pricing.speedup import of_status, told
from frugal.resources.compression import SETTINGS_ANNOTATION, job_name, render_job, render_request, settings_hash
from frugal.resources.identity import hash_of
from frugal.units import parse_rfc3339, rfc3339

LOOK_AGAIN_SECONDS = 5.0  # after a deletion; its own event usually comes first
LOST_VERDICT_SECONDS = 60.0  # a pod's last event may come so much later than its Job's
_UNREPEATABLE = (Reason.SUCCEEDED, Reason.REJECTED)  # the same inputs would end the same way


def plan_compression(seen: CompressionSnapshot) -> Plan:
    """Return what shall be done and said about a CompressionJob now; a spec that breaks a rule is a plan too."""
    if is_being_deleted(seen.manifest):
        return plan_removal(seen)
    try:
        job = parsed_compression_job(seen.manifest)
    except InvalidObject as fault:
        return _refuse(seen, fault)
    return _plan(job, seen)


def _plan(job: CompressionJob, seen: CompressionSnapshot) -> Plan:
    work = find_work(job, seen)
    status = for_inputs(status_before(seen.manifest), job.spec.inputs_hash())
    outcome = _outcome(status)
    if outcome is not None and not _may_start_again(job, work, outcome):
        return _keep_ended(job, seen, work, status, outcome)
    if outcome is not None:
        status = status.model_copy(update={"finished_at": None})
    if job.spec.suspend:
        return _said(job, seen, status, suspended(), delete=_refs([*_present(work), *work.stale]))
    if outcome is not None:
        return _said(job, seen, status, waiting_for_pod(job), delete=_refs(work.stale), requeue_seconds=0.0)
    return _work_on(job, seen, work, status)


def _work_on(job: CompressionJob, seen: CompressionSnapshot, work: Work, status: CompressionJobStatus) -> Plan:
    """Plan work that has no verdict yet in the status."""
    if work.job is None:
        return _start(job, seen, work, status)
    if _must_be_made_again(job, seen, work):
        return _make_again(job, seen, work, status)
    status = with_started(status, job_name=job_name(job), work=work, now=seen.environment.now)
    status = _with_prediction(with_progress(status, work.progress), job, seen)
    delivered = result_of(work)
    if delivered is not None:
        result, ended = delivered
        finished_at = ended.finished_at or rfc3339(seen.environment.now)
        status = with_result(status, job, result, work=work, seen=seen, finished_at=finished_at)
        return _said(job, seen, status, of_result(job, result), delete=_refs(work.stale))
    stage = of_failure(job, work)
    if stage is not None:
        status = status.model_copy(update={"finished_at": rfc3339(seen.environment.now)})
        return _said(job, seen, status, stage, delete=_refs(work.stale))
    return _said(
        job,
        seen,
        status,
        of_running(job, work),
        apply=(render_request(job),),
        delete=_refs(work.stale),
        requeue_seconds=LOOK_AGAIN_SECONDS if is_gone_or_going(work.job) else None,
    )


def _start(job: CompressionJob, seen: CompressionSnapshot, work: Work, status: CompressionJobStatus) -> Plan:
    """Plan the Job, unless it is known not to pay and the spec says that this matters."""
    speedup = speedup_of(job, seen)
    verdict = before_work(job, seen, speedup)
    benefit = CostBenefitStatus(speedup=told(speedup), before=verdict) if verdict else None
    status = status.model_copy(update={"cost_benefit": benefit})
    forbidden = job.spec.cost_benefit.mode is CostBenefitMode.ENFORCE
    if forbidden and verdict is not None and verdict.worth_it is False:
        return _said(job, seen, status, not_worth_it(verdict.explanation), delete=_refs(work.stale))
    status = with_started(status, job_name=job_name(job), work=work, now=seen.environment.now)
    children = (render_request(job), _rendered(job, seen))
    return _said(job, seen, status, waiting_for_pod(job), apply=children, delete=_refs(work.stale))


def _make_again(job: CompressionJob, seen: CompressionSnapshot, work: Work, status: CompressionJobStatus) -> Plan:
    """Plan the deletion of a Job that cannot be changed in place; the next look starts it anew."""
    refs = _refs([*_present(work), *work.stale])
    return _said(job, seen, status, waiting_for_pod(job), delete=refs, requeue_seconds=LOOK_AGAIN_SECONDS)


def _must_be_made_again(job: CompressionJob, seen: CompressionSnapshot, work: Work) -> bool:
    """Whether the Job must give way: its verdict is lost, or it has not run or has failed and shall run otherwise."""
    if work.job is None or is_being_deleted(work.job):
        return False
    if verdict_is_lost(work, now=seen.environment.now, patience_seconds=LOST_VERDICT_SECONDS):
        return True
    if not work.has_started:
        return hash_of(_rendered(job, seen)) != hash_of(work.job)
    return of_failure(job, work) is not None and result_of(work) is None and _has_other_settings(job, work)


def _keep_ended(
    job: CompressionJob, seen: CompressionSnapshot, work: Work, status: CompressionJobStatus, outcome: Told
) -> Plan:
    """Plan nothing but the clean-up of what has ended."""
    left = _seconds_left(job, status, seen.environment.now) if _present(work) else None
    gone = (*_present(work), *((work.request,) if work.request else ())) if left == 0.0 else ()
    status = with_late_candidates(status, work.progress)
    return _said(
        job, seen, status, of_memory(outcome), delete=_refs([*gone, *work.stale]), requeue_seconds=left or None
    )


def _seconds_left(job: CompressionJob, status: CompressionJobStatus, now: datetime) -> float | None:
    """Return the seconds until the finished Job goes; None when it stays."""
    ttl = job.spec.ttl_seconds_after_finished
    if ttl is None or status.finished_at is None:
        return None
    return max(0.0, ttl - (now - parse_rfc3339(status.finished_at)).total_seconds())


def _may_start_again(job: CompressionJob, work: Work, outcome: Told) -> bool:
    """Whether ended work starts again: suspended after a failure, or failed and given other settings since."""
    if outcome.holds:
        return False
    return job.spec.suspend or (outcome.reason not in _UNREPEATABLE and _has_other_settings(job, work))


def _has_other_settings(job: CompressionJob, work: Work) -> bool:
    if is_gone_or_going(work.job) or work.job is None:
        return False
    annotations = work.job["metadata"].get("annotations") or {}
    return annotations.get(SETTINGS_ANNOTATION) != settings_hash(job)


def _outcome(status: CompressionJobStatus) -> Told | None:
    """Return how the work for the present inputs ended, or None while it has not."""
    if status.finished_at is None:
        return None
    return retold([one.to_json() for one in status.conditions], ConditionType.PUBLISHED)


def _with_prediction(
    status: CompressionJobStatus, job: CompressionJob, seen: CompressionSnapshot
) -> CompressionJobStatus:
    """Return the status with the verdict before the work; what was predicted at its start stays as it was.

    Only a verdict that waited for the baseline is made once more, when that is measured.
    """
    known = status.cost_benefit
    waits = known is not None and known.before is not None and known.before.once is None and status.baseline is not None
    if known is not None and known.before is not None and not waits:
        return status
    made = known.speedup if known is not None else None
    speedup = of_status(made) if made is not None else speedup_of(job, seen)
    verdict = before_work(job, seen, speedup, status.baseline)
    benefit = CostBenefitStatus(speedup=told(speedup), before=verdict) if verdict else None
    return status.model_copy(update={"cost_benefit": benefit})


def _rendered(job: CompressionJob, seen: CompressionSnapshot) -> Manifest:
    environment = seen.environment
    return render_job(
        job,
        image=environment.jobs_image,
        image_pull_policy=environment.image_pull_policy,
        ignore_disruptions=environment.capabilities.pod_failure_policy,
    )


def _said(
    job: CompressionJob,
    seen: CompressionSnapshot,
    status: CompressionJobStatus,
    stage: Stage,
    *,
    apply: tuple[Manifest, ...] = (),
    delete: tuple[ObjectRef, ...] = (),
    requeue_seconds: float | None = None,
) -> Plan:
    """Return the plan with the status that tells of it."""
    verdicts = status.cost_benefit or CostBenefitStatus()
    told = (
        ACCEPTED,
        *triple(stage.standing, stage.reason, stage.message),
        *outcome_conditions(stage, status),
        told_worth_it(job.spec.cost_benefit.mode, verdicts.after or (None if stage.is_final else verdicts.before)),
    )
    plan = _with_status(seen, status, stage.phase, told)
    return replace(plan, apply=apply, delete=delete, finalizers=finalizers_for(job), requeue_seconds=requeue_seconds)


def _refuse(seen: CompressionSnapshot, fault: InvalidObject) -> Plan:
    """Plan nothing, and say which fields are wrong."""
    plan = _with_status(seen, status_before(seen.manifest), CompressionPhase.FAILED, refused(fault))
    return replace(plan, finalizers=finalizers_in(seen.manifest))


def _with_status(
    seen: CompressionSnapshot, status: CompressionJobStatus, phase: CompressionPhase, told: Iterable[Told]
) -> Plan:
    """Return a plan that only says something."""
    before = seen.manifest.get("status") or {}
    generation = int(seen.manifest["metadata"].get("generation", 1))
    conditions = written(told, before.get("conditions") or [], generation=generation, now=seen.environment.now)
    update = {"observed_generation": generation, "phase": phase, "conditions": conditions}
    after = status.model_copy(update=update).to_json()
    return Plan(status=after, events=events_between(before, after))


def _present(work: Work) -> tuple[Manifest, ...]:
    """Return the Job, if it is there and not already on its way out."""
    return () if work.job is None or is_being_deleted(work.job) else (work.job,)


def _refs(children: Iterable[Manifest]) -> tuple[ObjectRef, ...]:
    return tuple(map(ref_of, children))
