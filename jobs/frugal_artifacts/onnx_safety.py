"""Whether an ONNX file, from anybody, may be given to a runtime: read as data, bounded, and kept inside its own folder.

Says nothing about what the model computes or whether a runtime has its operators.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from frugal_artifacts.errors import ArtifactMissing, ArtifactTooLarge, UnsafeModel

OLDEST_IR_VERSION = 3  # the oldest that ONNX Runtime reads (its docs/Versioning.md)
MAGIC = {  # what people hand over instead of ONNX
    b"PK\x03\x04": "is a zip archive (a PyTorch checkpoint, a Keras file, an npz)",
    b"\x1f\x8b": "is a gzip archive",
    b"\x80\x02": "is a Python pickle, which would run code when loaded",
    b"\x80\x03": "is a Python pickle, which would run code when loaded",
    b"\x80\x04": "is a Python pickle, which would run code when loaded",
    b"\x80\x05": "is a Python pickle, which would run code when loaded",
    b"\x89HDF": "is an HDF5 file (Keras)",
}
ELEMENT_BITS: dict[int, int] = {
    TensorProto.FLOAT: 32, TensorProto.UINT8: 8, TensorProto.INT8: 8, TensorProto.UINT16: 16, TensorProto.INT16: 16,
    TensorProto.INT32: 32, TensorProto.INT64: 64, TensorProto.BOOL: 8, TensorProto.FLOAT16: 16, TensorProto.DOUBLE: 64,
    TensorProto.UINT32: 32, TensorProto.UINT64: 64, TensorProto.COMPLEX64: 64, TensorProto.COMPLEX128: 128,
    TensorProto.BFLOAT16: 16, TensorProto.FLOAT8E4M3FN: 8, TensorProto.FLOAT8E4M3FNUZ: 8, TensorProto.FLOAT8E5M2: 8,
    TensorProto.FLOAT8E5M2FNUZ: 8, TensorProto.UINT4: 4, TensorProto.INT4: 4, TensorProto.FLOAT4E2M1: 4,
}  # fmt: skip
UNFOLDING = frozenset({"ConstantOfShape", "Expand", "Tile"})  # their last input says how large the output is
RE_EXPORT = "export the model again with a current exporter, or get the file from its origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxLimits:
    """How much a model file may claim."""

    file_bytes: int = 2**31 - 1  # protobuf reads no more; larger models keep their weights outside
    weight_bytes: int = 16 * 2**30  # all tensors together, unpacked: what one pod may be asked to hold
    nodes: int = 1_000_000  # the largest exported transformers have some ten thousand


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSummary:
    """What a safe file says of itself."""

    ir_version: int
    opset: int  # of the default domain; 0 when the model uses none
    weight_bytes: int  # all tensors, unpacked
    nodes: int  # with those of subgraphs and functions
    external_files: tuple[str, ...]  # relative to the model's folder, sorted


def check_onnx(path: Path, limits: OnnxLimits | None = None) -> OnnxSummary:
    """Return the summary of the model at `path` when it may be loaded; raises what `read_onnx` does."""
    return check_model(read_onnx(path, limits), path.parent, place=str(path), limits=limits)


def read_onnx(path: Path, limits: OnnxLimits | None = None) -> ModelProto:
    """Return the model at `path` as data, without its external tensors.

    Raises ArtifactMissing, ArtifactTooLarge and UnsafeModel.
    """
    allowed_bytes = (limits or OnnxLimits()).file_bytes
    if not path.is_file():
        raise ArtifactMissing(uri=str(path))
    if path.stat().st_size > allowed_bytes:
        raise ArtifactTooLarge(uri=str(path), found_bytes=path.stat().st_size, allowed_bytes=allowed_bytes)
    return parse_onnx(path.read_bytes(), place=str(path))


def parse_onnx(payload: bytes, *, place: str) -> ModelProto:
    """Return `payload` as a model, without its external tensors; raises UnsafeModel."""
    for magic, what in MAGIC.items():
        if payload.startswith(magic):
            raise UnsafeModel(place=place, fault=what, remedy="name an ONNX file, or set model.format")
    try:
        model: ModelProto = ModelProto.FromString(payload)
    except DecodeError as error:
        raise UnsafeModel(place=place, fault=f"is no ONNX file or a damaged one ({error})", remedy=RE_EXPORT) from error
    if not model.ir_version or not model.graph.output:
        raise UnsafeModel(place=place, fault="holds no ONNX graph with an output", remedy=RE_EXPORT)
    return model


def external_files(model: ModelProto, *, place: str) -> tuple[str, ...]:
    """Return the files that hold tensors of `model`, relative to its folder; raises UnsafeModel for one outside."""
    return tuple(sorted({_location(tensor, place) for tensor in _tensors(model) if _is_external(tensor)}))


def check_model(model: ModelProto, folder: Path, *, place: str, limits: OnnxLimits | None = None) -> OnnxSummary:
    """Return the summary of a model whose external files, if any, lie in `folder`; raises UnsafeModel."""
    limits = limits or OnnxLimits()
    _check_versions(model, place)
    node_count = sum(1 for _ in _nodes(model))
    if node_count > limits.nodes:
        fault = f"has {node_count} nodes, and at most {limits.nodes} are allowed"
        raise UnsafeModel(place=place, fault=fault, remedy=RE_EXPORT)
    weight_bytes = _check_tensors(model, folder, place, limits)
    _check_constants_of_shape(model, place, limits)
    return OnnxSummary(
        ir_version=model.ir_version,
        opset=max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0),
        weight_bytes=weight_bytes,
        nodes=node_count,
        external_files=external_files(model, place=place),
    )


def _check_versions(model: ModelProto, place: str) -> None:
    if not OLDEST_IR_VERSION <= model.ir_version <= onnx.IR_VERSION:
        fault = f"has IR version {model.ir_version}, and {OLDEST_IR_VERSION} to {onnx.IR_VERSION} can be read"
        raise UnsafeModel(place=place, fault=fault, remedy=RE_EXPORT)
    newest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in {"", "ai.onnx"} and not 1 <= entry.version <= newest:
            fault = f"asks for operator set {entry.version}, and 1 to {newest} are known"
            raise UnsafeModel(place=place, fault=fault, remedy=RE_EXPORT)


def _check_tensors(model: ModelProto, folder: Path, place: str, limits: OnnxLimits) -> int:
    """Return the bytes of all tensors, each of them as large as its shape says and within its file."""
    total_bytes = 0
    for tensor in _tensors(model):
        stated_bytes = _stated_bytes(tensor, place)
        if _is_external(tensor):
            _check_external(tensor, stated_bytes, folder, place)
        elif tensor.HasField("raw_data") and len(tensor.raw_data) != stated_bytes:
            found = f"holds {len(tensor.raw_data)} bytes where its shape and type need {stated_bytes}"
            raise UnsafeModel(place=place, fault=f"tensor {tensor.name!r} {found}", remedy=RE_EXPORT)
        total_bytes += stated_bytes
        if total_bytes > limits.weight_bytes:
            fault = f"its tensors need more than {limits.weight_bytes} bytes of memory"
            raise UnsafeModel(place=place, fault=fault, remedy="use a smaller model")
    return total_bytes


def _stated_bytes(tensor: TensorProto, place: str) -> int:
    """Return the bytes that the shape and type of `tensor` need; strings count what they hold."""
    if any(dimension < 0 for dimension in tensor.dims):
        fault = f"tensor {tensor.name!r} has the shape {list(tensor.dims)}"
        raise UnsafeModel(place=place, fault=fault, remedy=RE_EXPORT)
    if tensor.data_type == TensorProto.STRING:
        return sum(len(text) for text in tensor.string_data)
    bits = ELEMENT_BITS.get(tensor.data_type)
    if bits is None:
        fault = f"tensor {tensor.name!r} has the unknown type {tensor.data_type}"
        raise UnsafeModel(place=place, fault=fault, remedy=RE_EXPORT)
    elements: int = math.prod(tensor.dims)
    return (elements * bits + 7) // 8


def _is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data)


def _location(tensor: TensorProto, place: str) -> str:
    """Return the external file of `tensor`, a plain path below the model's folder."""
    name = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or set(name) & set("\\:\0"):
        fault = f"tensor {tensor.name!r} is said to lie in {name!r}, outside the model's own folder"
        raise UnsafeModel(place=place, fault=fault, remedy="keep external data beside the model, by a relative path")
    return name


