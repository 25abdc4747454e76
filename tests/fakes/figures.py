"""An InferenceDeployment's figures with everything in them that there can be."""

from __future__ import annotations

from decimal import Decimal

from frugal.metrics.snapshot import InferenceFigures, RecommendedSize

SIZE = RecommendedSize(replicas=2, cpu_cores=0.25, memory_bytes=2.3e8)
FULL = InferenceFigures(
    namespace="shop",
    name="fashion",
    labels={"app.kubernetes.io/part-of": 'shop "A"'},
    currency="USD",
    hourly={"cpu": Decimal("0.10"), "gpu": Decimal("0.45")},
    month_to_date=Decimal("214.10"),
    forecast_month=Decimal("402.00"),
    recommended_saving_hourly=Decimal("0.35"),
    saved_hourly=Decimal("0.20"),
    cpu_cores=0.4,
    memory_bytes=3.6e8,
    gpu_memory_bytes=3.1e9,
    utilization={"cpu": 0.8, "memory": 0.78, "gpu": 0.11},
    requests_per_second=84.0,
    recommended={"lower": SIZE, "target": SIZE, "upper": SIZE},
    samples=20_160,
    replicas={"desired": 2, "current": 2, "ready": 1},
    applied=SIZE,
    applied_since="2026-03-10T11:00:00Z",
    held_back="CoolingDown",
    slo_target_seconds=0.05,
    slo_quantile=0.99,
    slo_observed_seconds=0.025,
    slo_met=1_000,
    slo_missed=4,
)
