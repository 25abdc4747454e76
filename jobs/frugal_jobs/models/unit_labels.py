"""Which unit of which recurrent layer each input of the layers after it comes from. Changes nothing.

Found by running the graph on labels: a recurrent layer puts out the numbers of its units, operators that only move
values move the labels, and every layer with weights writes down what arrives. What would mix units is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from frugal.errors import FrugalError
from frugal_jobs.models import tensor_functions as tensors
from frugal_jobs.models.recurrent import Recurrent

NOBODY = -1.0  # the label of what comes from no recurrent unit
MOVES: frozenset[Callable[..., Any]] = frozenset({
    operator.getitem, tensors.reshaped, tensors.unsqueezed, tensors.sliced, tensors.gathered, tensors.same,
    tensors.cut, torch.flatten, torch.permute, torch.squeeze, torch.cat,
})  # fmt: skip
ELEMENTWISE: frozenset[Callable[..., Any]] = frozenset({
    functional.relu, torch.sigmoid, torch.tanh, functional.leaky_relu, functional.elu, functional.gelu,
    functional.hardswish, functional.softplus, torch.abs, tensors.cast,
})  # fmt: skip
REDUCTIONS: frozenset[Callable[..., Any]] = frozenset({tensors.average, tensors.maximum, tensors.minimum})
CONSUMERS = (nn.Linear, Recurrent, nn.LayerNorm, nn.BatchNorm1d)


class CannotShrink(FrugalError):
    """Units of a recurrent layer are mixed by something that does not know how to do with fewer."""

    def __init__(self, what: str) -> None:
        super().__init__(f"a smaller student cannot be built: {what}")


@dataclass(slots=True)
class Labels:
    """`units[layer]`: the first label of that layer's units; `arriving[layer]`: labels of its inputs, by position."""

    units: dict[str, int] = field(default_factory=dict)
    arriving: dict[str, Tensor] = field(default_factory=dict)
    reshapes: list[fx.Node] = field(default_factory=list)


def labels_of(module: fx.GraphModule, example: tuple[Tensor, ...]) -> Labels:
    """Return where every recurrent unit of `module` goes; raises CannotShrink."""
    runner = _Runner(module)
    with torch.no_grad():
        runner.run(*(torch.full(tensor.shape, NOBODY) if tensor.is_floating_point() else tensor for tensor in example))
    return runner.labels


class _Runner(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.labels = Labels()
        self._next = 0

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "output" and _is_labelled(result):
            raise CannotShrink("a recurrent layer's units are the output")
        if n.target is tensors.reshaped and _is_labelled(result):
            self.labels.reshapes.append(n)
        return result

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layer = self.fetch_attr(target)
        if any(_is_labelled(argument) for argument in args):
            self._arrive(target, layer, args)
        if isinstance(layer, Recurrent):
            return self._units(target, layer, args[0])
        if isinstance(layer, nn.LayerNorm | nn.BatchNorm1d):
            return args[0]
        outputs = layer(*args, **kwargs)
        return torch.full_like(outputs, NOBODY) if outputs.is_floating_point() else outputs

    def _arrive(self, target: str, layer: nn.Module, args: tuple[Any, ...]) -> None:
        if not isinstance(layer, CONSUMERS) or len([one for one in args[1:] if one is not None]):
            raise CannotShrink(f"{type(layer).__name__} takes what a recurrent layer puts out")
        axis = 1 if isinstance(layer, nn.BatchNorm1d) else args[0].dim() - 1
        rows = args[0].movedim(axis, -1).reshape(-1, args[0].shape[axis])
        if not torch.equal(rows, rows[:1].expand_as(rows)):
            raise CannotShrink("the units lie in different places for different steps")
        self.labels.arriving[target] = rows[0].round()

    def _units(self, target: str, layer: Recurrent, source: Tensor) -> tuple[Tensor, ...]:
        """Return outputs of the layer's shapes that hold the labels of its units."""
        first = self.labels.units[target] = self._next
        self._next += layer.hidden * layer.directions
        numbers = torch.arange(first, self._next, dtype=torch.float32).reshape(layer.directions, 1, layer.hidden)
        batch_axis, time_axis = (0, 1) if layer.batch_first else (1, 0)
        final = numbers.expand(layer.directions, source.shape[batch_axis], layer.hidden)
        if layer.batch_first:
            raise CannotShrink("layout 1")
        return final.expand(source.shape[time_axis], *final.shape), final, final

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not _is_labelled((args, kwargs)):
            result = super().call_function(target, args, kwargs)
            return torch.full_like(result, NOBODY) if _is_float(result) else result
        if target in ELEMENTWISE:
            return args[0]
        if target in MOVES or target in REDUCTIONS or target is tensors.shape_of:
            return super().call_function(target, args, kwargs)
        raise CannotShrink(f"{getattr(target, '__name__', target)} mixes what recurrent layers put out")


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _is_labelled(value: Any) -> bool:
    """Whether any tensor within `value` holds a label."""
    if isinstance(value, Tensor):
        return value.is_floating_point() and bool((value >= 0).any())
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return any(_is_labelled(part) for part in parts)
