"""One table of corrupted, hostile, wrongly shaped and tiny inputs: each gets an error that names field and remedy."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from frugal.api.compression_job import DataSource
from frugal_jobs.datasets import loading as datasets
from frugal_jobs.errors import InvalidInput
from frugal_jobs.models import loading as models
from frugal_jobs.models.model import Model
from tests.unit.frugal_jobs.small_models import linear, model_of, random, small_cnn, source_of, storage

FACTORY = {"format": "torch", "factory": "frugal_jobs.examples.network:network",
           "inputs": {"images": {"shape": [-1, 1, 8, 8]}}}  # fmt: skip
Content = Callable[[], bytes]


class Exploit:
    """Would run a command when unpickled; `touched` must never appear."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch touched",)


def changed(change: Callable[[onnx.ModelProto], object]) -> Content:
    """Return what makes the bytes of the small network after `change`."""

    def content() -> bytes:
        proto = small_cnn().proto
        change(proto)
        return proto.SerializeToString()

    return content


def tensor(proto: onnx.ModelProto) -> TensorProto:
    return proto.graph.initializer[0]


def astronomical(proto: onnx.ModelProto) -> None:
    tensor(proto).ClearField("raw_data")
    tensor(proto).dims[0] = 1 << 60


def external(location: str, **more: str) -> Content:
    def change(proto: onnx.ModelProto) -> None:
        tensor(proto).ClearField("raw_data")
        tensor(proto).data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor(proto).external_data.add(key=key, value=value)

    return changed(change)


def archive(**members: bytes) -> Content:
    def content() -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
            for name, inner in members.items():
                file.writestr(name, inner)
        return stream.getvalue()

    return content


def saved(found: object) -> Content:
    def content() -> bytes:
        stream = io.BytesIO()
        torch.save(found, stream)
        return stream.getvalue()

    return content


def onnx_of(model: Callable[[], Model]) -> Content:
    return lambda: model().content


def unfolding(operator: str, *sizes: int) -> Content:
    nodes = [helper.make_node(operator, ["s"] if operator == "ConstantOfShape" else ["one", "s"], ["c"]),
             helper.make_node("Add", ["x", "c"], ["y"])]  # fmt: skip
    weights: dict[str, Any] = {"s": np.array(sizes, np.int64), "one": np.ones((1, 1), np.float32)}
    return onnx_of(lambda: model_of(nodes, weights, takes=(1, 1), gives=None))


def safetensors(header: dict[str, Any], body: bytes = b"") -> Content:
    text = json.dumps(header).encode()
    return lambda: struct.pack("<Q", len(text)) + text + body


