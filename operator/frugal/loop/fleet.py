"""What is known of every object at one moment, for /metrics: from statuses and measurements. Decides nothing."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from statistics import fmean
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from frugal import __version__
from frugal.api.conditions import ConditionType, Reason
from frugal.api.inference_deployment import LatencyObjective
from frugal.api.money import CostStatus, SavingsStatus
from frugal.api.status import CompressionJobStatus, InferenceDeploymentStatus, Size
from frugal.api.validation import parse_inference_deployment
from frugal.decisions.snapshot import Manifest, Measured
from frugal.errors import InvalidObject
from frugal.loop.measurements import Measurements
from frugal.loop.ports import COMPRESSION_JOB, Cluster
from frugal.metrics.snapshot import CompressionFigures, FleetSnapshot, InferenceFigures, RecommendedSize
from frugal.pricing.cost import accrue, rounded
from frugal.units import HOURS_PER_MONTH

HOLD_REASONS = (Reason.WITHIN_DEAD_BAND, Reason.COOLING_DOWN, Reason.OUTSIDE_CHANGE_WINDOW)
BOUNDS = ("lower", "target", "upper")
THREAD_SECONDS = 5.0  # how long another thread waits for the event loop; Prometheus gives a scrape 10

Status = TypeVar("Status", bound=BaseModel)


def fleet_snapshot(
    cluster: Cluster, measurements: Measurements, *, now: datetime, is_leader: bool, queue_depth: int
) -> FleetSnapshot:
    """Return everything that is known at `now`."""
    inferences, compressions = [], []
    for key in sorted(cluster.keys()):
        manifest = cluster.get(key)
        if manifest is None:
            continue
        if key.kind == COMPRESSION_JOB:
            compressions.append(_compression(manifest))
        else:
            inferences.append(_inference(manifest, measurements.known(key), now))
    return FleetSnapshot(
        at=now,
        version=__version__,
        python_version=platform.python_version(),
        is_leader=is_leader,
        inferences=tuple(inferences),
        compressions=tuple(compressions),
        input_ages_seconds=measurements.ages_seconds,
        queue_depth=queue_depth,
    )


def from_any_thread(fleet: Callable[[], FleetSnapshot], loop: asyncio.AbstractEventLoop) -> Callable[[], FleetSnapshot]:
    """Return `fleet` as the thread of the metrics server may call it: it runs in the event loop, where facts stand."""

    async def in_the_loop() -> FleetSnapshot:
        return fleet()

    return lambda: asyncio.run_coroutine_threadsafe(in_the_loop(), loop).result(THREAD_SECONDS)


def _compression(manifest: Manifest) -> CompressionFigures:
    status = _status(CompressionJobStatus, manifest)
    best, cost = status.best, status.cost
    return CompressionFigures(
        namespace=manifest["metadata"]["namespace"],
        name=manifest["metadata"]["name"],
        phase=status.phase or "Pending",
        size_ratio=best.size_ratio if best else None,
        speedup_ratio=best.latency_ratio if best else None,
        loss_points=best.loss if best else None,
        loss_upper_points=best.loss_upper_bound if best else None,
        cost=cost.amount if cost else None,
        currency=cost.currency if cost else "",
    )


def _inference(manifest: Manifest, measured: Measured | None, now: datetime) -> InferenceFigures:
    status = _status(InferenceDeploymentStatus, manifest)
    applied, recommended = status.applied, status.recommendation
    return InferenceFigures(
        namespace=manifest["metadata"]["namespace"],
        name=manifest["metadata"]["name"],
        replicas=_replicas(status),
        applied=_size(applied.size) if applied else None,
        applied_since=applied.since if applied else "",
        recommended={bound: _size(getattr(recommended, bound)) for bound in BOUNDS if recommended},
        held_back=_held_back(manifest),
        **_money(status, now),
        **_usage(measured, status),
        **_objective(manifest, measured, now),
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
        "gpu_ratio": fmean(gpu) if gpu else None,
        "gpu_memory_bytes": sum(gpu_memory) if gpu_memory else None,
        "utilization": utilization,
        "requests_per_second": measured.load.rate if measured.load else None,
        "samples": measured.state.usage_minutes,
    }


def _objective(manifest: Manifest, measured: Measured | None, now: datetime) -> dict[str, Any]:
    latency = _latency_objective(manifest)
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
