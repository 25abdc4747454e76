"""How the operators of an ONNX node get at its inputs: as parts of the graph, as constants, as lists of integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import NodeProto
from torch import fx, nn

from frugal_jobs.models.graph_import import Array, Importer, UnsupportedOperator

Attributes = dict[str, Any]


def value_at(importer: Importer, number: int, node: NodeProto, position: int) -> fx.Node:
    """Return input `position` as a node of the graph; a float constant with axes becomes a trainable parameter."""
    name = node.input[position]
    if name in importer.values:
        return importer.values[name]
    array = importer.constants[name]
    if array.dtype.kind == "f" and array.size > 1:
        return importer.parameter(array, number, position)
    buffer = f"c{number}_{position}"
    importer.root.register_buffer(buffer, torch.from_numpy(np.array(array)), persistent=False)
    return importer.graph.get_attr(buffer)


def constant_at(importer: Importer, node: NodeProto, position: int, default: Any = None) -> Any:
    """Return a constant input as numpy's; raises UnsupportedOperator when it is computed."""
    if len(node.input) <= position or not node.input[position]:
        return default
    if node.input[position] not in importer.constants:
        raise UnsupportedOperator(operator=node.op_type, detail="with a computed argument")
    return importer.constants[node.input[position]]


def integers_at(
    importer: Importer, node: NodeProto, attributes: Attributes, name: str, position: int
) -> list[int] | None:
    """Return axes and the like, an attribute in old opsets and an input in new ones."""
    if name in attributes:
        return [int(number) for number in attributes[name]]
    found = constant_at(importer, node, position)
    return None if found is None else [int(number) for number in np.ravel(found)]


def fill(layer: nn.Module, **arrays: Array | None) -> None:
    """Copy `arrays` into the tensors of `layer` by name; None leaves one as it is."""
    with torch.no_grad():
        for name, array in arrays.items():
            if array is not None:
                getattr(layer, name).copy_(torch.from_numpy(np.array(array)))
