"""Dynamic linear quantization: weights in int8 on disk, activations rounded at run time; needs no samples.

For products and LSTMs, which ONNX Runtime computes in integers. Convolutions are left to float (dynamic ones end five
times slower than float32, measured), and its quantizers know no GRU or RNN: those weights are packed, for size alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import ModelProto, TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.models.model import Model
from frugal_jobs.models.weights import Weight, weights_in, with_opset, with_plain_weights, with_products
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.quiet import quiet
from frugal_jobs.techniques.replaced_weights import weight_errors
from frugal_jobs.techniques.weights_only import NothingToQuantize, quantize_weights

OLDEST_OPSET = 13
IN_INTEGERS = ("MatMul", "LSTM", "Attention", "EmbedLayerNormalization", "Gather")
OPTIONS = {
    "MatMulConstBOnly": True,  # products of two activations stay in float: faster, and loses less
    "DefaultTensorType": TensorProto.FLOAT,  # of what shape inference does not know in fused graphs
}
INTEGER_OPERATORS = ("MatMulInteger", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention")


@dataclass(frozen=True, slots=True)
class DynamicInt8:
    """Quantizes as `step` says."""

    step: QuantizeStep

    def __call__(self, model: Model, context: Context) -> Model:
        """Return `model` in 8 bits; raises NothingToQuantize, and what ONNX Runtime raises."""
        source = with_products(with_plain_weights(with_opset(model.proto, OLDEST_OPSET)))
        with TemporaryDirectory(dir=context.folder) as folder, quiet():
            proto = _quantized(source, Path(folder) / "dynamic.onnx", per_channel=self.step.per_channel)
        errors = weight_errors(source, proto)
        left = [weight for weight in weights_in(proto) if weight.kind in ("recurrent", "convolutions")]
        errors += quantize_weights(proto, left, self.step)
        if not errors:
            raise NothingToQuantize("no product, LSTM, embedding or recurrent layer has constant weights")
        label = "dynamic int8" if self.step.per_channel else "dynamic int8 per tensor"
        step = {"quantize": self.step.to_json()}
        return model.after(proto, label, step, notes=_notes(proto, left), errors=errors)


def _quantized(source: ModelProto, target: Path, *, per_channel: bool) -> ModelProto:
    quantize_dynamic(
        source, target, op_types_to_quantize=list(IN_INTEGERS), per_channel=per_channel, weight_type=QuantType.QInt8,
        extra_options=OPTIONS,
    )  # fmt: skip
    return onnx.load(target)


def _notes(proto: ModelProto, packed: list[Weight]) -> tuple[str, ...]:
    """Say what is computed in integers and what only shrank."""
    counts: dict[str, int] = {}
    for node in proto.graph.node:
        if node.op_type in INTEGER_OPERATORS:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    faster = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    smaller = sorted({weight.node.op_type for weight in packed})
    notes = [f"computed in integers: {faster}"] if faster else []
    if smaller:
        notes.append(f"smaller on disk but no faster, computed in float32: the weights of {', '.join(smaller)}")
    return tuple(notes)
