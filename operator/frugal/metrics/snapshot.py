"""What /metrics shows at one moment, as plain values. None is "not known" and shows no series. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendedSize:
    """One bound of a recommendation: of a replica, and how many."""

    replicas: int
    cpu_cores: float
    memory_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceFigures:
    """One InferenceDeployment.

    hourly: money an hour by resource, or under `all` where only the sum is known. saved_hourly: against the size before
    the first change. applied_since, applied: when the present size was applied, and what it is. held_back: reason of
    RightSized while a change waits. slo_met, slo_missed: requests since the first sample, never falling.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)  # of the object, those that the settings allow
    currency: str = ""
    hourly: Mapping[str, Decimal] = field(default_factory=dict)
    month_to_date: Decimal | None = None
    forecast_month: Decimal | None = None
    recommended_saving_hourly: Decimal | None = None
    saved_hourly: Decimal | None = None
    is_price_missing: bool = False
    cpu_cores: float | None = None
    memory_bytes: float | None = None
    gpu_memory_bytes: float | None = None
    utilization: Mapping[str, float] = field(default_factory=dict)
    requests_per_second: float | None = None
    recommended: Mapping[str, RecommendedSize] = field(default_factory=dict)  # by bound: lower, target, upper
    samples: int | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)  # by state: desired, current, ready
    applied: RecommendedSize | None = None
    applied_since: str = ""
    held_back: str = ""
    slo_target_seconds: float | None = None
    slo_quantile: float | None = None
    slo_observed_seconds: float | None = None
    slo_met: float | None = None
    slo_missed: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionFigures:
    """One CompressionJob; ratios are of its best candidate, loss in points."""

    namespace: str
    name: str
    phase: str
    size_ratio: float | None = None
    speedup_ratio: float | None = None
    loss_points: float | None = None
    loss_upper_points: float | None = None
    cost: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorFigures:
    """The operator itself at this moment; read at each scrape, so it must be cheap and callable from any thread."""

    version: str
    python_version: str
    is_leader: bool = True
    queue_depth: int = 0
    input_ages_seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """Every object of ours at `at`."""

    at: datetime
    inferences: tuple[InferenceFigures, ...] = ()
    compressions: tuple[CompressionFigures, ...] = ()
