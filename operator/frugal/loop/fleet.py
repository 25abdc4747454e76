"""What is known of every object at one moment, for /metrics: from statuses and measurements. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from statistics import fmean
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from frugal.api.conditions import ConditionType, Reason
from frugal.api.inference_deployment import LatencyObjective
from frugal.api.money import CostStatus, SavingsStatus
from frugal.api.status import CompressionJobStatus, InferenceDeploymentStatus, Size
from frugal.api.validation import parse_inference_deployment
from frugal.decisions.snapshot import Manifest, Measured
from frugal.errors import InvalidObject
from frugal.loop.measurements import Measurements
from frugal.loop.ports import COMPRESSION_JOB, Cluster, ObjectKey
from frugal.metrics.snapshot import CompressionFigures, FleetSnapshot, InferenceFigures, RecommendedSize
from frugal.pricing.cost import accrue, rounded
from frugal.units import HOURS_PER_MONTH

HOLD_REASONS = (Reason.WITHIN_DEAD_BAND, Reason.COOLING_DOWN, Reason.OUTSIDE_CHANGE_WINDOW)
BOUNDS = ("lower", "target", "upper")
THREAD_SECONDS = 5.0  # how long another thread waits for the event loop; the fleet is seen in a tenth of that

NOTHING_READ: Mapping[ObjectKey, Read] = {}

Status = TypeVar("Status", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Sight:
    """The objects and what was measured of them at one moment, taken in the event loop; both are never changed."""

    at: datetime
    objects: tuple[tuple[ObjectKey, Manifest, Measured | None], ...]


class Fleet:
    """Tells the figures of every object, from any one thread; a status that did not change is not read again.

    sight: takes the objects in the event loop. loop: the loop. workload_labels: labels of objects that may be shown.
    """

    def __init__(
        self, sight: Callable[[], Sight], loop: asyncio.AbstractEventLoop, workload_labels: tuple[str, ...] = ()
    ) -> None:
        self._sight, self._loop, self._labels = sight, loop, workload_labels
        self._readings: dict[ObjectKey, Read] = {}

    def __call__(self) -> FleetSnapshot:
        """Return everything that is known now; raises TimeoutError when the event loop hangs."""

        async def in_the_loop() -> Sight:
            return self._sight()

        sight = asyncio.run_coroutine_threadsafe(in_the_loop(), self._loop).result(THREAD_SECONDS)
        snapshot, self._readings = fleet_snapshot(sight, self._labels, self._readings)
        return snapshot


@dataclass(frozen=True, slots=True)
class Read:
    """One object's manifest with what pydantic made of it."""

    manifest: Manifest
    status: InferenceDeploymentStatus | CompressionJobStatus
    latency: LatencyObjective | None


def see(cluster: Cluster, measurements: Measurements, *, now: datetime) -> Sight:
    """Return the objects as they stand in the cache; cheap, because it holds up the event loop."""
    found = ((key, cluster.get(key)) for key in sorted(cluster.keys()))
    return Sight(now, tuple((key, one, measurements.known(key)) for key, one in found if one is not None))


def fleet_snapshot(
    sight: Sight, workload_labels: tuple[str, ...] = (), before: Mapping[ObjectKey, Read] = NOTHING_READ
) -> tuple[FleetSnapshot, dict[ObjectKey, Read]]:
    """Return everything that `sight` tells, and the statuses as read, for the next time."""
    inferences, compressions = [], []
    readings: dict[ObjectKey, Read] = {}
    for key, manifest, measured in sight.objects:
        known = before.get(key)
        read = readings[key] = known if known is not None and known.manifest is manifest else _read(key, manifest)
        if isinstance(read.status, CompressionJobStatus):
            compressions.append(_compression(key, read.status))
        else:
            inferences.append(_inference(key, read, read.status, measured, sight.at, workload_labels))
    return FleetSnapshot(at=sight.at, inferences=tuple(inferences), compressions=tuple(compressions)), readings


def _read(key: ObjectKey, manifest: Manifest) -> Read:
    if key.kind == COMPRESSION_JOB:
        return Read(manifest, _status(CompressionJobStatus, manifest), None)
    return Read(manifest, _status(InferenceDeploymentStatus, manifest), _latency_objective(manifest))


def _compression(key: ObjectKey, status: CompressionJobStatus) -> CompressionFigures:
    best, cost = status.best, status.cost
    return CompressionFigures(
        namespace=key.namespace,
        name=key.name,
        phase=status.phase or "Pending",
        size_ratio=best.size_ratio if best else None,
        speedup_ratio=best.latency_ratio if best else None,
        loss_points=best.loss if best else None,
        loss_upper_points=best.loss_upper_bound if best else None,
        cost=cost.amount if cost else None,
        currency=cost.currency if cost else "",
    )


