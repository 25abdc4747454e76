"""From an ONNX graph to a torch module with real layers (Conv2d, Linear, ...) that can be pruned and trained.

The operators stand in operators.py. The result is compared with ONNX Runtime before anything relies on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator
from torch import fx, nn

from frugal.errors import FrugalError
from frugal_jobs.evaluation.flops import shapes_at_batch_one
from frugal_jobs.models.model import Model, weights_of
from frugal_jobs.models.running import noise_feed, session_of
from frugal_jobs.models.trainable import AttributeSlot, Slot, Trainable, outputs_of_module

Array = NDArray[Any]
TOLERANCE = 1e-3  # of the largest output: float32 sums in another order differ by less than 1e-5 per layer
FOLDED_BYTES = 1 << 24  # constants up to here are folded; larger ones are weights


class UnsupportedOperator(FrugalError):
    """An operator (or a form of it) that cannot be trained here; quantization needs none of this."""

    def __init__(self, *, operator: str, detail: str = "") -> None:
        self.operator, self.detail = operator, detail
        super().__init__(f"operator {operator}{f' ({detail})' if detail else ''} cannot be trained here")


class ImportDiffers(FrugalError):
    """The module computes something else than ONNX Runtime does."""

    def __init__(self, *, difference: float) -> None:
        self.difference = difference
        super().__init__(f"the trainable copy differs from the model by {difference:.2g} of its largest output")


@dataclass(slots=True)
class Importer:
    """The state of one import: a growing fx graph, the modules, and where weights go back to."""

    model: Model
    root: nn.Module = field(default_factory=nn.Module)
    graph: fx.Graph = field(default_factory=fx.Graph)
    values: dict[str, fx.Node] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    consumers: dict[str, int] = field(default_factory=dict)
    flattens: list[int] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)
    attributes: list[AttributeSlot] = field(default_factory=list)
    unused_inputs: list[tuple[int, int]] = field(default_factory=list)
    origins: dict[str, int] = field(default_factory=dict)
    zeros: set[str] = field(default_factory=set)  # tensors that are nothing but zeros, whatever their shape

    @property
    def nodes(self) -> list[NodeProto]:
        return list(self.model.proto.graph.node)

    @property
    def opset(self) -> int:
        return max(
            (entry.version for entry in self.model.proto.opset_import if entry.domain in ("", "ai.onnx")), default=1
        )

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> fx.Node:
        """Add a call of a plain function to the graph."""
        return self.graph.call_function(function, arguments, options)

    def layer(self, module: nn.Module, number: int, *arguments: fx.Node) -> fx.Node:
        """Add a call of a layer that belongs to node `number`."""
        name = f"n{number}"
        self.root.add_module(name, module)
        return self.graph.call_module(name, arguments)

    def parameter(self, array: Array, number: int, position: int) -> fx.Node:
        """Add a trainable tensor that is input `position` of node `number`."""
        name = f"p{number}_{position}"
        tensor = nn.Parameter(torch.from_numpy(array.astype(np.float32, copy=True)))
        self.root.register_parameter(name, tensor)
        self.slots.append(Slot(number, position, lambda: tensor.detach().numpy().astype(array.dtype)))
        return self.graph.get_attr(name)

    def rank(self, name: str) -> int | None:
        """Return how many dimensions a tensor has, where it is known."""
        return len(self.shapes[name]) if name in self.shapes else None


def imported(model: Model) -> Trainable:
    """Return `model` as a trainable module; raises UnsupportedOperator, ImportDiffers."""
    importer = Importer(model, constants=weights_of(model.proto), shapes=shapes_at_batch_one(model.proto))
    for name in (name for node in importer.nodes for name in node.input):
        importer.consumers[name] = importer.consumers.get(name, 0) + 1
    for port in model.inputs:
        importer.values[port.name] = importer.graph.placeholder(f"x{len(importer.values)}")
    for number, node in enumerate(importer.nodes):
        if number not in importer.skipped:
            _import_node(importer, number, node)
    trainable = _finished(importer)
    _check(model, trainable)
    return trainable


def _import_node(importer: Importer, number: int, node: NodeProto) -> None:
    from frugal_jobs.models.operators import OPERATORS
    from frugal_jobs.models.selecting import ZERO_KEEPERS

    if node.op_type == "Constant":
        return None
    if all(name in importer.constants for name in node.input if name) and node.op_type not in NOT_FOLDED:
        return _fold(importer, node)
    build = OPERATORS.get(node.op_type)
    if build is None or node.domain not in ("", "ai.onnx"):
        raise UnsupportedOperator(operator=node.op_type)
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    importer.values[node.output[0]] = build(importer, number, node, attributes)
    importer.origins[importer.values[node.output[0]].name] = number
    parts = node.input if node.op_type == "Concat" else node.input[:1]
    if node.op_type in ZERO_KEEPERS and all(_is_zero(importer, name) for name in parts):
        importer.zeros.add(node.output[0])
    return None


def _is_zero(importer: Importer, name: str) -> bool:
    constant = importer.constants.get(name)
    return name in importer.zeros or (constant is not None and constant.dtype.kind == "f" and not constant.any())


NOT_FOLDED = frozenset({"RandomNormal", "RandomUniform", "ConstantOfShape"})


def _fold(importer: Importer, node: NodeProto) -> None:
    """Compute a node whose inputs are all constants, as long as they are small."""
    arrays = [importer.constants[name] for name in node.input if name]
    if sum(array.nbytes for array in arrays) > FOLDED_BYTES:
        raise UnsupportedOperator(operator=node.op_type, detail="on large constants")
    feeds = {name: importer.constants[name] for name in node.input if name}
    evaluator = ReferenceEvaluator(node, opsets={"": importer.opset})
    for name, result in zip(node.output, evaluator.run(None, feeds), strict=False):
        importer.constants[name] = np.asarray(result)


def _finished(importer: Importer) -> Trainable:
    output = importer.model.outputs[0].name
    if output not in importer.values:
        raise UnsupportedOperator(operator="Identity", detail="the output is a constant")
    importer.graph.output(importer.values[output])
    module = fx.GraphModule(importer.root, importer.graph)
    module.graph.eliminate_dead_code()
    module.recompile()
    return Trainable(
        proto=importer.model.proto, module=module.eval(), slots=tuple(importer.slots),
        flattens=tuple(importer.flattens), attributes=tuple(importer.attributes),
        unused_inputs=tuple(importer.unused_inputs), origins=importer.origins,
        output_modules=tuple(_last_layers(module)),
    )  # fmt: skip


def _last_layers(module: fx.GraphModule) -> list[str]:
    """Return the layers from which the output is reached without another layer between."""
    layers = dict(module.named_modules())
    waiting = list(next(node for node in module.graph.nodes if node.op == "output").all_input_nodes)
    found, seen = [], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "call_module" and isinstance(layers[str(node.target)], nn.Linear | nn.modules.conv._ConvNd):
            found.append(str(node.target))
        else:
            waiting.extend(node.all_input_nodes)
    return sorted(found)


def _check(model: Model, trainable: Trainable) -> None:
    """Compare the module with ONNX Runtime on random input of the right shape; raises ImportDiffers."""
    feed = noise_feed(model)
    expected = np.asarray(session_of(model.content).run([model.outputs[0].name], feed)[0], np.float64)
    found = outputs_of_module(trainable.module, list(feed.values())).astype(np.float64)
    if found.shape != expected.shape:
        raise ImportDiffers(difference=float("inf"))
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-6))
    if not difference <= TOLERANCE:
        raise ImportDiffers(difference=difference)
