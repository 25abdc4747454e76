"""What ONNX calls one operator and torch several: plain functions of tensors, used in imported graphs."""

from __future__ import annotations

import torch
from torch import Tensor


def reshaped(tensor: Tensor, sizes: list[int] | Tensor) -> Tensor:
    """Return `tensor` in the shape `sizes`; 0 keeps a size, -1 is what is left."""
    wanted = [int(size) for size in sizes]
    return tensor.reshape([tensor.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)])


def unsqueezed(tensor: Tensor, axes: list[int]) -> Tensor:
    """Return `tensor` with axes of size 1 at the places `axes` of the result."""
    rank = tensor.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        tensor = tensor.unsqueeze(axis)
    return tensor


def sliced(
    tensor: Tensor, starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None
) -> Tensor:
    """Return the part of `tensor` from `starts` to before `ends`; steps are positive."""
    index = [slice(None)] * tensor.dim()
    for number, axis in enumerate(axes if axes is not None else range(len(starts))):
        index[axis] = slice(starts[number], ends[number], steps[number] if steps else 1)
    return tensor[tuple(index)]


def gathered(tensor: Tensor, numbers: Tensor, axis: int) -> Tensor:
    """Return the slices of `tensor` along `axis` at `numbers`, which may count from the end."""
    positive = torch.where(numbers < 0, numbers + tensor.shape[axis], numbers).long()
    picked = tensor.index_select(axis, positive.reshape(-1))
    return picked.reshape(*tensor.shape[:axis], *positive.shape, *tensor.shape[axis + 1 :])


def hard_sigmoid(tensor: Tensor, alpha: float, beta: float) -> Tensor:
    """Return alpha * tensor + beta, held in [0, 1]."""
    return torch.clamp(tensor * alpha + beta, 0.0, 1.0)


def shape_of(tensor: Tensor) -> Tensor:
    """Return the sizes of `tensor` as int64."""
    return torch.tensor(tensor.shape, dtype=torch.int64)


def cast(tensor: Tensor, kind: torch.dtype) -> Tensor:
    """Return `tensor` in another type."""
    return tensor.to(kind)


def same(tensor: Tensor) -> Tensor:
    """Return `tensor`."""
    return tensor
