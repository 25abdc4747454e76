"""From an InferenceDeployment, the model to serve and a size to the Deployment, the Service and the disruption budget.

Which model and which size is decided elsewhere; `size_in` reads back the size that a Deployment has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frugal.api.accelerators import CPU, product_label
from frugal.api.inference_deployment import InferenceDeployment, InferenceDeploymentSpec, RuntimeName
from frugal.api.status import ServedModelStatus, Size
from frugal.errors import InvalidQuantity
from frugal.resources.identity import UID_LABEL, Manifest, child, manifest_hash
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
from frugal.units import Quantity, memory_quantity

SERVER_CONTAINER = "server"
VERSION_LABEL = "frugal.dev/model-version"
FIRST_SIZE_ANNOTATION = "frugal.dev/first-size"  # hash of the size that the spec asked for when this one was chosen
FIRST_REPLICAS_ANNOTATION = "frugal.dev/first-replicas"  # how many the spec asked for then
FAILED_VERSION_ANNOTATION = "frugal.dev/failed-version"  # of the model: it did not become ready and was given up

DRAIN_SECONDS = 20
GRACE_SECONDS = 30  # more than the drain, so that the kubelet never cuts it short
PROGRESS_DEADLINE_SECONDS = 600  # as Kubernetes' own default

SURGE: Mapping[str, Any] = {"maxUnavailable": 0, "maxSurge": "25%"}  # rounded up, so at least one
TAKE_AND_GIVE: Mapping[str, Any] = {"maxUnavailable": 1, "maxSurge": 0}

# Before anything is measured: a small CNN under ONNX Runtime holds about 120 MiB and half a core carries hundreds of
# requests a second; the first measurements correct it. The limit leaves room for what nobody has measured yet.
_FIRST_CPU = Quantity("500m")
_FIRST_MEMORY = Quantity("512Mi")
_FIRST_LIMIT_FACTOR = 2
_ORDINARY = ("cpu", "memory", "ephemeral-storage", "hugepages-")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """Where a runtime answers. Empty paths: it is not known, and the pod template brings the probes."""

    port: int
    ready_path: str = ""
    live_path: str = ""


_HTTP = {
    RuntimeName.ONNXRUNTIME: HttpServer(port=8080, ready_path="/v2/health/ready", live_path="/v2/health/live"),
    RuntimeName.TRITON: HttpServer(port=8000, ready_path="/v2/health/ready", live_path="/v2/health/live"),
    RuntimeName.VLLM: HttpServer(port=8000, ready_path="/health", live_path="/health"),
    RuntimeName.CUSTOM: HttpServer(port=8080),
}


def model_version(uri: str, sha256: str) -> str:
    """Return the version under which a model is served: the beginning of its digest, or of its URI's."""
    return (sha256 or hashlib.sha256(uri.encode()).hexdigest())[:12]


def server_name(spec: InferenceDeploymentSpec) -> str:
    """Return the name of the container that serves."""
    if spec.runtime.name is RuntimeName.ONNXRUNTIME:
        return SERVER_CONTAINER
    return str(_template_container(spec)["name"])


def selector_of(deployment: InferenceDeployment) -> dict[str, str]:
    """Return the labels that select the pods of `deployment`, and no others."""
    return {UID_LABEL: deployment.uid}


def first_size(spec: InferenceDeploymentSpec) -> Size:
    """Return the size that the spec asks for: of its pod template where that says something, else a default."""
    asked = _map(_template_container(spec).get("resources"))
    requests, limits = _map(asked.get("requests")), _map(asked.get("limits"))
    limit = _quantity(limits.get("memory"))
    memory = _quantity(requests.get("memory")) or limit or _FIRST_MEMORY
    accelerator, count = _accelerator(limits) or _accelerator(requests) or (CPU, 0)
    return Size(
        accelerator=accelerator,
        count=count,
        cpu=_quantity(requests.get("cpu")) or _quantity(limits.get("cpu")) or _FIRST_CPU,
        memory=memory,
        memory_limit=limit or memory_quantity(float(memory.value) * _FIRST_LIMIT_FACTOR),
        replicas=max(1, spec.replicas.min),
    )


def node_selector(spec: InferenceDeploymentSpec) -> Mapping[str, str]:
    """Return the labels that the pod template asks of a node."""
    return _map(_map(spec.runtime.pod_template.get("spec")).get("nodeSelector"))


def first_size_hash(spec: InferenceDeploymentSpec) -> str:
    """Return a hash of what the spec asks of one replica, whatever their number."""
    asked = first_size(spec).model_copy(update={"replicas": 0}).to_json()
    return manifest_hash({name: value for name, value in asked.items() if value != ""})  # no product is asked for


