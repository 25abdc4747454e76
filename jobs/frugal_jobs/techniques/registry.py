"""The techniques by the step that asks for them: a new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from frugal.api.compression_steps import QuantizeStep, Step
from frugal_jobs.models.model import Model
from frugal_jobs.techniques.context import Context

Technique = Callable[[Model, Context], Model]


def technique_for(step: Step) -> Technique:
    """Return what does `step`; each is imported only when it is used, since some bring torch."""
    if step.prune is not None and step.prune.kind in ("unstructured", "semi-structured"):
        from frugal_jobs.techniques.sparse_pruning import SparsePruning

        return SparsePruning(step.prune)
    if step.prune is not None:
        from frugal_jobs.techniques.structured_pruning import StructuredPruning

        return StructuredPruning(step.prune)
    if step.distill is not None:
        from frugal_jobs.techniques.student_distillation import Distillation

        return Distillation(step.distill)
    assert step.quantize is not None
    return _quantizer(step.quantize)


def _quantizer(step: QuantizeStep) -> Technique:
    if step.scheme == "float16":
        from frugal_jobs.techniques.float16 import to_float16

        return to_float16
    if step.scheme == "bfloat16":
        from frugal_jobs.techniques.bfloat16 import to_bfloat16

        return to_bfloat16
    if step.scheme != "linear":
        from frugal_jobs.techniques.codebooks import Codebook

        return Codebook(step)
    if step.mode == "dynamic":
        from frugal_jobs.techniques.dynamic_int8 import DynamicInt8

        return DynamicInt8(step)
    if step.mode == "weights":
        from frugal_jobs.techniques.weights_only import WeightsOnly

        return WeightsOnly(step)
    if step.mode == "aware":
        from frugal_jobs.techniques.quantization_aware import QuantizationAware

        return QuantizationAware(step)
    from frugal_jobs.techniques.static_int8 import StaticInt8

    return StaticInt8(step)
