"""The text of each workload's series, family by family; what did not change is not written again. Knows no HTTP.

Two spellings of one value, `1` and `1.0`, are the same to Prometheus; whole numbers are written the short way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal

from frugal.metrics.catalogue import CATALOGUE
from frugal.metrics.snapshot import CompressionFigures, FleetSnapshot, InferenceFigures
from frugal.metrics.totals import ObjectTotals, Totals

Value = float | int | Decimal | None
Key = tuple[str, str, str]  # kind, namespace, name
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class ObjectSeries:
    """The series of one object: what stands before each value is made once, each value when it changes."""

    __slots__ = ("_heads", "_object", "_texts", "_values")

    def __init__(self, key: Key) -> None:
        kind, namespace, name = (part.translate(ESCAPES) for part in key)
        self._object = f'namespace="{namespace}",kind="{kind}",name="{name}"'
        self._heads: dict[tuple[str, ...], str] = {}
        self._values: Mapping[tuple[str, ...], Value] = {}
        self._texts: dict[str, str] = {}

    def update(self, series: Iterator[tuple[tuple[str, ...], Value]]) -> Mapping[str, str]:
        """Return the text of each family, from series as (family, the values of its own labels) and value."""
        values = {key: value for key, value in series if value is not None}
        if values == self._values:
            return self._texts
        changed = {key[0] for key in values.keys() | self._values.keys() if values.get(key) != self._values.get(key)}
        lines: dict[str, list[str]] = {name: [] for name in changed}
        for key, value in values.items():
            if key[0] in changed:
                lines[key[0]].append(f"{self._head(key)} {written(value)}\n")
        self._texts |= {name: "".join(told) for name, told in lines.items()}
        self._values = values
        self._heads = {key: head for key, head in self._heads.items() if key in values}
        return self._texts

    def _head(self, key: tuple[str, ...]) -> str:
        if key not in self._heads:
            self._heads[key] = f"{key[0]}{{{self._object}{own_labels(key)}}}"
        return self._heads[key]


class FleetSeries:
    """The families of the whole fleet, grown from snapshot to snapshot."""

    def __init__(self, totals: Totals | None = None) -> None:
        self._totals = totals if totals is not None else Totals()
        self._objects: dict[Key, ObjectSeries] = {}

    def update(self, snapshot: FleetSnapshot) -> Mapping[str, str]:
        """Return the samples of each family that has any; objects that left take their series with them."""
        totals = self._totals.advance(snapshot)
        told: dict[Key, Iterator[tuple[tuple[str, ...], Value]]] = {}
        for one in snapshot.inferences:
            key = "InferenceDeployment", one.namespace, one.name
            told[key] = inference_series(one, totals.get((one.namespace, one.name)))
        for job in snapshot.compressions:
            told["CompressionJob", job.namespace, job.name] = compression_series(job)
        self._objects = {key: self._objects.get(key) or ObjectSeries(key) for key in told}
        texts = [self._objects[key].update(series) for key, series in told.items()]
        families = {name: "".join([text.get(name, "") for text in texts]) for name in CATALOGUE}
        phases = Counter(job.phase for job in snapshot.compressions)
        name = "frugal_compression_jobs"
        families[name] = "".join(f'{name}{{phase="{phase}"}} {count}\n' for phase, count in sorted(phases.items()))
        return {name: text for name, text in families.items() if text}


def inference_series(one: InferenceFigures, totals: ObjectTotals | None) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield the series of one InferenceDeployment; a value that is not known is None."""
    yield (
        ("frugal_workload_labels", *(f"{name}={value}" for name, value in one.labels.items())),
        1 if one.labels else None,
    )
    for resource, rate in one.hourly.items():
        yield ("frugal_cost_hourly_rate", resource, one.currency), rate
    yield ("frugal_cost_month_to_date", one.currency), one.month_to_date
    yield ("frugal_cost_month_forecast", one.currency), one.forecast_month
    yield ("frugal_savings_estimated_hourly_rate", one.currency), one.recommended_saving_hourly
    for name, value in plain_gauges(one).items():
        yield (name,), value
    for resource, ratio in one.utilization.items():
        yield ("frugal_utilization_ratio", resource), ratio
    for state, count in one.replicas.items():
        yield ("frugal_replicas", state), count
    for bound, size in one.recommended.items():
        yield ("frugal_recommendation_replicas", bound), size.replicas
        yield ("frugal_recommendation_cpu_cores", bound), size.cpu_cores
        yield ("frugal_recommendation_memory_bytes", bound), size.memory_bytes
    if totals is not None:
        yield from total_series(one, totals)


def plain_gauges(one: InferenceFigures) -> Mapping[str, Value]:
    """Return the gauges that carry no labels but the object's."""
    return {
        "frugal_price_missing": int(one.is_price_missing),
        "frugal_cpu_usage_cores": one.cpu_cores,
        "frugal_memory_working_set_bytes": one.memory_bytes,
        "frugal_gpu_memory_used_bytes": one.gpu_memory_bytes,
        "frugal_request_rate": one.requests_per_second,
        "frugal_recommendation_samples": one.samples,
        "frugal_slo_target_seconds": one.slo_target_seconds,
        "frugal_slo_quantile_ratio": one.slo_quantile,
        "frugal_slo_observed_seconds": one.slo_observed_seconds,
    }


def total_series(one: InferenceFigures, totals: ObjectTotals) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield the counters of one InferenceDeployment."""
    for (resource, currency), amount in totals.cost.items():
        yield ("frugal_cost_total", resource, currency), amount
    for currency, amount in totals.saved.items():
        yield ("frugal_savings_verified_total", currency), amount
    if one.slo_met is not None:
        yield ("frugal_slo_requests_total", "true"), totals.met
        yield ("frugal_slo_requests_total", "false"), totals.missed
    for action, count in totals.actions.items():
        yield ("frugal_actions_total", action), count
    for reason, count in totals.blocked.items():
        yield ("frugal_actions_blocked_total", reason), count


def compression_series(one: CompressionFigures) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield the series of one CompressionJob."""
    yield ("frugal_compression_size_ratio",), one.size_ratio
    yield ("frugal_compression_speedup_ratio",), one.speedup_ratio
    for bound, points in (("measured", one.loss_points), ("upper", one.loss_upper_points)):
        yield ("frugal_compression_quality_loss_ratio", bound), None if points is None else points / 100
    yield ("frugal_compression_cost", one.currency), one.cost


def own_labels(key: tuple[str, ...]) -> str:
    """Return the labels that a family has beside the object's, each after a comma; the catalogue has their names."""
    family, *values = key
    if family == "frugal_workload_labels":
        pairs = [value.split("=", 1) for value in values]
        return "".join(f',label_{sanitized(name)}="{value.translate(ESCAPES)}"' for name, value in pairs)
    names = CATALOGUE[family].labels[3:]
    return "".join(f',{name}="{value.translate(ESCAPES)}"' for name, value in zip(names, values, strict=True))


def sanitized(label: str) -> str:
    """Return a Kubernetes label's name as kube-state-metrics writes it: what no label may hold becomes `_`."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def written(value: Value) -> str:
    """Return a value as Prometheus reads it, exact to the double."""
    return str(value) if isinstance(value, int) else repr(float(value or 0))
