"""Pods, workloads and counters that name only what matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from frugal.loop.ports import ObjectKey, Workload
from frugal.telemetry.counters import PodCounters

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY = ObjectKey("InferenceDeployment", "team", "fashion")


def at(seconds: float) -> datetime:
    """Return so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def pod(name: str = "a", *, is_ready: bool = True, address: str = "10.0.0.1", **status: Any) -> dict[str, Any]:
    """Return a running pod whose uid is its name."""
    container = {
        "name": "serve",
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"limits": {"memory": "64Mi"}},
    }
    ready = {"type": "Ready", "status": "True" if is_ready else "False"}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "team", "uid": name},
        "spec": {"containers": [container]},
        "status": {"phase": "Running", "podIP": address, "conditions": [ready], **status},
    }


def workload(*pods: dict[str, Any], key: ObjectKey = KEY) -> Workload:
    """Return a workload with these pods."""
    return Workload(key=key, pods=pods)


def counters(
    seconds: float, *, cpu: float | None = None, requests: float = 0, errors: float = 0, **more: Any
) -> PodCounters:
    """Return where a pod stands so many seconds after noon."""
    by_code = {"200": requests, "500": errors}
    return PodCounters(at=at(seconds), cpu_seconds=cpu, requests=by_code, in_flight=0.0, **more)
