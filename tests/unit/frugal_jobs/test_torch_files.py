"""PyTorch files: exported programs, state dicts and safetensors become ONNX; nothing in them is run."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from frugal_jobs.errors import UnusableModel
from frugal_jobs.examples.network import network
from frugal_jobs.models import torch_safety
from frugal_jobs.models.loading import load
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of
from tests.unit.frugal_jobs.small_models import random, source_of, storage

FACTORY = {
    "factory": "frugal_jobs.examples.network:network",
    "inputs": {"images": {"shape": [-1, 1, 8, 8]}},
}


def loaded(path: Path, **more: Any) -> Model:
    return load(source_of(path, format="torch", **more), storage=storage(), folder=path.parent).model


def assert_same(model: Model, module: nn.Module) -> None:
    images = random(3, 1, 8, 8)
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(images)).numpy()
    found = outputs_of(model, iter([{model.inputs[0].name: images}]))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_state_dict_needs_its_factory_and_becomes_onnx(tmp_path: Path) -> None:
    module = network()
    torch.save(module.state_dict(), tmp_path / "m.pt")

    model = loaded(tmp_path / "m.pt", **FACTORY)

    assert model.inputs[0].shape == (None, 1, 8, 8)
    assert_same(model, module)


def test_safetensors_are_a_state_dict_too(tmp_path: Path) -> None:
    module = network()
    save_file(module.state_dict(), tmp_path / "m.safetensors")

    model = loaded(tmp_path / "m.safetensors", **FACTORY)

    assert_same(model, module)


def exported(path: Path) -> nn.Module:
    module = network().eval()
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(module, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=shapes), path)
    return module


def test_an_exported_program_needs_nothing_else(tmp_path: Path) -> None:
    module = exported(tmp_path / "m.pt2")

    model = loaded(tmp_path / "m.pt2")

    assert_same(model, module)


def rewritten(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Write the archive again with each member changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_size_of_an_exported_program_that_is_code_is_refused(tmp_path: Path) -> None:
    exported(tmp_path / "m.pt2")
    touched = tmp_path / "touched"

    def poison(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        text = content.decode()
        start = text.index('"expr_str": "') + len('"expr_str": "')
        code = json.dumps(f"__import__('os').system('touch {touched}')")[1:-1]
        return (text[:start] + code + text[text.index('"', start) :]).encode()

    with pytest.raises(UnusableModel, match="code, not arithmetic"):
        loaded(rewritten(tmp_path / "m.pt2", poison))

    assert not touched.exists()


@pytest.mark.parametrize("member", ["sample_inputs", "weight_0"])
def test_a_pickle_within_an_exported_program_is_never_run(tmp_path: Path, member: str) -> None:
    exported(tmp_path / "m.pt2")
    touched = tmp_path / "touched"
    code = b"cos\nsystem\n(S'touch %s'\ntR." % str(touched).encode()  # protocol 0 has no magic number

    with pytest.raises(UnusableModel):
        loaded(rewritten(tmp_path / "m.pt2", lambda name, content: code if member in name else content))

    assert not touched.exists()


def test_a_whole_pickled_module_is_refused_by_what_it_names(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "m.pt")

    with pytest.raises(UnusableModel, match=r"frugal_jobs\.examples\.network\.Residual"):
        loaded(tmp_path / "m.pt", **FACTORY)


def test_weights_that_begin_like_a_pickle_are_weights() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data/0", b"\x80\x02 anything")

    torch_safety.check(content.getvalue())  # raises nothing


def test_an_archive_that_unpacks_to_too_much_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/0", b"\0" * 5_000_000)

    with pytest.raises(torch_safety.UnsafeFile, match="unpacks to 5000000 bytes, and at most 1000 are allowed"):
        torch_safety.check(content.getvalue(), max_bytes=1000)


def test_archives_in_archives_end_somewhere() -> None:
    content = b""
    for _ in range(5):
        outer = io.BytesIO()
        with zipfile.ZipFile(outer, "w") as archive:
            archive.writestr("inner.pt", content)
        content = outer.getvalue()

    with pytest.raises(torch_safety.UnsafeFile, match="archives in archives"):
        torch_safety.check(content)


@pytest.mark.parametrize(
    ("more", "field", "fault"),
    [
        ({"inputs": FACTORY["inputs"]}, "spec.model.factory", "is missing"),
        ({"factory": FACTORY["factory"]}, "spec.model.inputs", "do not say what the network takes"),
        (FACTORY | {"factory": "no.such:thing"}, "spec.model.factory", "cannot be used"),
        (FACTORY | {"factory": "builtins:dict"}, "spec.model.factory", "returns dict"),
    ],
)
def test_what_a_state_dict_lacks_is_asked_for_by_field(
    tmp_path: Path, more: dict[str, Any], field: str, fault: str
) -> None:
    torch.save(network().state_dict(), tmp_path / "m.pt")

    with pytest.raises(UnusableModel, match=fault) as caught:
        loaded(tmp_path / "m.pt", **more)

    assert caught.value.field == field


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "m.pt")

    with pytest.raises(UnusableModel, match="does not fit what"):
        loaded(tmp_path / "m.pt", **FACTORY)
