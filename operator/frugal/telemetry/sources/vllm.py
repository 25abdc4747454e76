"""vLLM. It counts only requests that ended; those that run and those that wait are two gauges."""

from __future__ import annotations

from frugal.telemetry.sources.server import RequestCounter, ServerMetrics

VLLM = ServerMetrics(
    runtime="vllm",
    anchor="vllm:num_requests_running",
    # `abort` is a client that went away, no failure of the server's.
    requests=(
        RequestCounter(metric="vllm:request_success_total", label="finished_reason", status="200", failing=("error",)),
    ),
    latency="vllm:e2e_request_latency_seconds",
    compute=(("vllm:request_prefill_time_seconds_sum", 1.0), ("vllm:request_decode_time_seconds_sum", 1.0)),
    in_flight=("vllm:num_requests_running", "vllm:num_requests_waiting"),
    input_tokens="vllm:prompt_tokens_total",
    output_tokens="vllm:generation_tokens_total",
)
