"""The spec of an InferenceDeployment: serve this under this latency objective, as cheaply as possible."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field

from frugal.api.base import ApiModel, Money, Name, Percent, Rule, Sha256, Uri
from frugal.api.common import Credentials, LocalReference, PodTemplate
from frugal.units import Duration

CHANGE_WINDOW_PATTERN = (
    r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(-(Mon|Tue|Wed|Thu|Fri|Sat|Sun))? "
    r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9] [A-Za-z0-9_+/-]+$"
)

METRIC_PATTERN = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"  # Prometheus' data model


class RuntimeName(StrEnum):
    """What serves the model."""

    ONNXRUNTIME = "onnxruntime"
    TRITON = "triton"
    VLLM = "vllm"
    CUSTOM = "custom"


class SizingMode(StrEnum):
    """What Frugal may do with its recommendation."""

    OFF = "Off"
    RECOMMEND = "Recommend"
    AUTO = "Auto"


class Scaling(StrEnum):
    """Who owns the number of replicas."""

    FRUGAL = "Frugal"
    EXTERNAL = "External"


class OnExceed(StrEnum):
    """What happens when the budget will not last."""

    ALERT = "Alert"
    CAP = "Cap"


class CompressionMode(StrEnum):
    """What may be done when compressing would pay."""

    OFF = "Off"
    SUGGEST = "Suggest"
    AUTO = "Auto"


class ServedModel(ApiModel):
    """Where the model is, or which CompressionJob publishes it."""

    uri: Annotated[Uri | None, Field(description="Where the model file is.")] = None
    sha256: Annotated[Sha256 | None, Field(description="Digest of the file; checked before it is loaded.")] = None
    compression_job_ref: Annotated[
        LocalReference | None, Field(description="Follow what this CompressionJob publishes.")
    ] = None
    RULES = (
        Rule(
            cel="has(self.uri) != has(self.compressionJobRef)",
            check=lambda self: (self.uri is None) != (self.compression_job_ref is None),
            field="uri",
            message="give exactly one of uri and compressionJobRef",
        ),
        Rule(
            cel="!has(self.sha256) || has(self.uri)",
            check=lambda self: self.sha256 is None or self.uri is not None,
            field="sha256",
            message="sha256 belongs to uri; a CompressionJob's artifact brings its own",
        ),
    )


class TargetReference(ApiModel):
    """A workload that something else made and that Frugal measures and right-sizes."""

    api_version: Annotated[str, Field(pattern="^apps/v1$", description="apps/v1")] = "apps/v1"
    kind: Annotated[str, Field(pattern="^Deployment$", description="Deployment")] = "Deployment"
    name: Annotated[Name, Field(description="Its name, in the same namespace.")]


class LatencyUnit(StrEnum):
    """In what a runtime tells its latencies."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"


MetricName = Annotated[str, Field(pattern=METRIC_PATTERN, max_length=200)]


class RuntimeMetrics(ApiModel):
    """Under which Prometheus names a runtime that Frugal does not know tells its load."""

    requests: Annotated[MetricName, Field(description="Counter of all answers; its series are added up.")]
    failures: Annotated[
        MetricName | None, Field(description="Counter of those answers that are the server's fault.")
    ] = None
    latency: Annotated[MetricName | None, Field(description="Histogram of whole requests, without _bucket.")] = None
    latency_unit: Annotated[LatencyUnit, Field(description="Unit of the histogram's edges: s | ms | us.")] = (
        LatencyUnit.SECONDS
    )
    in_flight: Annotated[
        MetricName | None, Field(description="Gauge of the requests accepted and not yet answered.")
    ] = None
    RULES = (
        Rule(
            cel="!has(self.failures) || self.failures != self.requests",
            check=lambda self: self.failures != self.requests,
            field="failures",
            message="failures is a counter of its own",
        ),
    )


class ServingRuntime(ApiModel):
    """What serves the model."""

    name: Annotated[
        RuntimeName,
        Field(description="onnxruntime is Frugal's own server; the others bring image and command in podTemplate."),
    ] = RuntimeName.ONNXRUNTIME
    pod_template: Annotated[PodTemplate, Field(description="Merged over the pod that Frugal makes.")] = {}
    metrics: Annotated[
        RuntimeMetrics | None,
        Field(description="Where its load is told. Unset: by the names of Frugal's server, vLLM, Triton or KServe."),
    ] = None


