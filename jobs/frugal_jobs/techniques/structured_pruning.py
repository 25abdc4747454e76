"""Structured pruning: removes whole channels, with all that depends on them, then fine-tunes by distillation.

Groups of coupled channels by their L2 norm over the whole network: Fang et al., DepGraph, arXiv:2301.12900, as
implemented by torch-pruning. The output's width is never changed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch_pruning
from torch import Tensor

from frugal.api.compression_steps import PruneStep
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import blank_feed
from frugal_jobs.models.trainable import Trainable
from frugal_jobs.techniques.batch_norms import add_norms, fold_norms
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.distillation import Teacher
from frugal_jobs.techniques.fine_tuning import FineTuning, Lesson, Limit

EPOCHS = 1.0  # where the step does not say, as the API promises
ROUND_TO = 8  # channels: what vector units take at once
LEAST_KEPT = 0.1  # of any layer's channels, however weak they look
STATISTICS_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class StructuredPruning:
    """Prunes `step.ratio` of the channels, then trains for `step.epochs` passes, and no longer than `seconds`."""

    step: PruneStep
    seconds: float = math.inf

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the pruned model; raises UnsupportedOperator, ImportDiffers and what torch-pruning raises."""
        torch.set_num_threads(1)  # spin barriers of two threads on shared cores are 8-10 times slower
        torch.manual_seed(context.seed)
        trainable = imported(model)
        normed = add_norms(trainable, _some_batches(context.training)) if context.training else []
        prune(trainable, model, ratio=self.step.ratio)
        epochs = self._tuned(trainable, model, context, context.training) if context.training else 0.0
        fold_norms(trainable, normed)
        step = {"kind": "structured", "ratio": self.step.ratio, "epochs": round(epochs, 2)}
        return model.after(trainable.written_back(), f"prune {100 * self.step.ratio:.0f} %", {"prune": step})

    def _tuned(self, trainable: Trainable, model: Model, context: Context, samples: Samples) -> float:
        """Fine-tune, going on from a checkpoint when an earlier pod left one; return the passes made."""
        epochs = EPOCHS if self.step.epochs is None else self.step.epochs
        if epochs <= 0:
            return 0.0
        key = f"prune-{self.step.ratio:.3f}-{len(model.steps)}"
        lesson = Lesson(
            samples=samples, teacher=context.teacher or Teacher(model, samples), task=context.task,
            are_probabilities=_ends_in_softmax(model), augment=context.augment, seed=context.seed,
        )  # fmt: skip
        limit = Limit(epochs=epochs, seconds=self.seconds)
        tuning = FineTuning(
            trainable.module, lesson, limit, keep=lambda content: context.checkpoints.write(key, content)
        )
        earlier = context.checkpoints.read(key)
        if earlier is not None:
            tuning.resume(earlier)
            tuning.limit = replace(limit, seconds=limit.seconds + tuning.progress.seconds)
        return tuning.run()


def prune(trainable: Trainable, model: Model, *, ratio: float) -> None:
    """Remove `ratio` of the channels of `trainable.module` in place."""
    module = trainable.module
    example = tuple(torch.from_numpy(array) for array in blank_feed(model).values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every parameter that belongs to no layer
        pruner = torch_pruning.pruner.MagnitudePruner(
            module, example, importance=torch_pruning.importance.GroupMagnitudeImportance(p=2), global_pruning=True,
            pruning_ratio=ratio, max_pruning_ratio=1 - LEAST_KEPT, round_to=ROUND_TO,
            ignored_layers=[module.get_submodule(name) for name in trainable.output_modules],
        )  # fmt: skip
        pruner.step()
    for parameter in module.parameters():
        parameter.requires_grad_(True)


def _some_batches(samples: Samples) -> Iterator[tuple[Tensor, ...]]:
    for feed in samples.take(slice(0, STATISTICS_SAMPLES)).batches():
        yield tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in feed.values())


def _ends_in_softmax(model: Model) -> bool:
    name = model.outputs[0].name
    return any(name in node.output and node.op_type == "Softmax" for node in model.proto.graph.node)
