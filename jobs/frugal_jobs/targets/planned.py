"""Targets that need what this machine may lack: says what is missing, and what would be done. Builds nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path


def plan_of(name: str) -> str:
    """Return why target `name` is not made here, and what its plan is."""
    return PLANS[name]() if name in PLANS else f"no target of this name is known; there are {', '.join(sorted(PLANS))}"


def has_gpu() -> bool:
    """Return whether an NVIDIA driver is there."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def _missing(library: str) -> str:
    lacks = [] if has_gpu() else ["no NVIDIA GPU is visible to the pod"]
    if find_spec(library) is None:
        lacks.append(f"the package {library} is not in this image")
    return " and ".join(lacks)


def _tensorrt() -> str:
    lacks = _missing("tensorrt") or "building engines is not made yet"
    return (
        f"{lacks}; the plan is an engine from the ONNX graph in fp16 and int8 with a timing cache, verified on the GPU "
        "that it was built for: run the job where podTemplate asks for nvidia.com/gpu"
    )


def _cuda() -> str:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return (
            "this onnxruntime has no CUDA provider: use an image with onnxruntime-gpu and ask for nvidia.com/gpu in "
            "podTemplate; the plan is float16 and QDQ int8 of the same graph, verified on the GPU"
        )
    return "candidates are not measured on CUDA yet; target onnxruntime/cpu makes files that it runs too"


def _neo() -> str:
    return (
        "a SageMaker Neo compilation needs an AWS role and a bucket, which this job does not name; what Neo returns "
        "runs on its own devices alone and is never verified here"
    )


def _on_cpu_alone() -> str:
    return "this runtime is used on CPUs here: use device cpu"


PLANS: dict[str, Callable[[], str]] = {
    "tensorrt/cuda": _tensorrt, "tensorrt/cpu": _tensorrt, "onnxruntime/cuda": _cuda, "sagemaker-neo/cpu": _neo,
    "sagemaker-neo/cuda": _neo, "litert/cuda": _on_cpu_alone, "executorch/cuda": _on_cpu_alone,
}  # fmt: skip
