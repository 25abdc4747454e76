"""Model servers, on pages as they write them."""

from __future__ import annotations

from frugal.telemetry.counters import PodCounters, pod_counters
from frugal.telemetry.exposition import parse_exposition
from tests.unit.telemetry.factories import at


def read(page: str) -> PodCounters:
    return pod_counters(parse_exposition(page), at=at(0))


# By vllm/v1/metrics/loggers.py; shortened to what is read.
VLLM = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="llama"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="llama"} 2.0
# TYPE vllm:request_success counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="llama"} 90.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="llama"} 8.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="llama"} 1.0
vllm:request_success_total{engine="0",finished_reason="error",model_name="llama"} 1.0
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{engine="0",model_name="llama"} 50000.0
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{engine="0",model_name="llama"} 12000.0
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.5",model_name="llama"} 40.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="1.0",model_name="llama"} 99.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf",model_name="llama"} 100.0
vllm:e2e_request_latency_seconds_count{engine="0",model_name="llama"} 100.0
vllm:e2e_request_latency_seconds_sum{engine="0",model_name="llama"} 60.0
# TYPE vllm:request_prefill_time_seconds histogram
vllm:request_prefill_time_seconds_bucket{engine="0",le="+Inf",model_name="llama"} 100.0
vllm:request_prefill_time_seconds_count{engine="0",model_name="llama"} 100.0
vllm:request_prefill_time_seconds_sum{engine="0",model_name="llama"} 5.0
# TYPE vllm:request_decode_time_seconds histogram
vllm:request_decode_time_seconds_bucket{engine="0",le="+Inf",model_name="llama"} 100.0
vllm:request_decode_time_seconds_count{engine="0",model_name="llama"} 100.0
vllm:request_decode_time_seconds_sum{engine="0",model_name="llama"} 45.0
# TYPE process_cpu_seconds counter
process_cpu_seconds_total 33.0
"""


def test_vllm_counts_requests_by_how_they_ended_and_a_client_that_left_is_no_failure() -> None:
    counters = read(VLLM)

    assert counters.requests == {"200": 99.0, "500": 1.0}
    assert counters.latency == {0.5: 40.0, 1.0: 99.0}
    assert counters.in_flight == 5  # 3 run, 2 wait
    assert counters.compute_seconds == 50  # 5 of prefill, 45 of decode
    assert (counters.input_tokens, counters.output_tokens) == (50_000, 12_000)
    assert counters.cpu_seconds == 33


# By Triton's docs/user_guide/metrics.md; no histogram of latencies is on by default.
TRITON = """\
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="resnet",version="1"} 400
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="resnet",version="1",reason="REJECTED"} 3
nv_inference_request_failure{model="resnet",version="1",reason="OTHER"} 1
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{model="resnet",version="1"} 2000000
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="resnet",version="1"} 6
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
"""


def test_tritons_microseconds_are_seconds_and_its_tail_is_unknown() -> None:
    counters = read(TRITON)

    assert counters.requests == {"200": 400.0, "500": 4.0}
    assert counters.compute_seconds == 2.0
    assert counters.in_flight == 6
    assert counters.latency == {}


# By python/kserve/kserve/metrics.py.
KSERVE = """\
# TYPE request_predict_seconds histogram
request_predict_seconds_bucket{le="0.005",model_name="iris"} 70.0
request_predict_seconds_bucket{le="+Inf",model_name="iris"} 80.0
request_predict_seconds_count{model_name="iris"} 80.0
request_predict_seconds_sum{model_name="iris"} 0.4
# TYPE request_preprocess_seconds histogram
request_preprocess_seconds_bucket{le="+Inf",model_name="iris"} 80.0
request_preprocess_seconds_count{model_name="iris"} 80.0
request_preprocess_seconds_sum{model_name="iris"} 0.1
"""


def test_kserve_counts_predictions() -> None:
    counters = read(KSERVE)

    assert counters.requests == {"200": 80.0}
    assert counters.latency == {0.005: 70.0}
    assert counters.compute_seconds == 0.4
    assert counters.in_flight is None


def test_a_server_behind_another_is_counted_once() -> None:
    counters = read(KSERVE + VLLM)

    assert sum(counters.requests.values()) == 100  # vLLM's own, not KServe's 80 as well
