"""The ONNX operators GRU, LSTM and RNN as one torch layer whose weights stay in ONNX's order. Trains nothing.

Gates, directions, layout and `linear_before_reset` as in https://onnx.ai/onnx/operators/. Forms with peepholes,
clipping, lengths per sample or foreign activations raise UnsupportedOperator.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from onnx import NodeProto
from torch import Tensor, fx, nn

from frugal_jobs.models.graph_import import Importer, UnsupportedOperator
from frugal_jobs.models.operands import Attributes, constant_at
from frugal_jobs.models.trainable import AttributeSlot, Slot, array_of

TORCH_ORDER = {"GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1), "RNN": (0,)}  # torch's n-th gate is ONNX's: zrh, iofc
ACTIVATIONS = {"GRU": [[b"Sigmoid", b"Tanh"]], "LSTM": [[b"Sigmoid", b"Tanh", b"Tanh"]], "RNN": [[b"Tanh"], [b"Relu"]]}
STATES = {"GRU": 1, "RNN": 1, "LSTM": 2}


class Recurrent(nn.Module):
    """One ONNX node: `w` is (directions, gates * hidden, inputs), `r` (..., hidden), `b` the biases of both."""

    def __init__(self, kind: str, weights: tuple[np.ndarray[Any, Any], ...], attributes: Attributes) -> None:
        super().__init__()
        w, r, b = (torch.from_numpy(np.array(array, np.float32)) for array in weights)
        self.kind = kind
        self.direction = bytes(attributes.get("direction", b"forward")).decode()
        self.batch_first = bool(attributes.get("layout", 0))
        self.is_reset_linear = bool(attributes.get("linear_before_reset", 0))
        self.activation = bytes((attributes.get("activations") or [b"Tanh"])[0]).decode()
        self.w, self.r, self.b = nn.Parameter(w), nn.Parameter(r), nn.Parameter(b)

    @property
    def hidden(self) -> int:
        """The number of units of one direction."""
        return self.r.shape[2]

    @property
    def directions(self) -> int:
        """1 or 2."""
        return self.r.shape[0]

    def forward(self, source: Tensor, *states: Tensor | None) -> tuple[Tensor, ...]:
        """Return ONNX's outputs: all states of the last layer, then the final ones (GRU, RNN: h; LSTM: h and c)."""
        source = source.transpose(0, 1) if self.batch_first else source
        initial = [self._initial(source, state) for state in (*states, None, None)[: STATES[self.kind]]]
        source = source.flip(0) if self.direction == "reverse" else source
        outputs, finals = self._run(source, initial)
        outputs = outputs.flip(0) if self.direction == "reverse" else outputs
        outputs = outputs.reshape(*outputs.shape[:2], self.directions, self.hidden)
        if self.batch_first:
            return outputs.transpose(0, 1), *(final.transpose(0, 1) for final in finals)
        return outputs.permute(0, 2, 1, 3), *finals

    def _initial(self, source: Tensor, state: Tensor | None) -> Tensor:
        if state is None:
            return source.new_zeros(self.directions, source.shape[1], self.hidden)
        return (state.transpose(0, 1) if self.batch_first else state).contiguous()

    def _run(self, source: Tensor, initial: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return (outputs (time, batch, directions * hidden), final states (directions, batch, hidden))."""
        if self.kind == "GRU" and not self.is_reset_linear:
            return self._reset_first(source, initial[0])
        flat = [part for direction in range(self.directions) for part in self._torch_weights(direction)]
        options = (True, 1, 0.0, self.training, self.directions == 2, False)
        if self.kind == "LSTM":
            outputs, *finals = torch.lstm(source, initial, flat, *options)
            return outputs, finals
        function = {"GRU": torch.gru, "Tanh": torch.rnn_tanh, "Relu": torch.rnn_relu}[
            "GRU" if self.kind == "GRU" else self.activation
        ]
        outputs, final = function(source, initial[0], flat, *options)
        return outputs, [final]

    def _torch_weights(self, direction: int) -> list[Tensor]:
        """Return (w, r, bias of w, bias of r) with the gates in torch's order."""
        bias = self.b[direction].reshape(2, -1)
        return [self._gates(part) for part in (self.w[direction], self.r[direction], bias[0], bias[1])]

    def _gates(self, part: Tensor) -> Tensor:
        order = TORCH_ORDER[self.kind]
        gates = part.reshape(len(order), self.hidden, *part.shape[1:])
        return gates[list(order)].reshape(part.shape)

    def _reset_first(self, source: Tensor, initial: Tensor) -> tuple[Tensor, list[Tensor]]:
        """A GRU that resets the state before it is multiplied, which torch's own does not know."""
        outputs, finals = [], []
        for direction in range(self.directions):
            backwards = direction == 1
            found, final = self._reset_first_in(direction, source.flip(0) if backwards else source, initial[direction])
            outputs.append(found.flip(0) if backwards else found)
            finals.append(final)
        return torch.cat(outputs, dim=-1), [torch.stack(finals)]

    def _reset_first_in(self, direction: int, source: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        size = self.hidden
        bias = self.b[direction].reshape(2, -1).sum(0)
        projected = source @ self.w[direction].T + bias
        gates, candidate = self.r[direction][: 2 * size].T, self.r[direction][2 * size :].T
        states = []
        for row in projected:
            update, reset = torch.sigmoid(row[:, : 2 * size] + state @ gates).chunk(2, dim=1)
            fresh = torch.tanh(row[:, 2 * size :] + (reset * state) @ candidate)
            state = (1 - update) * fresh + update * state
            states.append(state)
        return torch.stack(states), state

    def keep_units(self, units: Tensor) -> None:
        """Keep these of the hidden units, in every direction and gate; `units` int64, sorted."""
        gates = len(TORCH_ORDER[self.kind])
        rows = torch.cat([gate * self.hidden + units for gate in range(gates)])
        both = torch.cat([rows, gates * self.hidden + rows])
        with torch.no_grad():
            self.w = nn.Parameter(self.w[:, rows])
            self.b = nn.Parameter(self.b[:, both])
            self.r = nn.Parameter(self.r[:, rows][:, :, units])

    def keep_inputs(self, inputs: Tensor) -> None:
        """Keep these of the input features."""
        with torch.no_grad():
            self.w = nn.Parameter(self.w[:, :, inputs])


def recurrent(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """A recurrent layer; its further outputs are added here, the first is returned."""
    _refuse_foreign(node, attributes)
    w, r = constant_at(importer, node, 1), constant_at(importer, node, 2)
    b = constant_at(importer, node, 3)
    b = np.zeros((w.shape[0], 2 * w.shape[1]), np.float32) if b is None else b
    layer = Recurrent(node.op_type, (w, r, b), attributes)
    states = [_state(importer, number, node, position) for position in range(5, 5 + STATES[node.op_type])]
    result = importer.layer(layer, number, importer.values[node.input[0]], *states)  # type: ignore[arg-type]
    for position, name in ((1, "w"), (2, "r"), (3, "b")):
        importer.slots.append(Slot(number, position, lambda name=name: array_of(getattr(layer, name))))  # type: ignore[misc]
    importer.attributes.append(AttributeSlot(number, "hidden_size", lambda: layer.hidden))
    for position, name in enumerate(node.output):
        if name and position:
            importer.values[name] = importer.call(operator.getitem, result, position)
    return importer.call(operator.getitem, result, 0)


def _refuse_foreign(node: NodeProto, attributes: Attributes) -> None:
    directions = 2 if bytes(attributes.get("direction", b"forward")) == b"bidirectional" else 1
    activations = attributes.get("activations")
    known = [kinds * directions for kinds in ACTIVATIONS[node.op_type]]
    faults = {
        "with its own activations": activations is not None and list(activations) not in known,
        "with clipping": "clip" in attributes,
        "with lengths per sample": len(node.input) > 4 and bool(node.input[4]),
        "with peepholes": len(node.input) > 7 and bool(node.input[7]),
        "with coupled gates": bool(attributes.get("input_forget", 0)),
    }
    for detail, is_there in faults.items():
        if is_there:
            raise UnsupportedOperator(operator=node.op_type, detail=detail)


def _state(importer: Importer, number: int, node: NodeProto, position: int) -> fx.Node | None:
    """Return an initial state, None for zeros, with which a state of any size begins."""
    name = node.input[position] if len(node.input) > position else ""
    if not name:
        return None
    if name in importer.zeros or not np.any(importer.constants.get(name, 1)):
        importer.unused_inputs.append((number, position))
        return None
    if name in importer.constants:
        raise UnsupportedOperator(operator=node.op_type, detail="with a constant initial state")
    return importer.values[name]
