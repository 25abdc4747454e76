"""An exponentially decaying histogram with the buckets of the Kubernetes VPA. A value: adding returns a new one.

Source: kubernetes/autoscaler, vertical-pod-autoscaler/pkg/recommender: util/histogram.go,
util/decaying_histogram.go, model/aggregations_config.go:
bucket ratio 5 %, half-life 24 h, epsilon 0.001 * 0.1, checkpoint weights up to 10,000.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

HALF_LIFE_SECONDS = 86_400.0  # VPA: cpu-histogram-decay-half-life and memory-histogram-decay-half-life
BUCKET_RATIO = 1.05  # VPA: DefaultHistogramBucketSizeGrowth 0.05
LOG_RATIO = math.log(BUCKET_RATIO)
EPSILON = 0.0001  # VPA: epsilon; less weight than this counts as none
MAX_DECAY_EXPONENT = 100.0  # VPA: maxDecayExponent; keeps weights far from what a float can hold
MAX_SAVED_WEIGHT = 10_000  # VPA: MaxCheckpointWeight


@dataclass(frozen=True, slots=True)
class Buckets:
    """Edges that grow by 5 %: bucket 0 starts at 0 and ends at `first`, the last one begins about at `top`."""

    first: float
    top: float
    count: int = field(init=False)

    def __post_init__(self) -> None:
        grown = self.top * (BUCKET_RATIO - 1) / self.first + 1
        object.__setattr__(self, "count", math.ceil(math.log(grown) / LOG_RATIO) + 1)

    def index(self, value: float) -> int:
        """Return the bucket that holds `value`."""
        if value < self.first:
            return 0
        number = int(math.log(value * (BUCKET_RATIO - 1) / self.first + 1) / LOG_RATIO)
        return min(number, self.count - 1)

    def start(self, index: int) -> float:
        """Return the lower edge of a bucket."""
        return self.first * (BUCKET_RATIO**index - 1) / (BUCKET_RATIO - 1)

    def percentile_edge(self, index: int) -> float:
        """Return the upper edge of a bucket, or the lower edge of the last one, as the VPA does."""
        return self.start(index + 1 if index < self.count - 1 else index)


CPU_CORES = Buckets(first=0.01, top=1000.0)  # VPA: cpuHistogramOptions
MEMORY_BYTES = Buckets(first=1e7, top=1e12)  # VPA: memoryHistogramOptions
RATIO = Buckets(first=0.01, top=1.0)
REQUESTS_PER_SECOND = Buckets(first=0.01, top=1e6)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Weights of samples by bucket; a sample loses half of its weight in `HALF_LIFE_SECONDS`.

    weights: relative to `reference_seconds` (since the epoch); a sample at that moment weighs 1.
    """

    buckets: Buckets
    weights: tuple[float, ...]
    reference_seconds: float | None = None

    @classmethod
    def empty(cls, buckets: Buckets) -> Histogram:
        return cls(buckets=buckets, weights=(0.0,) * buckets.count)

    @property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return math.fsum(self.weights)

    @property
    def is_empty(self) -> bool:
        """Whether there is too little in it to name a percentile."""
        return self.total_weight < EPSILON

    def add(self, value: float, *, at: datetime, weight: float = 1.0) -> Histogram:
        """Return the histogram with one more sample; `value` is at least 0."""
        assert value >= 0
        moment = at.timestamp()
        aged = self._referred_to(self._reference_for(moment))
        assert aged.reference_seconds is not None
        index = self.buckets.index(value)
        added = weight * 2.0 ** ((moment - aged.reference_seconds) / HALF_LIFE_SECONDS)
        weights = (*aged.weights[:index], aged.weights[index] + added, *aged.weights[index + 1 :])
        return Histogram(self.buckets, weights, aged.reference_seconds)

    def merge(self, other: Histogram) -> Histogram:
        """Return both together, as if every sample had been added to one histogram."""
        assert self.buckets == other.buckets
        references = [one.reference_seconds for one in (self, other) if one.reference_seconds is not None]
        if not references:
            return self
        mine, theirs = self._referred_to(max(references)), other._referred_to(max(references))
        weights = tuple(a + b for a, b in zip(mine.weights, theirs.weights, strict=True))
        return Histogram(self.buckets, weights, max(references))

    def percentile(self, quantile: float) -> float:
        """Return the upper edge of the bucket in which the share `quantile`, in [0, 1], of the weight is reached.

        At most 5 % and one first bucket above the true percentile. The histogram must not be empty.
        """
        assert not self.is_empty, "an empty histogram has no percentile"
        sums = list(accumulate(self.weights))
        wanted = quantile * sums[-1]
        index = next(i for i, reached in enumerate(sums) if reached >= wanted and reached > 0)
        return self.buckets.percentile_edge(index)

    def to_json(self) -> dict[str, Any]:
        """Return the histogram compactly: each weight rounded to 1/10,000 of the heaviest bucket's."""
        if self.is_empty or self.reference_seconds is None:
            return {}
        scale = MAX_SAVED_WEIGHT / max(self.weights)
        saved = {str(i): round(w * scale) for i, w in enumerate(self.weights) if round(w * scale) > 0}
        return {"reference": self.reference_seconds, "total": float(f"{self.total_weight:.9g}"), "weights": saved}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], buckets: Buckets) -> Histogram:
        """Return what `to_json` saved; saving that again gives the same."""
        if not saved:
            return cls.empty(buckets)
        scale = saved["total"] / sum(saved["weights"].values())
        weights = [0.0] * buckets.count
        for index, weight in saved["weights"].items():
            weights[int(index)] = weight * scale
        return cls(buckets, tuple(weights), float(saved["reference"]))

    def _reference_for(self, moment: float) -> float:
        """Return a reference that keeps the weight of a sample at `moment` representable."""
        reference = moment if self.reference_seconds is None else self.reference_seconds
        if (moment - reference) / HALF_LIFE_SECONDS <= MAX_DECAY_EXPONENT:
            return reference
        return moment

    def _referred_to(self, reference: float) -> Histogram:
        if self.reference_seconds == reference:
            return self
        if self.reference_seconds is None:
            return replace(self, reference_seconds=reference)
        factor = 2.0 ** ((self.reference_seconds - reference) / HALF_LIFE_SECONDS)
        return Histogram(self.buckets, tuple(weight * factor for weight in self.weights), reference)
