"""What rounding did to the weights of a model, tensor by tensor. Rounds nothing itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

EXACT_DB = 200.0  # said of a tensor that lost nothing: the ratio would be infinite


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorError:
    """The error e = |x - (q - z) / s| of one tensor's values."""

    name: str
    elements: int
    bits: int
    mean: float  # of e
    largest: float  # of e
    signal: float  # sum of x squared
    noise: float  # sum of e squared
    clipped_ratio: float  # share of the values outside of what the grid spans, which e <= 1 / (2 s) does not hold for

    @property
    def signal_to_noise_db(self) -> float:
        """10 log10(sum of x squared / sum of e squared), decibels."""
        if self.noise == 0:
            return EXACT_DB
        return 10 * math.log10(max(self.signal, 1e-300) / self.noise)
