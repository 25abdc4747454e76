"""Unstructured and 2:4 pruning: single weights become zero and stay it while the others are trained.

Zhu and Gupta, arXiv:1710.01878 (the cubic schedule of several rounds); Mishra et al., arXiv:2104.08378 (2:4). Zeros
give no CPU runtime any speed and leave the file as large as it was: they pay in compressed transfer, and on GPUs (2:4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from frugal.api.compression_steps import PruneStep
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.recurrent import Recurrent
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.importance import gradients
from frugal_jobs.techniques.tuning import EPOCHS, Plan, one_thread, tune

GROUP, KEPT_OF_GROUP = 4, 2
NOTE = "{ratio:.0f} % of the weights are zero: a compressed transfer gets smaller, not the file; nothing gets faster"


@dataclass(frozen=True, slots=True)
class SparsePruning:
    """Zeroes `step.ratio` of the weights in `step.rounds`, training after each, no longer than `seconds` in all."""

    step: PruneStep
    seconds: float = math.inf

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the sparse model; raises UnsupportedOperator and ImportDiffers."""
        one_thread(context.seed)
        trainable = imported(model)
        weights = prunable(trainable.module, set(trainable.output_modules))
        epochs = 0.0
        held: list[torch.utils.hooks.RemovableHandle] = []
        for number in range(1, self.step.rounds + 1):
            importances = self._importances(trainable.module, weights, context)
            masks = self._masks(importances, scheduled(self._ratio, number, self.step.rounds))
            for handle in held:
                handle.remove()
            held = [hold(weights[name], mask) for name, mask in masks.items()]
            epochs += tune(trainable.module, model, context, self._plan(number, len(model.steps)))
        zeros = sum(int((weight == 0).sum()) for weight in weights.values())
        share = zeros / max(1, sum(weight.numel() for weight in weights.values()))
        step = self.step.to_json() | {"epochs": round(epochs, 2)}
        return model.after(trainable.written_back(), self._label(), {"prune": step},
                           notes=(NOTE.format(ratio=100 * share),))  # fmt: skip

    @property
    def _ratio(self) -> float:
        return 1 - KEPT_OF_GROUP / GROUP if self.step.kind == "semi-structured" else self.step.ratio

    def _importances(self, module: nn.Module, weights: dict[str, nn.Parameter], context: Context) -> dict[str, Tensor]:
        if self.step.importance == "taylor":
            gradients(module, context)
            return {name: (weight * weight.grad).abs().detach() for name, weight in weights.items()
                    if weight.grad is not None}  # fmt: skip
        return {name: weight.abs().detach() for name, weight in weights.items()}

    def _masks(self, importances: dict[str, Tensor], ratio: float) -> dict[str, Tensor]:
        if self.step.kind == "semi-structured":
            return {
                name: two_of_four(one) for name, one in importances.items() if one.shape[input_axis(one)] % GROUP == 0
            }
        if self.step.scope == "layer":
            return {name: strongest(one, ratio) for name, one in importances.items()}
        everything = torch.cat([one.flatten() for one in importances.values()])
        bound = everything.sort().values[max(0, round(ratio * len(everything)) - 1)]
        return {name: one > bound for name, one in importances.items()}

    def _plan(self, number: int, before: int) -> Plan:
        epochs = EPOCHS if self.step.epochs is None else self.step.epochs
        key = f"{self.step.kind}-{self._ratio:.3f}-{number}-of-{self.step.rounds}-{before}"
        return Plan(key=key, epochs=epochs / self.step.rounds, seconds=self.seconds / self.step.rounds)

    def _label(self) -> str:
        return "2:4 sparse" if self.step.kind == "semi-structured" else f"{100 * self._ratio:.0f} % zeros"


def prunable(module: nn.Module, outputs: set[str]) -> dict[str, nn.Parameter]:
    """Return the weights that may be pruned: of all layers but those that give the output."""
    found: dict[str, nn.Parameter] = {}
    for name, layer in module.named_modules():
        if isinstance(layer, Recurrent):
            found |= {f"{name}.w": layer.w, f"{name}.r": layer.r}
        elif isinstance(layer, nn.Linear | _ConvNd) and name not in outputs:
            found[f"{name}.weight"] = layer.weight  # type: ignore[assignment]
    return found


def scheduled(ratio: float, number: int, rounds: int) -> float:
    """Return the share that is zero after round `number` (from 1): much at first, little at last."""
    return ratio * (1 - (1 - number / rounds) ** 3)


def strongest(importance: Tensor, ratio: float) -> Tensor:
    """Return the mask that keeps all but the weakest `ratio` of one layer."""
    count = round(ratio * importance.numel())
    mask = torch.ones(importance.numel(), dtype=torch.bool)
    mask[importance.flatten().argsort()[:count]] = False
    return mask.reshape(importance.shape)


def input_axis(weight: Tensor) -> int:
    """Return where the inputs stand: second, but last in a recurrent layer."""
    return 2 if weight.dim() == 3 else 1


def two_of_four(importance: Tensor) -> Tensor:
    """Return the mask that keeps the two strongest of each four neighbours along the input channels."""
    axis = input_axis(importance)
    last = importance.movedim(axis, -1)
    groups = last.reshape(-1, GROUP)
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter(1, groups.topk(KEPT_OF_GROUP, dim=1).indices, True)
    return mask.reshape(last.shape).movedim(-1, axis)


def hold(weight: nn.Parameter, mask: Tensor) -> torch.utils.hooks.RemovableHandle:
    """Set the masked weights to zero, and their gradients from now on."""
    with torch.no_grad():
        weight.mul_(mask)
    handle: torch.utils.hooks.RemovableHandle = weight.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call]
    return handle
