"""What rounding did to the weights of a model, tensor by tensor and in all. Rounds nothing itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

EXACT_DB = 200.0  # said of a tensor that lost nothing: the ratio would be infinite


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorError:
    """The error e = |x - (q - z) / s| of one tensor's values, or of a whole model's."""

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


def of_model(tensors: Iterable[TensorError]) -> TensorError | None:
    """Return the error over all values of all `tensors`; None when there are none. `bits` is the least of theirs."""
    found = list(tensors)
    if not found:
        return None
    elements = sum(one.elements for one in found)
    return TensorError(
        name="model", elements=elements, bits=min(one.bits for one in found),
        mean=sum(one.mean * one.elements for one in found) / elements,
        largest=max(one.largest for one in found),
        signal=sum(one.signal for one in found), noise=sum(one.noise for one in found),
        clipped_ratio=sum(one.clipped_ratio * one.elements for one in found) / elements,
    )  # fmt: skip
