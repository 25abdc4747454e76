"""What /metrics answers: the fleet's bytes, made once a tick and compressed ahead, and the operator's own, made now.

A compressor is kept at the end of the fleet's part and copied for each scrape, so that the answer is one gzip stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frugal.metrics.catalogue import CATALOGUE, MetricType

GZIP_WINDOW = 31  # zlib's way to ask for gzip's header
FASTEST = 1  # 27 times smaller already: see docs/benchmarks.md


@dataclass(frozen=True, slots=True)
class Format:
    """How an answer is written."""

    is_openmetrics: bool
    is_gzip: bool = False

    @property
    def media_type(self) -> str:
        """What stands in Content-Type."""
        if self.is_openmetrics:
            return "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Part:
    """The fleet's part in one format. Compressed, `head` ends at a byte's edge and `compressor` goes on from there."""

    head: bytes
    compressor: Any = None  # zlib's compressobj, whose type has no name

    def answer(self, tail: bytes) -> tuple[bytes, bytes]:
        """Return both halves of the answer."""
        if self.compressor is None:
            return self.head, tail
        going_on = self.compressor.copy()
        return self.head, going_on.compress(tail) + going_on.flush()


def make_part(families: Mapping[str, str], form: Format) -> Part:
    """Return the samples of `families` under their headers."""
    text = "".join([piece for name, samples in families.items() for piece in (_header(name, form), samples)]).encode()
    if not form.is_gzip:
        return Part(text)
    compressor = zlib.compressobj(FASTEST, zlib.DEFLATED, GZIP_WINDOW)
    return Part(compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH), compressor)


def negotiated(*, accept: str, accept_encoding: str) -> Format:
    """Return the format that a scrape asks for; OpenMetrics where it is named, as prometheus_client does."""
    return Format("application/openmetrics-text" in accept, is_gzip="gzip" in accept_encoding)


def _header(name: str, form: Format) -> str:
    metric = CATALOGUE[name]
    is_counter = metric.type is MetricType.COUNTER
    family = name.removesuffix("_total") if form.is_openmetrics and is_counter else name
    return f"# HELP {family} {metric.help}\n# TYPE {family} {metric.type}\n"
