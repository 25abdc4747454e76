"""Every metric that the operator exports: name, type, labels and help. The only place where one is named.

`python -c "from frugal.metrics.catalogue import render_markdown; print(render_markdown(), end='')"` is what
`make generate` writes to docs/reference/metrics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class MetricType(StrEnum):
    """Types of the Prometheus exposition format."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One family. Every label is bounded: by the objects that there are, or by the values that `help` lists."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()


OBJECT = ("namespace", "kind", "name")  # the object of ours that a series speaks of


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, type=MetricType.GAUGE, help=text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, type=MetricType.COUNTER, help=text, labels=labels)


def _histogram(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, type=MetricType.HISTOGRAM, help=text, labels=labels)


COST = (
    _gauge(
        "frugal_cost_hourly_rate",
        "Money that the object costs an hour now, by resource (all: not told apart); the sum is its cost.",
        *OBJECT,
        "resource",
        "currency",
    ),
    _counter(
        "frugal_cost_total",
        "Money that the object has cost since this process first saw it, by resource.",
        *OBJECT,
        "resource",
        "currency",
    ),
    _gauge(
        "frugal_cost_month_to_date",
        "Money that the object has cost this calendar month (UTC), as its status keeps it over restarts.",
        *OBJECT,
        "currency",
    ),
    _gauge("frugal_cost_month_forecast", "Money that the object will cost this calendar month.", *OBJECT, "currency"),
    _gauge(
        "frugal_savings_estimated_hourly_rate",
        "Money an hour that applying the recommendation would save; negative when it needs more.",
        *OBJECT,
        "currency",
    ),
    _counter(
        "frugal_savings_verified_total",
        "Money saved against the size that ran before the first change, since this process first saw the object; "
        "hours that cost more do not count back.",
        *OBJECT,
        "currency",
    ),
    _gauge(
        "frugal_price_missing", "1 while a price that the object needs is missing, so that no cost is told.", *OBJECT
    ),
)

USE = (
    _gauge("frugal_cpu_usage_cores", "CPU used, all replicas together.", *OBJECT),
    _gauge("frugal_memory_working_set_bytes", "Memory in use, all replicas together.", *OBJECT),
    _gauge("frugal_gpu_memory_used_bytes", "GPU memory in use, all replicas together.", *OBJECT),
    _gauge(
        "frugal_utilization_ratio",
        "Used over requested, mean of the replicas, by resource (cpu, memory; gpu: engine activity; gpu_memory).",
        *OBJECT,
        "resource",
    ),
    _gauge("frugal_request_rate", "Requests per second, all replicas together.", *OBJECT),
)

SIZING = (
    _gauge(
        "frugal_recommendation_replicas", "Recommended replicas, by bound (lower, target, upper).", *OBJECT, "bound"
    ),
    _gauge(
        "frugal_recommendation_cpu_cores",
        "Recommended CPU request of a replica, by bound (lower, target, upper).",
        *OBJECT,
        "bound",
    ),
    _gauge(
        "frugal_recommendation_memory_bytes",
        "Recommended memory request of a replica, by bound (lower, target, upper).",
        *OBJECT,
        "bound",
    ),
    _gauge("frugal_recommendation_samples", "Minutes measured that the recommendation rests on.", *OBJECT),
    _gauge("frugal_replicas", "Replicas, by state (desired, current, ready).", *OBJECT, "state"),
    _counter("frugal_actions_total", "Sizes applied, by what changed most (scale, grow, shrink).", *OBJECT, "action"),
    _counter(
        "frugal_actions_blocked_total",
        "Times that a change began to be held back, by the reason of the condition RightSized.",
        *OBJECT,
        "reason",
    ),
)

SERVICE = (
    _gauge("frugal_slo_target_seconds", "Latency that the objective allows.", *OBJECT),
    _gauge("frugal_slo_observed_seconds", "Latency at the objective's quantile over its window.", *OBJECT),
    _gauge("frugal_slo_quantile_ratio", "Share of requests that must keep the objective.", *OBJECT),
    _counter(
        "frugal_slo_requests_total",
        "Requests that kept the latency objective or not (met: true, false).",
        *OBJECT,
        "met",
    ),
)

COMPRESSION = (
    _gauge("frugal_compression_jobs", "CompressionJobs, by phase.", "phase"),
    _gauge("frugal_compression_size_ratio", "Baseline's size over the published model's.", *OBJECT),
    _gauge("frugal_compression_speedup_ratio", "Baseline's latency over the published model's.", *OBJECT),
    _gauge(
        "frugal_compression_quality_loss_ratio",
        "Quality lost: hundredths are points; by bound (measured, upper: one-sided at the asked confidence).",
        *OBJECT,
        "bound",
    ),
    _gauge("frugal_compression_cost", "Money that the compression itself cost.", *OBJECT, "currency"),
)

OBJECTS = (
    _gauge(
        "frugal_workload_labels",
        "1, with the object's labels that FRUGAL_WORKLOAD_LABELS allows, each as label_NAME; for joins.",
        *OBJECT,
    ),
)

OPERATOR = (
    _gauge("frugal_build_info", "1, with the versions in its labels.", "version", "python_version"),
    _gauge("frugal_leader", "1 when this process leads and writes, 0 when it stands by."),
    _gauge("frugal_input_age_seconds", "Age of the newest sample, by input.", "input"),
    _gauge("frugal_workqueue_depth", "Objects that wait to be looked at."),
    _histogram("frugal_reconcile_duration_seconds", "Time that one look at one object took.", "kind"),
    _counter("frugal_reconcile_errors_total", "Looks at an object that failed, by the fault's name.", "kind", "error"),
    _histogram("frugal_tick_duration_seconds", "Time that one reading of telemetry took."),
    _counter("frugal_tick_errors_total", "Readings of telemetry that failed, by the fault's name.", "error"),
)

SECTIONS: Mapping[str, tuple[Metric, ...]] = {
    "Objects": OBJECTS,
    "Cost and savings": COST,
    "Use": USE,
    "Sizing": SIZING,
    "Service level": SERVICE,
    "Compression": COMPRESSION,
    "The operator itself": OPERATOR,
}
CATALOGUE: Mapping[str, Metric] = {metric.name: metric for section in SECTIONS.values() for metric in section}


def render_markdown() -> str:
    """Return the reference page of the metrics."""
    parts = [
        "# Metrics\n\nGenerated from `operator/frugal/metrics/catalogue.py`. Served at `/metrics` in the Prometheus "
        "text format. Money is in the currency of the price book and carries it as a label; ratios are in [0, 1] "
        "except where they compare two models; a gauge whose value is not known is absent, never 0.\n"
    ]
    for title, metrics in SECTIONS.items():
        rows = "".join(_row(metric) for metric in metrics)
        parts.append(f"\n## {title}\n\n| Name | Type | Labels | What it says |\n|---|---|---|---|\n{rows}")
    return "".join(parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |\n"
