"""Students built from their teacher: the same graph with narrower layers and fewer of the blocks that repeat.

A student starts with the teacher's strongest units, so it has less to learn than one made anew. Trains nothing.
"""

from __future__ import annotations

import operator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, fx, nn

from frugal_jobs.models.model import Model
from frugal_jobs.models.recurrent import Recurrent
from frugal_jobs.models.running import blank_feed
from frugal_jobs.models.trainable import Slot, Trainable
from frugal_jobs.models.unit_labels import CannotShrink, Labels, labels_of
from frugal_jobs.techniques.structured_pruning import ROUND_TO, prune


def narrowed(trainable: Trainable, model: Model, *, width: float) -> Trainable:
    """Return the student with `width` of each hidden layer's units; raises CannotShrink and UnsupportedOperator."""
    if width >= 1:
        return trainable
    cells = [layer for layer in trainable.module.modules() if isinstance(layer, Recurrent)]
    if not cells:
        prune(trainable, model, ratio=1 - width, is_global=False)
        return trainable
    labels = labels_of(trainable.module, _example(model))
    kept = _strongest(trainable.module, labels, width)
    _take_units(trainable.module, labels, kept)
    return _with_open_reshapes(trainable, labels)


def _example(model: Model) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in blank_feed(model).values())


def _strongest(module: fx.GraphModule, labels: Labels, width: float) -> dict[str, Tensor]:
    """Return the units to keep of each recurrent layer, in order; their strength is the length of their weights."""
    kept = {}
    for name in labels.units:
        cell = module.get_submodule(name)
        assert isinstance(cell, Recurrent)
        incoming = torch.cat([cell.w, cell.r], dim=2).square().sum((0, 2)).reshape(-1, cell.hidden).sum(0)
        strength = incoming + cell.r.square().sum((0, 1))
        count = min(cell.hidden, max(1, ROUND_TO * round(width * cell.hidden / ROUND_TO)))
        count = max(count, min(cell.hidden, ROUND_TO))
        kept[name] = strength.topk(count).indices.sort().values
    return kept


def _take_units(module: fx.GraphModule, labels: Labels, kept: dict[str, Tensor]) -> None:
    """Cut the layers and, by what arrives there, the layers that take their outputs."""
    staying: set[int] = set()
    for name, units in kept.items():
        cell = module.get_submodule(name)
        assert isinstance(cell, Recurrent)
        for direction in range(cell.directions):
            staying.update((labels.units[name] + direction * cell.hidden + units).tolist())
    for name, arriving in labels.arriving.items():
        positions = torch.tensor(
            [place for place, label in enumerate(arriving.tolist()) if label < 0 or label in staying]
        )
        _keep_inputs(module.get_submodule(name), positions)
    for name, units in kept.items():
        cell = module.get_submodule(name)
        assert isinstance(cell, Recurrent)
        cell.keep_units(units)


def _keep_inputs(layer: nn.Module, positions: Tensor) -> None:
    if isinstance(layer, Recurrent):
        layer.keep_inputs(positions)
        return
    with torch.no_grad():
        if isinstance(layer, nn.Linear):
            layer.weight = nn.Parameter(layer.weight[:, positions])
            layer.in_features = len(positions)
            return
        for name in ("weight", "bias"):
            if getattr(layer, name, None) is not None:
                setattr(layer, name, nn.Parameter(getattr(layer, name)[positions]))
        if isinstance(layer, nn.BatchNorm1d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean, layer.running_var = layer.running_mean[positions], layer.running_var[positions]
            layer.num_features = len(positions)
        elif isinstance(layer, nn.LayerNorm):
            layer.normalized_shape = (len(positions),)


def _with_open_reshapes(trainable: Trainable, labels: Labels) -> Trainable:
    """Return `trainable` whose reshapes of units take whatever width is left, here and in the ONNX graph."""
    slots = list(trainable.slots)
    for node in labels.reshapes:
        sizes = node.args[1]
        if not isinstance(sizes, list | tuple) or -1 in sizes:
            continue
        opened = [*sizes[:-1], -1]
        node.args = (node.args[0], opened)
        slots.append(Slot(trainable.origins[node.name], 1, lambda opened=opened: np.array(opened, np.int64)))  # type: ignore[misc]
    trainable.module.recompile()
    return replace(trainable, slots=tuple(slots))


def shallower(trainable: Trainable, model: Model, *, depth: float) -> Trainable:
    """Return the student with `depth` of the blocks that can be left out; those go that change the outputs least.

    A block is what a residual Add adds; what belongs to it goes from the ONNX graph with it.
    """
    if depth >= 1:
        return trainable
    example = _noise(model)
    blocks = _blocks(trainable.module, example)
    leaving = len(blocks) - max(0, round(depth * len(blocks)))
    if not leaving:
        raise CannotShrink(f"of {len(blocks)} blocks that can be left out, {depth:g} is all")
    bypasses = list(trainable.bypasses)
    for _ in range(leaving):
        number = _least_missed(trainable.module, blocks, example)
        node, position = blocks.pop(number)
        origin = trainable.origins[node.name]
        bypasses.append((origin, position))
        source = node.args[position]
        assert isinstance(source, fx.Node)
        node.replace_all_uses_with(source)
        trainable.module.graph.eliminate_dead_code()
        trainable.module.delete_all_unused_submodules()
        trainable.module.recompile()
        blocks = [block for block in blocks if block[0] in set(trainable.module.graph.nodes)]
    return replace(trainable, bypasses=tuple(bypasses))


def _noise(model: Model) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for tensor in _example(model)
    )


class _Shapes(fx.Interpreter):
    """Remembers the shape of every tensor of one run."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        return result


def _blocks(module: fx.GraphModule, example: tuple[Tensor, ...]) -> list[tuple[fx.Node, int]]:
    """Return (Add, position of its input that goes round the block) of all residual blocks, in the graph's order."""
    seen = _Shapes(module)
    with torch.no_grad():
        seen.run(*example)
    found = []
    for node in module.graph.nodes:
        if node.target is not operator.add or len(node.all_input_nodes) != 2:
            continue
        for position in (0, 1):
            around, through = node.args[position], node.args[1 - position]
            same = seen.shapes.get(around) == seen.shapes.get(through) == seen.shapes.get(node)
            if same and _has_weights_between(module, around, through):
                found.append((node, position))
                break
    return found


def _has_weights_between(module: fx.GraphModule, start: fx.Node, end: fx.Node) -> bool:
    """Whether `end` is computed from `start`, through layers with weights."""
    waiting, seen, layers = [end], set(), 0
    reached = False
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node is start:
            reached = True
            continue
        layers += node.op == "call_module"
        waiting.extend(node.all_input_nodes)
    return reached and layers > 0 and not any(node.op == "placeholder" and node is not start for node in seen)


def _least_missed(module: fx.GraphModule, blocks: list[tuple[fx.Node, int]], example: tuple[Tensor, ...]) -> int:
    """Return the number of the block without which the output differs least."""
    with torch.no_grad():
        whole = module(*example)
        changes = [
            float((_without(module, node, position, example) - whole).square().mean()) for node, position in blocks
        ]
    return int(np.argmin(changes))


def _without(module: fx.GraphModule, block: fx.Node, position: int, example: tuple[Tensor, ...]) -> Tensor:
    class Bypass(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            return self.env[n.args[position]] if n is block else super().run_node(n)  # type: ignore[index]

    result: Tensor = Bypass(module, garbage_collect_values=False).run(*example)
    return result