def _check_external(tensor: TensorProto, stated_bytes: int, folder: Path, place: str) -> None:
    """Object to a file that is not there, lies behind a link out of `folder`, or is shorter than the tensor needs."""
    name = _location(tensor, place)
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        fault = f"external data {name!r} is a link out of the model's own folder"
        raise UnsafeModel(place=place, fault=fault, remedy="keep the file itself beside the model")
    if not path.is_file():
        fault = f"external data {name!r} is not there"
        raise UnsafeModel(place=place, fault=fault, remedy="store it beside the model")
    offset, length = _extent(tensor, stated_bytes, place)
    if length != stated_bytes or offset + length > path.stat().st_size:
        found = f"bytes {offset} to {offset + length} of {name!r} ({path.stat().st_size} bytes)"
        fault = f"tensor {tensor.name!r} needs {stated_bytes} bytes and is said to be {found}"
        raise UnsafeModel(place=place, fault=fault, remedy=RE_EXPORT)


def _extent(tensor: TensorProto, stated_bytes: int, place: str) -> tuple[int, int]:
    """Return (offset, length) in bytes of an external tensor."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    offset, length = entries.get("offset", "0"), entries.get("length", str(stated_bytes))
    if not (offset.isascii() and offset.isdigit() and length.isascii() and length.isdigit()):
        fault = f"tensor {tensor.name!r} has offset {offset!r} and length {length!r}"
        raise UnsafeModel(place=place, fault=fault, remedy=RE_EXPORT)
    return int(offset), int(length)


def _check_constants_of_shape(model: ModelProto, place: str, limits: OnnxLimits) -> None:
    """Object to a few bytes that unfold to a huge tensor when a runtime folds constants.

    Only shapes that stand in the file are seen; for those that are computed, the pod's memory limit is the guard.
    """
    shapes = _stated_shapes(model)
    for node in _nodes(model):
        shape = shapes.get(node.input[-1]) if node.op_type in UNFOLDING and node.input else None
        if shape is None:
            continue
        elements = math.prod(int(size) for size in onnx.numpy_helper.to_array(shape).ravel())
        if elements > limits.weight_bytes:
            fault = f"node {node.name!r} ({node.op_type}) unfolds to {elements} elements"
            raise UnsafeModel(place=place, fault=fault, remedy=RE_EXPORT)


def _stated_shapes(model: ModelProto) -> dict[str, TensorProto]:
    """Return the int64 tensors of the file by name: initializers and the values of Constant nodes."""
    shapes = {tensor.name: tensor for graph in _graphs(model) for tensor in graph.initializer}
    for node in _nodes(model):
        if node.op_type == "Constant" and node.output and len(node.attribute) == 1:
            shapes[node.output[0]] = node.attribute[0].t
    return {
        name: tensor
        for name, tensor in shapes.items()
        if tensor.data_type == TensorProto.INT64 and not _is_external(tensor)
    }


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    yield model.graph
    for training in model.training_info:
        yield from (training.initialization, training.algorithm)


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Yield every node: of the graphs, of their subgraphs, of the functions."""
    waiting: list[Iterable[NodeProto]] = [graph.node for graph in _graphs(model)]
    waiting.extend(function.node for function in model.functions)
    while waiting:
        for node in waiting.pop():
            yield node
            waiting.extend(graph.node for graph in _subgraphs(node.attribute))


def _subgraphs(attributes: Iterable[AttributeProto]) -> Iterator[GraphProto]:
    for attribute in attributes:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor that the file holds or points to."""
    for graph in _graphs(model):
        yield from _graph_tensors(graph)
    for node in _nodes(model):
        yield from _attribute_tensors(node.attribute)
    for function in model.functions:
        yield from _attribute_tensors(function.attribute_proto)


def _attribute_tensors(attributes: Iterable[AttributeProto]) -> Iterator[TensorProto]:
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
        for sparse in attribute.sparse_tensors:
            yield from (sparse.values, sparse.indices)
    for graph in _subgraphs(attributes):
        yield from _graph_tensors(graph)


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
