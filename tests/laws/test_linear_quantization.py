"""Laws of linear quantization: what is not clipped is off by half a step at most, and zero stays zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("onnxruntime")
linear = pytest.importorskip("frugal_jobs.techniques.linear")

ROWS = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 40)),
    elements=st.floats(-1e6, 1e6).map(lambda x: 0.0 if abs(x) < 1e-6 else x),
)  # fmt: skip
GRIDS = st.fixed_dictionaries({
    "bits": st.sampled_from([4, 8]), "symmetric": st.booleans(),
    "calibrate": st.sampled_from(["minmax", "percentile", "mse"]),
})  # fmt: skip


@given(ROWS, GRIDS)
def test_an_unclipped_value_is_off_by_half_a_step_at_most(rows: np.ndarray, how: dict[str, object]) -> None:
    grid = linear.fitted(rows, **how)

    error = np.abs(rows - grid.dequantized(grid.quantized(rows)))

    inside = ~grid.clipped(rows)
    assert (error * np.abs(grid.steps_per_unit))[inside].max(initial=0) <= 0.5 + 1e-9


@given(ROWS, GRIDS)
def test_zero_stays_exactly_zero(rows: np.ndarray, how: dict[str, object]) -> None:
    grid = linear.fitted(rows, **how)

    assert (grid.dequantized(grid.quantized(np.zeros_like(rows))) == 0).all()


@given(ROWS, st.booleans())
def test_the_full_range_of_eight_bits_clips_nothing(rows: np.ndarray, symmetric: bool) -> None:
    grid = linear.fitted(rows, bits=8, symmetric=symmetric)

    assert not grid.clipped(rows).any()


@given(ROWS, st.sampled_from([4, 8]), st.booleans())
def test_least_squares_never_has_the_larger_error(rows: np.ndarray, bits: int, symmetric: bool) -> None:
    def noise(how: str) -> float:
        grid = linear.fitted(rows, bits=bits, symmetric=symmetric, calibrate=how)
        return float(((rows - grid.dequantized(grid.quantized(rows))) ** 2).sum())

    assert noise("mse") <= noise("minmax") * (1 + 1e-9)
