"""What a decision sees: one frozen look at the world, time included. Filled by the loop, read by the planners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from frugal.api.price_book import PriceBook
from frugal.api.result import ProgressLine
from frugal.sizing.samples import LoadSample, UsageSample
from frugal.sizing.state import WorkloadState

Manifest = dict[str, Any]
"""A Kubernetes object as JSON, exactly as the API server holds it. Read only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the server can do; discovered once."""

    pod_disruption_budgets: bool = False  # policy/v1
    pod_failure_policy: bool = False
    pod_resize: bool = False  # the subresource pods/resize


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What holds for every object at this moment."""

    now: datetime
    jobs_image: str
    serve_image: str
    image_pull_policy: str = "IfNotPresent"
    prices: PriceBook | None = None
    prices_problem: str = ""  # why there are none, for people; empty when there are
    prices_change_at: datetime | None = None  # when other prices hold, as the book already says
    node_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by node name
    capabilities: Capabilities = Capabilities()


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """What belongs to one object of ours: everything that carries its uid in the label `frugal.dev/uid`."""

    jobs: tuple[Manifest, ...] = ()
    deployments: tuple[Manifest, ...] = ()
    services: tuple[Manifest, ...] = ()
    config_maps: tuple[Manifest, ...] = ()
    pod_disruption_budgets: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What telemetry knows of one InferenceDeployment."""

    state: WorkloadState  # everything learnt so far
    observed_at: datetime  # of the newest sample
    usage: tuple[UsageSample, ...] = ()  # newest, one for each replica
    load: LoadSample | None = None  # newest
    problem: str = ""  # why the newest reading failed; empty when it did not


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionSnapshot:
    """Everything that decides about one CompressionJob."""

    environment: Environment
    manifest: Manifest
    children: Children
    progress: tuple[ProgressLine, ...] = ()  # of its newest pod, oldest first
    served_by: Manifest | None = None  # the InferenceDeployment of costBenefit.inferenceDeploymentRef
    earlier: tuple[Manifest, ...] = ()  # CompressionJobs that have published, while a prediction is to be made


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSnapshot:
    """Everything that decides about one InferenceDeployment."""

    environment: Environment
    manifest: Manifest
    children: Children
    compression_job: Manifest | None = None  # of model.compressionJobRef
    measured: Measured | None = None  # None: never measured, or telemetry has not answered yet
    namespace_forecast: Decimal | None = None  # of this month, all its services; None where it has no budget
