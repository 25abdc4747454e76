"""One prometheus_client collector over one snapshot. Reads no cluster and no clock; names stand in the catalogue."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from frugal.metrics.catalogue import CATALOGUE, MetricType
from frugal.metrics.snapshot import CompressionFigures, FleetSnapshot, InferenceFigures
from frugal.metrics.totals import ObjectTotals, Totals

Family = GaugeMetricFamily | CounterMetricFamily
Value = float | int | Decimal | None


class Families:
    """The families of one scrape; labels must be exactly those of the catalogue."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def add(self, name: str, value: Value, labels: Mapping[str, str]) -> None:
        """Add one series; a value that is not known adds none."""
        if value is None:
            return
        metric = CATALOGUE[name]
        assert set(labels) == set(metric.labels), f"{name} takes the labels {metric.labels}"
        if name not in self._families:
            made = CounterMetricFamily if metric.type is MetricType.COUNTER else GaugeMetricFamily
            self._families[name] = made(name, metric.help, labels=metric.labels)
        self._families[name].add_metric([labels[label] for label in metric.labels], float(value))

    def all(self) -> tuple[Family, ...]:
        """Return every family that has a series."""
        return tuple(self._families.values())


class FleetCollector(Collector):
    """Shows the newest snapshot at each scrape.

    snapshot: returns a finished value, and may be called from any thread. Nothing is cached between two scrapes but the
    counters.
    """

    def __init__(self, snapshot: Callable[[], FleetSnapshot]) -> None:
        self._snapshot = snapshot
        self._totals = Totals()
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Family]:
        """Return nothing: a registry would otherwise ask for a snapshot when the collector is registered."""
        return ()

    def collect(self) -> Iterable[Family]:
        snapshot, families = self._snapshot(), Families()
        _add_operator(families, snapshot)
        if snapshot.is_leader:
            with self._lock:
                totals = self._totals.advance(snapshot)
                for inference in snapshot.inferences:
                    _add_inference(families, inference)
                    _add_totals(families, inference, totals.get((inference.namespace, inference.name)))
            _add_compressions(families, snapshot.compressions)
        return families.all()


def _add_operator(families: Families, snapshot: FleetSnapshot) -> None:
    versions = {"version": snapshot.version, "python_version": snapshot.python_version}
    families.add("frugal_build_info", 1, versions)
    families.add("frugal_leader", int(snapshot.is_leader), {})
    families.add("frugal_workqueue_depth", snapshot.queue_depth, {})
    for source, age in snapshot.input_ages_seconds.items():
        families.add("frugal_input_age_seconds", age, {"input": source})


def _add_inference(families: Families, figures: InferenceFigures) -> None:
    labels = {"namespace": figures.namespace, "kind": "InferenceDeployment", "name": figures.name}
    priced = {**labels, "currency": figures.currency}
    for resource, rate in figures.hourly.items():
        families.add("frugal_cost_hourly_rate", rate, {**priced, "resource": resource})
    families.add("frugal_cost_month_to_date", figures.month_to_date, priced)
    families.add("frugal_cost_month_forecast", figures.forecast_month, priced)
    families.add("frugal_savings_estimated_hourly_rate", figures.recommended_saving_hourly, priced)
    for name, value in _plain_gauges(figures).items():
        families.add(name, value, labels)
    for resource, ratio in figures.utilization.items():
        families.add("frugal_utilization_ratio", ratio, {**labels, "resource": resource})
    for state, count in figures.replicas.items():
        families.add("frugal_replicas", count, {**labels, "state": state})
    for bound, size in figures.recommended.items():
        families.add("frugal_recommendation_replicas", size.replicas, {**labels, "bound": bound})
        families.add("frugal_recommendation_cpu_cores", size.cpu_cores, {**labels, "bound": bound})
        families.add("frugal_recommendation_memory_bytes", size.memory_bytes, {**labels, "bound": bound})


def _plain_gauges(figures: InferenceFigures) -> Mapping[str, Value]:
    """Return the gauges that carry no labels but the object's."""
    return {
        "frugal_price_missing": int(figures.is_price_missing),
        "frugal_cpu_usage_cores": figures.cpu_cores,
        "frugal_memory_working_set_bytes": figures.memory_bytes,
        "frugal_gpu_utilization_ratio": figures.gpu_ratio,
        "frugal_gpu_memory_used_bytes": figures.gpu_memory_bytes,
        "frugal_request_rate": figures.requests_per_second,
        "frugal_recommendation_samples": figures.samples,
        "frugal_slo_target_seconds": figures.slo_target_seconds,
        "frugal_slo_quantile_ratio": figures.slo_quantile,
        "frugal_slo_observed_seconds": figures.slo_observed_seconds,
    }


def _add_totals(families: Families, figures: InferenceFigures, totals: ObjectTotals | None) -> None:
    if totals is None:
        return
    labels = {"namespace": figures.namespace, "kind": "InferenceDeployment", "name": figures.name}
    for (resource, currency), amount in totals.cost.items():
        families.add("frugal_cost_total", amount, {**labels, "resource": resource, "currency": currency})
    for currency, amount in totals.saved.items():
        families.add("frugal_savings_verified_total", amount, {**labels, "currency": currency})
    if figures.slo_met is not None:
        families.add("frugal_slo_requests_total", totals.met, {**labels, "met": "true"})
        families.add("frugal_slo_requests_total", totals.missed, {**labels, "met": "false"})
    for action, count in totals.actions.items():
        families.add("frugal_actions_total", count, {**labels, "action": action})
    for reason, count in totals.blocked.items():
        families.add("frugal_actions_blocked_total", count, {**labels, "reason": reason})


def _add_compressions(families: Families, compressions: tuple[CompressionFigures, ...]) -> None:
    for phase, count in Counter(one.phase for one in compressions).items():
        families.add("frugal_compression_jobs", count, {"phase": phase})
    for one in compressions:
        labels = {"namespace": one.namespace, "kind": "CompressionJob", "name": one.name}
        families.add("frugal_compression_size_ratio", one.size_ratio, labels)
        families.add("frugal_compression_speedup_ratio", one.speedup_ratio, labels)
        for bound, points in (("measured", one.loss_points), ("upper", one.loss_upper_points)):
            ratio = None if points is None else points / 100
            families.add("frugal_compression_quality_loss_ratio", ratio, {**labels, "bound": bound})
        families.add("frugal_compression_cost", one.cost, {**labels, "currency": one.currency})
