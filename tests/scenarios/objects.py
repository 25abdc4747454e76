"""The objects that scenarios apply, as small as they can be while everything in them is real."""

from __future__ import annotations

from typing import Any

from tests.scenarios.world import CLAIM, Manifest

API_VERSION = "frugal.dev/v1alpha1"


def compression_job(name: str, *, training: bool = False, **changes: Any) -> Manifest:
    """Return a CompressionJob on scikit-learn's digits; `changes` are merged over its spec.

    360 test samples cannot carry a bound of half a point: 360 * 3 points is what an exact bound needs to pass.
    """
    spec: Manifest = {
        "model": {"uri": f"pvc://{CLAIM}/digits/model.onnx"},
        "data": {
            "evaluation": {"uri": f"pvc://{CLAIM}/digits/test.npz"},
            "calibration": {"uri": f"pvc://{CLAIM}/digits/train.npz", "samples": 128},
        },
        "objective": {"maxLoss": 3, "cost": {"size": 1}},
        "strategy": {"search": {"trials": 4, "timeout": "45s"}},
        "output": {"uri": f"pvc://{CLAIM}/out/{name}"},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
    }
    if training:
        spec["data"]["training"] = {"uri": f"pvc://{CLAIM}/digits/train.npz"}
    return manifest("CompressionJob", name, merged(spec, changes))


def inference_deployment(name: str, **changes: Any) -> Manifest:
    """Return an InferenceDeployment of one replica; `changes` are merged over its spec."""
    spec: Manifest = {
        "slo": {"latency": {"threshold": "200ms", "quantile": 0.99}},
        "replicas": {"min": 1, "max": 3},
        "service": {"port": 18080},
    }
    return manifest("InferenceDeployment", name, merged(spec, changes))


def price_book(namespace: str) -> Manifest:
    """Return a price book with figures made for tests."""
    text = """
currency: USD
source: made for tests
retrievedAt: "2026-11-01"
entries:
  - cpuPerCoreHour: "0.04"
    memoryPerGiBHour: "0.005"
"""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "frugal-prices", "namespace": namespace},
        "data": {"prices.yaml": text},
    }


def manifest(kind: str, name: str, spec: Manifest) -> Manifest:
    """Return an object of ours in the namespace `default`."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def merged(base: Manifest, changes: Manifest) -> Manifest:
    """Return `base` with `changes` merged over it, maps by key; None removes a key."""
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result
