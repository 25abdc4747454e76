"""The smallest good objects, and a way to change one field of them."""

from typing import Any

Manifest = dict[str, Any]


def compression_job(**spec: Any) -> Manifest:
    """Return a CompressionJob; `spec` replaces fields of the smallest one."""
    smallest = {
        "model": {"uri": "s3://models/cnn.onnx"},
        "data": {"evaluation": {"uri": "s3://data/test.npz"}},
        "output": {"uri": "s3://models/out"},
    }
    return {"metadata": {"namespace": "team", "name": "cnn", "uid": "u", "generation": 3}, "spec": smallest | spec}


def inference_deployment(**spec: Any) -> Manifest:
    """Return an InferenceDeployment; `spec` replaces fields of the smallest one."""
    smallest = {"model": {"uri": "s3://models/cnn.onnx"}}
    return {"metadata": {"namespace": "team", "name": "cnn", "uid": "u", "generation": 3}, "spec": smallest | spec}
