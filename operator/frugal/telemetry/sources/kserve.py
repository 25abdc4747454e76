"""KServe's Python server. It counts predictions alone: failures are unknown, and so is what is in flight."""

from __future__ import annotations

from frugal.telemetry.sources.server import RequestCounter, ServerMetrics

KSERVE = ServerMetrics(
    runtime="kserve",
    anchor="request_predict_seconds_count",
    requests=(RequestCounter(metric="request_predict_seconds_count", status="200"),),
    latency="request_predict_seconds",
    compute=(("request_predict_seconds_sum", 1.0),),
)
