"""Linear quantization of weights alone, to 8 or 4 bits; activations stay in float32 and need no calibration.

Products become MatMulNBits and embeddings GatherBlockQuantized, which ONNX Runtime computes with directly (scales per
block of weights, as in GPTQ's and llama.cpp's formats). Everything else is packed and unpacked at load: size only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.models.model import Model
from frugal_jobs.models.tensor_error import TensorError
from frugal_jobs.models.weights import Weight, drop_unused, is_plain_gemm, weights_in, with_opset, with_plain_weights
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.linear import Grid, blocks_of, error_of, fitted, rows_of
from frugal_jobs.techniques.packing import Packed, store

OLDEST_OPSET = 13
DOMAIN = "com.microsoft"
INT8_PRODUCTS = 4  # accuracy_level: blocks of activations in int8 too; without it the kernels are slower than float32


class NothingToQuantize(ValueError):
    """The model has no weight of the kind that the step names."""


@dataclass(frozen=True, slots=True)
class WeightsOnly:
    """Quantizes the weights of `step.layers` to `step.bits`."""

    step: QuantizeStep

    def __call__(self, model: Model, context: Context) -> Model:
        """Return `model` with smaller weights; raises NothingToQuantize. Needs no samples."""
        del context
        proto = with_plain_weights(with_opset(model.proto, OLDEST_OPSET))
        chosen = least_hurt(proto, self.step)
        if not chosen:
            raise NothingToQuantize(f"no weights of 1,024 values or more in layers: {self.step.layers}")
        errors = quantize_weights(proto, chosen, self.step)
        label = f"int{self.step.bits} weights" + ("" if self.step.layers == "all" else f" ({self.step.layers})")
        step = {"quantize": self.step.to_json()}
        return model.after(proto, label, step, notes=_notes(chosen, self.step.bits), errors=errors)


def least_hurt(proto: ModelProto, step: QuantizeStep) -> list[Weight]:
    """Return the weights to quantize: all of `step.layers` but the `step.keep` with the lowest signal-to-noise."""
    weights = weights_in(proto, step.layers)
    if not step.keep:
        return weights
    arrays = {tensor.name: tensor for tensor in proto.graph.initializer}
    names = {weight.name: weight for weight in weights}
    ratios = {name: _grid_error(weight, numpy_helper.to_array(arrays[name]), step).signal_to_noise_db
              for name, weight in names.items()}  # fmt: skip
    kept = set(sorted(ratios, key=lambda name: ratios[name])[: step.keep])
    return [weight for weight in weights if weight.name not in kept]


def _grid_error(weight: Weight, array: NDArray[Any], step: QuantizeStep) -> TensorError:
    rows = rows_of(array, weight.channel_axes if step.per_channel else ())
    grid = fitted(rows, bits=step.bits, symmetric=step.symmetric, calibrate=step.calibrate)
    return error_of(weight.name, rows, grid.dequantized(grid.quantized(rows)), bits=step.bits,
                    clipped=grid.clipped(rows))  # fmt: skip


def quantize_weights(proto: ModelProto, weights: list[Weight], step: QuantizeStep) -> tuple[TensorError, ...]:
    """Replace `weights` in `proto`, in place, and return what each lost; a weight used twice is stored for each use."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    errors: dict[str, TensorError] = {}
    packed: set[str] = set()
    for weight in weights:
        array = arrays[weight.name]
        if _has_product_kernel(weight):
            errors[weight.name] = _product(proto, weight, array, step)
        elif weight.kind == "embeddings" and _fits_gather(weight, step):
            errors[weight.name] = _embedding(proto, weight, array, step)
        elif weight.name not in packed:
            packed.add(weight.name)
            errors[weight.name] = _packed(proto, weight, array, step)
    drop_unused(proto)
    if not any(entry.domain == DOMAIN for entry in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return tuple(errors.values())


def _has_product_kernel(weight: Weight) -> bool:
    if weight.kind != "products" or len(weight.shape) != 2:
        return False
    return weight.node.op_type == "MatMul" or is_plain_gemm(weight.node)


def _fits_gather(weight: Weight, step: QuantizeStep) -> bool:
    """Whether the kernel takes the table: whole blocks in each row, gathered along the first axis."""
    axis = next((entry.i for entry in weight.node.attribute if entry.name == "axis"), 0)
    return len(weight.shape) == 2 and axis == 0 and weight.shape[1] % step.block_size == 0


def _blocks(array: NDArray[Any], step: QuantizeStep) -> tuple[Grid, NDArray[np.uint8], TensorError]:
    """Return (grid, codes from 0 up, error) of `array` (rows, values) in blocks along its rows."""
    blocks = blocks_of(array, step.block_size)
    grid = fitted(blocks, bits=step.bits, symmetric=step.symmetric, calibrate=step.calibrate)
    codes = grid.quantized(blocks)
    restored, clipped = (_unfolded(part, array.shape) for part in (grid.dequantized(codes), grid.clipped(blocks)))
    error = error_of("", array, restored, bits=step.bits, clipped=clipped)
    return grid, (codes + (2 ** (step.bits - 1) if step.symmetric else 0)).astype(np.uint8), error


def _unfolded(blocks: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return `blocks` as the rows that they were cut from, without the filling."""
    return np.asarray(blocks.reshape(shape[0], -1)[:, : shape[1]])


def _nibbles(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return codes (..., n) as bytes, of 4 bits the first in the low half; an odd one out gets a zero beside it."""
    if bits == 8:
        return codes
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, codes.shape[-1] % 2)])
    return np.asarray(codes[..., ::2] | (codes[..., 1::2] << np.uint8(4)), np.uint8)


