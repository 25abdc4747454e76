"""The candidates that a search may try, as steps of the API's pipeline, the cheap ones first. Tries none."""

from __future__ import annotations

from typing import Any

Steps = list[dict[str, Any]]

INT8: dict[str, Any] = {"scheme": "linear", "bits": 8, "perChannel": True, "calibrate": "minmax"}
PROMISING = 2  # of the single tools: int8 and float16; the rest are other ways to 8 bits
FLOAT16: dict[str, Any] = {"scheme": "float16", "bits": 16}


def quantizations(*, can_calibrate: bool) -> list[Steps]:
    """Return the single tools that take a second each, the most promising first."""
    float16: Steps = [{"quantize": FLOAT16}]
    if not can_calibrate:
        return [float16]
    variants: tuple[dict[str, Any], ...] = (
        {},
        {"calibrate": "entropy"},
        {"calibrate": "percentile"},
        {"perChannel": False},
    )
    int8: list[Steps] = [[{"quantize": INT8 | variant}] for variant in variants]
    return [int8[0], float16, *int8[1:]]


AFTER_PRUNING: list[Steps] = [[{"quantize": INT8}], [{"quantize": INT8 | {"perChannel": False}}]]


def is_int8(steps: Steps) -> bool:
    """Return whether the last step quantizes to 8 bits."""
    return bool(steps) and steps[-1].get("quantize", {}).get("scheme") == "linear"
