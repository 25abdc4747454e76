"""Peak resident memory of inference beyond the runtime's own, measured in a process of its own.

python -m frugal_jobs.evaluation.memory FILE     prints the bytes
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from onnx import TensorProto, helper

from frugal_jobs.models.loading import from_bytes
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import blank_feed, session_of

RUNS = 5
TIMEOUT_SECONDS = 120


def inference_memory(model: Model) -> int:
    """Return the bytes that loading and running `model` at batch 1 adds at its peak; raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.content)
        command = [sys.executable, "-m", "frugal_jobs.evaluation.memory", str(path)]
        answer = subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
    return int(answer.stdout)


def _measured(path: Path) -> int:
    """Return the growth over a process that already ran a model of one node."""
    content = path.read_bytes()
    session_of(_identity()).run(None, {"x": [0.0]})
    before = psutil.Process().memory_info().rss
    model = from_bytes(content, place=str(path))
    feed = blank_feed(model)
    session = session_of(content)
    for _ in range(RUNS):
        session.run(None, feed)
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
    print(_measured(Path(sys.argv[1])))