def size_in(manifest: Manifest) -> Size | None:
    """Return the size that a Deployment of ours has, or None when it has none that can be read."""
    asked = _serving_container(manifest).get("resources") or {}
    requests, limits = asked.get("requests") or {}, asked.get("limits") or {}
    cpu, memory = _quantity(requests.get("cpu")), _quantity(requests.get("memory"))
    if cpu is None or memory is None:
        return None
    accelerator, count = _accelerator(limits) or (CPU, 0)
    return Size(
        accelerator=accelerator,
        product=_product_in(manifest, accelerator),
        count=count,
        cpu=cpu,
        memory=memory,
        memory_limit=_quantity(limits.get("memory")),
        replicas=int(manifest["spec"].get("replicas", 1)),
    )


def accelerator_in_pod(pod: Manifest) -> tuple[str, int]:
    """Return the accelerator that a pod's containers have and how many pieces; (cpu, 0) where they have none."""
    containers = (pod.get("spec") or {}).get("containers") or []
    limits = [_map(_map(one.get("resources")).get("limits")) for one in containers]
    return next((found for one in limits if (found := _accelerator(one)) is not None), (CPU, 0))


def model_in(manifest: Manifest) -> ServedModelStatus | None:
    """Return the model that a Deployment of ours serves, or None when it says none."""
    listed = _serving_container(manifest).get("env") or []
    variables = {one.get("name"): one.get("value", "") for one in listed}
    if not variables.get("FRUGAL_MODEL_URI"):
        return None
    return ServedModelStatus(
        uri=variables["FRUGAL_MODEL_URI"],
        sha256=variables.get("FRUGAL_MODEL_SHA256", ""),
        version=variables.get("FRUGAL_MODEL_VERSION", ""),
    )


def first_size_hash_in(manifest: Manifest) -> str:
    """Return the `first_size_hash` that held when this Deployment was rendered; empty when it says none."""
    return str((manifest["metadata"].get("annotations") or {}).get(FIRST_SIZE_ANNOTATION, ""))


def first_replicas_in(manifest: Manifest) -> str:
    """Return how many replicas the spec asked for when this Deployment was rendered; empty when it says none."""
    return str((manifest["metadata"].get("annotations") or {}).get(FIRST_REPLICAS_ANNOTATION, ""))


def failed_version_in(manifest: Manifest) -> str:
    """Return the version that was given up for the one that this Deployment serves; empty when none was."""
    return str((manifest["metadata"].get("annotations") or {}).get(FAILED_VERSION_ANNOTATION, ""))


