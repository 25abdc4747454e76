"""The work of one CompressionJob as its children show it: the Job for the present inputs, its pods, how they ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from frugal.api.compression_job import CompressionJob
from frugal.api.result import CompressionResult, ProgressLine, ResultVerdict
from frugal.decisions.pods import (
    Termination,
    Trouble,
    by_age,
    crash_trouble,
    is_being_deleted,
    phase_of,
    termination_of,
)
from frugal.decisions.snapshot import CompressionSnapshot, Manifest
from frugal.resources.compression import CONTAINER, INPUTS_LABEL, job_name
from frugal.units import parse_rfc3339

MEMORY_FIELD = "spec.resources.limits.memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work for the present inputs.

    job: None when there is none. pods: of this Job, oldest first. progress: of its newest pod; empty when the newest
    pod of the object belongs to other inputs.
    request: its ConfigMap. stale: Jobs and ConfigMaps of earlier inputs.
    """

    job: Manifest | None
    request: Manifest | None
    pods: tuple[Manifest, ...]
    progress: tuple[ProgressLine, ...]
    stale: tuple[Manifest, ...]

    @property
    def newest_pod(self) -> Manifest | None:
        return self.pods[-1] if self.pods else None

    @property
    def has_started(self) -> bool:
        """Whether a container of it ever ran."""
        return any(phase_of(pod) != "Pending" for pod in self.pods) or any(
            self.job_status.get(count) for count in ("failed", "succeeded")
        )

    @property
    def job_status(self) -> dict[str, Any]:
        return dict((self.job or {}).get("status") or {})

    @property
    def failed_attempts(self) -> int:
        """How many pods failed."""
        return max(int(self.job_status.get("failed") or 0), sum(phase_of(pod) == "Failed" for pod in self.pods))


def find_work(job: CompressionJob, seen: CompressionSnapshot) -> Work:
    """Return the work for the inputs that the spec has now."""
    name, children = job_name(job), seen.children
    found, request = _named(children.jobs, name), _named(children.config_maps, name)
    every = by_age(children.pods)
    mine = tuple(pod for pod in every if _belongs(pod, found, job.spec.inputs_hash()))
    return Work(
        job=found,
        request=request,
        pods=mine,
        progress=seen.progress if mine and every[-1] is mine[-1] else (),
        stale=tuple(one for one in (*children.jobs, *children.config_maps) if one["metadata"]["name"] != name),
    )


def _named(manifests: tuple[Manifest, ...], name: str) -> Manifest | None:
    return next((one for one in manifests if one["metadata"]["name"] == name), None)


def _belongs(pod: Manifest, job: Manifest | None, inputs_hash: str) -> bool:
    """Whether the pod works on these inputs for this very Job, and not for a namesake that was deleted."""
    metadata = pod["metadata"]
    owners = [owner.get("uid") for owner in metadata.get("ownerReferences") or [] if owner.get("kind") == "Job"]
    is_of_job = job is None or not owners or job["metadata"].get("uid") in owners
    return is_of_job and (metadata.get("labels") or {}).get(INPUTS_LABEL) == inputs_hash


def result_of(work: Work) -> tuple[CompressionResult, Termination] | None:
    """Return the verdict that a pod delivered, and how it ended, or None while there is none."""
    for pod in reversed(work.pods):
        ended = termination_of(pod, CONTAINER)
        if ended is None or ended.exit_code != 0:
            continue
        result = _parsed(ended.message)
        if result is not None and result.verdict is not ResultVerdict.ERROR:
            return result, ended
    return None


def ended_without_verdict(work: Work) -> Termination | None:
    """Return how the newest pod ended, if it claims success but left no verdict that can be read."""
    ended = termination_of(work.newest_pod, CONTAINER) if work.newest_pod is not None else None
    if ended is None or ended.exit_code != 0 or result_of(work) is not None:
        return None
    return ended


def job_condition(work: Work, kind: str) -> dict[str, Any]:
    """Return the Job's condition of that type if it is true, else an empty one."""
    conditions = work.job_status.get("conditions") or []
    return next((dict(one) for one in conditions if one.get("type") == kind and one.get("status") == "True"), {})


def verdict_is_lost(work: Work, *, now: datetime, patience_seconds: float) -> bool:
    """Whether the Job is complete, its pod is gone, and nobody has read the verdict: the work must be asked again."""
    complete = job_condition(work, "Complete")
    if not complete or work.pods:
        return False
    since = complete.get("lastTransitionTime")
    return since is None or (now - parse_rfc3339(since)).total_seconds() >= patience_seconds


def newest_crash(work: Work) -> Trouble | None:
    """Return how the newest failed pod failed, in the words of its own message where it left one."""
    for pod in reversed(work.pods):
        trouble = crash_trouble(pod, CONTAINER, memory_field=MEMORY_FIELD)
        if trouble is not None:
            return _in_its_own_words(pod, trouble)
    return None


def is_gone_or_going(manifest: Manifest | None) -> bool:
    """Whether there is nothing to build on."""
    return manifest is None or is_being_deleted(manifest)


def _in_its_own_words(pod: Manifest, trouble: Trouble) -> Trouble:
    ended = termination_of(pod, CONTAINER)
    result = _parsed(ended.message) if ended is not None else None
    if result is None or not result.message:
        return trouble
    return Trouble(trouble.reason, f"pod {pod['metadata']['name']}: {result.message}")


def _parsed(message: str) -> CompressionResult | None:
    try:
        return CompressionResult.model_validate_json(message)
    except ValidationError:
        return None
