"""Distillation: the small model learns from the original's outputs as well as from the labels.

Hinton et al., arXiv:1503.02531: T^2 * KL(softmax(teacher / T) || softmax(student / T)), mean over the batch, mixed with
the loss on labels. Outputs that are no classes are matched by their mean squared difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from frugal.api.common import Task
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import session_of

TEMPERATURE = 2.0
TEACHER_SHARE = 0.5  # the rest is the labels'
SMALLEST_PROBABILITY = 1e-6


@dataclass(slots=True)
class Teacher:
    """The original's outputs on the training samples, each computed once, when it is first asked for."""

    model: Model
    samples: Samples
    _session: Any = None
    _outputs: NDArray[np.float32] | None = None
    _known: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def outputs(self, index: NDArray[np.int64]) -> Tensor:
        """Return the outputs for the samples of these numbers, float32 (samples, ...)."""
        if self._outputs is None:
            self._known = np.zeros(len(self.samples), bool)
        missing = index if self._outputs is None else index[~self._known[index]]
        if len(missing):
            self._learn(missing)
        assert self._outputs is not None
        return torch.from_numpy(self._outputs[index])

    def _learn(self, index: NDArray[np.int64]) -> None:
        self._session = self._session or session_of(self.model.content)
        found = self._session.run([self.model.outputs[0].name], self.samples.at(index))[0]
        if self._outputs is None:
            self._outputs = np.zeros((len(self.samples), *found.shape[1:]), np.float32)
        self._outputs[index] = found
        self._known[index] = True


def loss_of(
    student: Tensor, teacher: Tensor, labels: Tensor | None, *, task: Task, are_probabilities: bool,
    temperature: float = TEMPERATURE, teacher_share: float = TEACHER_SHARE,
) -> Tensor:  # fmt: skip
    """Return the loss to descend, a scalar; `labels` int64 (samples,) or (samples, classes) of shares, or None."""
    if task is not Task.CLASSIFICATION or student.shape[-1] < 2:
        return functional.mse_loss(student, teacher)
    if are_probabilities:
        student, teacher = (part.clamp_min(SMALLEST_PROBABILITY).log() for part in (student, teacher))
    softened = divergence(student, teacher, temperature=temperature)
    if labels is None:
        return softened
    return teacher_share * softened + (1 - teacher_share) * functional.cross_entropy(student, labels)


def divergence(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return T^2 * KL(softmax(teacher / T) || softmax(student / T)), the mean over the batch, in nats."""
    target = functional.log_softmax(teacher / temperature, dim=-1)
    found = functional.log_softmax(student / temperature, dim=-1)
    return temperature**2 * functional.kl_div(found, target, reduction="batchmean", log_target=True)
