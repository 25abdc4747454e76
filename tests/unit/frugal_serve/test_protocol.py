"""Infer requests and responses, from bytes and to bytes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import orjson
import pytest

from frugal_serve.datatypes import DATATYPES, Datatype
from frugal_serve.errors import BadRequest
from frugal_serve.protocol import InferRequest, WantedOutput, parse_infer, render_infer
from frugal_serve.specification import ModelSpecification, TensorSpecification

BY_NAME: Mapping[str, Datatype] = {datatype.name: datatype for datatype in DATATYPES}


def tensor(name: str, datatype: str, *shape: int) -> TensorSpecification:
    return TensorSpecification(name=name, datatype=BY_NAME[datatype], shape=shape)


def model(datatype: str = "FP32", *more: TensorSpecification) -> ModelSpecification:
    """x of (rows, 2) to y of (rows, 2), with `more` inputs."""
    inputs = {entry.name: entry for entry in (tensor("x", datatype, -1, 2), *more)}
    outputs = {"y": tensor("y", datatype, -1, 2)}
    return ModelSpecification(name="m", version="1", inputs=inputs, outputs=outputs, is_batched=True)


def entry(**changes: object) -> dict[str, object]:
    fields = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0], **changes}
    return {key: value for key, value in fields.items() if value is not ...}


def parse(body: object, specification: ModelSpecification | None = None) -> InferRequest:
    return parse_infer(orjson.dumps(body), None, specification or model())


def refusal(body: object, specification: ModelSpecification | None = None) -> str:
    with pytest.raises(BadRequest) as caught:
        parse(body, specification)
    return str(caught.value)


@pytest.mark.parametrize("values", [[1, 2.5, 3, 4], [[1, 2.5], [3, 4]]])
def test_values_may_be_flat_or_nested(values: object) -> None:
    request = parse({"inputs": [entry(shape=[2, 2], data=values)]})

    assert request.rows == 2
    assert request.tensors["x"].dtype == np.float32
    assert request.tensors["x"].tolist() == [[1, 2.5], [3, 4]]


def test_null_is_nan_where_there_is_nan() -> None:
    request = parse({"inputs": [entry(data=[None, 2])]})

    assert np.isnan(request.tensors["x"]).tolist() == [[True, False]]
    assert "no INT32" in refusal({"inputs": [entry(datatype="INT32", data=[None, 2])]}, model("INT32"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "expected a JSON object"),
        ({}, "inputs: expected a list"),
        ({"inputs": {}}, "inputs: expected a list"),
        ({"inputs": [1]}, "inputs: expected a list of objects"),
        ({"inputs": []}, "also needs x"),
        ({"inputs": [entry()], "id": 7}, "id: expected a string"),
        ({"inputs": [entry()], "parameters": []}, "expected an object"),
        ({"inputs": [entry(), entry()]}, "comes twice"),
        ({"inputs": [entry(name="z")]}, "no input 'z'; it has x"),
        ({"inputs": [entry(name=["x"])]}, "no input"),
        ({"inputs": [entry(datatype="FP64")]}, "takes FP32, not 'FP64'"),
        ({"inputs": [entry(datatype=...)]}, "takes FP32, not None"),
        ({"inputs": [entry(shape=...)]}, "inputs[0].shape: expected a list"),
        ({"inputs": [entry(shape=[1, "2"])]}, "expected a list of sizes"),
        ({"inputs": [entry(shape=[True, 2])]}, "expected a list of sizes"),
        ({"inputs": [entry(shape=[-1, 2])]}, "expected a list of sizes"),
        ({"inputs": [entry(shape=[2])]}, "takes [-1, 2], not [2]"),
        ({"inputs": [entry(shape=[1, 3])]}, "takes [-1, 2], not [1, 3]"),
        ({"inputs": [entry(shape=[2, 2])]}, "has the shape [2]"),
        ({"inputs": [entry(shape=[0, 2], data=[])]}, "at least 1"),
        ({"inputs": [entry(shape=[2, 2], data=[[1, 2, 3, 4]])]}, "has the shape [1, 4]"),
        ({"inputs": [entry(data=...)]}, "expected a list of values"),
        ({"inputs": [entry(data=1.0)]}, "expected a list of values"),
        ({"inputs": [entry(data=["1", "2"])]}, "no FP32"),
        ({"inputs": [entry(data=[1, "2"])]}, "no FP32"),
        ({"inputs": [entry(data=[True, False])]}, "no FP32"),
        ({"inputs": [entry(data=[{}, 1])]}, "no FP32"),
        ({"inputs": [entry(data=[[1, 2], [3]])]}, "inputs[0].data"),
        ({"inputs": [entry(parameters={"binary_data_size": 8})]}, "no number of bytes up to the 0"),
        ({"inputs": [entry(parameters=3)]}, "inputs[0].parameters: expected an object"),
        ({"inputs": [entry()], "outputs": [{"name": "z"}]}, "no output 'z'; it has y"),
        ({"inputs": [entry()], "outputs": {"name": "y"}}, "outputs: expected a list"),
        ({"inputs": [entry()], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "true or false"),
    ],
)
def test_a_request_that_contradicts_the_model_is_told_where(body: object, words: str) -> None:
    assert words in refusal(body)


@pytest.mark.parametrize(
    ("datatype", "values", "words"),
    [
        ("INT8", [128, 0], "outside -128 to 127"),
        ("INT8", [0, -129], "outside -128 to 127"),
        ("UINT8", [-1, 0], "outside 0 to 255"),
        ("UINT64", [2**64 - 1, -1], "no UINT64"),
        ("INT32", [1.5, 2], "no INT32"),
        ("INT32", [True, False], "no INT32"),
        ("BOOL", [0, 1], "no BOOL"),
        ("BYTES", [1, 2], "no BYTES"),
        ("BYTES", [None, "a"], "no BYTES"),
    ],
)
def test_a_value_that_its_datatype_does_not_have_is_refused(datatype: str, values: object, words: str) -> None:
    assert words in refusal({"inputs": [entry(datatype=datatype, data=values)]}, model(datatype))


def test_the_largest_numbers_come_in_whole_beside_small_ones() -> None:
    request = parse({"inputs": [entry(datatype="UINT64", data=[2**64 - 1, 0])]}, model("UINT64"))

    assert request.tensors["x"].tolist() == [[2**64 - 1, 0]]


def test_inputs_must_have_one_number_of_rows() -> None:
    two = entry(name="z", shape=[2, 2], data=[1, 2, 3, 4])

    assert "found [1, 2]" in refusal({"inputs": [entry(), two]}, model("FP32", tensor("z", "FP32", -1, 2)))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(BadRequest, match="no JSON"):
        parse_infer(b'{"inputs": [NaN]}', None, model())


def binary_body(payload: bytes, size_bytes: object = None, **changes: object) -> tuple[bytes, int]:
    size_bytes = len(payload) if size_bytes is None else size_bytes
    changes = {"data": ..., "parameters": {"binary_data_size": size_bytes}, **changes}
    head = orjson.dumps({"inputs": [entry(**changes)]})
    return head + payload, len(head)


def test_a_binary_tensor_is_read_at_any_offset() -> None:
    payload = np.array([[1.5, -2.5]], np.float32).tobytes()
    head = orjson.dumps({"inputs": [entry(data=..., parameters={"binary_data_size": 8})]})
    for padding in range(8):
        padded = head + b" " * padding

        request = parse_infer(padded + payload, len(padded), model())

        assert request.tensors["x"].tolist() == [[1.5, -2.5]]
        assert request.tensors["x"].flags.aligned


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (binary_body(bytes(12), size_bytes=8), "4 bytes follow"),
        (binary_body(bytes(8), size_bytes=9), "up to the 8 that are left"),
        (binary_body(bytes(8), size_bytes="8"), "no number of bytes"),
        (binary_body(bytes(8), size_bytes=-8), "no number of bytes"),
        (binary_body(bytes(12)), "has the shape [3]"),
        (binary_body(bytes(7)), "no whole number"),
        (binary_body(bytes(8), data=[1, 2]), "both data and binary_data_size"),
        ((b"{}", 3), "3 bytes of JSON are said to be in a body of 2"),
        ((b"{}", 0), "0 bytes of JSON"),
    ],
)
def test_a_binary_tensor_that_does_not_fit_is_refused(body: tuple[bytes, int], words: str) -> None:
    payload, json_bytes = body

    with pytest.raises(BadRequest) as caught:
        parse_infer(payload, json_bytes, model())

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\x01\x00\x00", "ends within a length"),
        (b"\x05\x00\x00\x00ab", "more than there are"),
        (b"\x01\x00\x00\x00\xff\x00\x00\x00\x00", "utf-8"),
    ],
)
def test_binary_strings_that_are_damaged_are_refused(payload: bytes, words: str) -> None:
    body, json_bytes = binary_body(payload, datatype="BYTES")

    with pytest.raises(BadRequest, match=words):
        parse_infer(body, json_bytes, model("BYTES"))


def test_a_binary_bool_is_zero_or_one() -> None:
    body, json_bytes = binary_body(b"\x01\x02", datatype="BOOL")

    with pytest.raises(BadRequest, match="byte 0 or 1"):
        parse_infer(body, json_bytes, model("BOOL"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"parameters": {"binary_data_output": True}, "outputs": [{"name": "y"}]}, True),
        ({"outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, True),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
            },
            False,
        ),
    ],
)
def test_an_output_is_binary_when_it_or_the_request_says_so(body: dict[str, object], expected: bool) -> None:
    request = parse({"inputs": [entry()], **body})

    assert request.outputs == (WantedOutput(name="y", is_binary=expected),)


def test_a_response_has_the_wanted_outputs_and_the_id() -> None:
    request = parse({"id": "seven", "inputs": [entry()]})

    body = render_infer(request, {"y": np.array([[1, np.nan]], np.float32)}, model())

    assert body.json_bytes is None
    assert orjson.loads(body.payload) == {
        "model_name": "m",
        "model_version": "1",
        "id": "seven",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, None]}],
    }


@pytest.mark.parametrize("datatype", ["FP16", "BOOL", "INT64", "UINT8", "FP64"])
def test_every_datatype_can_be_written_as_json(datatype: str) -> None:
    values = np.array([[0, 1]], BY_NAME[datatype].dtype)
    request = parse({"inputs": [entry(datatype=datatype, data=values.tolist())]}, model(datatype))

    body = render_infer(request, {"y": values}, model(datatype))

    assert orjson.loads(body.payload)["outputs"][0]["data"] == values.ravel().tolist()
