"""The one form in which every model travels through the pod: an ONNX graph and the steps that made it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from frugal_jobs.models.tensor_error import TensorError

ORIGINAL = "original"  # the label of a model to which nothing was done
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of a model: `shape` with None where a size varies, the batch first."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str  # numpy's name

    @property
    def sample_shape(self) -> tuple[int | None, ...]:
        """The shape of one sample."""
        return self.shape[1:]


@dataclass(frozen=True, kw_only=True)
class Model:
    """An ONNX model; `steps` are those of `strategy.pipeline` in their JSON form, and `label` names them for people.

    `notes` say in sentences what each step could not do, and what gains only size; `errors` what rounding did.
    """

    proto: ModelProto
    label: str = ORIGINAL
    steps: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    errors: tuple[TensorError, ...] = ()

    def after(
        self,
        proto: ModelProto,
        label: str,
        step: dict[str, Any],
        *,
        notes: tuple[str, ...] = (),
        errors: tuple[TensorError, ...] = (),
    ) -> Model:
        """Return the model that one more step made of this one."""
        return Model(
            proto=proto, label=joined(self.label, label), steps=(*self.steps, step), notes=(*self.notes, *notes),
            errors=(*self.errors, *errors),
        )  # fmt: skip

    @cached_property
    def content(self) -> bytes:
        """The bytes of the file, the same for equal graphs."""
        return self.proto.SerializeToString(deterministic=True)

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return len(self.content)

    @cached_property
    def inputs(self) -> tuple[Port, ...]:
        """What must be fed: the inputs without the weights that old exporters list among them."""
        weights = {tensor.name for tensor in self.proto.graph.initializer}
        return tuple(_port(value) for value in self.proto.graph.input if value.name not in weights)

    @cached_property
    def outputs(self) -> tuple[Port, ...]:
        """What comes out."""
        return tuple(_port(value) for value in self.proto.graph.output)

    @cached_property
    def parameters(self) -> int:
        """The number of weights: elements of float and quantized tensors, without scales, zero points and shapes."""
        scales = {name for node in self.proto.graph.node if node.op_type in QUANTIZERS for name in list(node.input)[1:]}
        return sum(
            int(np.prod(tensor.dims, dtype=np.int64))
            for tensor in self.proto.graph.initializer
            if tensor.name not in scales and tensor.data_type not in (TensorProto.INT64, TensorProto.BOOL)
        )

    def operator_counts(self) -> dict[str, int]:
        """Return how often each operator stands in the graph."""
        counts: dict[str, int] = {}
        for node in self.proto.graph.node:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
        return counts


class Runnable(Protocol):
    """What can be run and measured: a Model, or what a target made of one."""

    @property
    def proto(self) -> ModelProto:
        """The graph that it computes."""
        ...

    @property
    def content(self) -> bytes:
        """The bytes of its file."""
        ...

    @property
    def size_bytes(self) -> int:
        """The size of its file."""
        ...

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What must be fed."""
        ...

    @property
    def outputs(self) -> tuple[Port, ...]:
        """What comes out."""
        ...

    @property
    def parameters(self) -> int:
        """The number of weights."""
        ...

    @property
    def label(self) -> str:
        """What was done, for people."""
        ...

    @property
    def steps(self) -> tuple[dict[str, Any], ...]:
        """The pipeline that made it."""
        ...


def joined(before: str, label: str) -> str:
    """Return the name of a model after one more step."""
    return label if before == ORIGINAL else f"{before} + {label}"


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    shape = tuple(
        size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None for size in tensor.shape.dim
    )
    return Port(name=value.name, shape=shape, dtype=str(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))))


def weights_of(proto: ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    """Return the initializers and Constant nodes' values by name."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = constant_value(node)
    return found


def constant_value(node: onnx.NodeProto) -> np.ndarray[Any, Any]:
    """Return the value of a Constant node."""
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return numpy_helper.to_array(value)
    kind = np.float32 if "float" in attribute.name else np.int64
    return np.array(value, dtype=kind)
