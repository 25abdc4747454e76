"""Non-linear quantization: weights as indices into a codebook that k-means, powers of two or a normal law gives.

Han et al., arXiv:1510.00149 (k-means); Miyashita et al., arXiv:1603.01025 (logarithmic); Dettmers et al.,
arXiv:2305.14314 (NF4). No runtime computes with indices: they are packed on disk and unpacked at load.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.models.model import Model
from frugal_jobs.models.tensor_error import TensorError
from frugal_jobs.models.weights import Weight, drop_unused, weights_in, with_opset, with_plain_weights
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.linear import blocks_of, error_of, rows_of
from frugal_jobs.techniques.packing import Packed, store
from frugal_jobs.techniques.weights_only import OLDEST_OPSET, NothingToQuantize

Floats = NDArray[np.float64]
KMEANS_ROUNDS = 25  # Lloyd's; in one dimension, from quantiles, more changed no error by a hundredth
KMEANS_SAMPLE = 200_000  # values that the codebook is fitted to
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip # the quantiles of a normal law, as published
NOTE = (
    "weights in {bits} bits by a codebook ({scheme}), unpacked to float32 at load by standard operators: smaller on "
    "disk and in transfer on every ONNX runtime, no faster on any; other runtimes are given the float32 weights"
)


@dataclass(frozen=True, slots=True)
class Codebook:
    """Quantizes the weights of `step.layers` by `step.scheme`."""

    step: QuantizeStep

    def __call__(self, model: Model, context: Context) -> Model:
        """Return `model` with packed weights; raises NothingToQuantize. Needs no samples."""
        proto = with_plain_weights(with_opset(model.proto, OLDEST_OPSET))
        weights = {weight.name: weight for weight in weights_in(proto, self.step.layers)}
        if not weights:
            raise NothingToQuantize(f"no weights of 1,024 values or more in layers: {self.step.layers}")
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        coded = {name: coded_weight(weight, arrays[name], self.step, context.seed) for name, weight in weights.items()}
        worst_first = sorted(coded, key=lambda name: coded[name][1].signal_to_noise_db)
        errors = _stored(proto, {name: coded[name] for name in coded if name not in worst_first[: self.step.keep]})
        label = f"{self.step.scheme} {self.step.bits} bits" if self.step.scheme != "nf4" else "nf4"
        note = NOTE.format(bits=self.step.bits, scheme=self.step.scheme)
        return model.after(proto, label, {"quantize": self.step.to_json()}, notes=(note,), errors=errors)


def _stored(proto: ModelProto, coded: dict[str, tuple[Packed, TensorError]]) -> tuple[TensorError, ...]:
    for name, (packed, _) in coded.items():
        store(proto, name, packed)
    drop_unused(proto)
    return tuple(error for _, error in coded.values())


def coded_weight(weight: Weight, array: NDArray[Any], step: QuantizeStep, seed: int) -> tuple[Packed, TensorError]:
    """Return (the packed tensor, what it lost): each block (nf4), channel or tensor has a scale, its largest value."""
    if step.scheme == "nf4":
        rows = blocks_of(array.reshape(1, -1), step.block_size)
        scale = _largest(rows)
        codes = nearest(rows / scale, np.array(NF4))
        packed = Packed(codes=codes, bits=4, step=scale.astype(np.float32), shape=array.shape,
                        codebook=np.array(NF4, np.float32))  # fmt: skip
    else:
        axes = weight.channel_axes if step.per_channel else ()
        rows = rows_of(array, axes)
        scale = _largest(rows)
        codebook = BOOKS[step.scheme]((rows / scale).reshape(-1), step.bits, seed)
        codes = nearest(rows / scale, codebook)
        spread = [size if axis in axes else 1 for axis, size in enumerate(array.shape)]
        packed = Packed(
            codes=_natural(codes, array.shape, axes), bits=step.bits, shape=array.shape,
            step=scale.reshape(spread).astype(np.float32),
            codebook=codebook.astype(np.float32),
        )  # fmt: skip
    clipped = np.zeros(1, np.bool_)  # the largest value is on the grid of its row
    return packed, error_of(weight.name, array.astype(np.float64), packed.restored(), bits=step.bits, clipped=clipped)


def _largest(rows: Floats) -> Floats:
    return np.asarray(np.maximum(np.abs(rows).max(1, keepdims=True), 1e-30), np.float64)


def _natural(codes: NDArray[np.int64], shape: tuple[int, ...], axes: tuple[int, ...]) -> NDArray[np.int64]:
    """Return codes that stand in rows by `axes` in the order of the tensor."""
    back = [shape[axis] for axis in axes] + [size for axis, size in enumerate(shape) if axis not in axes]
    return np.moveaxis(codes.reshape(back), range(len(axes)), axes)


def nearest(values: Floats, codebook: Floats) -> NDArray[np.int64]:
    """Return the number of the entry of the sorted `codebook` that is nearest to each value."""
    return np.searchsorted((codebook[1:] + codebook[:-1]) / 2, values).astype(np.int64)


def kmeans(values: Floats, bits: int, seed: int) -> Floats:
    """Return 2**bits sorted centres with, locally, the least squared distance to `values`."""
    if len(values) > KMEANS_SAMPLE:
        values = np.random.default_rng(seed).choice(values, KMEANS_SAMPLE, replace=False)
    ordered = np.sort(values)
    centres = np.quantile(ordered, (np.arange(2**bits) + 0.5) / 2**bits)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(KMEANS_ROUNDS):
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        bounds = np.concatenate([[0], edges, [len(ordered)]])
        counts = np.diff(bounds)
        centres = np.where(counts > 0, np.diff(sums[bounds]) / np.maximum(counts, 1), centres)
    return np.sort(centres)


def logarithmic(values: Floats, bits: int, seed: int) -> Floats:
    """Return 0 and +-b**-k: b is 2 in 4 bits, and its root for each further bit, since more octaves gain nothing."""
    del values, seed
    count = 2 ** (bits - 1) - 1
    powers = 2.0 ** (-np.arange(count + 1) / 2 ** (bits - 4))
    return np.sort(np.concatenate([-powers[:count], [0.0], powers]))


BOOKS: dict[str, Callable[[Floats, int, int], Floats]] = {"kmeans": kmeans, "logarithmic": logarithmic}
