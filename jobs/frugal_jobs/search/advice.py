"""What a model's structure suggests, in one sentence with its figures. The search measures anyway."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

CONVOLUTIONS = ("Conv", "ConvTranspose")
RECURRENT = ("LSTM", "GRU", "RNN")
PRODUCTS = ("Gemm", "MatMul")
ATTENTION = ("Attention", "MultiHeadAttention")
SOFTMAX_PER_BLOCK = 1  # a transformer block has one Softmax between two products; a classifier ends in one


class Family(StrEnum):
    """Kinds of networks that are compressed in different ways."""

    CONVOLUTIONAL = "convolutional"
    RECURRENT = "recurrent"
    TRANSFORMER = "transformer"
    DENSE = "dense"
    SMALL = "small"


def advice(operators: Mapping[str, int], *, can_train: bool) -> str:
    """Return such as `12 Conv, 2 Linear: convolutional, so structured pruning then int8`."""
    found = {
        "Conv": sum(operators.get(name, 0) for name in CONVOLUTIONS),
        "recurrent": sum(operators.get(name, 0) for name in RECURRENT),
        "Linear": sum(operators.get(name, 0) for name in PRODUCTS),
    }
    counted = ", ".join(f"{count} {name}" for name, count in found.items() if count) or "no heavy operators"
    return f"{counted}: {_conclusion(family(operators), can_train=can_train)}"


def family(operators: Mapping[str, int]) -> Family:
    """Return what kind of network has these operators."""
    if any(operators.get(name) for name in RECURRENT):
        return Family.RECURRENT
    attention = sum(operators.get(name, 0) for name in ATTENTION)
    if attention or operators.get("Softmax", 0) > SOFTMAX_PER_BLOCK:
        return Family.TRANSFORMER
    if any(operators.get(name) for name in CONVOLUTIONS):
        return Family.CONVOLUTIONAL
    return Family.DENSE if any(operators.get(name) for name in PRODUCTS) else Family.SMALL


def _conclusion(kind: Family, *, can_train: bool) -> str:
    if kind is Family.SMALL:
        return "little to compress, so float16 or int8 alone"
    if kind is Family.RECURRENT:
        if can_train:
            return (
                "recurrent, so distillation into a narrower one, then int8; 8-bit products gain speed in an LSTM alone"
            )
        return "recurrent, so int8; with data.training, distillation into a narrower one would gain more"
    if kind is Family.TRANSFORMER:
        return "a transformer, so 8-bit products with ranges found at run time, and embeddings in 4 or 8 bits"
    if can_train:
        return f"{kind.value}, so structured pruning then int8"
    return f"{kind.value}, so int8; with data.training, structured pruning first would gain more"