def render_deployment(
    deployment: InferenceDeployment,
    *,
    model: ServedModelStatus,
    size: Size,
    image: str,
    image_pull_policy: str,
    failed_version: str = "",
    strategy: Mapping[str, Any] = SURGE,
) -> Manifest:
    """Return the Deployment that serves `model` with `size`.

    failed_version: a version that was given up for `model`, so that it is not tried again.
    strategy: in which order new pods come and old ones go.
    """
    spec = deployment.spec
    mounted = claims(read=[model.uri])
    pod: Manifest = {
        **restricted_pod(spec.credentials),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector_of(deployment)},
            }
        ],
        "containers": [_container(deployment, model, size, mounted, image, image_pull_policy)],
        "volumes": [WORK_VOLUME, *claim_volumes(mounted)],
    }
    template = pod_template(deployment, pod, spec.runtime.pod_template, labels={VERSION_LABEL: model.version})
    template["spec"]["containers"][0]["resources"] = resources_of(size)
    if size.product:
        chosen = {product_label(size.accelerator): size.product}
        template["spec"]["nodeSelector"] = {**(template["spec"].get("nodeSelector") or {}), **chosen}
    content = {
        "spec": {
            "replicas": size.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "selector": {"matchLabels": selector_of(deployment)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": dict(strategy)},
            "template": template,
        }
    }
    annotations = {
        FIRST_SIZE_ANNOTATION: first_size_hash(spec),
        FIRST_REPLICAS_ANNOTATION: str(first_size(spec).replicas),
    }
    if failed_version:
        annotations[FAILED_VERSION_ANNOTATION] = failed_version
    return child(deployment, "apps/v1", "Deployment", deployment.name, content, annotations=annotations)


def render_service(deployment: InferenceDeployment) -> Manifest:
    """Return the Service in front of the replicas; it listens on `service.port`."""
    port = {"name": "http", "port": deployment.spec.service.port, "targetPort": "http", "protocol": "TCP"}
    content = {"spec": {"type": "ClusterIP", "selector": selector_of(deployment), "ports": [port]}}
    return child(deployment, "v1", "Service", deployment.name, content)


def render_disruption_budget(deployment: InferenceDeployment) -> Manifest:
    """Return the budget that lets a drained node take a quarter of the replicas at a time, at least one."""
    content = {"spec": {"maxUnavailable": "25%", "selector": {"matchLabels": selector_of(deployment)}}}
    return child(deployment, "policy/v1", "PodDisruptionBudget", deployment.name, content)


def _container(
    deployment: InferenceDeployment,
    model: ServedModelStatus,
    size: Size,
    mounted: Mapping[str, bool],
    image: str,
    image_pull_policy: str,
) -> Manifest:
    spec, http = deployment.spec, _HTTP[deployment.spec.runtime.name]
    is_ours = spec.runtime.name is RuntimeName.ONNXRUNTIME
    program = {"image": image, "imagePullPolicy": image_pull_policy, "command": ["python", "-m", "frugal_serve"]}
    return {
        "name": server_name(spec),
        **(program if is_ours else {}),
        "env": environment(_variables(deployment, model, size, http.port)),
        **credentials_environment(spec.credentials),
        "ports": [{"name": "http", "containerPort": http.port, "protocol": "TCP"}],
        **_probes(http),
        "securityContext": restricted_container(),
        "terminationMessagePath": TERMINATION_LOG_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [WORK_MOUNT, *claim_mounts(mounted)],
    }


def _variables(deployment: InferenceDeployment, model: ServedModelStatus, size: Size, port: int) -> dict[str, str]:
    latency = deployment.spec.slo.latency
    threads = str(max(1, math.floor(size.cpu.value)))
    return {
        "FRUGAL_MODEL_NAME": deployment.name,
        "FRUGAL_MODEL_URI": model.uri,
        **({"FRUGAL_MODEL_SHA256": model.sha256} if model.sha256 else {}),
        "FRUGAL_MODEL_VERSION": model.version,
        "FRUGAL_PORT": str(port),
        "FRUGAL_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "FRUGAL_DRAIN_SECONDS": str(DRAIN_SECONDS),
        **({"FRUGAL_LATENCY_THRESHOLD_SECONDS": f"{latency.threshold.seconds:g}"} if latency else {}),
    }


def _probes(http: HttpServer) -> Manifest:
    """Return the probes: five minutes to come up, then traffic only when ready and a restart when it hangs."""
    if not http.ready_path:
        return {}
    return {
        "startupProbe": _probe(http.live_path, every=2, timeout=2, failures=150),
        "readinessProbe": _probe(http.ready_path, every=2, timeout=2, failures=2),
        "livenessProbe": _probe(http.live_path, every=10, timeout=5, failures=3),
    }


def _probe(path: str, *, every: int, timeout: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def resources_of(size: Size) -> Manifest:
    """Return requests and limits: memory is bounded, the CPU is not, an accelerator is whole."""
    pieces = {size.accelerator: str(size.count)} if size.count else {}
    limits = {"memory": str(size.memory_limit)} if size.memory_limit else {}
    return {
        "requests": {"cpu": str(size.cpu), "memory": str(size.memory), **pieces},
        "limits": {**limits, **pieces},
    }


def _template_container(spec: InferenceDeploymentSpec) -> dict[str, Any]:
    """Return the part of the pod template that speaks of the serving container; empty when none does."""
    containers = (spec.runtime.pod_template.get("spec") or {}).get("containers") or []
    if spec.runtime.name is not RuntimeName.ONNXRUNTIME:
        return dict(containers[0])
    return next((dict(one) for one in containers if one["name"] == SERVER_CONTAINER), {})


def _serving_container(manifest: Manifest) -> dict[str, Any]:
    """Return the serving container of a Deployment of ours, its first; empty when there is none."""
    template = (manifest.get("spec") or {}).get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or [{}]
    return dict(containers[0])


def _map(part: object) -> Mapping[str, Any]:
    """Return a part of a pod template that should be a map; a wrong one is refused by the API server, in its words."""
    return part if isinstance(part, Mapping) else {}


def _product_in(manifest: Manifest, accelerator: str) -> str:
    """Return the product to which a Deployment of ours is bound; empty when any will do."""
    template = (manifest.get("spec") or {}).get("template") or {}
    selector = (template.get("spec") or {}).get("nodeSelector") or {}
    return str(selector.get(product_label(accelerator), "")) if accelerator != CPU else ""


def _accelerator(resources: Mapping[str, Any]) -> tuple[str, int] | None:
    for name, amount in sorted(resources.items()):
        quantity = _quantity(amount)
        if quantity is not None and quantity.whole and not name.startswith(_ORDINARY):
            return name, quantity.whole
    return None


def _quantity(text: object) -> Quantity | None:
    """Return a quantity as a manifest has it; a wrong one is refused by the API server, in its words."""
    try:
        return Quantity(str(text)) if isinstance(text, str | int) and not isinstance(text, bool) else None
    except InvalidQuantity:
        return None
