"""How much each layer's rounding alone changes what a model puts out: which layers to keep in float."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of

SAMPLES = 64


def sensitivities(
    model: Model, names: Iterable[str], only: Callable[[str], Model], samples: Samples
) -> dict[str, float]:
    """Return the change of the outputs with `only(name)` quantized, as a share of their length, for each of `names`."""
    few = samples.take(slice(0, SAMPLES))
    whole = outputs_of(model, few.batches()).astype(np.float64)
    length = max(float(np.linalg.norm(whole)), 1e-12)
    return {
        name: float(np.linalg.norm(outputs_of(only(name), few.batches()).astype(np.float64) - whole)) / length
        for name in names
    }


def most_sensitive(changes: dict[str, float], count: int) -> list[str]:
    """Return the `count` names with the largest change, the worst first; equal ones by name."""
    return sorted(changes, key=lambda name: (-changes[name], name))[:count]
