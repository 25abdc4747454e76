"""Small ONNX models and data files for the tests of the compression pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from frugal.api.common import ModelSource, Task
from frugal.api.compression_job import CompressionJobSpec
from frugal_artifacts.storage import Storage
from frugal_jobs.datasets.samples import Column, Samples
from frugal_jobs.models.model import Model
from frugal_jobs.techniques.context import Context


def model_of(
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[Any]],
    *,
    takes: tuple[int | str, ...],
    gives: tuple[int | str, ...] | None,
    opset: int = 18,
    dtype: int = TensorProto.FLOAT,
) -> Model:
    """Return a model from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", dtype, takes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, gives)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return Model(proto=helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))


def random(*shape: int, seed: int = 0, scale: float = 0.3) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def small_cnn(*, width: int = 16, classes: int = 4, size: int = 8) -> Model:
    """Return conv, relu, conv with a shortcut, pooling by flatten, and a linear head: 8x8 grey images to logits."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["a"]),
        helper.make_node("Relu", ["a"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["p", "shape"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    flat = width * (size // 2) ** 2
    weights: dict[str, NDArray[Any]] = {
        "w1": random(width, 1, 3, 3, seed=1),
        "b1": random(width, seed=2),
        "w2": random(width, width, 3, 3, seed=3, scale=0.1),
        "b2": random(width, seed=4),
        "w3": random(classes, flat, seed=5, scale=0.1),
        "b3": random(classes, seed=6),
        "shape": np.array([-1, flat], np.int64),
    }
    return model_of(nodes, weights, takes=("batch", 1, size, size), gives=("batch", classes))


def linear(weight: NDArray[np.float32]) -> Model:
    """Return y = x @ weight.T."""
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    return model_of([node], {"w": weight}, takes=("batch", weight.shape[1]), gives=("batch", weight.shape[0]))


def digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return scikit-learn's digits as bytes (samples, 8, 8), and their classes."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), labels.astype(np.uint8)


def samples_of(pixels: NDArray[Any], labels: NDArray[Any] | None, *, name: str = "x") -> Samples:
    column = Column(name=name, raw=pixels[:, None], dtype="float32", scale=1 / 255)
    return Samples(columns=(column,), labels=labels)


class Memory:
    """Checkpoints in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def read(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def write(self, key: str, content: bytes) -> None:
        self.kept[key] = content


def context(
    folder: Path, *, calibration: Samples | None = None, training: Samples | None = None, seed: int = 7
) -> Context:
    return Context(
        calibration=calibration,
        training=training,
        task=Task.CLASSIFICATION,
        folder=folder,
        seed=seed,
        checkpoints=Memory(),
    )


def source_of(path: Path, **more: Any) -> ModelSource:
    return ModelSource.model_validate({"uri": path.as_uri(), **more})


def spec_of(**more: Any) -> CompressionJobSpec:
    """Return a spec whose places do not matter, with `more` of it."""
    base: dict[str, Any] = {
        "model": {"uri": "file:///m.onnx"},
        "data": {"evaluation": {"uri": "file:///e.npz"}},
        "output": {"uri": "file:///out"},
    }
    return CompressionJobSpec.model_validate(base | more)


def storage() -> Storage:
    return Storage(None)
