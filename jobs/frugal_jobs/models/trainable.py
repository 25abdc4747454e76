"""A model that can learn: a torch module whose weights know where in the ONNX graph they belong. Trains nothing itself.

The module is only the way to new weights: they are written back into the graph that they came from, which needs no
exporter, takes milliseconds and keeps everything else of the user's graph as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor, fx, nn

from frugal_jobs.models.weights import drop_dead_nodes, drop_unused

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Slot:
    """Input `position` of node `node` (by number) takes what `read` returns once training is over (None: nothing)."""

    node: int
    position: int
    read: Callable[[], Array | None]


@dataclass(frozen=True, slots=True)
class AttributeSlot:
    """Attribute `name` of node `node` (by number) takes what `read` returns once training is over."""

    node: int
    name: str
    read: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainable:
    """`module` computes what `proto` does, from the inputs in the order of the graph to its first output."""

    proto: ModelProto
    module: fx.GraphModule
    slots: tuple[Slot, ...]
    flattens: tuple[int, ...]  # Reshape nodes, by number, that only flatten: their width may change
    output_modules: tuple[str, ...]  # the layers whose output is the model's: their width is not ours to change
    attributes: tuple[AttributeSlot, ...] = ()
    unused_inputs: tuple[tuple[int, int], ...] = ()  # (node, position) of inputs that say what is so without them
    origins: dict[str, int] = field(default_factory=dict)  # from the name of an fx node to the number of the ONNX node
    bypasses: tuple[tuple[int, int], ...] = ()  # (node, position): what took the node's output takes that input of it

    def written_back(self) -> ModelProto:
        """Return the ONNX graph with the module's present weights."""
        proto = ModelProto()
        proto.CopyFrom(self.proto)
        taken = {name for node in proto.graph.node for name in (*node.input, *node.output)}
        taken |= {tensor.name for tensor in proto.graph.initializer}
        for number, slot in enumerate(self.slots):
            array = slot.read()
            if array is None:
                continue
            name = f"frugal_{number}"
            while name in taken:
                name += "_"
            proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            inputs = proto.graph.node[slot.node].input
            while len(inputs) <= slot.position:
                inputs.append("")
            inputs[slot.position] = name
        for number in self.flattens:
            _make_flatten(proto.graph.node[number])
        for number, position in self.unused_inputs:
            proto.graph.node[number].input[position] = ""
        for entry in self.attributes:
            _set_attribute(proto.graph.node[entry.node], entry.name, entry.read())
        for number, position in self.bypasses:
            _bypass(proto, number, position)
        drop_dead_nodes(proto)
        drop_unused(proto)
        del proto.graph.value_info[:]
        return proto


def _make_flatten(node: NodeProto) -> None:
    node.op_type = "Flatten"
    del node.input[1:], node.attribute[:]
    node.attribute.append(helper.make_attribute("axis", 1))


def _bypass(proto: ModelProto, number: int, position: int) -> None:
    """Let what takes the output of a node take its input instead; a model's output stays, as a copy."""
    old, new = proto.graph.node[number].output[0], proto.graph.node[number].input[position]
    for other in proto.graph.node:
        for place, name in enumerate(other.input):
            if name == old:
                other.input[place] = new
    node = proto.graph.node[number]
    node.op_type = "Identity"
    del node.attribute[:], node.input[:]
    node.input.append(new)


def _set_attribute(node: NodeProto, name: str, value: int) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def array_of(tensor: Tensor) -> Array:
    """Return a copy of `tensor` as numpy's."""
    return np.array(tensor.detach().cpu().numpy(), copy=True)


def outputs_of_module(module: nn.Module, arrays: list[Array]) -> Array:
    """Return what `module` in evaluation mode makes of one batch."""
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        output = module(*(torch.from_numpy(array) for array in arrays))
    module.train(was_training)
    return array_of(output)
