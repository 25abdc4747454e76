"""From `spec.model` to a Model: fetched, checked as untrusted input, brought to ONNX. Nothing in a file is ever run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx

from frugal.api.common import ModelFormat, ModelSource
from frugal_artifacts.digest import verify_sha256
from frugal_artifacts.errors import (
    ArtifactMissing,
    ArtifactTooLarge,
    DigestMismatch,
    InvalidUri,
    StorageDenied,
    UnsafeModel,
)
from frugal_artifacts.onnx_safety import OnnxLimits, check_model, external_files, parse_onnx, read_onnx
from frugal_artifacts.storage import Storage
from frugal_jobs.errors import Unsupported, UnusableModel
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import fault_when_run

FIELD = "spec.model.uri"
MAX_FILE_BYTES = 2**31 - 1  # protobuf reads no more; compressing larger models needs external data on both sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The model to compress, and the size of the file that the user has."""

    model: Model
    file_bytes: int


def load(source: ModelSource, *, storage: Storage, folder: Path) -> Original:
    """Return the model that `source` names; copies go to `folder`.

    Raises UnusableModel or Unsupported for what no retry can mend, and StorageUnavailable for an outage.
    """
    path = fetch(source, storage=storage, folder=folder)
    if source.format is ModelFormat.ONNX:
        model = _onnx(source, path, storage, folder)
    elif source.format is ModelFormat.KERAS:
        model = _keras(source, path)
    else:
        from frugal_jobs.models.torch_files import load as load_torch  # torch takes seconds to import

        model = load_torch(source, path)
    _check_runs(model, source)
    return Original(
        model=model, file_bytes=path.stat().st_size if source.format is ModelFormat.ONNX else model.size_bytes
    )


def _keras(source: ModelSource, path: Path) -> Model:
    if find_spec("keras") is None or find_spec("h5py") is None:
        raise Unsupported(
            field="spec.model.format", value="keras", fault="needs Keras, which is not installed in this image",
            remedy="use an image with the packages of targets.txt, or export the model to ONNX",
        )  # fmt: skip
    from frugal_jobs.models.keras_files import load as load_keras

    return load_keras(source, path)


def fetch(source: ModelSource, *, storage: Storage, folder: Path) -> Path:
    """Return the path of the file, its digest checked before anything reads it; raises UnusableModel."""
    try:
        path = storage.fetch(source.uri, folder, MAX_FILE_BYTES)
        if source.sha256:
            verify_sha256(path, source.sha256)
    except DigestMismatch as error:
        raise UnusableModel(
            field="spec.model.sha256", value=source.sha256, fault=f"the file has sha256 {error.found}",
            remedy="mend the digest, or get the file that it belongs to",
        ) from error  # fmt: skip
    except (ArtifactMissing, ArtifactTooLarge, InvalidUri, StorageDenied) as error:
        raise UnusableModel(
            field=FIELD, value=source.uri, fault=str(error), remedy="name a file that the pod can read"
        ) from error
    return path


def _onnx(source: ModelSource, path: Path, storage: Storage, folder: Path) -> Model:
    try:
        proto = read_onnx(path, OnnxLimits())
        _fetch_external(source, proto, path, storage, folder)
        check_model(proto, path.parent, place=source.uri)
        onnx.load_external_data_for_model(proto, str(path.parent))
    except UnsafeModel as error:
        raise UnusableModel(field=FIELD, value=source.uri, fault=error.fault, remedy=error.remedy) from error
    return Model(proto=proto)


def _fetch_external(source: ModelSource, proto: onnx.ModelProto, path: Path, storage: Storage, folder: Path) -> None:
    """Fetch the files of external tensors beside a model that was fetched itself; raises UnsafeModel first."""
    base = source.uri.rsplit("/", 1)[0]
    for name in external_files(proto, place=source.uri):
        if not (path.parent / name).exists() and path.is_relative_to(folder):
            storage.fetch(f"{base}/{name}", (path.parent / name).parent, MAX_FILE_BYTES)


def _check_runs(model: Model, source: ModelSource) -> None:
    fault = fault_when_run(model)
    if fault:
        raise UnusableModel(
            field=FIELD, value=source.uri, fault=f"ONNX Runtime cannot run it: {fault}",
            remedy="export the model again, with the batch as its first dimension",
        )  # fmt: skip


def from_bytes(content: bytes, *, place: str) -> Model:
    """Return a model that this pod itself wrote earlier; raises UnsafeModel when it is damaged."""
    return Model(proto=parse_onnx(content, place=place))
