"""Puts a batch norm after each convolution without one, for the time of training, and folds it back.

Exporters fold batch norms into convolutions; a pruned network without them learns slowly, since its activations have
lost their scale. A new one starts with the statistics of the original, so that at first it changes nothing, and after
pruning it brings each channel back to the scale that it had.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from frugal_jobs.models.trainable import Trainable

NORMS: dict[type[nn.Module], type[nn.modules.batchnorm._BatchNorm]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}
SUFFIX = "_norm"


def add_norms(trainable: Trainable, batches: Iterable[tuple[Tensor, ...]]) -> list[str]:
    """Add norms with the statistics of `batches`; return the names of the convolutions that got one."""
    module = trainable.module
    bare = _without_norm(module, set(trainable.output_modules))
    statistics = _statistics(module, bare, batches)
    for node in [node for node in module.graph.nodes if node.op == "call_module" and node.target in bare]:
        name = str(node.target)
        module.add_submodule(f"{name}{SUFFIX}", _norm(module.get_submodule(name), *statistics[name]))
        with module.graph.inserting_after(node):
            added = module.graph.call_module(f"{name}{SUFFIX}", (node,))
        node.replace_all_uses_with(added, delete_user_cb=lambda user, added=added: user is not added)
    module.recompile()
    return bare


def _without_norm(module: fx.GraphModule, outputs: set[str]) -> list[str]:
    layers = dict(module.named_modules())
    found = []
    for node in module.graph.nodes:
        if node.op != "call_module" or type(layers[str(node.target)]) not in NORMS or node.target in outputs:
            continue
        followers = [layers.get(str(user.target)) for user in node.users if user.op == "call_module"]
        if not any(isinstance(follower, nn.modules.batchnorm._BatchNorm) for follower in followers):
            found.append(str(node.target))
    return found


def _statistics(
    module: fx.GraphModule, names: list[str], batches: Iterable[tuple[Tensor, ...]]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return (mean, variance) per channel of what each of `names` puts out."""
    sums = {name: [torch.zeros(()), torch.zeros(()), torch.zeros(())] for name in names}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def add(layer: nn.Module, inputs: object, output: Tensor) -> None:
            del layer, inputs
            rows = output.transpose(0, 1).flatten(1)
            parts = (rows.sum(1), rows.square().sum(1), torch.tensor(float(rows.shape[1])))
            sums[name] = [total + part for total, part in zip(sums[name], parts, strict=True)]

        return module.get_submodule(name).register_forward_hook(add)

    handles = [watch(name) for name in names]
    module.eval()
    with torch.inference_mode():
        for batch in batches:
            module(*batch)
    for handle in handles:
        handle.remove()
    means = {name: total / count for name, (total, _, count) in sums.items()}
    return {name: (means[name], (sums[name][1] / sums[name][2] - means[name] ** 2).clamp_min(0)) for name in names}


def _norm(layer: nn.Module, mean: Tensor, variance: Tensor) -> nn.modules.batchnorm._BatchNorm:
    """Return a norm that in evaluation changes nothing."""
    norm = NORMS[type(layer)](len(mean))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)
    return norm.eval()


def fold_norms(trainable: Trainable, names: list[str]) -> None:
    """Fold the added norms into their convolutions and take them out; weight * g and (bias - mean) * g + shift."""
    module = trainable.module
    for name in names:
        layer, norm = module.get_submodule(name), module.get_submodule(f"{name}{SUFFIX}")
        assert isinstance(layer, _ConvNd)
        assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
        _fold(layer, norm)
        for node in [node for node in module.graph.nodes if node.target == f"{name}{SUFFIX}"]:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
        module.delete_submodule(f"{name}{SUFFIX}")
    module.recompile()


def _fold(layer: _ConvNd, norm: nn.modules.batchnorm._BatchNorm) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        bias = torch.zeros_like(norm.running_mean) if layer.bias is None else layer.bias
        layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias = nn.Parameter((bias - norm.running_mean) * factor + norm.bias)