def _inference(
    key: ObjectKey,
    read: Read,
    status: InferenceDeploymentStatus,
    measured: Measured | None,
    now: datetime,
    workload_labels: tuple[str, ...],
) -> InferenceFigures:
    own = read.manifest["metadata"].get("labels") or {}
    applied, recommended = status.applied, status.recommendation
    return InferenceFigures(
        namespace=key.namespace,
        name=key.name,
        labels={name: str(own[name]) for name in workload_labels if name in own},
        replicas=_replicas(status),
        applied=_size(applied.size) if applied else None,
        applied_since=applied.since if applied else "",
        recommended={bound: _size(getattr(recommended, bound)) for bound in BOUNDS if recommended},
        held_back=_held_back(read.manifest),
        **_money(status, now),
        **_usage(measured, status),
        **_objective(read.latency, measured, now),
    )


def _money(status: InferenceDeploymentStatus, now: datetime) -> dict[str, Any]:
    """Return the figures that are money; the month to date goes on by itself between two writes of the status."""
    cost, recommended, savings = status.cost, status.recommendation, status.savings
    saving = recommended.saving if recommended else None
    figures: dict[str, Any] = {
        "is_price_missing": cost is None and status.applied is not None,
        "recommended_saving_hourly": saving.monthly / HOURS_PER_MONTH if saving else None,
    }
    if cost is None:
        return figures
    running = accrue(cost, hourly=cost.hourly, now=now, currency=cost.currency)
    return figures | {
        "currency": cost.currency,
        "hourly": cost.hourly_by_resource or {"all": cost.hourly},
        "month_to_date": running.month_to_date,
        "forecast_month": running.forecast_month,
        "saved_hourly": _realized_hourly(savings, cost) if savings else None,
    }


def _realized_hourly(savings: SavingsStatus, cost: CostStatus) -> Decimal:
    """Return what is no longer paid for an hour: only this is verified."""
    allocated = max(Decimal(0), savings.reference_hourly - cost.hourly)
    return rounded(allocated * Decimal(str(savings.realized_ratio)))


def _usage(measured: Measured | None, status: InferenceDeploymentStatus) -> dict[str, Any]:
    """Return the newest measured use; nothing when the newest reading failed, because old figures are no figures."""
    if measured is None or measured.problem:
        return {}
    gpu = _known(sample.gpu_ratio for sample in measured.usage)
    cpu = _known(sample.cpu_cores for sample in measured.usage)
    memory = _known(sample.memory_bytes for sample in measured.usage)
    gpu_memory = _known(sample.gpu_memory_bytes for sample in measured.usage)
    size = status.applied.size if status.applied else None
    utilization = {
        resource: fmean(values) / available
        for resource, values, available in (
            ("cpu", cpu, size.cpu.cores if size else 0.0),
            ("memory", memory, float(size.memory.value) if size else 0.0),
            ("gpu", gpu, 1.0),
        )
        if values and available
    }
    return {
        "cpu_cores": sum(cpu) if cpu else None,
        "memory_bytes": sum(memory) if memory else None,
        "gpu_memory_bytes": sum(gpu_memory) if gpu_memory else None,
        "utilization": utilization,
        "requests_per_second": measured.load.rate if measured.load else None,
        "samples": measured.state.usage_minutes,
    }


def _objective(latency: LatencyObjective | None, measured: Measured | None, now: datetime) -> dict[str, Any]:
    if latency is None:
        return {}
    figures: dict[str, Any] = {"slo_target_seconds": latency.threshold.seconds, "slo_quantile": latency.quantile}
    if measured is None:
        return figures
    history = measured.state.latency
    met, missed = history.lifetime_within(latency.threshold.seconds)
    observed = history.quantile_seconds(latency.quantile, window_seconds=latency.window.seconds, now=now)
    return figures | {"slo_observed_seconds": observed, "slo_met": met, "slo_missed": missed}


def _latency_objective(manifest: Manifest) -> LatencyObjective | None:
    """Return the latency objective of a valid object, or None."""
    try:
        return parse_inference_deployment(manifest).spec.slo.latency
    except InvalidObject:
        return None


def _replicas(status: InferenceDeploymentStatus) -> dict[str, int]:
    desired = {"desired": status.applied.size.replicas} if status.applied else {}
    return {**desired, "current": status.replicas, "ready": status.ready_replicas}


def _held_back(manifest: Manifest) -> str:
    """Return why a recommended change waits: the reason of RightSized where a hold check objects."""
    for condition in (manifest.get("status") or {}).get("conditions") or []:
        reason = str(condition.get("reason", ""))
        if condition.get("type") == ConditionType.RIGHT_SIZED.value and reason in HOLD_REASONS:
            return reason
    return ""


def _size(size: Size) -> RecommendedSize:
    return RecommendedSize(replicas=size.replicas, cpu_cores=size.cpu.cores, memory_bytes=float(size.memory.value))


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _status(model: type[Status], manifest: Manifest) -> Status:
    """Return an object's status; one that somebody else wrote and that cannot be read says nothing."""
    try:
        return model.model_validate(manifest.get("status") or {})
    except ValidationError:
        return model()
