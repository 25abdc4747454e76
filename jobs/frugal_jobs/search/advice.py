"""What a model's structure suggests, in one sentence with its figures. The search measures anyway."""

from __future__ import annotations

from collections.abc import Mapping

CONVOLUTIONS = ("Conv", "ConvTranspose")
RECURRENT = ("LSTM", "GRU", "RNN")
PRODUCTS = ("Gemm", "MatMul")
ATTENTION = ("Attention", "MultiHeadAttention")
SOFTMAX_PER_BLOCK = 1  # a transformer block has one Softmax between two products; a classifier ends in one


def advice(operators: Mapping[str, int], *, can_train: bool) -> str:
    """Return such as `12 Conv, 2 Linear: convolutional, so structured pruning then int8`."""
    found = {
        "Conv": sum(operators.get(name, 0) for name in CONVOLUTIONS),
        "recurrent": sum(operators.get(name, 0) for name in RECURRENT),
        "Linear": sum(operators.get(name, 0) for name in PRODUCTS),
    }
    counted = ", ".join(f"{count} {name}" for name, count in found.items() if count) or "no heavy operators"
    return f"{counted}: {_conclusion(found, operators, can_train=can_train)}"


def _conclusion(found: Mapping[str, int], operators: Mapping[str, int], *, can_train: bool) -> str:
    if found["recurrent"]:
        return "recurrent, so distillation into a smaller one would pay most; int8 meanwhile"
    attention = sum(operators.get(name, 0) for name in ATTENTION)
    if attention or operators.get("Softmax", 0) > SOFTMAX_PER_BLOCK:
        return "a transformer, so 8-bit weights first; pruning its widths needs long training"
    kind = "convolutional" if found["Conv"] else "dense" if found["Linear"] else "small"
    if can_train and kind != "small":
        return f"{kind}, so structured pruning then int8"
    if kind == "small":
        return "little to compress, so float16 or int8 alone"
    return f"{kind}, so int8; with data.training, structured pruning first would gain more"
