"""Quantization-aware training: the network learns with the rounding that it will have, then static int8 follows.

Rounding in the forward pass, the identity in the backward one (Bengio et al., arXiv:1308.3432): weights per channel,
what enters a layer per tensor, over ranges that follow what is seen (Jacob et al., arXiv:1712.05877).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.static_int8 import StaticInt8
from frugal_jobs.techniques.tuning import NeedsTraining, Plan, one_thread, tune

WEIGHT_LIMIT = 127  # symmetric, as StaticInt8 stores them
INPUT_LEVELS = 255
FOLLOWING = 0.05  # how fast a range follows the batches


@dataclass(frozen=True, slots=True)
class QuantizationAware:
    """Trains for `step.epochs` and quantizes as `step` says, no longer than `seconds`."""

    step: QuantizeStep
    seconds: float = math.inf

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the model in 8 bits; raises NeedsTraining, UnsupportedOperator and what StaticInt8 raises."""
        if context.training is None:
            raise NeedsTraining("quantization-aware training")
        one_thread(context.seed)
        trainable = imported(model)
        layers = rounded_layers(trainable.module, per_channel=self.step.per_channel)
        plan = Plan(key=f"aware-{len(model.steps)}", epochs=self.step.epochs, seconds=self.seconds)
        epochs = tune(trainable.module, model, context, plan)
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight")  # which leaves the rounded weights
        learnt = replace(context, calibration=context.calibration or context.training)
        quantized = StaticInt8(self.step)(Model(proto=trainable.written_back()), learnt)
        step = self.step.to_json() | {"epochs": round(epochs, 2)}
        return model.after(quantized.proto, f"trained {quantized.label}", {"quantize": step}, notes=quantized.notes,
                           errors=quantized.errors)  # fmt: skip


def rounded_layers(module: nn.Module, *, per_channel: bool) -> list[nn.Module]:
    """Let every Linear and convolution of `module` round its weights and its input; return them."""
    layers: list[nn.Module] = [layer for layer in module.modules() if isinstance(layer, nn.Linear | _ConvNd)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _RoundedWeight(per_channel=per_channel))
        layer.add_module("input_range", _RoundedInput())
        layer.register_forward_pre_hook(_round_input)
    return layers


def _round_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (layer.get_submodule("input_range")(inputs[0]), *inputs[1:])


class _RoundedWeight(nn.Module):
    def __init__(self, *, per_channel: bool) -> None:
        super().__init__()
        self.per_channel = per_channel

    def forward(self, weight: Tensor) -> Tensor:
        """Return `weight` on its grid of 255 steps."""
        largest = weight.detach().abs()
        largest = largest.flatten(1).amax(1) if self.per_channel else largest.amax()
        step = (largest / WEIGHT_LIMIT).clamp_min(1e-12).reshape(-1, *[1] * (weight.dim() - 1))
        return rounded(weight / step) * step


class _RoundedInput(nn.Module):
    """Follows the range of what comes in while training, and rounds to 256 values of it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("limits", torch.zeros(2))

    def forward(self, values: Tensor) -> Tensor:
        """Return `values` on the grid of the range, clipped to it."""
        limits: Any = self.limits
        if self.training:
            seen = torch.stack([values.detach().amin().clamp_max(0), values.detach().amax().clamp_min(0)])
            share = FOLLOWING if bool(limits.any()) else 1.0
            limits.lerp_(seen, share)
        low, high = limits[0], limits[1]
        if not bool(limits.any()):
            return values
        step = ((high - low) / INPUT_LEVELS).clamp_min(1e-12)
        found: Tensor = rounded((values.clamp(low, high) - low) / step) * step + low
        return found


def rounded(values: Tensor) -> Tensor:
    """Return whole numbers, whose gradient is that of `values`."""
    return values + (values.round() - values).detach()
