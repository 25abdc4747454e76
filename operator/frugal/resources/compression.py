"""From a CompressionJob to its children: the ConfigMap with its request, and the Job that does the work.

The Job carries no TTL of its own: its deletion is decided once its verdict stands in the status, so that a Job which
goes at once cannot take the verdict with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from frugal.api.common import ResourceRequirements
from frugal.api.compression_job import CompressionJob, CompressionJobSpec
from frugal.api.request import CompressionRequest
from frugal.resources.identity import Manifest, child, labels_of, manifest_hash, suffixed, with_hash
from frugal.resources.pod import (
    TERMINATION_LOG_PATH,
    WORK_MOUNT,
    WORK_VOLUME,
    claim_mounts,
    claim_volumes,
    claims,
    credentials_environment,
    environment,
    pod_template,
    restricted_container,
    restricted_pod,
)
from frugal.units import Quantity

CONTAINER = "compress"
INPUTS_LABEL = "frugal.dev/inputs-hash"
SETTINGS_ANNOTATION = "frugal.dev/settings-hash"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
REQUEST_KEY = "request.json"
_REQUEST_PATH = "/etc/frugal"

# A search holds torch (0.4 GiB once loaded), the model with its gradients, one set of samples, and a second process
# that verifies; 2 GiB carries that for models of tens of megabytes, twice as much is the bound against a leak.
_DEFAULT_MEMORY = Quantity("2Gi")
_DEFAULT_MEMORY_LIMIT = Quantity("4Gi")
_MOST_CPU = 2  # cores: beyond that a search of small models waits for its one training process


def job_name(job: CompressionJob) -> str:
    """Return the name of the Job, and of its ConfigMap, for the present inputs."""
    return suffixed(job.name, job.spec.inputs_hash())


def requirements(spec: CompressionJobSpec) -> ResourceRequirements:
    """Return the resources of the pod: those of the spec, or a default by the search's parallelism."""
    if spec.resources is not None:
        return spec.resources
    cores = min(spec.strategy.search.parallelism, _MOST_CPU)
    return ResourceRequirements(
        requests={"cpu": Quantity(cores), "memory": _DEFAULT_MEMORY}, limits={"memory": _DEFAULT_MEMORY_LIMIT}
    )


def render_request(job: CompressionJob) -> Manifest:
    """Return the ConfigMap from which the pod reads what it shall do."""
    request = CompressionRequest(
        namespace=job.namespace, name=job.name, uid=job.uid, inputs_hash=job.spec.inputs_hash(), spec=job.spec
    )
    text = json.dumps(request.to_json(), sort_keys=True, indent=1)
    return child(job, "v1", "ConfigMap", job_name(job), {"data": {REQUEST_KEY: text}})


def render_job(job: CompressionJob, *, image: str, image_pull_policy: str, ignore_disruptions: bool) -> Manifest:
    """Return the Job that does the work for the present inputs.

    ignore_disruptions: whether the server can leave evictions out of the count of retries (podFailurePolicy).
    """
    labels = {INPUTS_LABEL: job.spec.inputs_hash()}
    pod = request_pod(
        job.spec,
        container=CONTAINER,
        module="frugal_jobs",
        request_name=job_name(job),
        mounted=_claims(job.spec),
        needed=requirements(job.spec),
        image=image,
        image_pull_policy=image_pull_policy,
    )
    spec: Manifest = {
        "backoffLimit": job.spec.backoff_limit,
        "activeDeadlineSeconds": job.spec.active_deadline_seconds,
        "template": pod_template(job, pod, job.spec.pod_template, labels=labels),
    }
    if ignore_disruptions:
        disrupted = {"type": "DisruptionTarget", "status": "True"}
        spec["podFailurePolicy"] = {"rules": [{"action": "Ignore", "onPodConditions": [disrupted]}]}
    manifest = child(
        job, "batch/v1", "Job", job_name(job), {"spec": spec}, annotations={SETTINGS_ANNOTATION: settings_hash(job)}
    )
    queue = {QUEUE_LABEL: job.spec.queue_name} if job.spec.queue_name else {}
    manifest["metadata"]["labels"] = {**labels_of(job), **labels, **queue}
    return with_hash(manifest)


def settings_hash(job: CompressionJob) -> str:
    """Return a hash of what says how the work runs, but not what it makes: resources, pod, retries, queue."""
    settings = {"resources", "pod_template", "credentials", "queue_name", "backoff_limit", "active_deadline_seconds"}
    return manifest_hash(job.spec.model_dump(mode="json", include=settings))


def request_pod(
    spec: CompressionJobSpec,
    *,
    container: str,
    module: str,
    request_name: str,
    mounted: Mapping[str, bool],
    needed: ResourceRequirements,
    image: str,
    image_pull_policy: str,
) -> Manifest:
    """Return the spec of a pod that runs `module` of the jobs image on the request in a ConfigMap.

    mounted: its claims, each with whether it is read-only.
    """
    return {
        **restricted_pod(spec.credentials),
        "restartPolicy": "Never",
        "containers": [
            {
                "name": container,
                "image": image,
                "imagePullPolicy": image_pull_policy,
                "command": ["python", "-m", module],
                "env": environment(
                    {
                        "FRUGAL_REQUEST": f"{_REQUEST_PATH}/{REQUEST_KEY}",
                        "OMP_NUM_THREADS": str(_threads(needed)),
                    }
                ),
                **credentials_environment(spec.credentials),
                "resources": needed.to_json(),
                "securityContext": restricted_container(),
                "terminationMessagePath": TERMINATION_LOG_PATH,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [
                    {"name": "request", "mountPath": _REQUEST_PATH, "readOnly": True},
                    WORK_MOUNT,
                    *claim_mounts(mounted),
                ],
            }
        ],
        "volumes": [{"name": "request", "configMap": {"name": request_name}}, WORK_VOLUME, *claim_volumes(mounted)],
    }


def _claims(spec: CompressionJobSpec) -> dict[str, bool]:
    data = (spec.data.evaluation, spec.data.validation, spec.data.calibration, spec.data.training)
    read = [spec.model.uri, spec.model.tokenizer, *(source.uri for source in data if source is not None)]
    return claims(read=read, written=[spec.output.uri])


def _threads(needed: ResourceRequirements) -> int:
    """Return how many threads the pod may compute with: its whole cores, at least one."""
    cpu = needed.requests.get("cpu") or needed.limits.get("cpu") or Quantity("1")
    return max(1, math.floor(cpu.value))
