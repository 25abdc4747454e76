"""What made a report: versions, CPU and seed, so that its figures can be judged and repeated."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("frugal-operator", "onnxruntime", "onnx", "torch", "torch-pruning", "numpy", "optuna", "keras",
            "litert-torch", "ai-edge-litert", "ai-edge-quantizer", "executorch")  # fmt: skip
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "avx512_bf16", "asimddp", "i8mm")


def environment(*, seed: int, cpu_per_wall: float | None) -> dict[str, str]:
    """Return versions, the CPU with what matters for 8 bits, the seed, and how quiet the core was at verification."""
    model, flags = _cpu()
    found = {name: _version(name) for name in PACKAGES}
    found |= {"python": platform.python_version(), "cpu": model, "cpuFeatures": " ".join(flags), "seed": str(seed)}
    if cpu_per_wall is not None:
        found["cpuTimePerWallTime"] = f"{cpu_per_wall:.2f}"
    return {name: text for name, text in found.items() if text}


def cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu() -> tuple[str, list[str]]:
    """Return the CPU's name and those of its flags that matter; Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor(), []
    facts = {name.strip(): text.strip() for name, _, text in (line.partition(":") for line in lines) if text}
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return facts.get("model name", platform.machine()), [flag for flag in CPU_FLAGS if flag in flags]
