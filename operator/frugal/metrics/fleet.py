"""From the objects and what was measured of them to the snapshot that /metrics shows. Reads status, decides nothing.

Call it where the objects are kept (the loop's thread), and hand its result to the collector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import fmean
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from frugal.api.conditions import Condition, ConditionType, Reason
from frugal.api.inference_deployment import LatencyObjective
from frugal.api.status import CompressionJobStatus, InferenceDeploymentStatus, RecommendationStatus, Size
from frugal.api.validation import parse_inference_deployment
from frugal.decisions.node_prices import labels_of_node, pricing_of
from frugal.decisions.snapshot import Children, Environment, Manifest, Measured
from frugal.errors import InvalidObject, PriceUnknown
from frugal.metrics.snapshot import CompressionFigures, FleetSnapshot, InferenceFigures, RecommendedSize
from frugal.pricing.cost import size_hourly
from frugal.sizing.samples import UsageSample
from frugal.units import HOURS_PER_MONTH

HOLDING_REASONS = frozenset({Reason.WITHIN_DEAD_BAND, Reason.COOLING_DOWN, Reason.OUTSIDE_CHANGE_WINDOW})

Status = TypeVar("Status", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One object as the loop knows it."""

    manifest: Manifest
    children: Children = field(default_factory=Children)
    measured: Measured | None = None


def fleet_snapshot(
    objects: Iterable[Seen],
    *,
    environment: Environment,
    version: str,
    python_version: str,
    is_leader: bool = True,
    input_ages_seconds: Mapping[str, float] | None = None,
    queue_depth: int = 0,
) -> FleetSnapshot:
    """Return what /metrics shows at `environment.now`."""
    known = tuple(objects)
    return FleetSnapshot(
        at=environment.now,
        version=version,
        python_version=python_version,
        is_leader=is_leader,
        inferences=tuple(
            inference_figures(seen, environment) for seen in known if seen.manifest["kind"] == "InferenceDeployment"
        ),
        compressions=tuple(
            compression_figures(seen.manifest) for seen in known if seen.manifest["kind"] == "CompressionJob"
        ),
        input_ages_seconds=input_ages_seconds or {},
        queue_depth=queue_depth,
    )


def compression_figures(manifest: Manifest) -> CompressionFigures:
    """Return the figures of a CompressionJob from its status."""
    status = _status(CompressionJobStatus, manifest)
    best, cost = status.best, status.cost
    return CompressionFigures(
        namespace=manifest["metadata"]["namespace"],
        name=manifest["metadata"]["name"],
        phase=status.phase.value if status.phase else "Pending",
        size_ratio=best.size_ratio if best else None,
        speedup_ratio=best.latency_ratio if best else None,
        loss_points=best.loss if best else None,
        loss_upper_points=best.loss_upper_bound if best else None,
        cost=cost.amount if cost else None,
        currency=cost.currency if cost else "",
    )


def inference_figures(seen: Seen, environment: Environment) -> InferenceFigures:
    """Return the figures of an InferenceDeployment: money and sizes from its status, use from what was measured."""
    manifest, status = seen.manifest, _status(InferenceDeploymentStatus, seen.manifest)
    size = status.applied.size if status.applied else None
    figures: dict[str, Any] = {
        "namespace": manifest["metadata"]["namespace"],
        "name": manifest["metadata"]["name"],
        "applied": _recommended(size) if size else None,
        "applied_since": status.applied.since if status.applied else "",
        "held_back": _held_back(status.conditions),
        "replicas": _replicas(status, size),
        **_money(status, size, seen, environment),
        **_recommendation(status.recommendation),
        **_use(seen.measured, size),
        **_service(seen, environment),
    }
    return InferenceFigures(**figures)


def _money(
    status: InferenceDeploymentStatus, size: Size | None, seen: Seen, environment: Environment
) -> Mapping[str, Any]:
    split = _split(size, seen, environment) if size else {}
    found: dict[str, Any] = {"is_price_missing": size is not None and not split}
    if (recommended := status.recommendation) is not None and recommended.saving is not None:
        found["recommended_saving_hourly"] = recommended.saving.monthly / HOURS_PER_MONTH
    if status.cost is None:
        return found | {"currency": environment.prices.currency if environment.prices else ""}
    total = sum(split.values(), start=Decimal(0))
    hourly = status.cost.hourly
    shares = {resource: hourly * part / total for resource, part in split.items() if part} if total else {"all": hourly}
    found |= {
        "currency": status.cost.currency,
        "hourly": shares,
        "month_to_date": status.cost.month_to_date,
        "forecast_month": status.cost.forecast_month,
    }
    if status.savings is not None:
        found["saved_hourly"] = status.savings.reference_hourly - hourly
    return found


