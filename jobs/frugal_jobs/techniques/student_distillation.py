"""Distillation into a smaller student of the teacher's own kind, by outputs and, where asked, by features.

The losses stand in distillation.py and feature_matching.py, the building of students in students.py. Without labels
the teacher's outputs alone are learnt from.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch

from frugal.api.compression_steps import DistillStep
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.trainable import Trainable
from frugal_jobs.techniques.batch_norms import add_norms, fold_norms
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.feature_matching import FeatureMatching, matchable
from frugal_jobs.techniques.structured_pruning import some_batches
from frugal_jobs.techniques.students import narrowed, shallower
from frugal_jobs.techniques.tuning import NeedsTraining, Plan, one_thread, tune


@dataclass(frozen=True, slots=True)
class Distillation:
    """Builds and trains the student that `step` describes, no longer than `seconds`."""

    step: DistillStep
    seconds: float = math.inf

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the student; raises NeedsTraining, CannotShrink, UnsupportedOperator and ImportDiffers."""
        if context.training is None:
            raise NeedsTraining("distillation")
        one_thread(context.seed)
        trainable = imported(model)
        teacher = copy.deepcopy(trainable.module)
        normed = add_norms(trainable, some_batches(context.training))
        student = narrowed(shallower(trainable, model, depth=self.step.depth), model, width=self.step.width)
        epochs = tune(
            student.module, model, context, self._plan(model), features=self._features(teacher, student, context)
        )
        fold_norms(student, normed)
        step = self.step.to_json() | {"epochs": round(epochs, 2)}
        return model.after(student.written_back(), self._label(), {"distill": step})

    def _plan(self, model: Model) -> Plan:
        step = self.step
        return Plan(
            key=f"distill-{step.width:.3f}-{step.depth:.3f}-{step.features}-{len(model.steps)}", epochs=step.epochs,
            seconds=self.seconds, temperature=step.temperature, teacher_share=1 - step.label_share,
        )  # fmt: skip

    def _features(self, teacher: torch.nn.Module, student: Trainable, context: Context) -> FeatureMatching | None:
        if self.step.features == "none" or context.training is None:
            return None
        names = matchable(student.module, student.output_modules)
        matching = FeatureMatching(self.step.features, teacher, student.module, [(name, name) for name in names])
        matching.prepare(student.module, next(some_batches(context.training)))
        return matching

    def _label(self) -> str:
        parts = [f"width {100 * self.step.width:.0f} %"] if self.step.width < 1 else []
        parts += [f"depth {100 * self.step.depth:.0f} %"] if self.step.depth < 1 else []
        return f"student {' '.join(parts) or 'as large'}"
