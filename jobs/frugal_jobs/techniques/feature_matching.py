"""Distillation by intermediate features, beside the outputs: hints through projections, and attention transfer.

Romero et al., FitNets, arXiv:1412.6550: the student's layer, projected to the teacher's width, is to equal it.
Zagoruyko and Komodakis, arXiv:1612.03928: where activations are large is to agree, which needs no projection.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from frugal_jobs.models.recurrent import Recurrent

PAIRS_AT_MOST = 3
HINT_WEIGHT = 0.5  # beside losses of outputs near 1: features are brought to unit variance first
ATTENTION_WEIGHT = 10.0
LAYERS = (nn.Linear, _ConvNd, Recurrent)


def matchable(module: nn.Module, outputs: Sequence[str]) -> list[str]:
    """Return up to three layers to match, spread over the depth; the `outputs` are matched anyway."""
    names = [name for name, layer in module.named_modules() if isinstance(layer, LAYERS) and name not in outputs]
    if len(names) <= PAIRS_AT_MOST:
        return names
    return [names[round((number + 1) * len(names) / PAIRS_AT_MOST) - 1] for number in range(PAIRS_AT_MOST)]


class FeatureMatching(nn.Module):
    """Holds the projections, and the features that the last call of each network left."""

    def __init__(self, kind: str, teacher: nn.Module, student: nn.Module, pairs: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.kind = kind
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list, so that it is no part of this module
        self._pairs = list(pairs)
        self._seen: dict[tuple[str, int], Tensor] = {}
        for number, (theirs, ours) in enumerate(pairs):
            self._watch(teacher, theirs, ("teacher", number))
            self._watch(student, ours, ("student", number))
        self.projections = nn.ModuleList()

    def _watch(self, network: nn.Module, name: str, key: tuple[str, int]) -> None:
        layer = network.get_submodule(name)

        def keep(module: nn.Module, inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            del inputs
            self._seen[key] = _channels_last(module, output[0] if isinstance(output, tuple) else output)

        layer.register_forward_hook(keep)

    def prepare(self, student: nn.Module, inputs: Sequence[Tensor]) -> None:
        """Make the projections for the widths that `inputs` show; `student` keeps its mode."""
        was_training = student.training
        student.eval()
        with torch.no_grad():
            student(*inputs)
            self._teacher[0](*inputs)
        student.train(was_training)
        for number in range(len(self._pairs)):
            ours, theirs = (self._seen[side, number].shape[-1] for side in ("student", "teacher"))
            self.projections.append(nn.Linear(ours, theirs, bias=False))

    def loss(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the loss for the batch on which the student was called last."""
        with torch.no_grad():
            self._teacher[0](*inputs)
        losses = [self._distance(number) for number in range(len(self._pairs))]
        return torch.stack(losses).mean()

    def _distance(self, number: int) -> Tensor:
        ours, theirs = self._seen["student", number], self._seen["teacher", number]
        if self.kind == "attention":
            return ATTENTION_WEIGHT * (attention_map(ours) - attention_map(theirs)).square().sum(-1).mean()
        spread = theirs.std().clamp_min(1e-6)
        return HINT_WEIGHT * functional.mse_loss(self.projections[number](ours) / spread, theirs / spread)


def _channels_last(layer: nn.Module, output: Tensor) -> Tensor:
    """Return features (..., channels): convolutions have them second; a recurrent layer's directions are joined."""
    if isinstance(layer, _ConvNd):
        return output.movedim(1, -1)
    if isinstance(layer, Recurrent) and not layer.batch_first:  # time, direction, batch, unit
        return output.permute(2, 0, 1, 3).flatten(2)
    return output


def attention_map(features: Tensor) -> Tensor:
    """Return where the squares of `features` (batch, ..., channels) are large: (batch, places), of length 1."""
    return functional.normalize(features.square().mean(-1).flatten(1), dim=-1)
