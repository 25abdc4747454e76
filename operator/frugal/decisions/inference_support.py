"""What a spec may ask for that this version does not do, in words with a remedy. Looks at no cluster."""

from __future__ import annotations

from frugal.api.accelerators import CPU
from frugal.api.inference_deployment import CompressionMode, InferenceDeploymentSpec, RuntimeName
from frugal.resources.inference import first_size


def unsupported_in(spec: InferenceDeploymentSpec) -> str:
    """Return which field asks for what this version does not do, and what it does; empty when there is none."""
    if spec.compression.mode is CompressionMode.AUTO:
        return "spec.compression.mode Auto is not there yet; use Suggest, and a CompressionJob of your own"
    if spec.target_ref is not None:
        return ""
    asked = first_size(spec).accelerator
    if spec.runtime.name is RuntimeName.ONNXRUNTIME and asked != CPU:
        return f"spec.runtime.name onnxruntime runs on cpu, not on {asked}; use cpu, or another runtime"
    if spec.accelerators and asked not in spec.accelerators:
        listed = ", ".join(spec.accelerators)
        return (
            f"spec.accelerators lists {listed}, but the pod asks for {asked}; list {asked}, or ask for one of them "
            "in spec.runtime.podTemplate (resources.limits of the serving container)"
        )
    return ""
