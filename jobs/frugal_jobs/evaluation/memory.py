"""Peak resident memory of inference beyond the runtime's own, measured in a process of its own.

python -m frugal_jobs.evaluation.memory FILE                    prints the bytes in ONNX Runtime
python -m frugal_jobs.evaluation.memory FILE TARGET SOURCE      prints the bytes in a target's runtime
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import psutil
from onnx import TensorProto, helper

from frugal_jobs.models.loading import from_bytes
from frugal_jobs.models.model import Runnable
from frugal_jobs.models.running import blank_feed, opened, session_of
from frugal_jobs.targets.built import Built, restored
from frugal_jobs.targets.registry import RUNTIME_TARGETS

RUNS = 5
TIMEOUT_SECONDS = 120


def inference_memory(model: Runnable) -> int:
    """Return the bytes that loading and running `model` at batch 1 adds at its peak; raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        path, source = Path(folder) / "model", Path(folder) / "source.onnx"
        path.write_bytes(model.content)
        command = [sys.executable, "-m", "frugal_jobs.evaluation.memory", str(path)]
        if isinstance(model, Built):
            source.write_bytes(model.source.content)
            command += [model.target, str(source)]
        answer = subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
    return int(answer.stdout.split()[-1])


def _measured(path: Path, target: str = "", source: str = "") -> int:
    """Return the growth over a process that already ran a model of one node, or imported the target's runtime."""
    model: Runnable
    if target:
        model = restored(target, path, from_bytes(Path(source).read_bytes(), place=source))
        for module in RUNTIME_TARGETS[target].runtime_modules:
            import_module(module)
    else:
        session_of(_identity()).run(None, {"x": [0.0]})
    before = psutil.Process().memory_info().rss
    if not target:
        model = from_bytes(path.read_bytes(), place=str(path))
    feed, run = blank_feed(model), opened(model)
    for _ in range(RUNS):
        run(feed)
    return max(0, _peak_bytes() - before)


def _peak_bytes() -> int:
    """Return this process's own peak; getrusage's would include what the starting process had before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))  # KiB


def _identity() -> bytes:
    port = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", port[:1], port[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    print(_measured(Path(sys.argv[1]), *sys.argv[2:]))
