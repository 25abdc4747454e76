"""ONNX Runtime on a CPU: the artifact is the ONNX file, and a guard looks at the graph that is really run.

Measured on x86: s8 activations and dynamic quantization leave float convolutions between conversions,
and end slower than float32.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx

from frugal_jobs.models.model import QUANTIZERS, Model
from frugal_jobs.models.running import session_of

HEAVY = frozenset({"Conv", "FusedConv", "ConvTranspose", "MatMul", "Gemm", "FusedMatMul", "FusedGemm", "NhwcFusedConv"})
FLOAT_SHARE = 0.5  # of the heavy nodes may stay in float: first and last layers sometimes do, and still pay


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizedGraph:
    """What the runtime's optimizer made of a model."""

    quantized: int  # convolutions and products in integers
    floating: int  # the same in float
    conversions: int  # quantize and dequantize nodes that stayed


def optimized(model: Model) -> OptimizedGraph:
    """Return how the runtime runs `model` on this CPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        session_of(model.content, optimized_path=str(path))
        nodes = [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
    return OptimizedGraph(
        quantized=sum(name.startswith(("QLinearConv", "QLinearMatMul", "QGemm", "MatMulInteger")) for name in nodes),
        floating=sum(name in HEAVY for name in nodes),
        conversions=sum(name in QUANTIZERS for name in nodes),
    )


def objection(model: Model) -> str:
    """Return why a quantized model will not pay on this runtime; empty when it may."""
    if not any(node.op_type in QUANTIZERS for node in model.proto.graph.node):
        return ""
    found = optimized(model)
    heavy = found.quantized + found.floating
    if heavy and found.floating / heavy > FLOAT_SHARE:
        return f"the runtime leaves {found.floating} of {heavy} convolutions and products in float"
    return ""
