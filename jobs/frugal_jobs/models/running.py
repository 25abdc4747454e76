"""Running a Model in ONNX Runtime on one thread, the way every figure here is taken. Judges nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from frugal_jobs.models.model import Model, Port, Runnable

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], NDArray[Any]]
BATCH = 64  # larger ones are no faster on one core, and need more memory
DEFAULT_SIZE = 16  # of a dimension that varies, where no data says how large it is


def session_of(content: bytes, *, optimized_path: str = "") -> onnxruntime.InferenceSession:
    """Return a session on one thread that does not spin; raises what ONNX Runtime raises."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if optimized_path:
        options.optimized_model_filepath = optimized_path
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@runtime_checkable
class Foreign(Protocol):
    """What runs in another runtime than ONNX Runtime, and knows how."""

    def opened(self) -> Run:
        """Return it loaded, as a function from one batch to its first output."""
        ...


def opened(model: Runnable) -> Run:
    """Return the model loaded in its own runtime, as a function from one batch to its first output."""
    if isinstance(model, Foreign):
        return model.opened()
    session, names = session_of(model.content), [model.outputs[0].name]
    return lambda feed: session.run(names, feed)[0]


def outputs_of(model: Runnable, feeds: Iterator[Arrays]) -> NDArray[Any]:
    """Return the first output for all batches of `feeds`, one row per sample; zeros follow shorter rows of tokens."""
    run, fixed = opened(model), model.inputs[0].shape[0]
    return _joined([_run(run, feed, fixed) for feed in feeds])


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    shape = tuple(max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True))
    joined = np.zeros((sum(len(part) for part in parts), *shape), parts[0].dtype)
    start = 0
    for part in parts:
        joined[(slice(start, start + len(part)), *(slice(size) for size in part.shape[1:]))] = part
        start += len(part)
    return joined


def _run(run: Run, feed: Arrays, fixed: int | None) -> NDArray[Any]:
    """Run one batch, in pieces of `fixed` samples when the model takes no other number."""
    count = len(next(iter(feed.values())))
    if fixed is None or fixed == count:
        return np.asarray(run(feed))
    pieces = []
    for start in range(0, count, fixed):
        piece = {name: _padded(array[start : start + fixed], fixed) for name, array in feed.items()}
        pieces.append(np.asarray(run(piece)))
    return np.concatenate(pieces)[:count]


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    missing = size - len(array)
    return array if missing == 0 else np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def blank_feed(model: Runnable) -> dict[str, NDArray[Any]]:
    """Return zeros for one sample, or for the fixed batch of the model."""
    return {port.name: np.zeros(_blank_shape(port), port.dtype) for port in model.inputs}


def noise_feed(model: Model) -> dict[str, NDArray[Any]]:
    """Return one sample of standard normal numbers, zeros where the model takes integers; always the same."""
    generator = np.random.default_rng(0)
    return {
        name: generator.standard_normal(array.shape).astype(array.dtype) if array.dtype.kind == "f" else array
        for name, array in blank_feed(model).items()
    }


def _blank_shape(port: Port) -> tuple[int, ...]:
    return (port.shape[0] or 1, *(size or DEFAULT_SIZE for size in port.sample_shape)) if port.shape else ()


def fault_when_run(model: Model) -> str:
    """Return what ONNX Runtime says against the model; empty when it runs."""
    try:
        session_of(model.content).run(None, blank_feed(model))
    except Exception as error:  # its exceptions have no common root
        return str(error).strip().splitlines()[0][:300]
    return ""
