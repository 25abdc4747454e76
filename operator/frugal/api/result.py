"""What a compression pod says: progress lines, the termination message and report.json; one contract for both sides."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from frugal.api.base import MachineModel

MAX_TERMINATION_MESSAGE_BYTES = 4096  # what the kubelet keeps


class ModelFigures(MachineModel):
    """One model as measured."""

    accuracy: Annotated[float | None, Field(description="Share of the samples that it gets right.")] = None
    precision: Annotated[float | None, Field(description="Macro average.")] = None
    recall: Annotated[float | None, Field(description="Macro average.")] = None
    f1: Annotated[float | None, Field(description="Macro average.")] = None
    metric: Annotated[float | None, Field(description="The objective's metric, where it is none of the above.")] = None
    samples: Annotated[int | None, Field(description="How many samples carried the quality figures.")] = None
    parameters: Annotated[int | None, Field(description="How many weights it has.")] = None
    flops: Annotated[
        float | None, Field(description="Floating-point operations per sample (2 per multiply-accumulate).")
    ] = None
    size_bytes: Annotated[int | None, Field(description="Size of its file.")] = None
    memory_bytes: Annotated[
        int | None, Field(description="Peak resident memory of inference beyond the runtime's own.")
    ] = None
    latency_p50_seconds: Annotated[
        float | None, Field(alias="latencyP50Seconds", description="Per sample, batch 1, one thread.")
    ] = None
    latency_p95_seconds: Annotated[
        float | None, Field(alias="latencyP95Seconds", description="Per sample, batch 1, one thread.")
    ] = None


class Best(MachineModel):
    """A candidate against the baseline: ratios above 1 are gains."""

    technique: Annotated[str, Field(description="What was done, for people.")] = ""
    loss: Annotated[float, Field(description="Points lost; negative when better.")]
    loss_upper_bound: Annotated[
        float | None, Field(description="One-sided upper bound at the asked confidence, in points.")
    ] = None
    size_ratio: Annotated[float, Field(description="Baseline's size / its size.")]
    latency_ratio: Annotated[float, Field(description="Baseline's p50 latency / its p50 latency.")]
    flops_ratio: Annotated[float | None, Field(description="Baseline's FLOPs / its FLOPs.")] = None


class Candidate(MachineModel):
    """One compressed model as the search measured it."""

    technique: Annotated[str, Field(description="What was done, for people.")]
    loss: Annotated[float, Field(description="Points lost by the search's own figures; negative when better.")]
    size_ratio: Annotated[float, Field(description="Baseline's size / its size.")]
    latency_ratio: Annotated[float, Field(description="Baseline's p50 latency / its p50 latency.")]
    flops_ratio: Annotated[float | None, Field(description="Baseline's FLOPs / its FLOPs.")] = None
    objective: Annotated[float | None, Field(description="J = L + lambda * C, or C when lambda is unset.")] = None
    figures: ModelFigures | None = None
    verdict: Annotated[str, Field(description="Kept, dominated, or why it was rejected.")] = ""


class Artifact(MachineModel):
    """A published file."""

    target: Annotated[str, Field(description="Runtime and device that it was made for.")]
    uri: Annotated[str, Field(description="Where it is, by its content's address.")]
    sha256: Annotated[str, Field(description="Digest of the file.")]
    size_bytes: Annotated[int, Field(description="Size of the file.")]
    verified: Annotated[
        bool, Field(description="Whether the exported file itself kept the bound on the loss, in its runtime.")
    ]


class ResultVerdict(StrEnum):
    """How the work ended."""

    SUCCEEDED = "Succeeded"
    REJECTED = "Rejected"
    INVALID = "Invalid"
    ERROR = "Error"


class Usage(MachineModel):
    """What the pod used, measured by itself, over all its attempts that it knows of."""

    wall_seconds: float = 0
    cpu_seconds: float = 0
    peak_memory_bytes: int = 0


class CompressionResult(MachineModel):
    """The termination message: enough to tell the verdict when every log is lost.

    Succeeded: verified and published. Rejected: every candidate lost too much or gained nothing. Invalid: an input
    cannot be used and a retry cannot help; `field` and `message` say what to mend. Error: an outage, worth a retry.
    """

    verdict: ResultVerdict
    field: Annotated[str, Field(description="The field of the spec to mend, for Invalid.")] = ""
    message: Annotated[str, Field(max_length=1024)] = ""
    inputs_hash: str = ""
    advice: str = ""
    baseline: ModelFigures | None = None
    best: Best | None = None
    artifacts: list[Artifact] = []
    report_uri: str = ""
    report_sha256: str = ""
    trials: int = 0
    usage: Usage = Usage()


class ProgressLine(MachineModel):
    """One line of the pod's standard output."""

    kind: Literal["phase", "advice", "baseline", "trial", "warning"]
    at: Annotated[float, Field(description="Seconds since the work began.")]
    phase: Annotated[
        Literal["Estimating", "Searching", "Verifying", "Publishing"] | None, Field(description="For kind phase.")
    ] = None
    message: str = ""
    trials: int | None = None
    of: int | None = None
    eta_seconds: float | None = None
    baseline: ModelFigures | None = None
    candidate: Candidate | None = None
    best: Best | None = None


class Report(MachineModel):
    """report.json: everything that the search found, for people and programs."""

    schema_version: Literal["v1"] = "v1"
    namespace: str
    name: str
    inputs_hash: str
    result: CompressionResult
    candidates: Annotated[list[Candidate], Field(description="Every candidate, in the order in which it was measured.")]
    front: Annotated[list[Candidate], Field(description="The Pareto front over loss, size and latency.")]
    pipeline: Annotated[list[dict[str, Any]], Field(description="The steps that reproduce the best one.")]
    environment: Annotated[dict[str, str], Field(description="Versions, CPU features, seed.")]
    warnings: list[str] = []
