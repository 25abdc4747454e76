"""Triton. Its times are microseconds, and it has no histogram of latencies: their tail stays unknown."""

from __future__ import annotations

from frugal.telemetry.sources.server import RequestCounter, ServerMetrics

MICROSECOND = 1e-6

TRITON = ServerMetrics(
    runtime="triton",
    anchor="nv_inference_request_success",
    requests=(
        RequestCounter(metric="nv_inference_request_success", status="200"),
        RequestCounter(metric="nv_inference_request_failure", status="500"),
    ),
    compute=(("nv_inference_compute_infer_duration_us", MICROSECOND),),
    in_flight=("nv_inference_pending_request_count",),
)
