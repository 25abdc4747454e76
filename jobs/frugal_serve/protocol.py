"""The Open Inference Protocol's infer request and response, from bytes and to bytes; JSON and binary tensors.

A request that leaves here fits the model: names, datatypes, shapes. Nothing here runs a model or knows HTTP's framing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import orjson

from frugal_serve.datatypes import Array, decode_binary, decode_json, encode_binary
from frugal_serve.errors import BadRequest
from frugal_serve.specification import ModelSpecification, TensorSpecification

Json = Mapping[str, object]
ENCODE = orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOutput:
    """One output that the response shall have."""

    name: str
    is_binary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """One request that fits its model; `rows` is the common first dimension, 1 for a model without rows."""

    identity: str | None
    tensors: Mapping[str, Array]
    outputs: tuple[WantedOutput, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class InferBody:
    """The body of a response; `json_bytes` is the length of its JSON when binary tensors follow, otherwise None."""

    payload: bytes
    json_bytes: int | None


def parse_infer(body: bytes, json_bytes: int | None, model: ModelSpecification) -> InferRequest:
    """Return the request in `body`, whose first `json_bytes` are its JSON (None: all of it); raises BadRequest."""
    head, tail = _split(body, json_bytes)
    envelope = _envelope(head)
    tensors = _parse_inputs(envelope, tail, model)
    identity = envelope.get("id")
    if identity is not None and not isinstance(identity, str):
        raise BadRequest("id", "expected a string")
    return InferRequest(
        identity=identity,
        tensors=tensors,
        outputs=_parse_outputs(envelope, model),
        rows=_common_rows(tensors, model),
    )


def render_infer(request: InferRequest, results: Mapping[str, Array], model: ModelSpecification) -> InferBody:
    """Return the response's body with the wanted ones of `results`."""
    outputs: list[dict[str, object]] = []
    tail: list[bytes] = []
    for wanted in request.outputs:
        array = results[wanted.name]
        output: dict[str, object] = {
            "name": wanted.name,
            "datatype": model.outputs[wanted.name].datatype.name,
            "shape": array.shape,
        }
        if wanted.is_binary:
            tail.append(encode_binary(array))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = _json_values(array)
        outputs.append(output)
    answer: dict[str, object] = {"model_name": model.name, "model_version": model.version, "outputs": outputs}
    if request.identity is not None:
        answer["id"] = request.identity
    head = orjson.dumps(answer, option=ENCODE)
    return InferBody(b"".join((head, *tail)), len(head)) if tail else InferBody(head, None)


def _json_values(array: Array) -> object:
    """Return `array` flat, as orjson takes it; NaN and infinity become null."""
    flat = array.ravel()
    return flat.tolist() if flat.dtype.kind == "O" else np.ascontiguousarray(flat)


def _split(body: bytes, json_bytes: int | None) -> tuple[bytes, memoryview]:
    if json_bytes is None:
        return body, memoryview(b"")
    if not 0 < json_bytes <= len(body):
        raise BadRequest(
            "Inference-Header-Content-Length", f"{json_bytes} bytes of JSON are said to be in a body of {len(body)}"
        )
    return body[:json_bytes], memoryview(body)[json_bytes:]


def _envelope(head: bytes) -> Json:
    try:
        envelope = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        raise BadRequest("body", f"is no JSON ({error})") from None
    if not isinstance(envelope, dict):
        raise BadRequest("body", "expected a JSON object")
    return envelope


def _objects(value: object, field: str) -> Sequence[Json]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise BadRequest(field, "expected a list of objects")
    return value


def _parameters(of: Json, field: str) -> Json:
    parameters = of.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"{field}.parameters", "expected an object")
    return parameters


def _parse_inputs(envelope: Json, tail: memoryview, model: ModelSpecification) -> Mapping[str, Array]:
    """Return every input of the model by name; the binary ones take their bytes from `tail`, in the request's order."""
    tensors: dict[str, Array] = {}
    position = 0
    for index, entry in enumerate(_objects(envelope.get("inputs"), "inputs")):
        field = f"inputs[{index}]"
        expected = _expected(entry, field, model)
        if expected.name in tensors:
            raise BadRequest(field, f"input {expected.name!r} comes twice")
        size_bytes = _parameters(entry, field).get("binary_data_size")
        if size_bytes is None:
            tensors[expected.name] = _tensor(entry, field, expected, None)
            continue
        payload = tail[position : position + _size(size_bytes, len(tail) - position, field)]
        position += len(payload)
        tensors[expected.name] = _tensor(entry, field, expected, payload)
    if missing := model.inputs.keys() - tensors.keys():
        raise BadRequest("inputs", f"the model also needs {', '.join(sorted(missing))}")
    if position != len(tail):
        raise BadRequest("body", f"{len(tail) - position} bytes follow the last binary tensor")
    return tensors


