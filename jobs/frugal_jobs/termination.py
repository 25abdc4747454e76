"""The termination message: the verdict in at most 4,096 bytes, whatever has to be left out. Decides no verdict."""

from __future__ import annotations

import json
from pathlib import Path

from frugal.api.result import MAX_TERMINATION_MESSAGE_BYTES, CompressionResult

SHORTEST_MESSAGE = 120


def message_of(result: CompressionResult) -> bytes:
    """Return the JSON of `result`; what is least needed goes first until it fits."""
    for shrunk in _ever_smaller(result):
        content = json.dumps(shrunk.to_json(), separators=(",", ":"), ensure_ascii=False).encode()
        if len(content) <= MAX_TERMINATION_MESSAGE_BYTES:
            return content
    raise AssertionError("a verdict and a digest fit")


def _ever_smaller(result: CompressionResult) -> list[CompressionResult]:
    """Return `result` with less and less: advice, then a long message, then the baseline, then the best's name."""
    steps = [result, result.model_copy(update={"advice": ""})]
    steps.append(steps[-1].model_copy(update={"message": _cut(result.message), "field": result.field[:200]}))
    steps.append(steps[-1].model_copy(update={"baseline": None}))
    best = result.best.model_copy(update={"technique": _cut(result.best.technique)}) if result.best else None
    steps.append(steps[-1].model_copy(update={"best": best}))
    steps.append(steps[-1].model_copy(update={"artifacts": result.artifacts[:1]}))
    steps.append(steps[-1].model_copy(update={"artifacts": [], "report_uri": ""}))
    return steps


def _cut(text: str) -> str:
    return text if len(text) <= SHORTEST_MESSAGE else text[: SHORTEST_MESSAGE - 3] + "..."


def write(path: Path | None, result: CompressionResult) -> None:
    """Write the message where the kubelet reads it; nowhere outside a pod."""
    if path is not None:
        path.write_bytes(message_of(result))
