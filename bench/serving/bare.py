"""The bare loop: ONNX Runtime alone, without a server.

`python -m bench.serving.bare MODEL BATCH SECONDS` prints {"rows", "seconds", "cpu_seconds"}.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import onnxruntime


def loop(model: str, *, batch: int, seconds: float) -> dict[str, float]:
    """Return the rows that one thread runs when it does nothing else."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {"image": np.random.default_rng(0).random((batch, 1, 28, 28)).astype(np.float32)}
    for _ in range(20):
        session.run(None, feeds)
    rows, started, used = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < seconds:
        session.run(None, feeds)
        rows += batch
    return {"rows": rows, "seconds": elapsed, "cpu_seconds": time.process_time() - used}


if __name__ == "__main__":
    print(json.dumps(loop(sys.argv[1], batch=int(sys.argv[2]), seconds=float(sys.argv[3]))))