def _expected(entry: Json, field: str, model: ModelSpecification) -> TensorSpecification:
    """Return the model's input that `entry` is, when the datatype is right too."""
    name = entry.get("name")
    expected = model.inputs.get(name) if isinstance(name, str) else None
    if expected is None:
        raise BadRequest(f"{field}.name", f"the model has no input {name!r}; it has {', '.join(model.inputs)}")
    if entry.get("datatype") != expected.datatype.name:
        raise BadRequest(f"{field}.datatype", f"{name!r} takes {expected.datatype.name}, not {entry.get('datatype')!r}")
    return expected


def _size(size_bytes: object, left_bytes: int, field: str) -> int:
    if type(size_bytes) is not int or not 0 <= size_bytes <= left_bytes:
        raise BadRequest(
            f"{field}.parameters.binary_data_size",
            f"{size_bytes!r} is no number of bytes up to the {left_bytes} that are left in the body",
        )
    return size_bytes


def _tensor(entry: Json, field: str, expected: TensorSpecification, payload: memoryview | None) -> Array:
    shape = _shape(entry, field, expected)
    if payload is not None and "data" in entry:
        raise BadRequest(field, "has both data and binary_data_size")
    try:
        if payload is not None:
            found = decode_binary(payload, expected.datatype)
        else:
            found = decode_json(entry.get("data"), expected.datatype)
    except ValueError as error:
        raise BadRequest(f"{field}.data", f"{expected.name!r}: {error}") from None
    if found.size != math.prod(shape) or (found.ndim > 1 and found.shape != shape):
        raise BadRequest(f"{field}.data", f"has the shape {list(found.shape)} and is said to have {list(shape)}")
    return found.reshape(shape)


def _shape(entry: Json, field: str, expected: TensorSpecification) -> tuple[int, ...]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise BadRequest(f"{field}.shape", f"expected a list of sizes, not {shape!r}")
    if not expected.admits(tuple(shape)):
        raise BadRequest(f"{field}.shape", f"{expected.name!r} takes {list(expected.shape)}, not {shape}")
    return tuple(shape)


def _parse_outputs(envelope: Json, model: ModelSpecification) -> tuple[WantedOutput, ...]:
    """Return what the response shall have: all outputs, in JSON, unless the request says otherwise."""
    is_binary = _flag(_parameters(envelope, "request"), "binary_data_output", default=False)
    wanted = envelope.get("outputs")
    if wanted is None or wanted == []:
        return _all_outputs(tuple(model.outputs), is_binary)
    entries = _objects(wanted, "outputs")
    return tuple(_parse_output(entry, f"outputs[{index}]", model, is_binary) for index, entry in enumerate(entries))


@cache
def _all_outputs(names: tuple[str, ...], is_binary: bool) -> tuple[WantedOutput, ...]:
    """Return what most requests want; made once for a model."""
    return tuple(WantedOutput(name=name, is_binary=is_binary) for name in names)


def _parse_output(entry: Json, field: str, model: ModelSpecification, is_binary: bool) -> WantedOutput:
    name = entry.get("name")
    if not isinstance(name, str) or name not in model.outputs:
        raise BadRequest(f"{field}.name", f"the model has no output {name!r}; it has {', '.join(model.outputs)}")
    return WantedOutput(name=name, is_binary=_flag(_parameters(entry, field), "binary_data", default=is_binary))


def _flag(parameters: Json, name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"parameters.{name}", f"expected true or false, not {value!r}")
    return value


def _common_rows(tensors: Mapping[str, Array], model: ModelSpecification) -> int:
    if not model.is_batched:
        return 1
    rows = {len(array) for array in tensors.values()}
    if len(rows) != 1 or 0 in rows:
        raise BadRequest("inputs", f"expected one number of rows, at least 1, for every input; found {sorted(rows)}")
    return rows.pop()
