"""Fine-tuning of a trainable model on one thread, by the clock or by passes, resumable. Prunes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn

from frugal.api.common import Task
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.techniques.augmentation import augmented, mixing
from frugal_jobs.techniques.distillation import TEACHER_SHARE, TEMPERATURE, Teacher, loss_of
from frugal_jobs.techniques.feature_matching import FeatureMatching

BATCH = 64
PEAK_RATE = 2e-3  # AdamW; 4e-3 and 1e-3 were within 0.1 points on the pruned Fashion-MNIST net
WEIGHT_DECAY = 0.01
WARM_UP_SHARE = 0.05
SAVE_SECONDS = 20.0  # between checkpoints: what a kill may cost
PROGRESS = "frugal_progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """When training ends: after so many passes, or so many seconds, whichever comes first."""

    epochs: float
    seconds: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What is learnt from, and how."""

    samples: Samples
    teacher: Teacher
    task: Task
    are_probabilities: bool
    augment: tuple[str, ...]
    seed: int
    temperature: float = TEMPERATURE
    teacher_share: float = TEACHER_SHARE


@dataclass(slots=True)
class Progress:
    """How far training is; kept in checkpoints."""

    steps: int = 0
    seconds: float = 0.0
    saved_at: float = 0.0

    def share(self, limit: Limit, samples: int) -> float:
        """Return the part of the limit that is used up, in [0, 1]."""
        by_steps = self.steps * BATCH / max(limit.epochs * samples, 1e-9)
        return min(1.0, max(by_steps, self.seconds / limit.seconds))


@dataclass(slots=True)
class FineTuning:
    """One training; `keep` stores a checkpoint, `clock` is monotonic."""

    module: nn.Module
    lesson: Lesson
    limit: Limit
    keep: Callable[[bytes], None]
    clock: Callable[[], float] = time.monotonic
    progress: Progress = field(default_factory=Progress)
    features: FeatureMatching | None = None

    @property
    def _parts(self) -> nn.Module:
        """All that learns: the module, and the projections of its features."""
        return self.module if self.features is None else nn.ModuleList([self.module, self.features])

    def resume(self, checkpoint: bytes) -> None:
        """Go on from a checkpoint of the same module; raises RuntimeError when it is of another."""
        tensors = load(checkpoint)
        steps, seconds = tensors.pop(PROGRESS).tolist()
        self._parts.load_state_dict(tensors)
        self.progress = Progress(int(steps), seconds, seconds)

    def checkpoint(self) -> bytes:
        """Return the module's tensors and how far it is."""
        tensors = {name: tensor.contiguous() for name, tensor in self._parts.state_dict().items()}
        progress = torch.tensor([self.progress.steps, self.progress.seconds], dtype=torch.float64)
        return save(tensors | {PROGRESS: progress})

    def run(self) -> float:
        """Train until the limit and return the passes made; on the way out of an interruption the state is kept."""
        optimizer = torch.optim.AdamW(self._parts.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
        self.module.train()
        try:
            self._train(optimizer)
        except BaseException:
            self.keep(self.checkpoint())
            raise
        finally:
            self.module.eval()
        return self.progress.steps * BATCH / len(self.lesson.samples)

    def _train(self, optimizer: torch.optim.Optimizer) -> None:
        start, before = self.clock(), self.progress.seconds
        for index in self._batches():
            share = self.progress.share(self.limit, len(self.lesson.samples))
            if share >= 1:
                return
            optimizer.param_groups[0]["lr"] = PEAK_RATE * rate_factor(share)
            self._step(optimizer, index)
            self.progress.steps += 1
            self.progress.seconds = before + self.clock() - start
            if self.progress.seconds - self.progress.saved_at > SAVE_SECONDS:
                self.progress.saved_at = self.progress.seconds
                self.keep(self.checkpoint())

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        """Yield batches for ever, each pass in another order; a resumed training goes on where it was."""
        count = len(self.lesson.samples)
        size = min(BATCH, count)
        per_pass = max(1, count // size)
        number = self.progress.steps
        while True:
            order = np.random.default_rng((self.lesson.seed, number // per_pass)).permutation(count)
            for start in range(number % per_pass, per_pass):
                yield order[start * size : (start + 1) * size]
                number += 1

    def _step(self, optimizer: torch.optim.Optimizer, index: NDArray[np.int64]) -> None:
        generator = torch.Generator().manual_seed(self.lesson.seed * 1_000_003 + self.progress.steps)
        inputs = [torch.from_numpy(array) for array in self.lesson.samples.at(index).values()]
        inputs = [augmented(tensor, self.lesson.augment, generator) for tensor in inputs]
        teacher, labels = self.lesson.teacher.outputs(index), self._labels(index)
        if "mixup" in self.lesson.augment and labels is not None:
            share, others = mixing(len(index), generator)
            inputs = [share * tensor + (1 - share) * tensor[others] for tensor in inputs]
            teacher = share * teacher + (1 - share) * teacher[others]
            shares = nn.functional.one_hot(labels, teacher.shape[-1]).float()
            labels = share * shares + (1 - share) * shares[others]
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(
            self.module(*inputs), teacher, labels, task=self.lesson.task,
            are_probabilities=self.lesson.are_probabilities, temperature=self.lesson.temperature,
            teacher_share=self.lesson.teacher_share,
        )  # fmt: skip
        if self.features is not None:
            loss = loss + self.features.loss(inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), 5.0)
        optimizer.step()

    def _labels(self, index: NDArray[np.int64]) -> Tensor | None:
        labels = self.lesson.samples.labels
        if labels is None or self.lesson.task is not Task.CLASSIFICATION:
            return None
        return torch.from_numpy(labels[index].astype(np.int64).ravel())


def rate_factor(share: float) -> float:
    """Return the learning rate's factor at `share` of the training: a short rise, then down by a cosine to nothing."""
    if share < WARM_UP_SHARE:
        return 0.1 + 0.9 * share / WARM_UP_SHARE
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)))
