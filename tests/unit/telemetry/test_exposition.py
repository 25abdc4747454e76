"""The text format: what is measured is kept, what is not is dropped, what is no page is an error that says so."""

from __future__ import annotations

import pytest

from frugal.errors import TelemetryError
from frugal.telemetry.counters import pod_counters
from frugal.telemetry.exposition import parse_exposition
from tests.unit.telemetry.factories import at

# Recorded from `python -m frugal_serve` after five requests, one of them refused; shortened to what is read.
RECORDED = """\
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 8.3025920e+07
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 1.73
# HELP frugal_serve_requests_total Inference requests answered.
# TYPE frugal_serve_requests_total counter
frugal_serve_requests_total{code="200",model="cnn",version="1"} 4.0
frugal_serve_requests_total{code="503",model="cnn",version="1"} 1.0
# HELP frugal_serve_request_duration_seconds From a request's first byte to its answer.
# TYPE frugal_serve_request_duration_seconds histogram
frugal_serve_request_duration_seconds_bucket{le="0.001",model="cnn",version="1"} 1.0
frugal_serve_request_duration_seconds_bucket{le="0.01",model="cnn",version="1"} 5.0
frugal_serve_request_duration_seconds_bucket{le="+Inf",model="cnn",version="1"} 5.0
frugal_serve_request_duration_seconds_count{model="cnn",version="1"} 5.0
frugal_serve_request_duration_seconds_sum{model="cnn",version="1"} 0.0123
# HELP frugal_serve_compute_duration_seconds Of one run of the runtime, whatever its rows.
# TYPE frugal_serve_compute_duration_seconds histogram
frugal_serve_compute_duration_seconds_bucket{le="+Inf"} 4.0
frugal_serve_compute_duration_seconds_count 4.0
frugal_serve_compute_duration_seconds_sum 0.004
# HELP frugal_serve_in_flight_requests Inference requests accepted and not yet answered.
# TYPE frugal_serve_in_flight_requests gauge
frugal_serve_in_flight_requests 2.0
"""


def test_the_servers_own_page_tells_where_it_stands() -> None:
    counters = pod_counters(parse_exposition(RECORDED), at=at(0))

    assert counters.cpu_seconds == 1.73
    assert counters.memory_bytes == 83_025_920
    assert counters.requests == {"200": 4.0, "503": 1.0}
    assert counters.latency == {0.001: 1.0, 0.01: 5.0}
    assert counters.compute_seconds == 0.004
    assert counters.in_flight == 2.0


def test_two_models_in_one_server_count_together() -> None:
    page = "".join(f'frugal_serve_requests_total{{code="200",model="{model}"}} 4\n' for model in ("a", "b"))

    counters = pod_counters(parse_exposition("# TYPE frugal_serve_requests_total counter\n" + page), at=at(0))

    assert counters.requests == {"200": 8.0}


@pytest.mark.parametrize("absent", ["NaN", "+Inf", "9223372036854775794", "9223372036854775807"])
def test_a_placeholder_for_what_is_not_measured_is_dropped(absent: str) -> None:
    samples = parse_exposition(f"a_gauge {absent}\nanother 1\n")

    assert [sample.name for sample in samples] == ["another"]


def test_what_a_page_does_not_have_is_unknown_and_not_zero() -> None:
    counters = pod_counters(parse_exposition("other_metric 1\n"), at=at(0))

    assert (counters.cpu_seconds, counters.memory_bytes, counters.in_flight) == (None, None, None)


def test_a_page_of_something_else_is_an_error_that_says_so() -> None:
    with pytest.raises(TelemetryError, match="not in the Prometheus text format"):
        parse_exposition("<html><body>404</body></html>")
