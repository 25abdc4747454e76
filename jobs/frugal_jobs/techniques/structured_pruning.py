"""Structured pruning: removes whole channels, with all that depends on them, then fine-tunes by distillation.

Groups of coupled channels by their L2 norm over the whole network: Fang et al., DepGraph, arXiv:2301.12900, as
implemented by torch-pruning. The output's width is never changed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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
from frugal_jobs.techniques.importance import gradients
from frugal_jobs.techniques.tuning import EPOCHS, Plan, one_thread, tune

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
        one_thread(context.seed)
        trainable = imported(model)
        normed = add_norms(trainable, some_batches(context.training)) if context.training else []
        pruner = _pruner(trainable, model, self.step)
        epochs = 0.0
        for number in range(1, self.step.rounds + 1):
            if self.step.importance == "taylor":
                gradients(trainable.module, context)
            _cut(trainable, pruner)
            epochs += tune(trainable.module, model, context, self._plan(number, len(model.steps)))
        fold_norms(trainable, normed)
        step = self.step.to_json() | {"kind": "structured", "epochs": round(epochs, 2)}
        return model.after(trainable.written_back(), f"prune {100 * self.step.ratio:.0f} %", {"prune": step})

    def _plan(self, number: int, before: int) -> Plan:
        epochs = EPOCHS if self.step.epochs is None else self.step.epochs
        suffix = "" if self.step.rounds == 1 else f"-{number}-of-{self.step.rounds}"
        key = f"prune-{self.step.ratio:.3f}-{before}{suffix}"
        return Plan(key=key, epochs=epochs / self.step.rounds, seconds=self.seconds / self.step.rounds)


def prune(trainable: Trainable, model: Model, *, ratio: float, is_global: bool = True) -> None:
    """Remove `ratio` of the channels of `trainable.module` in place; layers compete, or each loses that share."""
    _cut(trainable, _pruner(trainable, model, PruneStep(ratio=ratio, scope="global" if is_global else "layer")))


IMPORTANCES: dict[str, Callable[[], Any]] = {
    "magnitude": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=2),
    "taylor": torch_pruning.importance.GroupTaylorImportance,
    "batchnorm": torch_pruning.importance.BNScaleImportance,
}


def _pruner(trainable: Trainable, model: Model, step: PruneStep) -> Any:
    module = trainable.module
    example = tuple(torch.from_numpy(array) for array in blank_feed(model).values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every parameter that belongs to no layer
        return torch_pruning.pruner.BasePruner(
            module, example, importance=IMPORTANCES[step.importance](), global_pruning=step.scope == "global",
            pruning_ratio=step.ratio, max_pruning_ratio=1 - LEAST_KEPT, round_to=ROUND_TO, iterative_steps=step.rounds,
            ignored_layers=[module.get_submodule(name) for name in trainable.output_modules],
        )  # fmt: skip


def _cut(trainable: Trainable, pruner: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner.step()
    for parameter in trainable.module.parameters():
        parameter.requires_grad_(True)


def some_batches(samples: Samples) -> Iterator[tuple[Tensor, ...]]:
    """Yield the inputs of the first few hundred samples."""
    for feed in samples.take(slice(0, STATISTICS_SAMPLES)).batches():
        yield tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in feed.values())
