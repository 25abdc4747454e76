"""What a loaded model takes and gives: names, datatypes, shapes, and whether rows of several requests may run together.

Knows no session and no request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from frugal_serve.datatypes import Datatype

ANY = -1  # a dimension of any size, as the protocol writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpecification:
    """One input or output."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]

    @property
    def has_rows(self) -> bool:
        """Whether the first dimension is of any size."""
        return bool(self.shape) and self.shape[0] == ANY

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Return whether a tensor of `shape` fits."""
        return len(shape) == len(self.shape) and all(
            expected in {ANY, found} for expected, found in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpecification:
    """One model, as its metadata route shows it; `is_batched`: rows of several requests may run together."""

    name: str
    version: str
    inputs: Mapping[str, TensorSpecification]
    outputs: Mapping[str, TensorSpecification]
    is_batched: bool
