"""Ranges of activations by the least squared error of rounding, from histograms that ONNX Runtime collects.

ONNX Runtime has min-max, entropy and percentile of its own; this is the fourth. Choukroun et al., arXiv:1902.06822.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import CalibrationDataReader, create_calibrator

LEVELS = 255  # of 8 bits
BINS = 2048
SHARES = np.linspace(0.3, 1.0, 36)  # of the seen range that is tried
Ranges = dict[str, list[dict[str, Any]]]


def least_squares_ranges(model: Path, reader: CalibrationDataReader) -> Ranges:
    """Return the range of every activation of the file `model`, as ONNX Runtime's TensorQuantOverrides takes it."""
    options = {"num_bins": BINS, "percentile": 100.0}
    calibrator: Any = create_calibrator(
        model, augmented_model_path=str(model.with_suffix(".augmented.onnx")),
        calibrate_method=CalibrationMethod.Percentile, extra_options=options,
    )  # fmt: skip
    calibrator.collect_data(reader)
    ranges: Ranges = {}
    for name, (counts, edges, low, high, *_) in calibrator.collector.histogram_dict.items():
        best_low, best_high = best_range(counts, edges, float(low), float(high))
        ranges[name] = [{"rmin": np.array(best_low, np.float32), "rmax": np.array(best_high, np.float32)}]
    return ranges


def best_range(counts: NDArray[Any], edges: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Return the (low, high) within the seen range that has the least squared error, 0 always inside."""
    values = (edges[1:] + edges[:-1]) / 2
    low, high = min(low, 0.0), max(high, 0.0)
    tried = [(low * share, high * share) for share in SHARES]
    return min(tried, key=lambda limits: _squares(values, counts, *limits))


def _squares(values: NDArray[Any], counts: NDArray[Any], low: float, high: float) -> float:
    step = max(high - low, 1e-12) / LEVELS
    restored = np.rint((np.clip(values, low, high) - low) / step) * step + low
    return float((counts * (values - restored) ** 2).sum())
