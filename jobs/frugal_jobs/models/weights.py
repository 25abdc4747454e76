"""Which constants of a graph are weights, what layer each belongs to, and which of its axes are output channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter

LEAST_ELEMENTS = 1024  # smaller tensors are not worth the nodes that unpack them
RECURRENT = ("GRU", "LSTM", "RNN")
KINDS = {
    "Conv": "convolutions", "ConvTranspose": "convolutions", "MatMul": "products", "Gemm": "products",
    "Gather": "embeddings", "GRU": "recurrent", "LSTM": "recurrent", "RNN": "recurrent",
}  # fmt: skip
POSITIONS = {"Gather": (0,), "GRU": (1, 2), "LSTM": (1, 2), "RNN": (1, 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One use of a weight: input `position` of `node`; `channel_axes` are the axes of what one output is made of."""

    name: str
    node: NodeProto
    position: int
    kind: str
    channel_axes: tuple[int, ...]
    shape: tuple[int, ...]


def weights_in(proto: ModelProto, kinds: str = "all") -> list[Weight]:
    """Return the float32 weights of the layers of `kinds` (a value of the API's `layers`), in the graph's order."""
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    found = []
    for node in proto.graph.node:
        kind = KINDS.get(node.op_type)
        if kind is None or node.domain not in ("", "ai.onnx") or kinds not in ("all", kind):
            continue
        for position in POSITIONS.get(node.op_type, (1,)):
            tensor = tensors.get(node.input[position])
            if tensor is not None and len(tensor.dims) >= 2 and np.prod(tensor.dims) >= LEAST_ELEMENTS:
                axes = _channel_axes(node, len(tensor.dims))
                found.append(Weight(name=tensor.name, node=node, position=position, kind=kind, channel_axes=axes,
                                    shape=tuple(tensor.dims)))  # fmt: skip
    return found


def _channel_axes(node: NodeProto, rank: int) -> tuple[int, ...]:
    attributes = {entry.name: entry for entry in node.attribute}
    if node.op_type in RECURRENT:
        return (0, 1)  # direction, and gate by hidden unit
    if node.op_type == "MatMul":
        return (rank - 1,)
    if node.op_type == "Gemm":
        return (0,) if "transB" in attributes and attributes["transB"].i else (1,)
    if node.op_type == "ConvTranspose":
        return (1,)
    return (0,)


def with_opset(proto: ModelProto, least: int) -> ModelProto:
    """Return `proto` in operator set `least` or its own newer one; raises what onnx's converter raises."""
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), least)
    return proto if opset >= least else version_converter.convert_version(proto, least)


def with_plain_weights(proto: ModelProto) -> ModelProto:
    """Return a copy where weights that a Transpose or Identity brings, or a Constant holds, stand as initializers."""
    plain = ModelProto()
    plain.CopyFrom(proto)
    graph = plain.graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    kept = []
    for node in graph.node:
        folded = None if outputs & set(node.output) else _folded(node, known)
        if folded is None:
            kept.append(node)
            continue
        known[folded.name] = folded
        graph.initializer.append(folded)
    del graph.node[:]
    graph.node.extend(kept)
    drop_unused(plain)
    return plain


def _folded(node: NodeProto, known: dict[str, TensorProto]) -> TensorProto | None:
    """Return the constant that `node` yields, when it is one of the few that wrap weights."""
    if node.op_type == "Constant" and node.attribute[0].name == "value":
        tensor = TensorProto()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        return tensor
    if node.op_type not in ("Transpose", "Identity") or node.input[0] not in known:
        return None
    array = numpy_helper.to_array(known[node.input[0]])
    if node.op_type == "Transpose":
        order = next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == "perm"), None)
        array = np.ascontiguousarray(np.transpose(array, order))
    return numpy_helper.from_array(array, node.output[0])


def with_products(proto: ModelProto) -> ModelProto:
    """Return a copy where each plain Gemm is a MatMul with the weight as it is used, and an Add of the bias."""
    changed = ModelProto()
    changed.CopyFrom(proto)
    tensors = {tensor.name: tensor for tensor in changed.graph.initializer}
    nodes: list[NodeProto] = []
    for node in proto.graph.node:
        nodes.extend(_product(changed, node, tensors) if is_plain_gemm(node) and node.input[1] in tensors else [node])
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    drop_unused(changed)
    return changed


def is_plain_gemm(node: NodeProto) -> bool:
    """Whether `node` is a Gemm that neither scales nor transposes its input."""
    found = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    scaled = found.get("alpha", 1.0) != 1.0 or found.get("beta", 1.0) != 1.0
    return node.op_type == "Gemm" and not scaled and not found.get("transA", 0)


def _product(proto: ModelProto, node: NodeProto, tensors: dict[str, TensorProto]) -> list[NodeProto]:
    name, output, has_bias = node.input[1], node.output[0], len(node.input) > 2 and bool(node.input[2])
    if any(entry.name == "transB" and entry.i for entry in node.attribute):
        array = np.ascontiguousarray(numpy_helper.to_array(tensors[name]).T)
        name = f"{name}/transposed"
        if name not in tensors:
            tensors[name] = numpy_helper.from_array(array, name)
            proto.graph.initializer.append(tensors[name])
    product = helper.make_node("MatMul", [node.input[0], name], [f"{output}/product" if has_bias else output])
    return [product, helper.make_node("Add", [product.output[0], node.input[2]], [output])] if has_bias else [product]


def drop_unused(proto: ModelProto) -> None:
    """Drop initializers that nothing uses, in place, also from the inputs among which old exporters list them."""
    graph = proto.graph
    used = {name for node in _all_nodes(proto) for name in node.input} | {value.name for value in graph.output}
    dropped = {tensor.name for tensor in graph.initializer if tensor.name not in used}
    for listed in (graph.initializer, graph.input):
        kept = [entry for entry in listed if entry.name not in dropped]
        del listed[:]
        listed.extend(kept)  # type: ignore[arg-type]


def drop_dead_nodes(proto: ModelProto) -> None:
    """Drop nodes, in place, whose outputs nothing uses, in whatever order; where there are subgraphs all stay."""
    makers = {name: node for node in proto.graph.node for name in node.output if name}
    waiting = [value.name for value in proto.graph.output]
    if any(_has_subgraph(node) for node in proto.graph.node):  # whose nodes may use whatever is outside
        waiting += [name for node in _all_nodes(proto) for name in (*node.input, *node.output)]
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting.extend(makers[name].input if name in makers else ())
    kept = [node for node in proto.graph.node if used & {name for name in node.output if name}]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)


def _has_subgraph(node: NodeProto) -> bool:
    return any(entry.HasField("g") or entry.graphs for entry in node.attribute)


def _all_nodes(proto: ModelProto) -> list[NodeProto]:
    """Return the nodes of the graph and of its subgraphs, which may use its tensors."""
    waiting, found = list(proto.graph.node), []
    while waiting:
        node = waiting.pop()
        found.append(node)
        for attribute in node.attribute:
            waiting.extend(attribute.g.node)
            waiting.extend(inner for graph in attribute.graphs for inner in graph.node)
    return found
