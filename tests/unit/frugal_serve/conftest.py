"""Models made on the spot, and real servers on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from prometheus_client.parser import text_string_to_metric_families

WAIT_SECONDS = 30.0


def eventually(claim: Callable[[], bool]) -> None:
    """Return once `claim` holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not claim():
        assert time.monotonic() < deadline, "the claim did not come true in time"
        time.sleep(0.01)


@dataclass
class ServerProcess:
    """One `python -m frugal_serve`."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=WAIT_SECONDS)

    def infer(self, body: object, model: str = "m", **arguments: object) -> httpx.Response:
        url = f"{self.url}/v2/models/{model}/infer"
        return httpx.post(url, json=body, timeout=WAIT_SECONDS, **arguments)  # type: ignore[arg-type]

    def is_ready(self) -> bool:
        return self.get("/v2/health/ready").status_code == httpx.codes.OK

    def metrics(self) -> dict[str, float]:
        """Each sample without labels but code and le, by NAME or NAME{code}."""
        return {
            f"{sample.name}{{{sample.labels['code']}}}" if "code" in sample.labels else sample.name: sample.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
            if "le" not in sample.labels
        }

    def stop(self) -> int:
        """Return the exit status after a SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)


Launch = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """Start servers: launch(path, MAX_BATCH="8", ...); they are stopped after the module."""
    started: list[ServerProcess] = []

    def start(model: Path, *, is_ready: bool = True, **settings: str) -> ServerProcess:
        folder = tmp_path_factory.mktemp("server")
        defaults = {"MODEL_NAME": "m", "HOST": "127.0.0.1", "PORT": "0", "DRAIN_SECONDS": "2"}
        chosen = {**defaults, "MODEL_URI": model.as_uri(), "TERMINATION_LOG": str(folder / "end"), **settings}
        environment = {**os.environ, **{f"FRUGAL_{name}": value for name, value in chosen.items()}}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        log = folder / "stderr"
        with log.open("w") as stderr:
            command = [sys.executable, "-m", "frugal_serve"]
            process = subprocess.Popen(command, env=environment, stderr=stderr, text=True)
        started.append(server := ServerProcess(process, 0, log))
        eventually(lambda: "\n" in log.read_text() or process.poll() is not None)
        first = log.read_text().partition("\n")[0]
        server.port = json.loads(first)["port"] if first.startswith("{") else 0
        if is_ready:
            eventually(server.is_ready)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server on loopback."""
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr is not None
        yield next(line.split()[-1] for line in server.stderr if "Running on http" in line)
        server.terminate()


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
) -> Path:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def linear(folder: Path) -> Path:
    """y = x @ weight + bias: float32 (batch, 4) -> (batch, 3), and s = the sum of y's row."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.standard_normal((4, 3)).astype(np.float32), "weight"),
        numpy_helper.from_array(random.standard_normal(3).astype(np.float32), "bias"),
        numpy_helper.from_array(np.array([1], np.int64), "axes"),
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "weight", "bias"], ["y"]),
        helper.make_node("ReduceSum", ["y", "axes"], ["s"], keepdims=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    s = helper.make_tensor_value_info("s", TensorProto.FLOAT, ["batch", 1])
    return save(folder / "linear.onnx", nodes, [x], [y, s], weights)


@pytest.fixture(scope="module")
def linear_of_one(folder: Path) -> Path:
    """y = 2 x for exactly one row: float32 (1, 4)."""
    two = numpy_helper.from_array(np.array(2, np.float32), "two")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    return save(folder / "one.onnx", [helper.make_node("Mul", ["x", "two"], ["y"])], [x], [y], [two])


@pytest.fixture(scope="module")
def lookup(folder: Path) -> Path:
    """y = table[x] of ten rows: an index out of range fails in the runtime alone."""
    table = numpy_helper.from_array(np.arange(10, dtype=np.float32).reshape(10, 1), "table")
    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["batch"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])
    return save(folder / "lookup.onnx", [helper.make_node("Gather", ["table", "x"], ["y"])], [x], [y], [table])


@pytest.fixture(scope="module")
def mixing(folder: Path) -> Path:
    """y = x minus the mean of all rows: rows depend on each other although the first dimension is free."""
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
        helper.make_node("Sub", ["x", "sum"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])
    return save(folder / "mixing.onnx", nodes, [x], [y], [axes])


@pytest.fixture(scope="module")
def slow(folder: Path) -> Path:
    """y = x after some tenths of a second: a loop of 400,000 turns."""
    state = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("in", "out")]
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    goes_on = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("on", "still")]
    nodes = [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Neg", ["in"], ["out"])]
    body = helper.make_graph(nodes, "body", [turn, goes_on[0], state[0]], [goes_on[1], state[1]])
    turns = numpy_helper.from_array(np.array(400_000, np.int64), "turns")
    always = numpy_helper.from_array(np.array(True), "always")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])
    loop = helper.make_node("Loop", ["turns", "always", "x"], ["y"], body=body)
    return save(folder / "slow.onnx", [loop], [x], [y], [turns, always])


@pytest.fixture(scope="module")
def echo(folder: Path) -> Callable[[int], Path]:
    """y = x of any ONNX type: (batch, 2)."""

    def make(kind: int) -> Path:
        x = helper.make_tensor_value_info("x", kind, ["batch", 2])
        y = helper.make_tensor_value_info("y", kind, ["batch", 2])
        return save(folder / f"echo-{kind}.onnx", [helper.make_node("Identity", ["x"], ["y"])], [x], [y])

    return make
