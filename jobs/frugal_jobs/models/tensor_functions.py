"""What ONNX calls one operator and torch several: plain functions of tensors, used in imported graphs."""

from __future__ import annotations

import functools

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


def expanded(tensor: Tensor, sizes: Tensor) -> Tensor:
    """Return `tensor` spread over `sizes`, and over its own where they are larger."""
    wanted = [int(size) for size in sizes]
    own = [1] * (len(wanted) - tensor.dim()) + list(tensor.shape)
    wanted = [1] * (len(own) - len(wanted)) + wanted
    return tensor.expand([max(pair) for pair in zip(own, wanted, strict=True)])


def filled(sizes: Tensor, value: float, kind: torch.dtype) -> Tensor:
    """Return `value` in the shape `sizes`."""
    return torch.full([int(size) for size in sizes], value, dtype=kind)


def repeated(tensor: Tensor, times: Tensor) -> Tensor:
    """Return `tensor` so many times along each axis."""
    return tensor.repeat([int(count) for count in times])


def numbers(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """Return the numbers from `start` to before `end`."""
    return torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype)


def cut(tensor: Tensor, sizes: int | list[int], axis: int) -> list[Tensor]:
    """Return `tensor` in parts of these sizes, or in so many equal parts (the last may be smaller)."""
    if isinstance(sizes, int):
        sizes = [-(-tensor.shape[axis] // sizes)] * sizes
        sizes[-1] = tensor.shape[axis] - sum(sizes[:-1])
    return list(torch.split(tensor, sizes, axis))


def least(*parts: Tensor) -> Tensor:
    """Return the smallest of the tensors, element by element."""
    return functools.reduce(torch.minimum, parts)


def largest(*parts: Tensor) -> Tensor:
    """Return the largest of the tensors, element by element."""
    return functools.reduce(torch.maximum, parts)


def length(tensor: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Return the Euclidean length along `axes`."""
    found: Tensor = torch.linalg.vector_norm(tensor, dim=axes, keepdim=keep)
    return found


def maximum(tensor: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Return the largest value along `axes`."""
    return torch.amax(tensor, axes, keep)


def minimum(tensor: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Return the smallest value along `axes`."""
    return torch.amin(tensor, axes, keep)


def total(tensor: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Return the sum along `axes`."""
    return torch.sum(tensor, axes, keep) if axes else tensor


def average(tensor: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Return the mean along `axes`."""
    return torch.mean(tensor, axes, keep) if axes else tensor


def leaky(tensor: Tensor, slope: Tensor) -> Tensor:
    """Return `tensor` where it is positive, else `slope` times it; the slope may differ by channel."""
    return torch.where(tensor > 0, tensor, slope * tensor)
