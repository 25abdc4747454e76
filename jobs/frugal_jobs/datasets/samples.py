"""Samples as they are fed to a model: raw arrays, scaled and cast batch by batch. Reads no file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal_jobs.models.running import BATCH

Index = slice | NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One input of the model: `raw` (samples, ...) as stored, and how it becomes what the model takes."""

    name: str
    raw: NDArray[Any]
    dtype: str
    scale: float = 1.0

    def at(self, index: Index) -> NDArray[Any]:
        """Return the samples at `index`, cast and scaled."""
        values = np.ascontiguousarray(self.raw[index]).astype(self.dtype, copy=False)
        return values if self.scale == 1.0 else values * np.asarray(self.scale, self.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Inputs and, where the file has them, labels (samples, ...) of one set."""

    columns: tuple[Column, ...]
    labels: NDArray[Any] | None = None
    lengths: NDArray[np.int64] | None = None  # of padded texts: a batch is cut to its longest

    def __len__(self) -> int:
        return len(self.columns[0].raw)

    def at(self, index: Index) -> dict[str, NDArray[Any]]:
        """Return what to feed for the samples at `index`."""
        if self.lengths is None:
            return {column.name: column.at(index) for column in self.columns}
        longest = int(self.lengths[index].max(initial=1))
        return {column.name: np.ascontiguousarray(column.at(index)[:, :longest]) for column in self.columns}

    def typical(self) -> int:
        """Return the number of a sample of ordinary size, to measure time with."""
        return 0 if self.lengths is None else int(np.argsort(self.lengths, kind="stable")[len(self) // 2])

    def batches(self, size: int = BATCH) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield all samples in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.at(slice(start, start + size))

    def take(self, index: Index) -> Samples:
        """Return the samples at `index` as a set of their own."""
        columns = tuple(replace(column, raw=column.raw[index]) for column in self.columns)
        return Samples(
            columns=columns, labels=None if self.labels is None else self.labels[index],
            lengths=None if self.lengths is None else self.lengths[index],
        )  # fmt: skip


def held_out(samples: Samples, *, share: float, most: int, seed: int) -> tuple[Samples, Samples]:
    """Return (kept, held out): a random `share` of the samples, at most `most`, is held out; the same for one seed."""
    order = np.random.default_rng(seed).permutation(len(samples))
    count = max(1, min(most, round(len(samples) * share)))
    return samples.take(np.sort(order[count:])), samples.take(np.sort(order[:count]))


def split(samples: Samples, *, share: float, seed: int) -> tuple[Samples, Samples]:
    """Return (a random `share`, the rest), each class parted alike; the same for one seed, at least one sample each."""
    generator = np.random.default_rng(seed)
    groups = [np.arange(len(samples))]
    if samples.labels is not None and samples.labels.ndim == 1 and samples.labels.dtype.kind in "iub":
        order = np.argsort(samples.labels, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(samples.labels[order])) + 1)
    shuffled = [generator.permutation(group) for group in groups]
    ranks = np.concatenate([(np.arange(len(group)) + generator.random()) / len(group) for group in shuffled])
    order = np.concatenate(shuffled)[np.argsort(ranks, kind="stable")]
    count = min(max(1, round(share * len(samples))), max(1, len(samples) - 1))
    return samples.take(np.sort(order[:count])), samples.take(np.sort(order[count:]))
