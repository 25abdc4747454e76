"""Keras models (`.keras`, `.h5`), loaded only after keras_safety said yes, and brought to ONNX layer by layer.

The walk stands in keras_import.py. The result is compared with Keras itself before anything relies on it.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal.api.common import ModelSource
from frugal_jobs.errors import UnusableModel
from frugal_jobs.models import keras_safety
from frugal_jobs.models.keras_graph import UnsupportedLayer
from frugal_jobs.models.keras_import import graph_of
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import session_of

FIELD = "spec.model.uri"
TOLERANCE = 1e-3  # of the largest output: float32 sums in another order differ by less than 1e-5 per layer
ENDINGS = (".keras", ".h5")


def load(source: ModelSource, path: Path) -> Model:
    """Return the Keras model in `path` as ONNX, images still with their channels last; raises UnusableModel."""
    try:
        keras_safety.check(path)
    except keras_safety.UnsafeKeras as error:
        raise UnusableModel(field=FIELD, value=source.uri, fault=error.fault, remedy=error.remedy) from error
    network = _loaded(source, path)
    try:
        model = Model(proto=graph_of(network))
    except UnsupportedLayer as error:
        remedy = "export the model to ONNX (keras.Model.export with format='onnx')"
        raise UnusableModel(field=FIELD, value=source.uri, fault=str(error), remedy=remedy) from error
    _compare(source, network, model)
    return model


def _keras() -> Any:
    """Return Keras on its torch backend; what it writes on import goes to a scratch folder."""
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ.setdefault("KERAS_HOME", str(Path(tempfile.gettempdir()) / "keras"))
    import keras

    return keras


def _loaded(source: ModelSource, path: Path) -> Any:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        named = path
        if path.suffix not in ENDINGS:  # Keras goes by the ending
            import zipfile

            named = Path(folder) / f"model{'.keras' if zipfile.is_zipfile(path) else '.h5'}"
            named.symlink_to(path.resolve())
        try:
            return _keras().models.load_model(named, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises what it likes
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise UnusableModel(
                field=FIELD, value=source.uri, fault=f"is no model that Keras can load ({said})",
                remedy="save it again with model.save(...) of Keras 2 or 3",
            ) from error  # fmt: skip


def _compare(source: ModelSource, network: Any, model: Model) -> None:
    """Compare with Keras on random samples; raises UnusableModel."""
    feed = {port.name: _random(port.sample_shape, port.dtype) for port in model.inputs}
    arrays = list(feed.values())
    expected = np.asarray(
        network(arrays if len(arrays) > 1 else arrays[0], training=False).detach().numpy(), np.float64
    )
    found = np.asarray(session_of(model.content).run(None, feed)[0], np.float64)
    difference = float("inf")
    if found.shape == expected.shape:
        difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-6))
    if not difference <= TOLERANCE:
        raise UnusableModel(
            field=FIELD, value=source.uri, fault=f"is read wrongly here: outputs differ by {difference:.2g}",
            remedy="export the model to ONNX yourself (keras.Model.export with format='onnx')",
        )  # fmt: skip


def _random(shape: tuple[int | None, ...], dtype: str) -> NDArray[Any]:
    generator = np.random.default_rng(0)
    sizes = (2, *(size or 16 for size in shape))
    return generator.random(sizes).astype(dtype) if dtype.startswith("float") else np.ones(sizes, dtype)
