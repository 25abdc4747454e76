"""A model in ONNX Runtime: fetched, checked as untrusted input, loaded, warmed up, run.

Whether rows of several requests may run together is found out here, by trying. Knows no queue and no HTTP.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime

from frugal_artifacts.digest import compare_sha256
from frugal_artifacts.onnx_safety import OnnxLimits, check_model, external_files, parse_onnx
from frugal_artifacts.storage import Storage
from frugal_serve.datatypes import BY_RUNTIME, Array
from frugal_serve.errors import BadRequest, InferenceFailed, UnservableModel
from frugal_serve.specification import ANY, ModelSpecification, TensorSpecification

RUNTIME = f"onnxruntime {onnxruntime.__version__}"
EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"  # onnxruntime_session_options_config_keys.h
SPINNING = "session.intra_op.allow_spinning"
WARM_UP_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # the runtime plans memory once for each shape
TOLERANCE = 1e-3  # relative and absolute; kernels may sum in another order for another number of rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """What to load, and what it must be."""

    name: str
    version: str
    uri: str
    sha256: str  # empty: not promised


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How to run it: threads of one inference, rows of one batch."""

    threads: int
    max_batch: int


class Model:
    """A loaded model; `run` may be called from one thread at a time."""

    def __init__(self, session: onnxruntime.InferenceSession, specification: ModelSpecification, sha256: str) -> None:
        self._session = session
        self._names = list(specification.outputs)
        self.specification = specification
        self.sha256 = sha256

    def run(self, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return every output by name; raises BadRequest or InferenceFailed for what the runtime does not take."""
        try:
            results = self._session.run(self._names, dict(tensors))
        except Exception as error:  # the runtime's errors have no common root but this
            if type(error).__name__ == "InvalidArgument":
                raise BadRequest("inputs", str(error)) from error
            raise InferenceFailed(str(error)) from error
        return dict(zip(self._names, results, strict=True))


def load(source: ModelSource, storage: Storage, runtime: Runtime, work: Path | None = None) -> Model:
    """Return the model, warm; raises ArtifactError for the file and UnservableModel for what is in it.

    External data in a store is copied into a folder under `work` that is gone when this returns. The digest covers the
    model's own file, not its external data.
    """
    payload = storage.read_bytes(source.uri, OnnxLimits().file_bytes)  # once: what was checked is what is loaded
    digest = hashlib.sha256(payload).hexdigest()
    if source.sha256:
        compare_sha256(digest, source.sha256, place=source.uri)
    with tempfile.TemporaryDirectory(dir=work, prefix="model-") as copies:
        path = storage.resolve(source.uri).path
        folder = Path(copies) if path is None else path.parent
        _check(payload, folder, source, storage)
        session = _session(payload, folder, source, runtime)
    del payload
    model = Model(session, _specification(session, source), digest)
    return warm_up(model, runtime)


def _check(payload: bytes, folder: Path, source: ModelSource, storage: Storage) -> None:
    """Fetch what the model keeps beside itself, then look at all of it before the runtime does."""
    proto = parse_onnx(payload, place=source.uri)
    parent = source.uri.rpartition("/")[0]
    left_bytes = OnnxLimits().weight_bytes
    for name in external_files(proto, place=source.uri):
        path = folder / name
        if storage.resolve(source.uri).path is None:
            path = storage.fetch(f"{parent}/{name}", path.parent, left_bytes)
        if not path.is_file():
            continue  # check_model names it
        left_bytes -= path.stat().st_size
    check_model(proto, folder, place=source.uri)


def _session(payload: bytes, folder: Path, source: ModelSource, runtime: Runtime) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; warnings about each folded node help nobody here
    options.add_session_config_entry(SPINNING, "0")  # a spinning thread burns CPU that is paid for: bench/serve.py
    options.add_session_config_entry(EXTERNAL_FOLDER, str(folder))
    try:
        return onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors have no common root but this
        raise UnservableModel(place=source.uri, fault=f"{RUNTIME} cannot load it: {error}") from error


def _specification(session: onnxruntime.InferenceSession, source: ModelSource) -> ModelSpecification:
    inputs = {node.name: _tensor(node, source) for node in session.get_inputs()}
    outputs = {node.name: _tensor(node, source) for node in session.get_outputs()}
    return ModelSpecification(
        name=source.name,
        version=source.version,
        inputs=inputs,
        outputs=outputs,
        is_batched=bool(inputs) and all(tensor.has_rows for tensor in (*inputs.values(), *outputs.values())),
    )


def _tensor(node: onnxruntime.NodeArg, source: ModelSource) -> TensorSpecification:
    datatype = BY_RUNTIME.get(node.type)
    if datatype is None:
        fault = f"{node.name!r} is a {node.type}, which the protocol has no datatype for"
        raise UnservableModel(place=source.uri, fault=fault)
    shape = tuple(size if isinstance(size, int) and size >= 0 else ANY for size in node.shape)
    return TensorSpecification(name=node.name, datatype=datatype, shape=shape)


def warm_up(model: Model, runtime: Runtime) -> Model:
    """Return `model` after one run of each batch size of interest, as one that is run unbatched if batching alters it.

    A model that does not take made-up values (an index out of range, a size that its graph excludes) is served
    unbatched and cold: nothing is known of it.
    """
    unbatched = replace(model.specification, is_batched=False)
    try:
        if model.specification.is_batched and _rows_are_independent(model):
            for rows in _sizes(runtime.max_batch):
                model.run(_made_up(model.specification, rows))
            return model
        model.run(_made_up(model.specification, 1))
    except (BadRequest, InferenceFailed):
        return Model(model._session, unbatched, model.sha256)
    return Model(model._session, unbatched, model.sha256)


def _sizes(max_batch: int) -> Iterator[int]:
    yield from (rows for rows in WARM_UP_ROWS if rows < max_batch)
    yield min(max_batch, WARM_UP_ROWS[-1])


def _rows_are_independent(model: Model) -> bool:
    """Return whether two rows give together what each gives alone."""
    pair = _made_up(model.specification, 2)
    together = model.run(pair)
    alone = [model.run({name: array[row : row + 1] for name, array in pair.items()}) for row in (0, 1)]
    return all(_are_close(array, [part[name] for part in alone]) for name, array in together.items())


def _are_close(together: Array, alone: Sequence[Array]) -> bool:
    if together.shape[:1] != (2,) or any(part.shape != (1, *together.shape[1:]) for part in alone):
        return False
    expected = np.concatenate(alone)
    if together.dtype.kind != "f":
        return bool(np.array_equal(together, expected))
    return bool(np.allclose(together, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))


def _made_up(specification: ModelSpecification, rows: int) -> Mapping[str, Array]:
    """Return inputs of `rows` different rows; sizes that the model leaves open are 1."""
    random = np.random.default_rng(0)
    return {name: _made_up_tensor(tensor, rows, random) for name, tensor in specification.inputs.items()}


def _made_up_tensor(tensor: TensorSpecification, rows: int, random: np.random.Generator) -> Array:
    shape = [1 if size == ANY else size for size in tensor.shape]
    if tensor.has_rows:
        shape[0] = rows
    if tensor.datatype.dtype.kind == "O":
        return np.full(shape, "", dtype=object)
    values = random.random(shape) if tensor.datatype.is_float else random.integers(0, 2, shape)
    return values.astype(tensor.datatype.dtype)