class LatencyObjective(ApiModel):
    """At least `quantile` of the requests answer within `threshold`, over `window`."""

    threshold: Annotated[Duration, Field(description="A request that takes longer misses the objective.")]
    quantile: Annotated[float, Field(gt=0, lt=1, description="Share of the requests that must keep it.")] = 0.99
    window: Annotated[Duration, Field(description="Over what time the share is counted.")] = Duration("30d")


class ServiceLevelObjective(ApiModel):
    """What the users of the model must get."""

    latency: Annotated[LatencyObjective | None, Field(description="The latency objective of whole requests.")] = None
    availability: Annotated[Percent | None, Field(description="Percent of requests that must not fail.")] = None


class Replicas(ApiModel):
    """How many replicas there may be."""

    min: Annotated[int, Field(ge=0, le=1000, description="At least; 0 may scale to zero.")] = 1
    max: Annotated[int, Field(ge=1, le=1000, description="At most.")] = 10
    desired: Annotated[
        int | None, Field(ge=0, le=1000, description="For an external scaler (scaling: External); clamped to min..max.")
    ] = None
    RULES = (
        Rule(
            cel="(has(self.min) ? self.min : 1) <= (has(self.max) ? self.max : 10)",
            check=lambda self: self.min <= self.max,
            field="min",
            message="replicas.min may not be more than replicas.max",
        ),
    )


class RightSizing(ApiModel):
    """How far Frugal may go in right-sizing."""

    mode: Annotated[SizingMode, Field(description="Recommend writes only status; Auto acts.")] = SizingMode.RECOMMEND
    scaling: Annotated[
        Scaling, Field(description="External leaves the replicas to an HPA or KEDA that targets this object.")
    ] = Scaling.FRUGAL
    window: Annotated[Duration, Field(description="How much history counts.")] = Duration("14d")
    min_saving: Annotated[Percent, Field(description="Percent; a change that saves less is not worth a restart.")] = 5
    cooldown: Annotated[Duration, Field(description="At least so long between two changes that save.")] = Duration(
        "30m"
    )
    change_windows: Annotated[
        list[Annotated[str, Field(pattern=CHANGE_WINDOW_PATTERN, max_length=96)]],
        Field(
            max_length=16,
            description='When changes that save may happen, such as "Mon-Fri 02:00-05:00 UTC". Empty: always.',
        ),
    ] = []
    RULES = (
        Rule(
            cel="",  # it knows no time zones
            check=lambda self: all(_is_time_zone(change_window_parts(window)[-1]) for window in self.change_windows),
            field="changeWindows",
            message="a change window ends with an IANA time zone, such as UTC or Europe/Berlin",
        ),
    )


class Rollout(ApiModel):
    """How a new version of the model replaces the old one."""

    steps: Annotated[
        list[Annotated[int, Field(ge=1, le=100)]],
        Field(min_length=1, max_length=10, description="Percent of the replicas."),
    ] = [5, 25, 50, 100]
    interval: Annotated[Duration, Field(description="Between two steps.")] = Duration("2m")
    max_error_rate: Annotated[Percent, Field(description="Percent of requests; above it the rollout stops.")] = 1
    max_disagreement: Annotated[
        Percent, Field(description="Percent of answers that may differ from the old version's.")
    ] = 2
    rollback: Annotated[bool, Field(description="Return to the old version by itself.")] = True
    RULES = (
        Rule(
            cel="!has(self.steps) || self.steps[size(self.steps) - 1] == 100",
            check=lambda self: self.steps[-1] == 100,
            field="steps",
            message="the last step must be 100",
        ),
    )


class Budget(ApiModel):
    """How much it may cost."""

    monthly: Annotated[Money, Field(description="In a calendar month.")]
    currency: Annotated[
        str, Field(pattern="^[A-Z]{3}$", max_length=3, description="ISO 4217; must be the price book's.")
    ] = "USD"
    on_exceed: Annotated[OnExceed, Field(description="Alert, or Cap the replicas at what the budget carries.")] = (
        OnExceed.ALERT
    )


