"""The candidates that a search may try, as steps of the API's pipeline, the cheap ones first. Tries none."""

from __future__ import annotations

from typing import Any

from frugal_jobs.search.advice import Family

Steps = list[dict[str, Any]]

INT8: dict[str, Any] = {"scheme": "linear", "bits": 8, "perChannel": True, "calibrate": "minmax"}
DYNAMIC: dict[str, Any] = {"scheme": "linear", "mode": "dynamic", "bits": 8, "perChannel": True}
WEIGHTS8: dict[str, Any] = {"scheme": "linear", "mode": "weights", "bits": 8, "perChannel": True}
EMBEDDINGS8: dict[str, Any] = {"scheme": "linear", "mode": "weights", "bits": 8, "layers": "embeddings"}
EMBEDDINGS4: dict[str, Any] = EMBEDDINGS8 | {"bits": 4}
FLOAT16: dict[str, Any] = {"scheme": "float16", "bits": 16}
PROMISING = 2  # of the single tools: they are tried even when few trials are allowed


def quantizations(kind: Family, *, can_calibrate: bool) -> list[Steps]:
    """Return what takes seconds and no training, the most promising first; traps stand last, and are measured too."""
    order = {
        Family.CONVOLUTIONAL: [*_static(can_calibrate), DYNAMIC],
        Family.DENSE: [*_static(can_calibrate), DYNAMIC],
        Family.SMALL: _static(can_calibrate),
        Family.RECURRENT: [DYNAMIC, FLOAT16, WEIGHTS8, *(INT8 for _ in range(can_calibrate))],
        Family.TRANSFORMER: [DYNAMIC, FLOAT16, WEIGHTS8, *(INT8 for _ in range(can_calibrate))],
    }[kind]
    singles: list[Steps] = [[{"quantize": step}] for step in order]
    return [*transformer_forms(), *singles] if kind is Family.TRANSFORMER else singles


def _static(can_calibrate: bool) -> list[dict[str, Any]]:
    if not can_calibrate:
        return [FLOAT16, WEIGHTS8]
    variants = ({"calibrate": "entropy"}, {"calibrate": "percentile"}, {"perChannel": False})
    return [INT8, FLOAT16, *(INT8 | variant for variant in variants)]


def transformer_forms() -> list[Steps]:
    """Return the forms in which embeddings, often half of the weights, are packed apart from the products."""
    return [
        [{"quantize": EMBEDDINGS4}, {"quantize": DYNAMIC}],
        [{"quantize": EMBEDDINGS8}, {"quantize": DYNAMIC}],
    ]


def forms_after_training(kind: Family, *, can_calibrate: bool) -> list[Steps]:
    """Return the ways to quantize what was pruned or distilled, the most promising first."""
    if kind is Family.TRANSFORMER:
        return [*transformer_forms(), [{"quantize": DYNAMIC}]]
    if kind is Family.RECURRENT:
        return [[{"quantize": DYNAMIC}], [{"quantize": WEIGHTS8}]]
    if not can_calibrate:
        return [[{"quantize": FLOAT16}]]
    return [[{"quantize": INT8}], [{"quantize": INT8 | {"perChannel": False}}]]


def cut(kind: Family, ratio: float, *, epochs: float) -> dict[str, Any]:
    """Return the training step that removes `ratio` of a network's width, in the way that its family allows."""
    if kind in (Family.RECURRENT, Family.TRANSFORMER):
        return {"distill": {"width": round(1 - ratio, 3), "epochs": epochs}}
    return {"prune": {"kind": "structured", "ratio": round(ratio, 4), "epochs": epochs}}


def is_progressive(kind: Family) -> bool:
    """Return whether a cut can go on from an earlier, smaller one; a student starts from nothing."""
    return kind not in (Family.RECURRENT, Family.TRANSFORMER)


def is_int8(steps: Steps) -> bool:
    """Return whether the last step quantizes to 8 bits."""
    return bool(steps) and steps[-1].get("quantize", {}).get("scheme") == "linear"


def has_trained(steps: Steps) -> bool:
    """Return whether any step may have changed the weights by training."""
    return any("prune" in step or "distill" in step for step in steps)
