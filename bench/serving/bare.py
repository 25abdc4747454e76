"""The bare loop: ONNX Runtime alone, without a server. `python -m bench.serving.bare MODEL BATCH SECONDS` prints rows/s."""

from __future__ import annotations

import sys
import time

import numpy as np
import onnxruntime


def rows_per_second(model: str, *, batch: int, seconds: float) -> float:
    """Return the rows per second of one thread that does nothing else."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {"image": np.random.default_rng(0).random((batch, 1, 28, 28)).astype(np.float32)}
    for _ in range(20):
        session.run(None, feeds)
    rows, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        session.run(None, feeds)
        rows += batch
    return rows / elapsed


if __name__ == "__main__":
    print(rows_per_second(sys.argv[1], batch=int(sys.argv[2]), seconds=float(sys.argv[3])))
