"""Frugal's own server (`python -m frugal_serve`)."""

from __future__ import annotations

from frugal.telemetry.sources.server import PROCESS_CPU, RequestCounter, ServerMetrics

FRUGAL_SERVER = ServerMetrics(
    runtime="frugal",
    anchor=PROCESS_CPU,
    requests=(RequestCounter(metric="frugal_serve_requests_total", label="code"),),
    latency="frugal_serve_request_duration_seconds",
    compute=(("frugal_serve_compute_duration_seconds_sum", 1.0),),
    in_flight=("frugal_serve_in_flight_requests",),
)
