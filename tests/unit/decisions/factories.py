"""Objects, children and snapshots for tests of decisions, small, and a cluster that does what plans say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from frugal.api.price_book import PriceBook, PriceEntry
from frugal.api.result import Artifact, Best, CompressionResult, ModelFigures, ProgressLine, ResultVerdict, Usage
from frugal.decisions.plan import Plan
from frugal.decisions.snapshot import (
    Capabilities,
    Children,
    CompressionSnapshot,
    Environment,
    InferenceSnapshot,
    Manifest,
)
from frugal.units import rfc3339

NOW = datetime(2026, 11, 18, 15, 0, tzinfo=UTC)
DIGEST = "ab" * 32
REPORT_DIGEST = "cd" * 32
PRICES = PriceBook(
    currency="USD",
    source="made for tests",
    retrieved_at="2026-11-01",
    entries=[PriceEntry(cpu_per_core_hour=Decimal("0.04"), memory_per_gib_hour=Decimal("0.005"))],
)

Snapshot = TypeVar("Snapshot", bound=CompressionSnapshot | InferenceSnapshot)


def environment(**changes: Any) -> Environment:
    base = Environment(
        now=NOW,
        jobs_image="jobs:1",
        serve_image="serve:1",
        capabilities=Capabilities(pod_disruption_budgets=True, pod_failure_policy=True),
    )
    return replace(base, **changes)


def compression_spec(**changes: Any) -> Manifest:
    spec: Manifest = {
        "model": {"uri": "pvc://models/digits.onnx"},
        "data": {"evaluation": {"uri": "pvc://data/test.npz"}},
        "output": {"uri": "pvc://models/out"},
    }
    return spec | changes


def inference_spec(**changes: Any) -> Manifest:
    return {"model": {"uri": "pvc://models/digits.onnx"}} | changes


def owned(kind: str, spec: object, *, name: str = "digits", generation: int = 1, **metadata: Any) -> Manifest:
    identity = {"name": name, "namespace": "ml", "uid": "uid-1", "generation": generation, **metadata}
    return {"apiVersion": "frugal.dev/v1alpha1", "kind": kind, "metadata": identity, "spec": spec, "status": {}}


def compression(spec: object | None = None, **changes: Any) -> CompressionSnapshot:
    manifest = owned("CompressionJob", compression_spec() if spec is None else spec)
    base = CompressionSnapshot(environment=environment(), manifest=manifest, children=Children())
    return replace(base, **changes)


def inference(spec: object | None = None, **changes: Any) -> InferenceSnapshot:
    manifest = owned("InferenceDeployment", inference_spec() if spec is None else spec)
    base = InferenceSnapshot(environment=environment(), manifest=manifest, children=Children())
    return replace(base, **changes)


def edited(seen: Snapshot, **changes: Any) -> Snapshot:
    """What is seen after a person changed the spec."""
    metadata = seen.manifest["metadata"]
    manifest = {
        **seen.manifest,
        "metadata": {**metadata, "generation": metadata["generation"] + 1},
        "spec": {**seen.manifest["spec"], **changes},
    }
    return replace(seen, manifest=manifest)


def later(seen: Snapshot, seconds: float) -> Snapshot:
    """What is seen when only time has passed."""
    now = seen.environment.now + timedelta(seconds=seconds)
    return replace(seen, environment=replace(seen.environment, now=now))


def carried_out(seen: Snapshot, plan: Plan) -> Snapshot:
    """What is seen once the plan is carried out and nothing else has happened."""
    gone = {(ref.kind, ref.name) for ref in plan.delete}
    found = {(one["kind"], one["metadata"]["name"]): one for one in _every(seen.children)}
    for desired in plan.apply:
        key = (desired["kind"], desired["metadata"]["name"])
        found[key] = _stored(desired, found.get(key), seen.environment.now)
    left = [one for key, one in found.items() if key not in gone]
    children = Children(
        jobs=_of(left, "Job"),
        deployments=_of(left, "Deployment"),
        services=_of(left, "Service"),
        config_maps=_of(left, "ConfigMap"),
        pod_disruption_budgets=_of(left, "PodDisruptionBudget"),
        pods=seen.children.pods,
    )
    return replace(seen, children=children, manifest={**seen.manifest, "status": plan.status or {}})


def _stored(desired: Manifest, before: Manifest | None, now: datetime) -> Manifest:
    name = desired["metadata"]["name"]
    fresh: Manifest = {"uid": f"uid-{name}", "creationTimestamp": rfc3339(now), "generation": 0}
    known: Manifest = before["metadata"] if before else fresh
    identity = {key: known[key] for key in ("uid", "creationTimestamp", "generation")}
    if before is None or before.get("spec") != desired.get("spec"):
        identity["generation"] += 1
    status = {"status": before["status"]} if before and "status" in before else {}
    return {**desired, "metadata": {**desired["metadata"], **identity}, **status}


def _every(children: Children) -> list[Manifest]:
    return [
        *children.jobs,
        *children.deployments,
        *children.services,
        *children.config_maps,
        *children.pod_disruption_budgets,
    ]


def _of(manifests: Iterable[Manifest], kind: str) -> tuple[Manifest, ...]:
    return tuple(one for one in manifests if one["kind"] == kind)


def with_pods(seen: Snapshot, *pods: Manifest) -> Snapshot:
    return replace(seen, children=replace(seen.children, pods=pods))


def with_child_status(seen: Snapshot, kind: str, status: Manifest) -> Snapshot:
    """What is seen when the only child of that kind has this status."""
    name = {"Job": "jobs", "Deployment": "deployments", "Service": "services"}[kind]
    (child,) = getattr(seen.children, name)
    return replace(seen, children=replace(seen.children, **{name: ({**child, "status": status},)}))


def pod(seen: Snapshot, *, name: str = "pod-1", phase: str = "Running", node: str = "", **status: Any) -> Manifest:
    """A pod of the only workload in `seen`; `status` is merged over its phase."""
    (workload,) = seen.children.jobs or seen.children.deployments
    template = workload["spec"]["template"]
    kind = workload["kind"]
    owner = {"kind": kind, "uid": workload["metadata"]["uid"]} if kind == "Job" else {"kind": "ReplicaSet", "uid": "rs"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "ml",
            "uid": f"uid-{name}",
            "labels": template["metadata"]["labels"],
            "creationTimestamp": f"2026-11-18T15:00:0{name[-1]}Z",
            "ownerReferences": [owner],
        },
        "spec": {**template["spec"], "nodeName": node},
        "status": {"phase": phase, **status},
    }


def ended(container: str, *, exit_code: int = 0, message: str = "", reason: str = "Completed") -> list[Manifest]:
    """The container statuses of a pod whose container has ended."""
    terminated = {
        "exitCode": exit_code,
        "reason": reason,
        "message": message,
        "finishedAt": rfc3339(NOW + timedelta(seconds=90)),
    }
    return [{"name": container, "state": {"terminated": terminated}}]


def waiting(container: str, reason: str, message: str = "") -> list[Manifest]:
    """The container statuses of a pod whose container cannot start."""
    return [{"name": container, "image": "jobs:1", "state": {"waiting": {"reason": reason, "message": message}}}]


def result(verdict: ResultVerdict = ResultVerdict.SUCCEEDED, **changes: Any) -> CompressionResult:
    succeeded = verdict is ResultVerdict.SUCCEEDED
    base = CompressionResult(
        verdict=verdict,
        advice="2 Conv: int8",
        baseline=ModelFigures(accuracy=0.92, size_bytes=1000, latency_p50_seconds=0.002),
        best=Best(technique="int8", loss=0.2, loss_upper_bound=0.4, size_ratio=4.0, latency_ratio=3.0),
        artifacts=[
            Artifact(
                target="onnxruntime/cpu",
                uri=f"pvc://models/out/sha256/{DIGEST}/model.onnx",
                sha256=DIGEST,
                size_bytes=250,
                verified=True,
            )
        ]
        if succeeded
        else [],
        report_uri=f"pvc://models/out/sha256/{REPORT_DIGEST}/report.json" if succeeded else "",
        trials=4,
        usage=Usage(wall_seconds=60, cpu_seconds=45, peak_memory_bytes=1024**3),
    )
    return base.model_copy(update=changes)


def line(kind: str, **changes: Any) -> ProgressLine:
    return ProgressLine.model_validate({"kind": kind, "at": 1.0, **changes})


def is_idle(plan: Plan) -> bool:
    """Whether the plan touches no child."""
    return not plan.apply and not plan.delete


def condition(plan: Plan, kind: str) -> Manifest:
    assert plan.status is not None
    found: Manifest = next((one for one in plan.status["conditions"] if one["type"] == kind), {})
    return found


def status(plan: Plan) -> Manifest:
    assert plan.status is not None
    return plan.status