def _product(proto: ModelProto, weight: Weight, array: NDArray[Any], step: QuantizeStep) -> TensorError:
    """Turn a MatMul or Gemm into MatMulNBits, with an Add for a bias."""
    node = weight.node
    outputs_first = array if weight.channel_axes == (0,) else array.T
    grid, codes, error = _blocks(outputs_first, step)
    count, width = outputs_first.shape
    inputs = [node.input[0], *_quantized_tensors(proto, weight, (grid, codes), step, rows=count, is_product=True)]
    has_bias = node.op_type == "Gemm" and len(node.input) > 2 and node.input[2]
    bias, output = (node.input[2], node.output[0]) if has_bias else ("", node.output[0])
    new = helper.make_node(
        "MatMulNBits", inputs, [f"{output}/product" if bias else output], domain=DOMAIN, K=width, N=count,
        bits=step.bits, block_size=step.block_size, accuracy_level=INT8_PRODUCTS,
    )  # fmt: skip
    added = [helper.make_node("Add", [new.output[0], bias], [output])] if bias else []
    _replace(proto, node, [new, *added])
    return replace(error, name=weight.name)


def _embedding(proto: ModelProto, weight: Weight, array: NDArray[Any], step: QuantizeStep) -> TensorError:
    """Turn a Gather from a constant table into GatherBlockQuantized."""
    grid, codes, error = _blocks(array, step)
    data, *scales = _quantized_tensors(proto, weight, (grid, codes), step, rows=len(array), is_product=False)
    new = helper.make_node(
        "GatherBlockQuantized", [data, weight.node.input[1], *scales], list(weight.node.output), domain=DOMAIN,
        bits=step.bits, block_size=step.block_size, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    _replace(proto, weight.node, [new])
    return replace(error, name=weight.name)


def _quantized_tensors(
    proto: ModelProto, weight: Weight, blocks: tuple[Grid, NDArray[np.uint8]], step: QuantizeStep, *, rows: int,
    is_product: bool,
) -> list[str]:  # fmt: skip
    """Add codes, scales and, where they are not in the middle, zero points; return their names."""
    grid, codes = blocks
    per_row = len(codes) // rows
    shape = (rows, per_row, -1) if is_product else (rows, -1)
    arrays = [_nibbles(codes.reshape(rows * per_row, -1), step.bits).reshape(shape),
              (1 / grid.steps_per_unit).astype(np.float32).reshape(rows, per_row)]  # fmt: skip
    if not step.symmetric:
        arrays.append(_nibbles(grid.zero.reshape(rows, per_row).astype(np.uint8), step.bits))
    names = [f"{weight.name}/{weight.node.output[0]}/{part}" for part in ("codes", "scales", "zeros")][: len(arrays)]
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array), name) for array, name in zip(arrays, names, strict=True)
    )
    return names


def _replace(proto: ModelProto, node: NodeProto, others: list[NodeProto]) -> None:
    """Put `others` in the place of `node`."""
    place = next(number for number, known in enumerate(proto.graph.node) if known.output[:] == node.output[:])
    nodes = [*proto.graph.node[:place], *others, *proto.graph.node[place + 1 :]]
    copies = []
    for one in nodes:
        copy = NodeProto()
        copy.CopyFrom(one)
        copies.append(copy)
    del proto.graph.node[:]
    proto.graph.node.extend(copies)


def _packed(proto: ModelProto, weight: Weight, array: NDArray[Any], step: QuantizeStep) -> TensorError:
    """Store `array` in codes that are unpacked at load."""
    axes = weight.channel_axes if step.per_channel else ()
    rows = rows_of(array, axes)
    grid = fitted(rows, bits=step.bits, symmetric=step.symmetric, calibrate=step.calibrate)
    codes = grid.quantized(rows)
    spread = [size if axis in axes else 1 for axis, size in enumerate(array.shape)]
    back = [array.shape[axis] for axis in axes] + [size for axis, size in enumerate(array.shape) if axis not in axes]
    natural = np.moveaxis((codes - grid.low).reshape(back), range(len(axes)), axes)
    store(proto, weight.name, Packed(
        codes=natural, bits=step.bits, shape=array.shape, zero=(grid.zero - grid.low).reshape(spread),
        step=(1 / grid.steps_per_unit).reshape(spread),
    ))  # fmt: skip
    return error_of(weight.name, rows, grid.dequantized(codes), bits=step.bits, clipped=grid.clipped(rows))


def _notes(weights: list[Weight], bits: int) -> tuple[str, ...]:
    """Say which layers only shrink."""
    counts: dict[str, int] = {}
    for weight in weights:
        if not _has_product_kernel(weight) and weight.kind != "embeddings":
            counts[weight.node.op_type] = counts.get(weight.node.op_type, 0) + 1
    if not counts:
        return ()
    said = ", ".join(f"{count} of {operator}" for operator, count in sorted(counts.items()))
    return (f"weights in {bits} bits that are unpacked at load, smaller but no faster: {said}",)
