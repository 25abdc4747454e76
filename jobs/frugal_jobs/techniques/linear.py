"""Linear quantization of arrays: q = round(s * x + z), clipped, and the error that it makes. Touches no model.

s here is steps per unit (ONNX stores 1 / s, its scale), z is an integer so that 0 stays exactly 0. Arrays come as rows
that share one s and z: one row is per tensor, a row per channel or per block is finer. Jacob et al., arXiv:1712.05877.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal_jobs.models.tensor_error import TensorError

Floats = NDArray[np.float64]
PERCENTILE = 99.9  # of |x|: what lies above is clipped
CLIP_RATIOS = np.linspace(1.0, 0.5, 21)  # of the full range, tried for the least squared error
SMALLEST_RANGE = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The integers `low` to `high` laid over the values; `steps_per_unit` and `zero` are (rows, 1)."""

    steps_per_unit: Floats
    zero: Floats
    low: int
    high: int
    bits: int

    def quantized(self, rows: Floats) -> NDArray[np.int64]:
        """Return q of each value."""
        return np.clip(np.rint(self.steps_per_unit * rows + self.zero), self.low, self.high).astype(np.int64)

    def dequantized(self, codes: NDArray[np.int64]) -> Floats:
        """Return (q - z) / s."""
        return (codes - self.zero) / self.steps_per_unit

    def clipped(self, rows: Floats) -> NDArray[np.bool_]:
        """Return which values lie beyond the grid, by more than the half step that rounding takes anyway."""
        position = self.steps_per_unit * rows + self.zero
        return (position < self.low - 0.5) | (position > self.high + 0.5)


def fitted(rows: Floats, *, bits: int, symmetric: bool, calibrate: str = "minmax") -> Grid:
    """Return the grid for `rows` (rows, values) by `minmax`, `percentile` or `mse` (`entropy` is for activations)."""
    if calibrate == "percentile":
        return _spanning(_within_percentile(rows), bits=bits, symmetric=symmetric)
    full = _spanning(rows, bits=bits, symmetric=symmetric)
    return _least_squares(rows, full) if calibrate == "mse" else full


def _within_percentile(rows: Floats) -> Floats:
    bound = np.percentile(np.abs(rows), PERCENTILE, axis=1, keepdims=True)
    return np.clip(rows, -bound, bound)


def _spanning(rows: Floats, *, bits: int, symmetric: bool) -> Grid:
    """Return the grid from the least to the largest value; 0 is always on it."""
    if not symmetric:
        low, high = np.minimum(rows.min(1, keepdims=True), 0), np.maximum(rows.max(1, keepdims=True), 0)
        steps = (2**bits - 1) / np.maximum(high - low, SMALLEST_RANGE)
        return Grid(steps_per_unit=steps, zero=np.rint(-steps * low), low=0, high=2**bits - 1, bits=bits)
    half = 2 ** (bits - 1)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], axis=1)
    largest = np.where(np.abs(largest) < SMALLEST_RANGE, SMALLEST_RANGE, largest)
    if bits > 4:
        return Grid(steps_per_unit=(half - 1) / np.abs(largest), zero=np.zeros_like(largest), low=1 - half,
                    high=half - 1, bits=bits)  # fmt: skip
    # of 16 integers the 16th counts: the largest value, whatever its sign, becomes -8, so s may be negative
    return Grid(steps_per_unit=-half / largest, zero=np.zeros_like(largest), low=-half, high=half - 1, bits=bits)


def _least_squares(rows: Floats, full: Grid) -> Grid:
    """Return, row by row, the narrower grid whose squared error is least; the zero point stays where it is."""
    best, steps = np.full((len(rows), 1), np.inf), full.steps_per_unit
    zero = full.zero
    for ratio in CLIP_RATIOS:
        tried = Grid(steps_per_unit=full.steps_per_unit / ratio, zero=full.zero, low=full.low, high=full.high,
                     bits=full.bits)  # fmt: skip
        squares = ((rows - tried.dequantized(tried.quantized(rows))) ** 2).sum(1, keepdims=True)
        steps, best = np.where(squares < best, tried.steps_per_unit, steps), np.minimum(best, squares)
    return Grid(steps_per_unit=steps, zero=zero, low=full.low, high=full.high, bits=full.bits)


def error_of(name: str, values: Floats, restored: Floats, *, bits: int, clipped: NDArray[np.bool_]) -> TensorError:
    """Return e = |values - restored| in figures; `clipped` marks what lay beyond the grid."""
    difference = np.abs(np.asarray(values, np.float64) - restored)
    return TensorError(
        name=name, elements=values.size, bits=bits, mean=float(difference.mean()), largest=float(difference.max()),
        signal=float(np.square(values, dtype=np.float64).sum()), noise=float(np.square(difference).sum()),
        clipped_ratio=float(clipped.mean()),
    )  # fmt: skip


def rows_of(array: NDArray[Any], axes: Sequence[int]) -> Floats:
    """Return `array` as float64 (rows, values), a row for each position along `axes`; no axis gives one row."""
    if not axes:
        return array.reshape(1, -1).astype(np.float64)
    first = np.moveaxis(array, axes, range(len(axes)))
    return first.reshape(int(np.prod(first.shape[: len(axes)])), -1).astype(np.float64)


def blocks_of(rows: NDArray[Any], size: int) -> Floats:
    """Return `rows` (rows, values) cut into blocks (rows * blocks, size), the last of each row filled with zeros."""
    missing = -rows.shape[1] % size
    return np.pad(rows.astype(np.float64), ((0, 0), (0, missing))).reshape(-1, size)