class CompressionAdvice(ApiModel):
    """Whether Frugal says when compressing this model would pay."""

    mode: Annotated[CompressionMode, Field(description="Off | Suggest | Auto.")] = CompressionMode.SUGGEST


class ServicePort(ApiModel):
    """The Service in front of the replicas."""

    port: Annotated[int, Field(ge=1, le=65535, description="Its port.")] = 8080


class InferenceDeploymentSpec(ApiModel):
    """Serve this model under this objective, as cheaply as possible."""

    model: Annotated[ServedModel | None, Field(description="The model to serve.")] = None
    target_ref: Annotated[TargetReference | None, Field(description="Or a workload to adopt.")] = None
    runtime: Annotated[ServingRuntime, Field(description="What serves it.")] = ServingRuntime()
    slo: Annotated[ServiceLevelObjective, Field(description="What its users must get.")] = ServiceLevelObjective()
    replicas: Annotated[Replicas, Field(description="How many replicas there may be.")] = Replicas()
    accelerators: Annotated[
        list[Annotated[str, Field(max_length=253, pattern=r"^(cpu|[a-z0-9.-]+/[A-Za-z0-9._-]+)$")]],
        Field(
            max_length=16,
            description="What it may run on: cpu, or extended resources. Empty: whatever the cluster has.",
        ),
    ] = []
    right_sizing: Annotated[RightSizing, Field(description="How far right-sizing may go.")] = RightSizing()
    rollout: Annotated[Rollout, Field(description="How a new version replaces the old one.")] = Rollout()
    budget: Annotated[Budget | None, Field(description="How much it may cost.")] = None
    compression: Annotated[CompressionAdvice, Field(description="Whether compressing is suggested.")] = (
        CompressionAdvice()
    )
    service: Annotated[ServicePort, Field(description="The Service in front of it.")] = ServicePort()
    credentials: Annotated[Credentials, Field(description="How the pods reach their storage.")] = Credentials()
    RULES = (
        Rule(
            cel="has(self.model) != has(self.targetRef)",
            check=lambda self: (self.model is None) != (self.target_ref is None),
            field="model",
            message="give exactly one of model and targetRef",
        ),
        Rule(
            cel="!has(self.replicas) || !has(self.replicas.desired)"
            " || (has(self.rightSizing) && has(self.rightSizing.scaling) && self.rightSizing.scaling == 'External')",
            check=lambda self: self.replicas.desired is None or self.right_sizing.scaling is Scaling.EXTERNAL,
            field="replicas.desired",
            message="replicas.desired is for rightSizing.scaling: External",
        ),
        Rule(
            cel="!has(self.runtime) || !has(self.runtime.name) || self.runtime.name == 'onnxruntime'"
            " || (has(self.runtime.podTemplate) && has(self.runtime.podTemplate.spec)"
            " && has(self.runtime.podTemplate.spec.containers) && size(self.runtime.podTemplate.spec.containers) > 0)",
            check=lambda self: (
                self.runtime.name is RuntimeName.ONNXRUNTIME
                or bool((self.runtime.pod_template.get("spec") or {}).get("containers"))
            ),
            field="runtime.podTemplate",
            message="a runtime other than onnxruntime brings its container in runtime.podTemplate.spec.containers",
        ),
    )


def change_window_parts(text: str) -> tuple[str, str, str, str, str]:
    """Return (first day, last day, start HH:MM, end HH:MM, IANA time zone) of a change window."""
    match = re.match(r"^(\w{3})(?:-(\w{3}))? (\d\d:\d\d)-(\d\d:\d\d) (\S+)$", text)
    assert match is not None, "validated by CHANGE_WINDOW_PATTERN"
    first, last, start, end, zone = match.groups()
    return first, last or first, start, end, zone


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as Europe
        return False
    return True


class InferenceDeployment(ApiModel):
    """An InferenceDeployment's identity and spec, parsed."""

    namespace: Name
    name: Name
    uid: str
    generation: int
    spec: InferenceDeploymentSpec
    RULES = (
        Rule(
            cel="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            check=lambda self: bool(re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", self.name)),
            field="name",
            message="metadata.name is at most 63 of a-z, 0-9 and -, a letter first: it becomes a Service's name",
        ),
    )
