"""From one of `spec.data` to Samples that fit the model and the task; every fault names field, value, remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal.api.common import ModelSource, Task
from frugal.api.compression_job import DataSource
from frugal_artifacts.errors import ArtifactMissing, ArtifactTooLarge, InvalidUri, StorageDenied
from frugal_artifacts.storage import Storage
from frugal_jobs.datasets.archive import read_npz
from frugal_jobs.datasets.faults import UnreadableFile
from frugal_jobs.datasets.fitting import columns_for
from frugal_jobs.datasets.idx import labels_name, read_idx
from frugal_jobs.datasets.parquet import read_parquet
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.datasets.text import SUFFIXES, lengths_of, read_json_lines, tokenized
from frugal_jobs.errors import UnusableData
from frugal_jobs.models.model import Runnable

MAX_BYTES = 8 * 2**30  # unpacked, of one set: what a pod of an ordinary node can hold
LABELS = ("y", "label", "labels")


def load(
    source: DataSource, *, field: str, model: Runnable, described: ModelSource, storage: Storage, folder: Path,
    max_bytes: int = MAX_BYTES, needs_labels: bool = True,
) -> Samples:  # fmt: skip
    """Return the samples of `source`, which stands at `field` (such as spec.data.evaluation) of the spec.

    Raises UnusableData for what no retry can mend, and StorageUnavailable for an outage.
    """
    place = f"{field}.uri"
    try:
        arrays = _read(source.uri, storage, folder, max_bytes, model=model, described=described)
        lengths = lengths_of(arrays) if source.uri.endswith(SUFFIXES) and _varies(model) else None
        labels = next((arrays.pop(name) for name in LABELS if name in arrays), None)
        columns = columns_for(model, arrays, described)
        samples = Samples(
            columns=columns, labels=None if labels is None else np.asarray(labels).squeeze(), lengths=lengths
        )
        _check(samples, model, described.task, needs_labels=needs_labels)
    except UnreadableFile as error:
        raise UnusableData(field=place, value=source.uri, fault=error.fault, remedy=error.remedy) from error
    except (ArtifactMissing, ArtifactTooLarge, InvalidUri, StorageDenied) as error:
        remedy = "name a file that the pod can read"
        raise UnusableData(field=place, value=source.uri, fault=str(error), remedy=remedy) from error
    samples = samples if source.samples is None else samples.take(slice(0, source.samples))
    if samples.lengths is None:
        return samples
    return samples.take(np.argsort(samples.lengths, kind="stable"))  # batches of like length need little padding


def _varies(model: Runnable) -> bool:
    """Whether texts may have any length."""
    return all(port.sample_shape[:1] == (None,) for port in model.inputs)


def _read(
    uri: str, storage: Storage, folder: Path, max_bytes: int, *, model: Runnable, described: ModelSource
) -> dict[str, NDArray[Any]]:
    path = storage.fetch(uri, folder, max_bytes)
    name = path.name
    if name.endswith(".npz"):
        return read_npz(path, max_bytes=max_bytes)
    if name.endswith((".parquet", ".pq")):
        return read_parquet(path, max_bytes=max_bytes)
    if "-idx" in name:
        images = read_idx(path, max_bytes=max_bytes)
        labels = storage.fetch(f"{uri[: -len(name)]}{labels_name(name)}", folder, max_bytes)
        return {"x": images, "y": read_idx(labels, max_bytes=max_bytes)}
    if name.endswith(SUFFIXES):
        return _texts(path, storage, folder, max_bytes, model=model, described=described)
    remedy = "use .npz, .parquet, .jsonl of text, or an IDX pair (-images-idx3-ubyte[.gz])"
    raise UnreadableFile(fault=f"{name!r} has an ending that is not known", remedy=remedy)


def _texts(
    path: Path, storage: Storage, folder: Path, max_bytes: int, *, model: Runnable, described: ModelSource
) -> dict[str, NDArray[Any]]:
    if not described.tokenizer:
        raise UnreadableFile(
            fault="holds text, and model.tokenizer is not given", remedy="name the model's tokenizer.json there"
        )
    texts, labels = read_json_lines(path, max_bytes=max_bytes)
    tokenizer = storage.fetch(described.tokenizer, folder, max_bytes)
    arrays = tokenized(texts, tokenizer, model.inputs)
    return arrays if labels is None else arrays | {"y": labels}


def _check(samples: Samples, model: Runnable, task: Task, *, needs_labels: bool) -> None:
    if len(samples) == 0:
        raise UnreadableFile(fault="holds no samples", remedy="name a file with at least one")
    for column in samples.columns:
        if len(column.raw) != len(samples):
            fault = f"{column.name!r} has {len(column.raw)} samples and {samples.columns[0].name!r} {len(samples)}"
            raise UnreadableFile(fault=fault, remedy="give as many of each")
        if column.raw.dtype.kind == "f" and not np.isfinite(column.raw).all():
            raise UnreadableFile(fault=f"{column.name!r} holds NaN or infinity", remedy="drop or mend those samples")
    if samples.labels is not None:
        _check_labels(samples.labels.reshape(len(samples.labels), -1), len(samples), model, task)
    elif needs_labels and task not in (Task.EMBEDDING,):
        raise UnreadableFile(fault="holds no labels", remedy=f"add them under one of {', '.join(LABELS)}")


def _check_labels(labels: NDArray[Any], count: int, model: Runnable, task: Task) -> None:
    if len(labels) != count:
        raise UnreadableFile(fault=f"{len(labels)} labels and {count} samples", remedy="give one label per sample")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise UnreadableFile(fault="labels hold NaN or infinity", remedy="drop or mend those samples")
    if task is Task.CLASSIFICATION:
        _check_classes(labels, model)


def _check_classes(labels: NDArray[Any], model: Runnable) -> None:
    if labels.dtype.kind not in "iub" or labels.shape[1] != 1:
        fault = f"labels are {labels.dtype} of {labels.shape[1]} per sample"
        raise UnreadableFile(fault=fault, remedy="give one integer class per sample")
    classes = model.outputs[0].shape[-1] if len(model.outputs[0].shape) > 1 else 2
    lowest, highest = int(labels.min()), int(labels.max())
    allowed = 2 if classes == 1 else classes  # one output is the score of class 1
    if lowest < 0 or (allowed is not None and highest >= allowed):
        wrong = int(((labels < 0) | (labels >= (allowed or highest + 1))).sum())
        fault = f"{wrong} labels are outside 0..{(allowed or highest + 1) - 1} (found {lowest}..{highest})"
        raise UnreadableFile(fault=fault, remedy="number the classes from 0, as the model's outputs are")