# name: (content, more of spec.model, what the error says)
MODELS: dict[str, tuple[Content, dict[str, Any], str]] = {
    "an empty file": (lambda: b"", {}, "no ONNX graph"),
    "one byte": (lambda: b"\x08", {}, "ONNX"),
    "text": (lambda: b"this is no model at all, but a note", {}, "ONNX"),
    "zeros": (lambda: bytes(4096), {}, "ONNX"),
    "a cut file": (lambda: small_cnn().content[:500], {}, "ONNX"),
    "a gzip file": (lambda: gzip.compress(small_cnn().content), {}, "gzip"),
    "a zip file": (archive(model=b"x"), {}, "zip archive"),
    "HDF5 called ONNX": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(64), {}, "HDF5"),
    "a pickle": (lambda: pickle.dumps(Exploit(), protocol=4), {}, "pickle"),
    "a graph without output": (changed(lambda proto: proto.graph.ClearField("output")), {}, "output"),
    "an IR version of the future": (changed(lambda proto: setattr(proto, "ir_version", 999)), {}, "IR version 999"),
    "an operator set of the future": (
        changed(lambda proto: setattr(proto.opset_import[0], "version", 999)), {}, "operator set 999",
    ),
    "an operator that does not exist": (
        changed(lambda proto: setattr(proto.graph.node[0], "op_type", "Frobnicate")), {}, "cannot run it",
    ),
    "an operator of an unknown domain": (
        changed(lambda proto: setattr(proto.graph.node[0], "domain", "com.example")), {}, "cannot run it",
    ),
    "a node that takes what nobody gives": (
        changed(lambda proto: proto.graph.node[1].input.__setitem__(0, "nowhere")), {}, "cannot run it",
    ),
    "a tensor with too few bytes": (
        changed(lambda proto: setattr(tensor(proto), "raw_data", b"abc")), {}, "holds 3 bytes",
    ),
    "a tensor of negative size": (
        changed(lambda proto: tensor(proto).dims.__setitem__(0, -1)), {}, "has the shape",
    ),
    "a tensor of astronomical size": (changed(astronomical), {}, "more than"),
    "a tensor of an unknown type": (
        changed(lambda proto: setattr(tensor(proto), "data_type", 77)), {}, "unknown type 77",
    ),
    "weights outside the folder": (external("../../../etc/passwd"), {}, "outside the model's own folder"),
    "weights at an absolute path": (external("/etc/passwd"), {}, "outside the model's own folder"),
    "weights that are not there": (external("weights.bin"), {}, "weights.bin"),
    "weights of a nonsensical length": (
        external("present.bin", offset="-5", length="many"), {}, "offset '-5'",
    ),
    "weights beyond the end of their file": (external("present.bin", offset="1000"), {}, "is said to be"),
    "a constant that unfolds": (unfolding("ConstantOfShape", 1 << 20, 1 << 20), {}, "unfolds to"),
    "an expansion that unfolds": (unfolding("Expand", 1 << 20, 1 << 20), {}, "unfolds to"),
    "a repetition that unfolds": (unfolding("Tile", 1 << 20, 1 << 20), {}, "unfolds to"),
    "another digest": (onnx_of(small_cnn), {"sha256": "0" * 64}, "has sha256"),
    "torch: a pickle that runs code": (lambda: pickle.dumps(Exploit(), protocol=2), FACTORY, "would run code"),
    "torch: code in an archive": (
        archive(**{"archive/data.pkl": pickle.dumps(Exploit(), protocol=2)}), FACTORY, "would run code",
    ),
    "torch: a whole module": (saved(torch.nn.Linear(2, 2)), FACTORY, "would run code"),
    "torch: a list": (saved([1, 2, 3]), FACTORY, "something else than a state dict"),
    "torch: weights of another network": (saved({"w": torch.zeros(2)}), FACTORY, "does not fit"),
    "torch: weights of the right names and wrong shapes": (
        lambda: saved({name: torch.zeros(1) for name in _network_state()})(), FACTORY, "does not fit",
    ),
    "torch: no factory": (saved({"w": torch.zeros(2)}), {"format": "torch"}, "is missing"),
    "torch: a factory that is not installed": (
        saved({"w": torch.zeros(2)}), FACTORY | {"factory": "no.such.module:make"}, "cannot be used",
    ),
    "torch: a factory that makes no module": (
        saved({"w": torch.zeros(2)}), FACTORY | {"factory": "builtins:dict"}, "returns dict",
    ),
    "torch: a damaged archive": (lambda: saved({"w": torch.zeros(2)})()[:200], FACTORY, "damaged"),
    "torch: a size that is code": (
        archive(**{"m/models/model.json": b'{"expr_str": "__import__(\'os\')"}'}), FACTORY, "code, not arithmetic",
    ),
    "safetensors: a header longer than the file": (
        lambda: struct.pack("<Q", 1 << 40) + b"{}", FACTORY | {"format": "safetensors"}, "no weights that can be read",
    ),
    "safetensors: offsets beyond the end": (
        safetensors({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"abc"),
        FACTORY | {"format": "safetensors"}, "no weights that can be read",
    ),
    "safetensors: a header that is no JSON": (
        lambda: struct.pack("<Q", 5) + b"[1,2,", FACTORY | {"format": "safetensors"}, "no weights that can be read",
    ),
}  # fmt: skip


def _network_state() -> dict[str, Any]:
    from frugal_jobs.examples.network import network

    return dict(network().state_dict())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_be_used_is_refused_by_field_and_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, more, says = MODELS[name]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.bin"
    path.write_bytes(content())
    (tmp_path / "present.bin").write_bytes(bytes(64))

    with pytest.raises(InvalidInput) as caught:
        models.load(source_of(path, **more), storage=storage(), folder=tmp_path / "work")

    assert says in str(caught.value)
    assert caught.value.field.startswith("spec.model.")
    assert caught.value.remedy
    assert not (tmp_path / "touched").exists()


def npz(**arrays: Any) -> Content:
    def content() -> bytes:
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        return stream.getvalue()

    return content


def parquet(**columns: Any) -> Content:
    def content() -> bytes:
        import pyarrow
        from pyarrow import parquet as writer

        stream = io.BytesIO()
        writer.write_table(pyarrow.table(columns), stream)
        return stream.getvalue()

    return content


ROWS, CLASSES = random(6, 3), np.arange(6) % 2
OBJECTS = np.array([{"a": 1}, None, "x", 2, 3, 4], dtype=object)
LIE = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999,), }".ljust(117)
    + b"\n"
)

