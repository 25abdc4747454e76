"""What weights matter by their gradients: Molchanov et al., arXiv:1906.10771. Removes nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from frugal.api.common import Task
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.tuning import NeedsTraining

SAMPLES = 512
BATCH = 64


def gradients(module: nn.Module, context: Context) -> None:
    """Leave in `module` the gradients of its loss over some training samples; raises NeedsTraining.

    Without labels, and for tasks that have no classes, the loss is the outputs' own energy: what moves them matters.
    """
    if context.training is None:
        raise NeedsTraining("importance: taylor")
    module.eval()
    module.zero_grad(set_to_none=True)
    samples = context.training.take(slice(0, SAMPLES))
    for start in range(0, len(samples), BATCH):
        index = np.arange(start, min(start + BATCH, len(samples)))
        outputs = module(*(torch.from_numpy(array) for array in samples.at(index).values()))
        if samples.labels is None or context.task is not Task.CLASSIFICATION:
            loss = outputs.square().mean()
        else:
            loss = functional.cross_entropy(outputs, torch.from_numpy(samples.labels[index].astype(np.int64).ravel()))
        loss.backward()
