"""A Prometheus API's answer, read piece by piece: no answer stands in memory whole. Knows no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from frugal.errors import TelemetryError

Series = Mapping[str, Any]

PIECE_BYTES = 256 * 1024
SHOWN_CHARACTERS = 300  # of what a server says that refuses
_FIRST = b'"result":['
_BETWEEN = b']},{"metric":{'  # inside a text the last quotation mark would have a backslash before it
_CUT = 2  # characters of _BETWEEN that belong to the series before

# What Prometheus remarks about a query that it answered whole.
_REMARKS = ("PromQL info", "PromQL warning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What stands around the series. missing: why the answer is not whole, as the server says; empty when it is."""

    missing: str


class AnswerReader:
    """Takes the bytes of one answer and gives its series as soon as they are whole."""

    def __init__(self) -> None:
        self._head: bytes | None = None  # all before the first series
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Sequence[Series]:
        """Return series that are whole now, or none where there is too little yet."""
        self._rest += chunk
        if self._head is None:
            self._split_head()
        end = self._rest.rfind(_BETWEEN) if self._head is not None and len(self._rest) >= PIECE_BYTES else -1
        if end < 0:
            return ()
        piece = bytes(self._rest[: end + _CUT])
        del self._rest[: end + _CUT + 1]
        return list(_parsed(b"[" + piece + b"]"))

    def close(self) -> tuple[Sequence[Series], Envelope]:
        """Return the series that are left and the envelope; raises TelemetryError where this is no good answer."""
        answer = _parsed((self._head or b"") + bytes(self._rest))
        if not isinstance(answer, Mapping) or answer.get("status") != "success":
            said = answer.get("error") if isinstance(answer, Mapping) else answer
            raise TelemetryError(str(said)[:SHOWN_CHARACTERS])
        result = (answer.get("data") or {}).get("result")
        if not isinstance(result, list):
            raise TelemetryError("an answer without a result")
        return result, Envelope(missing=_missing(answer))

    def _split_head(self) -> None:
        start = self._rest.find(_FIRST)
        if start >= 0:
            self._head = bytes(self._rest[: start + len(_FIRST)])
            del self._rest[: start + len(_FIRST)]


def _missing(answer: Mapping[str, Any]) -> str:
    """Return why an answer is partial: Thanos and Mimir warn, VictoriaMetrics says isPartial."""
    warnings = [str(one) for one in answer.get("warnings") or () if not str(one).startswith(_REMARKS)]
    if answer.get("isPartial"):
        warnings.append("isPartial")
    return "; ".join(warnings)[:SHOWN_CHARACTERS]


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        shown = text[:SHOWN_CHARACTERS].decode(errors="replace")
        raise TelemetryError(f"no JSON, or cut off ({error}): {shown}") from error
