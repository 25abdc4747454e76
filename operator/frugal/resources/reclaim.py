"""From a CompressionJob that is being deleted to the Job that removes what it published. Decides nothing."""

from __future__ import annotations

import json

from frugal.api.common import ResourceRequirements
from frugal.api.compression_job import CompressionJob
from frugal.api.request import ReclaimRequest
from frugal.resources.compression import REQUEST_KEY, request_pod
from frugal.resources.identity import Manifest, child, suffixed
from frugal.resources.pod import claims, pod_template
from frugal.units import Quantity

CONTAINER = "reclaim"
_RETRIES = 6  # Kubernetes' default: an outage of the store is usually shorter
_DEADLINE_SECONDS = 3600
_RESOURCES = ResourceRequirements(  # a storage client and nothing else
    requests={"cpu": Quantity("100m"), "memory": Quantity("256Mi")}, limits={"memory": Quantity("512Mi")}
)


def reclaim_name(job: CompressionJob) -> str:
    """Return the name of the Job, and of its ConfigMap."""
    return suffixed(job.name, "reclaim")


def render_reclaim_request(job: CompressionJob, uris: list[str]) -> Manifest:
    """Return the ConfigMap that names what shall be removed."""
    text = json.dumps(ReclaimRequest(uris=uris).to_json(), sort_keys=True, indent=1)
    return child(job, "v1", "ConfigMap", reclaim_name(job), {"data": {REQUEST_KEY: text}})


def render_reclaim_job(job: CompressionJob, uris: list[str], *, image: str, image_pull_policy: str) -> Manifest:
    """Return the Job that removes `uris`."""
    pod = request_pod(
        job.spec,
        container=CONTAINER,
        module="frugal_jobs.reclaim",
        request_name=reclaim_name(job),
        mounted=claims(read=[], written=uris),
        needed=_RESOURCES,
        image=image,
        image_pull_policy=image_pull_policy,
    )
    spec = {
        "backoffLimit": _RETRIES,
        "activeDeadlineSeconds": _DEADLINE_SECONDS,
        "template": pod_template(job, pod, {}, labels={}),
    }
    return child(job, "batch/v1", "Job", reclaim_name(job), {"spec": spec})
