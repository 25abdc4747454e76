"""Keras files: what is refused before anything in them is loaded, and what comes out of those that are read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from frugal.api.common import ModelSource
from frugal_jobs.errors import UnusableModel
from frugal_jobs.models.keras_files import load
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import session_of
from tests.unit.frugal_jobs.keras_models import Network, Sequential, convolutional, layers


def read(path: Path) -> Model:
    return load(ModelSource.model_validate({"uri": path.as_uri(), "format": "keras"}), path)


def saved(folder: Path, network: Any, name: str = "model.h5") -> Path:
    network.save(folder / name)
    return folder / name


def hdf5(folder: Path, config: dict[str, Any]) -> Path:
    """A file with a model_config alone: a refusal must come from it, since nothing else could be loaded."""
    with h5py.File(folder / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
    return folder / "model.h5"


def archive(folder: Path, config: dict[str, Any], **more: bytes) -> Path:
    with zipfile.ZipFile(folder / "model.keras", "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", b"not even HDF5")
        for name, content in more.items():
            file.writestr(name, content)
    return folder / "model.keras"


def sequential(*found: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "s", "layers": list(found)}}


DENSE = {"class_name": "Dense", "config": {"units": 1, "name": "d"}}
HOSTILE = {
    "a Lambda layer": sequential({"class_name": "Lambda", "config": {"function": ["4wEAAAAA", None, None]}}),
    "a Lambda in a wrapper": sequential(
        {"class_name": "TimeDistributed", "config": {"layer": {"class_name": "Lambda", "config": {}}}}
    ),
    "a lambda as an activation": sequential(
        {"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__", "config": {"value": "x"}}}}
    ),
    "an unregistered class": sequential({"class_name": "MyAttention", "config": {}}),
    "a registered class": sequential(
        {"class_name": "Dense", "module": "mine", "registered_name": "mine>Dense", "config": {}}
    ),
    "a module outside Keras": sequential({"class_name": "Dense", "module": "os", "config": {}}),
    "a layer that unpickles": sequential({"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {}}),
    "a layer that loads a folder": sequential({"class_name": "TFSMLayer", "config": {"filepath": "/etc"}}),
    "a layer that reads a file": sequential({"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}),
    "a function of one's own": sequential(
        {"class_name": "Dense", "config": {"activation": {"class_name": "function", "config": "my_activation"}}}
    ),
    "a subclassed model": {"class_name": "MyModel", "config": {}},
}


@pytest.mark.parametrize("config", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("write", [hdf5, archive])
def test_code_and_classes_of_ones_own_are_refused_from_the_config(tmp_path: Path, config: Any, write: Any) -> None:
    with pytest.raises(UnusableModel, match=r"Lambda|is no layer that is read here|only its author's code"):
        read(write(tmp_path, config))


def test_a_file_without_a_config_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file["w"] = np.zeros(3)

    with pytest.raises(UnusableModel, match="weights alone"):
        read(tmp_path / "model.h5")


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    path = hdf5(tmp_path, sequential(DENSE))
    with h5py.File(path, "a") as file:
        file["outside"] = h5py.ExternalLink("/etc/passwd", "/")

    with pytest.raises(UnusableModel, match="links 'outside' to another place"):
        read(path)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    path = hdf5(tmp_path, sequential(DENSE))
    with h5py.File(path, "a") as file:
        file.create_dataset("w", (4,), dtype="u1", external=[("/etc/hostname", 0, 4)])

    with pytest.raises(UnusableModel, match="keeps 'w' in another file"):
        read(path)


def test_an_archive_with_assets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="no plain model needs"):
        read(archive(tmp_path, sequential(DENSE), asset=b"x"))


@pytest.mark.parametrize("content", [b"", b"x" * 1000, b"\x89HDF\r\n\x1a\n" + b"\0" * 100, b"PK\x03\x04" + b"\0" * 50])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.h5").write_bytes(content)

    with pytest.raises(UnusableModel):
        read(tmp_path / "model.h5")


def recurrent(kind: Any, **options: Any) -> Any:
    rows = layers.Input((6, 5))
    x = kind(7, return_sequences=True, **options)(rows)
    return Network(rows, layers.Dense(3)(kind(4, **options)(x)))


def joined() -> Any:
    images = layers.Input((8, 8, 2))
    x = layers.ZeroPadding2D(1)(images)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    y = layers.Conv2D(4, 1, activation="swish")(images)
    x = layers.Concatenate()([layers.LeakyReLU()(x), y])
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.LayerNormalization()(layers.Reshape((16, 8))(x))
    return Network(images, layers.Dense(3, activation="gelu")(layers.Flatten()(layers.Permute((2, 1))(x))))


NETWORKS = {
    "images": lambda: convolutional(),
    "branches": joined,
    "rows": lambda: Sequential([layers.Input((9,)), layers.Dense(8, activation="elu"), layers.Dense(3)]),
    "gru": lambda: recurrent(layers.GRU),
    "gru before reset": lambda: recurrent(layers.GRU, reset_after=False),
    "lstm": lambda: recurrent(layers.LSTM),
    "nested": lambda: Sequential([layers.Input((8, 8, 1)), convolutional(classes=5), layers.Softmax()]),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_a_network_computes_what_keras_computes(tmp_path: Path, make: Any, name: str) -> None:
    network = make()
    for weight in network.weights:
        if "variance" not in weight.path:
            weight.assign(np.random.default_rng(len(weight.path)).standard_normal(weight.shape) * 0.3)

    model = read(saved(tmp_path, network, name))

    samples = np.random.default_rng(1).random((3, *network.input_shape[1:])).astype(np.float32)
    expected = network(samples, training=False).detach().numpy()
    (found,) = session_of(model.content).run(None, {"x": samples})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_images_are_turned_once_and_never_back(tmp_path: Path) -> None:
    model = read(saved(tmp_path, convolutional()))

    counts = model.operator_counts()

    assert counts["Transpose"] == 1
    assert not {"Pad", "Reshape"} & set(counts)


def test_a_layer_that_is_not_read_is_named(tmp_path: Path) -> None:
    network = Sequential([layers.Input((6, 5)), layers.GRU(3, go_backwards=True)])

    with pytest.raises(UnusableModel, match="GRU"):
        read(saved(tmp_path, network))
