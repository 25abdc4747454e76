"""The statuses of both kinds: what the operator writes and people read. Written whole, by server-side apply."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from frugal.api.base import MachineModel, Money
from frugal.api.conditions import Condition
from frugal.api.money import CostBenefitStatus, CostStatus, JobCost, Saving, SavingsStatus
from frugal.api.result import Artifact, Best, Candidate, ModelFigures
from frugal.units import Duration, Quantity

Conditions = Annotated[list[Condition], Field(max_length=16, description="Conditions, one of a type.")]


class CompressionPhase(StrEnum):
    """Where the work stands; a summary for people, never read back by the operator."""

    PENDING = "Pending"
    ESTIMATING = "Estimating"
    QUEUED = "Queued"
    SEARCHING = "Searching"
    VERIFYING = "Verifying"
    PUBLISHING = "Publishing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


class ServingPhase(StrEnum):
    """Where serving stands; a summary for people."""

    PENDING = "Pending"
    WAITING = "Waiting"
    PROGRESSING = "Progressing"
    SERVING = "Serving"
    DEGRADED = "Degraded"
    FAILED = "Failed"
    IDLE = "Idle"


class SearchProgress(MachineModel):
    """How far the search is."""

    trials: Annotated[int, Field(description="Candidates measured.")] = 0
    of: Annotated[int, Field(description="Candidates planned.")] = 0
    eta: Annotated[Duration | None, Field(description="Estimated time left.")] = None
    best: Annotated[Best | None, Field(description="Best so far, by the search's own figures.")] = None


class JobUtilization(MachineModel):
    """Used / available while the pod ran."""

    cpu: Annotated[float | None, Field(description="CPU time over wall time and requested cores.")] = None
    memory: Annotated[float | None, Field(description="Peak resident memory over the memory limit.")] = None
    gpu: Annotated[float | None, Field(description="GPU engine activity.")] = None


class CompressionJobStatus(MachineModel):
    """What is known of a CompressionJob."""

    observed_generation: Annotated[
        int, Field(description="The generation that this speaks of; -1 before the first look.")
    ] = -1
    phase: Annotated[CompressionPhase | None, Field(description="Where the work stands.")] = None
    inputs_hash: Annotated[str, Field(description="Hash of what defines the result that this speaks of.")] = ""
    job_name: Annotated[str, Field(description="The Job that does the work.")] = ""
    started_at: Annotated[str | None, Field(description="When the Job was first created (RFC 3339).")] = None
    finished_at: Annotated[str | None, Field(description="When the verdict came (RFC 3339).")] = None
    progress: SearchProgress | None = None
    advice: Annotated[str, Field(description="Which techniques suit this structure, and why.")] = ""
    baseline: ModelFigures | None = None
    candidates: Annotated[list[Candidate], Field(max_length=20, description="The Pareto front.")] = []
    best: Best | None = None
    artifacts: Annotated[
        list[Artifact], Field(max_length=8, description="What was published, one for each target.")
    ] = []
    report: Annotated[str, Field(description="URI of report.html.")] = ""
    utilization: JobUtilization | None = None
    cost: JobCost | None = None
    cost_benefit: CostBenefitStatus | None = None
    conditions: Conditions = []


class Size(MachineModel):
    """A size of an InferenceDeployment: what each replica requests, and how many there are."""

    accelerator: Annotated[str, Field(description="cpu, or the extended resource.")] = "cpu"
    product: Annotated[
        str, Field(description="Which product, by its node label; empty where any that has the resource will do.")
    ] = ""
    count: Annotated[int, Field(description="Pieces of it in each replica; 0 for cpu.")] = 0
    cpu: Annotated[Quantity, Field(description="CPU request of a replica.")]
    memory: Annotated[Quantity, Field(description="Memory request of a replica.")]
    memory_limit: Annotated[Quantity | None, Field(description="Memory limit of a replica.")] = None
    replicas: Annotated[int, Field(description="Number of replicas.")] = 1


class AlternativeStatus(MachineModel):
    """A size on another kind of accelerator that was looked at and not taken."""

    size: Size
    hourly: Annotated[Money | None, Field(description="What it would cost an hour; absent without a price.")] = None
    reason: Annotated[str, Field(max_length=256, description="Why it was not taken.")]
    measured: Annotated[
        bool, Field(description="Whether its capacity was measured, or is expected from published figures.")
    ] = False


class RecommendationStatus(MachineModel):
    """What size would do, its bounds, and why."""

    target: Size
    lower: Size
    upper: Size
    saving: Saving | None = None
    explanation: Annotated[str, Field(description="A sentence with its figures.")]
    alternatives: Annotated[
        list[AlternativeStatus], Field(max_length=16, description="Other accelerators, the cheapest first.")
    ] = []
    observed_at: Annotated[str, Field(description="When it was computed (RFC 3339).")]


class TrialStatus(MachineModel):
    """A change that saves, while it is watched: it is taken back when the objective is missed after it."""

    previous: Size
    since: Annotated[str, Field(description="When every replica had the new size (RFC 3339); empty until then.")] = ""
    requests: Annotated[int, Field(description="Requests ever counted, at that moment.")] = 0
    missed: Annotated[int, Field(description="Those of them that missed the objective.")] = 0


class RejectedSize(MachineModel):
    """A size that was tried and taken back; it is not tried again until it is forgotten."""

    size: Size
    at: Annotated[str, Field(description="When it was taken back (RFC 3339).")]
    version: Annotated[str, Field(description="The model's version; for another one it may do.")] = ""
    is_kind: Annotated[bool, Field(description="Whether the accelerator failed, whatever else is requested.")] = False
    reason: Annotated[str, Field(max_length=512, description="Why it was taken back.")]


class AppliedStatus(MachineModel):
    """What size runs now, and since when."""

    size: Size
    since: Annotated[str, Field(description="When it was applied (RFC 3339).")]
    reason: Annotated[str, Field(description="Why it was applied.")] = ""
    trial: Annotated[TrialStatus | None, Field(description="There while the change is watched.")] = None


class UtilizationStatus(MachineModel):
    """Used / requested, averaged over the replicas and the last minutes."""

    cpu: Annotated[float | None, Field(description="CPU used / requested.")] = None
    memory: Annotated[float | None, Field(description="Working set / requested memory.")] = None
    gpu: Annotated[float | None, Field(description="GPU engine activity.")] = None
    gpu_memory: Annotated[float | None, Field(description="GPU memory used / that of the card or slice.")] = None
    requests_per_second: Annotated[float | None, Field(description="Load of all replicas together.")] = None
    latency_seconds: Annotated[float | None, Field(description="At the objective's quantile.")] = None
    observed_at: Annotated[str, Field(description="When it was measured (RFC 3339).")]


class ServedModelStatus(MachineModel):
    """Which model the replicas serve."""

    uri: Annotated[str, Field(description="Where the file is.")]
    sha256: Annotated[str, Field(description="Digest of the file, where it is known.")] = ""
    version: Annotated[str, Field(description="Its name in the protocol and the metrics.")] = ""


class InferenceDeploymentStatus(MachineModel):
    """What is known of an InferenceDeployment."""

    observed_generation: Annotated[
        int, Field(description="The generation that this speaks of; -1 before the first look.")
    ] = -1
    phase: Annotated[ServingPhase | None, Field(description="Where serving stands.")] = None
    replicas: Annotated[int, Field(description="Replicas that exist.")] = 0
    ready_replicas: Annotated[int, Field(description="Replicas that serve.")] = 0
    selector: Annotated[str, Field(description="Label selector of its pods, for the scale subresource.")] = ""
    model: ServedModelStatus | None = None
    endpoint: Annotated[str, Field(description="Where it answers.")] = ""
    recommendation: RecommendationStatus | None = None
    applied: AppliedStatus | None = None
    rejected: Annotated[
        list[RejectedSize], Field(max_length=8, description="Sizes that were tried and taken back, the newest last.")
    ] = []
    utilization: UtilizationStatus | None = None
    cost: CostStatus | None = None
    savings: SavingsStatus | None = None
    conditions: Conditions = []
