"""Training of what a technique made, by distillation from the original, for all that train. Changes no shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.model import Model
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.distillation import TEACHER_SHARE, TEMPERATURE, Teacher
from frugal_jobs.techniques.feature_matching import FeatureMatching
from frugal_jobs.techniques.fine_tuning import FineTuning, Lesson, Limit

EPOCHS = 1.0  # where the step does not say, as the API promises


class NeedsTraining(ValueError):
    """A technique that trains was asked for without training data."""

    def __init__(self, technique: str) -> None:
        super().__init__(f"{technique} learns from samples: give data.training (labels are not needed)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long to train, and on what mixture of losses; `key` names the checkpoint."""

    key: str
    epochs: float | None
    seconds: float = math.inf
    temperature: float = TEMPERATURE
    teacher_share: float = TEACHER_SHARE


def one_thread(seed: int) -> None:
    """Fix torch's threads and its random numbers: on shared cores two threads that spin are 8-10 times slower."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)


def tune(
    module: nn.Module, original: Model, context: Context, plan: Plan, *, features: FeatureMatching | None = None
) -> float:
    """Train `module` to answer as `original`, from a checkpoint where one is left; return the passes made."""
    epochs = EPOCHS if plan.epochs is None else plan.epochs
    if context.training is None or epochs <= 0:
        return 0.0
    limit = Limit(epochs=epochs, seconds=plan.seconds)
    tuning = FineTuning(
        module, _lesson(original, context, context.training, plan), limit,
        keep=lambda content: context.checkpoints.write(plan.key, content), features=features,
    )  # fmt: skip
    earlier = context.checkpoints.read(plan.key)
    if earlier is not None:
        tuning.resume(earlier)
        tuning.limit = replace(limit, seconds=limit.seconds + tuning.progress.seconds)
    return tuning.run()


def _lesson(original: Model, context: Context, samples: Samples, plan: Plan) -> Lesson:
    return Lesson(
        samples=samples, teacher=context.teacher or Teacher(original, samples), task=context.task,
        are_probabilities=ends_in_softmax(original), augment=context.augment, seed=context.seed,
        temperature=plan.temperature, teacher_share=plan.teacher_share,
    )  # fmt: skip


def ends_in_softmax(model: Model) -> bool:
    """Whether the first output is probabilities."""
    name = model.outputs[0].name
    return any(name in node.output and node.op_type == "Softmax" for node in model.proto.graph.node)
