"""Model files from anybody: what may be loaded, and what each bad file is told."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from frugal_artifacts.errors import ArtifactMissing, ArtifactTooLarge, UnsafeModel
from frugal_artifacts.onnx_safety import OnnxLimits, OnnxSummary, check_onnx


def model(*, weight: onnx.TensorProto | None = None, opset: int = 17, ir_version: int = 9) -> onnx.ModelProto:
    """A model of one node: y = x + weight, with a weight of 2 x 3 float32."""
    weight = weight or numpy_helper.from_array(np.ones((2, 3), np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "weight"], ["y"])],
        "adds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def external_weight(location: str, **entries: str) -> onnx.TensorProto:
    """A weight of 2 x 3 float32 (24 bytes) that is said to lie in `location`."""
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=value)
    return weight


def saved(folder: Path, proto: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def refusal(path: Path, limits: OnnxLimits | None = None) -> str:
    with pytest.raises(UnsafeModel) as caught:
        check_onnx(path, limits)
    return str(caught.value)


def test_a_plain_model_may_be_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path, model())

    summary = check_onnx(path)

    assert summary == OnnxSummary(ir_version=9, opset=17, weight_bytes=24, nodes=1, external_files=())


def test_weights_beside_the_model_may_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(bytes(32))
    path = saved(tmp_path, model(weight=external_weight("weights/w.bin", offset="8", length="24")))

    summary = check_onnx(path)

    assert summary.external_files == ("weights/w.bin",)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "", "C:\\w.bin", "..\\w.bin", "a\0b"])
def test_weights_outside_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(24))
    (tmp_path / "inner").mkdir()
    path = saved(tmp_path / "inner", model(weight=external_weight(location)))

    assert "outside the model's own folder" in refusal(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(bytes(24))
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "w.bin").symlink_to(tmp_path / "theirs")
    path = saved(tmp_path / "inner", model(weight=external_weight("w.bin")))

    assert "a link out of" in refusal(path)


@pytest.mark.parametrize(
    "entries", [{"offset": "8"}, {"offset": "-1"}, {"length": "23"}, {"length": "1e9"}, {"offset": "²"}]
)
def test_weights_that_their_file_cannot_hold_are_refused(entries: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(24))
    path = saved(tmp_path, model(weight=external_weight("w.bin", **entries)))

    assert "tensor 'weight'" in refusal(path)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, model(weight=external_weight("w.bin")))

    assert "'w.bin' is not there" in refusal(path)


def test_external_data_in_a_branch_of_an_if_is_seen(tmp_path: Path) -> None:
    output = helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 3])
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["z"], value=external_weight("/etc/passwd"))], "branch", [], [output]
    )
    node = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("flag", TensorProto.BOOL, [])], [output])
    path = saved(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))

    assert "'/etc/passwd'" in refusal(path)


def test_external_data_in_a_function_is_seen(tmp_path: Path) -> None:
    proto = model()
    constant = helper.make_node("Constant", [], ["c"], value=external_weight("/etc/passwd"))
    proto.functions.append(helper.make_function("ours", "F", [], ["c"], [constant], [helper.make_opsetid("", 17)]))

    assert "'/etc/passwd'" in refusal(saved(tmp_path, proto))


def zip_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("weights", bytes(10))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (zip_archive(), "is a zip archive"),
        (pickle.dumps({"weights": 1}), "would run code"),
        (b"\x1f\x8b\x08rest", "is a gzip archive"),
        (b"no model at all", "no ONNX file"),
        (b"", "holds no ONNX graph"),
        (model().SerializeToString()[:-9], "no ONNX file"),
    ],
)
def test_what_is_no_onnx_file_is_called_by_its_name(payload: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(payload)

    assert words in refusal(path)


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (model(opset=999), "operator set 999"),
        (model(ir_version=99), "IR version 99"),
        (model(ir_version=2), "IR version 2"),
        (model(weight=TensorProto(name="w", data_type=1, dims=[2, 3], raw_data=bytes(20))), "holds 20 bytes"),
        (model(weight=TensorProto(name="w", data_type=1, dims=[-2, 3], raw_data=bytes(24))), "shape [-2, 3]"),
        (model(weight=TensorProto(name="w", data_type=99, dims=[1], raw_data=bytes(4))), "unknown type 99"),
        (model(weight=TensorProto(name="w", data_type=1, dims=[2**40])), "bytes of memory"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(proto: onnx.ModelProto, words: str, tmp_path: Path) -> None:
    assert words in refusal(saved(tmp_path, proto))


@pytest.mark.parametrize("is_constant_node", [False, True])
def test_a_few_bytes_that_unfold_to_terabytes_are_refused(is_constant_node: bool, tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([2**20, 2**20], np.int64), "shape")
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["y"], name="bomb")]
    if is_constant_node:
        nodes.insert(0, helper.make_node("Constant", [], ["shape"], value=shape))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2**20, 2**20])
    graph = helper.make_graph(nodes, "g", [], [output], [] if is_constant_node else [shape])
    path = saved(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))

    assert f"unfolds to {2**40} elements" in refusal(path)


def test_a_file_or_graph_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, model())

    with pytest.raises(ArtifactTooLarge, match="at most 50"):
        check_onnx(path, OnnxLimits(file_bytes=50))
    assert "more than 23 bytes" in refusal(path, OnnxLimits(weight_bytes=23))
    assert "has 1 nodes" in refusal(path, OnnxLimits(nodes=0))


def test_a_missing_model_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing):
        check_onnx(tmp_path / "model.onnx")
