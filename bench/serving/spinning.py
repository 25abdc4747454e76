"""What idle threads of the runtime cost. `python -m bench.serving.spinning MODEL 0|1` prints CPU seconds per second.

Two threads, 50 requests a second for 3 seconds: most of the time there is nothing to do.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import onnxruntime

REQUESTS_PER_SECOND = 50
REQUESTS = 150


def cpu_seconds_per_second(model: str, *, allow_spinning: str) -> float:
    """Return the CPU seconds that this process used in each second."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.allow_spinning", allow_spinning)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {"image": np.zeros((1, 1, 28, 28), np.float32)}
    session.run(None, feeds)
    started, used = time.perf_counter(), time.process_time()
    for number in range(REQUESTS):
        session.run(None, feeds)
        time.sleep(max(0.0, started + (number + 1) / REQUESTS_PER_SECOND - time.perf_counter()))
    return (time.process_time() - used) / (time.perf_counter() - started)


if __name__ == "__main__":
    print(cpu_seconds_per_second(sys.argv[1], allow_spinning=sys.argv[2]))
