"""The plan for a CompressionJob that is being deleted: with `output.reclaim: Delete` its artifacts go before it."""

from __future__ import annotations

import re

from frugal.api.compression_job import CompressionJob
from frugal.api.conditions import Reason
from frugal.api.status import CompressionJobStatus
from frugal.decisions.compression_status import status_before
from frugal.decisions.conditions import Standing, Told, triple, written
from frugal.decisions.events import events_between
from frugal.decisions.parsing import parsed_compression_job
from frugal.decisions.plan import ObjectRef, Plan, ref_of
from frugal.decisions.pods import by_age, crash_trouble
from frugal.decisions.snapshot import CompressionSnapshot, Manifest
from frugal.errors import InvalidObject
from frugal.resources.reclaim import CONTAINER, reclaim_name, render_reclaim_job, render_reclaim_request

FINALIZER = "frugal.dev/reclaim-artifacts"
_BY_CONTENT = re.compile(r"(.+/sha256/[0-9a-f]{64})/[^/]+")


def finalizers_for(job: CompressionJob) -> tuple[str, ...]:
    """Return the finalizers that the object carries while it lives."""
    return (FINALIZER,) if job.spec.output.reclaim == "Delete" else ()


def finalizers_in(manifest: Manifest) -> tuple[str, ...]:
    """Return those of our finalizers that the object carries now."""
    return tuple(name for name in manifest["metadata"].get("finalizers") or [] if name == FINALIZER)


def plan_removal(seen: CompressionSnapshot) -> Plan:
    """Return the plan for an object that is being deleted; without our finalizer it simply goes, with its children."""
    if not finalizers_in(seen.manifest):
        return Plan(status=None)
    try:
        job = parsed_compression_job(seen.manifest)
    except InvalidObject:
        return Plan(status=None)  # where its artifacts are cannot be read any more: they stay, and it goes
    uris = folders_of(job, status_before(seen.manifest))
    found = next((one for one in seen.children.jobs if one["metadata"]["name"] == reclaim_name(job)), None)
    if not uris or job.spec.output.reclaim != "Delete" or (found is not None and _holds(found, "Complete")):
        return Plan(status=None)
    if found is not None and _holds(found, "Failed"):
        return _stalled(job, seen)
    return _remove(job, seen, uris, found)


def folders_of(job: CompressionJob, status: CompressionJobStatus) -> list[str]:
    """Return what the object wrote: the folders of its artifacts and its report, and its study.

    A folder that is not named by its content may hold what others wrote: it stays, whatever a status says.
    """
    files = (*(one.uri for one in status.artifacts), status.report)
    folders = {match.group(1) for uri in files if (match := _BY_CONTENT.fullmatch(uri)) is not None}
    if status.started_at is not None:
        folders.add(f"{job.spec.output.uri.rstrip('/')}/studies/{job.spec.inputs_hash()}")
    return sorted(folders)


def _remove(job: CompressionJob, seen: CompressionSnapshot, uris: list[str], found: Manifest | None) -> Plan:
    """Plan the Job that removes them; work that still goes on ends first, so that it publishes nothing afterwards."""
    environment = seen.environment
    working = [one for one in seen.children.jobs if one["metadata"]["name"] != reclaim_name(job)]
    rendered = render_reclaim_job(
        job, uris, image=environment.jobs_image, image_pull_policy=environment.image_pull_policy
    )
    message = f"Job {reclaim_name(job)} removes {len(uris)} folders (spec.output.reclaim: Delete)"
    return _said(
        seen,
        triple(Standing.WORKING, Reason.PENDING, message),
        apply=(render_reclaim_request(job, uris), *((rendered,) if found is None else ())),
        delete=tuple(ref_of(one) for one in working),
    )


def _stalled(job: CompressionJob, seen: CompressionSnapshot) -> Plan:
    troubles = [crash_trouble(pod, CONTAINER, memory_field="the node's memory") for pod in by_age(seen.children.pods)]
    said = next((trouble.message for trouble in reversed(troubles) if trouble is not None), "it timed out")
    name = reclaim_name(job)
    message = (
        f"what was published could not be removed: {said}. Mend that and `kubectl delete job {name}` to try again, or "
        f"remove the finalizer {FINALIZER} to leave it where it is"
    )
    return _said(seen, triple(Standing.STALLED, Reason.POD_FAILED, message))


def _said(
    seen: CompressionSnapshot,
    told: tuple[Told, ...],
    *,
    apply: tuple[Manifest, ...] = (),
    delete: tuple[ObjectRef, ...] = (),
) -> Plan:
    before = seen.manifest.get("status") or {}
    generation = int(seen.manifest["metadata"].get("generation", 1))
    conditions = written(told, before.get("conditions") or [], generation=generation, now=seen.environment.now)
    update = {"observed_generation": generation, "conditions": conditions}
    after = status_before(seen.manifest).model_copy(update=update).to_json()
    return Plan(
        apply=apply,
        delete=delete,
        status=after,
        events=events_between(before, after),
        finalizers=(FINALIZER,),
    )


def _holds(job: Manifest, kind: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(one.get("type") == kind and one.get("status") == "True" for one in conditions)
