"""Token numbers from JSON lines of text, by the tokenizer.json that the model was trained with. Loads no model.

Each line is a string, or an object with `text` (or `sentence`, or `sentence1` and `sentence2` for pairs) and perhaps a
`label`. Padded columns are cut to the longest text of each batch when they are fed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal_jobs.datasets.faults import UnreadableFile
from frugal_jobs.models.model import Port

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
TEXTS = ("text", "sentence", "sentence1")
SECOND = "sentence2"
LABELS = ("label", "y", "labels")
MAX_TOKENS = 256  # of a text, where neither tokenizer nor model says
JSON_LINES = 'write one JSON value per line: a string, or {"text": ..., "label": ...}'

Text = str | tuple[str, str]


def read_json_lines(path: Path, *, max_bytes: int) -> tuple[list[Text], NDArray[Any] | None]:
    """Return the texts and, when every line has one, the labels; raises UnreadableFile."""
    texts: list[Text] = []
    labels: list[object] = []
    for number, line in enumerate(_lines(path, max_bytes), start=1):
        if line.strip():
            text, label = _row(line, number)
            texts.append(text)
            labels.append(label)
    if any(label is None for label in labels):
        if any(label is not None for label in labels):
            raise UnreadableFile(fault="has labels on some lines and not on others", remedy="label all, or none")
        return texts, None
    return texts, np.asarray(labels)


def _lines(path: Path, max_bytes: int) -> list[str]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise UnreadableFile(fault=f"holds more than {max_bytes} bytes", remedy="use fewer samples")
        return content.decode("utf-8").splitlines()
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise UnreadableFile(fault=f"is no text in UTF-8 ({error})", remedy=JSON_LINES) from error


def _row(line: str, number: int) -> tuple[Text, object]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(fault=f"line {number} is no JSON ({error})", remedy=JSON_LINES) from error
    if isinstance(row, str):
        return row, None
    text = (
        next((row[name] for name in TEXTS if isinstance(row.get(name), str)), None) if isinstance(row, dict) else None
    )
    if text is None:
        raise UnreadableFile(fault=f"line {number} holds no text", remedy=JSON_LINES)
    label = next((row[name] for name in LABELS if name in row), None)
    if label is not None and (isinstance(label, bool) or not isinstance(label, int | float)):
        raise UnreadableFile(fault=f"line {number} has the label {label!r}", remedy="number the classes from 0")
    second = row.get(SECOND)
    return ((text, second) if isinstance(second, str) else text), label


def tokenized(texts: Sequence[Text], tokenizer: Path, ports: Sequence[Port]) -> dict[str, NDArray[Any]]:
    """Return int64 arrays (texts, tokens) by the names of the model's inputs; raises UnreadableFile.

    An input's name tells what it takes: `mask`, `type` (segments), `position`, and otherwise the tokens' numbers.
    """
    from tokenizers import Tokenizer

    try:
        encoder = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # the library raises plain Exception
        fault = f"cannot be read with model.tokenizer ({str(error)[:120]})"
        raise UnreadableFile(fault=fault, remedy="name the tokenizer.json of the model") from error
    fixed = next((port.sample_shape[0] for port in ports if port.sample_shape), None)
    said = (encoder.truncation or {}).get("max_length", MAX_TOKENS)
    encoder.enable_truncation(fixed or said)
    padding = encoder.padding or {}
    encoder.enable_padding(
        length=fixed, pad_id=padding.get("pad_id", 0), pad_type_id=padding.get("pad_type_id", 0),
        pad_token=padding.get("pad_token", "[PAD]"),
    )  # fmt: skip
    encoded = encoder.encode_batch(list(texts))
    return {port.name: np.array([_part(one, port.name) for one in encoded], np.int64) for port in ports}


def _part(encoding: Any, name: str) -> list[int]:
    lowered = name.lower()
    if "mask" in lowered:
        return list(encoding.attention_mask)
    if "type" in lowered or "segment" in lowered:
        return list(encoding.type_ids)
    if "position" in lowered:
        return list(range(len(encoding.ids)))
    return list(encoding.ids)


def lengths_of(arrays: dict[str, NDArray[Any]]) -> NDArray[np.int64] | None:
    """Return how many tokens each text has, where a mask tells."""
    mask = next((array for name, array in arrays.items() if "mask" in name.lower()), None)
    return None if mask is None else np.maximum(1, mask.sum(axis=1)).astype(np.int64)