# name: (file, content, what the error says)
DATA: dict[str, tuple[str, Content, str]] = {
    "an empty archive": ("d.npz", archive(), "no array for input 'x'"),
    "no archive": ("d.npz", lambda: b"rows of numbers", "no .npz archive"),
    "an empty file": ("d.npz", lambda: b"", "no .npz archive"),
    "a cut archive": ("d.npz", lambda: npz(x=ROWS, y=CLASSES)()[:-40], "no .npz archive"),
    "a member that is no array": ("d.npz", archive(**{"x.npy": b"not an array"}), "is no array"),
    "a pickled array": ("d.npz", npz(x=OBJECTS, y=CLASSES), "Python objects"),
    "an array that claims more than it holds": ("d.npz", archive(**{"x.npy": LIE}), "claims"),
    "an archive that unpacks to too much": ("d.npz", archive(**{"x.npy": bytes(60_000_000)}), "unpacks to"),
    "a foreign name": ("d.npz", npz(images=ROWS, y=CLASSES), "no array for input 'x' (found images)"),
    "text where numbers belong": ("d.npz", npz(x=np.array(["a"] * 6), y=CLASSES), "holds <U1"),
    "complex numbers": ("d.npz", npz(x=ROWS.astype(np.complex64), y=CLASSES), "holds complex64"),
    "samples that are too wide": ("d.npz", npz(x=random(6, 5), y=CLASSES), "are 5 and the model takes 3"),
    "samples with an axis too many": ("d.npz", npz(x=random(6, 3, 3), y=CLASSES), "are 3 x 3 and the model takes 3"),
    "one number": ("d.npz", npz(x=np.float32(1), y=CLASSES), "the model takes 3"),
    "no samples": ("d.npz", npz(x=random(0, 3), y=CLASSES[:0]), "holds no samples"),
    "more labels than samples": ("d.npz", npz(x=ROWS, y=np.zeros(9, np.int64)), "label"),
    "no labels": ("d.npz", npz(x=ROWS), "label"),
    "an unknown ending": ("d.csv", lambda: b"1,2,3\n", "ending that is not known"),
    "no Parquet": ("d.parquet", lambda: b"PAR1 or not", "no Parquet file"),
    "Parquet with empty cells": ("d.parquet", parquet(x=[[1.0, 2, 3], None], y=[0, 1]), "empty cells"),
    "Parquet of ragged lists": ("d.parquet", parquet(x=[[1.0, 2, 3], [1.0]], y=[0, 1]), "2 lengths"),
    "Parquet of structures": ("d.parquet", parquet(x=[{"a": 1}, {"a": 2}], y=[0, 1]), "has the type struct"),
    "IDX of another magic": ("d-images-idx3-ubyte", lambda: b"\x01\x02\x03\x04", "no IDX file"),
    "IDX that ends in its header": ("d-images-idx3-ubyte", lambda: b"\0\0\x08\x03\0\0", "ends within its header"),
    "IDX that claims too much": (
        "d-images-idx3-ubyte", lambda: b"\0\0\x08\x03" + struct.pack(">3I", 1 << 20, 1 << 10, 1 << 10), "claims",
    ),
    "IDX with too few elements": (
        "d-images-idx3-ubyte", lambda: b"\0\0\x08\x03" + struct.pack(">3I", 2, 1, 3) + b"abc", "holds 3 bytes",
    ),
    "IDX in damaged gzip": (
        "d-images-idx3-ubyte.gz", lambda: gzip.compress(b"\0\0\x08\x01\0\0\0\x63" + bytes(99))[:-9], "damaged gzip",
    ),
    "IDX without a third axis in its name": ("d-idx1-ubyte", lambda: b"\0\0\x08\x01\0\0\0\x01a", "is not named like"),
    "text without a tokenizer": ("d.jsonl", lambda: b'{"text": "hello"}\n', "model.tokenizer is not given"),
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_used_is_refused_by_field_and_remedy(name: str, tmp_path: Path) -> None:
    file, content, says = DATA[name]
    path = tmp_path / file
    path.write_bytes(content())
    source = DataSource.model_validate({"uri": path.as_uri()})

    with pytest.raises(InvalidInput) as caught:
        datasets.load(
            source, field="spec.data.evaluation", model=linear(random(2, 3)),
            described=source_of(path, task="classification"), storage=storage(), folder=tmp_path / "work",
            max_bytes=50_000_000,
        )  # fmt: skip

    assert says in str(caught.value)
    assert caught.value.field.startswith("spec.data.evaluation")
    assert caught.value.remedy


def test_the_table_has_no_fewer_than_forty_cases() -> None:
    assert len(MODELS) + len(DATA) >= 70


def test_the_smallest_model_that_is_one_is_taken(tmp_path: Path) -> None:
    tiny = model_of([helper.make_node("Neg", ["x"], ["y"])], {}, takes=("batch", 1), gives=("batch", 1))
    (tmp_path / "m.onnx").write_bytes(tiny.content)

    original = models.load(source_of(tmp_path / "m.onnx"), storage=storage(), folder=tmp_path / "work")

    assert original.model.parameters == 0