def _split(size: Size, seen: Seen, environment: Environment) -> Mapping[str, Decimal]:
    """Return the parts of a size's price by resource; nothing where a price is missing."""
    if environment.prices is None:
        return {}
    labels = labels_of_node(seen.children.pods, environment)
    try:
        cost = size_hourly(environment.prices, size, node_labels=labels, pricing=pricing_of(labels))
    except PriceUnknown:
        return {}
    return cost.by_resource()


def _recommendation(recommendation: RecommendationStatus | None) -> Mapping[str, Any]:
    if recommendation is None:
        return {}
    bounds = {"lower": recommendation.lower, "target": recommendation.target, "upper": recommendation.upper}
    return {"recommended": {bound: _recommended(size) for bound, size in bounds.items()}}


def _recommended(size: Size) -> RecommendedSize:
    return RecommendedSize(replicas=size.replicas, cpu_cores=size.cpu.cores, memory_bytes=float(size.memory.value))


def _use(measured: Measured | None, size: Size | None) -> Mapping[str, Any]:
    if measured is None:
        return {}
    cores = _present(measured.usage, "cpu_cores")
    memory = _present(measured.usage, "memory_bytes")
    gpu = _present(measured.usage, "gpu_ratio")
    gpu_memory = _present(measured.usage, "gpu_memory_bytes")
    requested = {"cpu": size.cpu.cores, "memory": float(size.memory.value)} if size else {}
    ratios = {
        resource: fmean(values) / requested[resource]
        for resource, values in (("cpu", cores), ("memory", memory))
        if values and requested.get(resource)
    }
    return {
        "cpu_cores": sum(cores) if cores else None,
        "memory_bytes": sum(memory) if memory else None,
        "gpu_ratio": fmean(gpu) if gpu else None,
        "gpu_memory_bytes": sum(gpu_memory) if gpu_memory else None,
        "utilization": ratios | ({"gpu": fmean(gpu)} if gpu else {}),
        "requests_per_second": measured.load.rate if measured.load else None,
        "samples": measured.state.usage_minutes,
    }


def _service(seen: Seen, environment: Environment) -> Mapping[str, Any]:
    objective = _objective(seen.manifest)
    if objective is None:
        return {}
    found: dict[str, Any] = {
        "slo_target_seconds": objective.threshold.seconds,
        "slo_quantile": objective.quantile,
    }
    if seen.measured is not None:
        latency = seen.measured.state.latency
        found["slo_observed_seconds"] = latency.quantile_seconds(
            objective.quantile, window_seconds=objective.window.seconds, now=environment.now
        )
        found["slo_met"], found["slo_missed"] = latency.lifetime_within(objective.threshold.seconds)
    return found


def _objective(manifest: Manifest) -> LatencyObjective | None:
    try:
        return parse_inference_deployment(manifest).spec.slo.latency
    except InvalidObject:
        return None


def _replicas(status: InferenceDeploymentStatus, size: Size | None) -> Mapping[str, int]:
    counted = {"current": status.replicas, "ready": status.ready_replicas}
    return counted | ({"desired": size.replicas} if size else {})


def _held_back(conditions: Iterable[Condition]) -> str:
    for one in conditions:
        if one.type == ConditionType.RIGHT_SIZED and one.status != "True" and one.reason in HOLDING_REASONS:
            return one.reason
    return ""


def _present(usage: Iterable[UsageSample], name: str) -> list[float]:
    return [value for sample in usage if (value := getattr(sample, name)) is not None]


def _status(model: type[Status], manifest: Manifest) -> Status:
    """Return the status, or an empty one where it cannot be read: the next reconcile writes it anew."""
    try:
        return model.model_validate(manifest.get("status") or {})
    except ValidationError:
        return model()
