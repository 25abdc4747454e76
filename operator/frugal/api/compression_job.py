"""The spec of a CompressionJob: make this model smaller and faster, lose no more than this. Holds no status."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from frugal.api.base import ApiModel, Money, Name, Rule, Uri
from frugal.api.common import (
    ENTRY_POINT_PATTERN,
    Credentials,
    EntryPoint,
    LocalReference,
    ModelSource,
    PodTemplate,
    ResourceRequirements,
)
from frugal.api.compression_steps import Step
from frugal.units import Duration, Quantity


class Metric(StrEnum):
    """The quality metric whose loss is bounded."""

    ACCURACY = "accuracy"
    PRECISION = "precision"
    RECALL = "recall"
    F1 = "f1"
    AUC = "auc"
    MAE = "mae"
    RMSE = "rmse"
    COSINE = "cosine"
    SPEARMAN = "spearman"
    NDCG = "ndcg"
    MAP = "map"
    MIOU = "miou"
    WER = "wer"
    BLEU = "bleu"
    PERPLEXITY = "perplexity"


class Augmentation(StrEnum):
    """A random change of training samples that keeps their label."""

    FLIP = "flip"
    CROP = "crop"
    MIXUP = "mixup"


class CostKey(StrEnum):
    """A cost that the objective may weigh, each as a ratio to the baseline's."""

    LATENCY = "latency"
    SIZE = "size"
    FLOPS = "flops"
    MEMORY = "memory"
    PRICE = "price"


class Runtime(StrEnum):
    """A runtime that an artifact is made for."""

    ONNXRUNTIME = "onnxruntime"
    LITERT = "litert"
    EXECUTORCH = "executorch"
    TENSORRT = "tensorrt"
    SAGEMAKER_NEO = "sagemaker-neo"


class StrategyMode(StrEnum):
    """Who chooses the steps."""

    AUTO = "Auto"
    PIPELINE = "Pipeline"


class CostBenefitMode(StrEnum):
    """What the cost-benefit verdict may do."""

    OFF = "Off"
    ADVISE = "Advise"
    ENFORCE = "Enforce"


class DataSource(ApiModel):
    """A set of samples: `.npz`, Parquet, or an IDX pair."""

    uri: Annotated[
        Uri,
        Field(
            description="Where the samples are: .npz (x, y), .parquet, or the images of an IDX pair "
            "(-images-idx3-ubyte[.gz])."
        ),
    ]
    samples: Annotated[int | None, Field(ge=1, le=100_000_000, description="Use only the first so many.")] = None


class TrainingData(DataSource):
    """Samples that fine-tuning and distillation may learn from."""

    augment: Annotated[list[Augmentation], Field(max_length=8, description="Random changes of the samples.")] = []


class Data(ApiModel):
    """Evaluation is required and used by verification alone; the rest unlocks more techniques."""

    evaluation: Annotated[DataSource, Field(description="Carries the verdict; the search never sees it.")]
    validation: Annotated[
        DataSource | None, Field(description="Ranks candidates. Default: held out of training, else of calibration.")
    ] = None
    calibration: Annotated[
        DataSource | None,
        Field(description="Unlabelled samples for static quantization. Default: taken from training."),
    ] = None
    training: Annotated[TrainingData | None, Field(description="Unlocks fine-tuning after pruning.")] = None


class Limits(ApiModel):
    """Hard limits on the artifact; a candidate outside them is never published."""

    size: Annotated[Quantity | None, Field(description="Of the file, in bytes.")] = None
    latency_p95: Annotated[
        Duration | None, Field(alias="latencyP95", description="Per sample at batch 1, on one core.")
    ] = None
    memory: Annotated[
        Quantity | None, Field(description="Peak resident memory of inference beyond the runtime's own.")
    ] = None


def _one_fault(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError:
        known = ", ".join(metric.value for metric in Metric)
        raise PydanticCustomError(
            "metric", "one of {known}, or an entry point package.module:function", {"known": known}
        ) from None


class Objective(ApiModel):
    """min L(W) + lambda * C(W) within hard limits; with no lambda, least C within the bound on the loss."""

    metric: Annotated[
        Metric | Annotated[str, Field(max_length=253, pattern=ENTRY_POINT_PATTERN)],
        WrapValidator(_one_fault),
        Field(description="The metric, or an entry point that computes one from outputs and labels."),
    ] = Metric.ACCURACY
    max_loss: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="Points that may be lost: 0.01 of a bounded metric, percent of the baseline of an unbounded "
            "one; guarded at `confidence`, one-sided.",
        ),
    ] = 0.5
    confidence: Annotated[float, Field(ge=0.5, lt=1, description="One-sided confidence of the bound on the loss.")] = (
        0.95
    )
    lambda_: Annotated[
        float | None,
        Field(alias="lambda", gt=0, description="Points of loss that one unit of C is worth. Unset: least C."),
    ] = None
    cost: Annotated[
        dict[CostKey, Annotated[float, Field(ge=0, le=1000)]],
        Field(min_length=1, max_length=5, description="Weights of the costs in C = weighted mean of cost / baseline."),
    ] = {CostKey.LATENCY: 1.0, CostKey.SIZE: 0.5}
    limits: Annotated[Limits, Field(description="Hard limits on the artifact.")] = Limits()
    RULES = (
        Rule(
            cel="!has(self.cost) || self.cost.exists(k, self.cost[k] > 0.0)",
            check=lambda self: any(weight > 0 for weight in self.cost.values()),
            field="cost",
            message="at least one cost needs a weight above 0",
        ),
    )


class Search(ApiModel):
    """How much the search may spend."""

    trials: Annotated[int, Field(ge=1, le=10_000, description="Candidates at most.")] = 40
    timeout: Annotated[
        Duration, Field(description="Wall time of the whole work, verification and report included.")
    ] = Duration("30m")
    parallelism: Annotated[int, Field(ge=1, le=256, description="Candidates at a time.")] = 1
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="Makes the search repeatable.")] = 7


class Strategy(ApiModel):
    """Who chooses the steps, and which."""

    mode: Annotated[StrategyMode, Field(description="Auto, or Pipeline: exactly the steps listed.")] = StrategyMode.AUTO
    pipeline: Annotated[list[Step], Field(max_length=16, description="The steps, in order, for mode: Pipeline.")] = []
    search: Annotated[Search, Field(description="What the search may spend.")] = Search()
    RULES = (
        Rule(
            cel="(has(self.mode) && self.mode == 'Pipeline') == (has(self.pipeline) && size(self.pipeline) > 0)",
            check=lambda self: (self.mode is StrategyMode.PIPELINE) == bool(self.pipeline),
            field="pipeline",
            message="mode: Pipeline needs at least one step, and mode: Auto takes none",
        ),
    )


class Target(ApiModel):
    """A runtime on a device; one artifact is made for each."""

    runtime: Annotated[Runtime, Field(description="The runtime that will execute the artifact.")] = Runtime.ONNXRUNTIME
    device: Annotated[str, Field(pattern="^(cpu|cuda)$", description="Where it runs.")] = "cpu"

    def __str__(self) -> str:
        return f"{self.runtime.value}/{self.device}"


class Output(ApiModel):
    """Where artifacts, reports and the search's study are kept."""

    uri: Annotated[Uri, Field(description="A folder or prefix that the pod may write to.")]
    reclaim: Annotated[
        str,
        Field(
            pattern="^(Retain|Delete)$", description="What becomes of the artifacts when the CompressionJob is deleted."
        ),
    ] = "Retain"


class Distillation(ApiModel):
    """A student of the user's own, and the pairs of layers to match."""

    student: Annotated[EntryPoint, Field(description="Entry point that makes the student module.")] = ""
    features: Annotated[
        list[Annotated[str, Field(max_length=256)]],
        Field(max_length=32, description="TEACHER_LAYER=STUDENT_LAYER pairs whose outputs are matched."),
    ] = []


class CostBenefit(ApiModel):
    """Whether compressing pays: before the work and after it."""

    mode: Annotated[CostBenefitMode, Field(description="Enforce does not start what will not pay.")] = (
        CostBenefitMode.ADVISE
    )
    horizon: Annotated[Duration, Field(description="How long the saving is counted.")] = Duration("90d")
    labour_hours: Annotated[float, Field(ge=0, le=100_000, description="People's time that the work costs.")] = 0
    labour_rate: Annotated[Money, Field(description="Price of an hour of it.")] = Decimal(0)
    software_cost: Annotated[Money, Field(description="Licences.")] = Decimal(0)
    data_cost: Annotated[Money, Field(description="Data.")] = Decimal(0)
    hardware_cost: Annotated[Money, Field(description="Hardware that is bought for it, once.")] = Decimal(0)
    avoided_cost: Annotated[
        Money, Field(description="Spend that falls away at once, such as a card that need not be bought.")
    ] = Decimal(0)
    latency_worth: Annotated[
        Money, Field(description="What one millisecond less for each request is worth a month.")
    ] = Decimal(0)
    discount_rate: Annotated[
        float, Field(ge=0, le=100, description="Percent a year by which later money counts less.")
    ] = 0
    inference_deployment_ref: Annotated[
        LocalReference | None, Field(description="The InferenceDeployment whose cost will fall.")
    ] = None
    requests_per_second: Annotated[
        float | None, Field(ge=0, description="Expected load, where nothing is deployed yet.")
    ] = None
    RULES = (
        Rule(
            cel="!(has(self.inferenceDeploymentRef) && has(self.requestsPerSecond))",
            check=lambda self: self.inference_deployment_ref is None or self.requests_per_second is None,
            field="requestsPerSecond",
            message="give inferenceDeploymentRef or requestsPerSecond, not both",
        ),
    )


class CompressionJobSpec(ApiModel):
    """Make this model smaller and faster, lose no more than this much quality."""

    model: Annotated[ModelSource, Field(description="The model to compress.")]
    data: Annotated[Data, Field(description="Samples to judge with and to learn from.")]
    objective: Annotated[Objective, Field(description="What counts, and how much may be lost.")] = Objective()
    strategy: Annotated[Strategy, Field(description="How the best candidate is found.")] = Strategy()
    targets: Annotated[
        list[Target], Field(min_length=1, max_length=8, description="One artifact is made for each.")
    ] = [Target()]
    profile: Annotated[
        str,
        Field(
            pattern="^(cloud|edge|mobile)?$",
            description="A device profile that presets limits: edge (64Mi file, 256Mi memory), "
            "mobile (32Mi, 128Mi), cloud (none).",
        ),
    ] = ""
    output: Annotated[Output, Field(description="Where the result goes.")]
    distillation: Annotated[Distillation, Field(description="A student of your own; optional.")] = Distillation()
    cost_benefit: Annotated[CostBenefit, Field(description="Whether it pays.")] = CostBenefit()
    resources: Annotated[
        ResourceRequirements | None, Field(description="Of the pod; sized from the model when unset.")
    ] = None
    pod_template: Annotated[PodTemplate, Field(description="Merged over the pod that Frugal makes.")] = {}
    credentials: Annotated[Credentials, Field(description="How the pod reaches its storage.")] = Credentials()
    suspend: Annotated[bool, Field(description="Stop the work now; it resumes from its study.")] = False
    queue_name: Annotated[str, Field(max_length=63, description="A Kueue local queue.")] = ""
    backoff_limit: Annotated[int, Field(ge=0, le=20, description="Retries of a pod that crashed.")] = 2
    active_deadline_seconds: Annotated[
        int, Field(ge=10, le=2_592_000, description="Wall time at most, retries included.")
    ] = 7200
    ttl_seconds_after_finished: Annotated[
        int | None, Field(ge=0, le=31_536_000, description="When the finished Job goes; the CompressionJob stays.")
    ] = 86400
    RULES = (
        Rule(
            cel="!has(self.strategy) || !has(self.strategy.pipeline) || !self.strategy.pipeline.exists(s, "
            "has(s.distill) || (has(s.quantize) && has(s.quantize.mode) && s.quantize.mode == 'aware') || "
            "(has(s.prune) && ((has(s.prune.epochs) && s.prune.epochs > 0.0) || "
            "(has(s.prune.importance) && s.prune.importance == 'taylor')))) || has(self.data.training)",
            check=lambda self: (
                self.data.training is not None or not any(step.must_train for step in self.strategy.pipeline)
            ),
            field="data.training",
            message="a step that trains (prune with epochs or importance: taylor, quantize with mode: aware, distill) "
            "needs data.training",
        ),
    )

    def inputs_hash(self) -> str:
        """Return 10 hex digits that change exactly when what defines the result changes."""
        defining = ("model", "data", "objective", "strategy", "distillation", "targets", "profile", "output")
        dump = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=set(defining))
        canonical: Any = json.dumps(dump, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:10]


class CompressionJob(ApiModel):
    """A CompressionJob's identity and spec, parsed."""

    namespace: Name
    name: Name
    uid: str
    generation: int
    spec: CompressionJobSpec
    RULES = (
        Rule(
            cel="size(self.metadata.name) <= 63",
            check=lambda self: len(self.name) <= 63,
            field="name",
            message="metadata.name is at most 63 characters: it becomes a label of the pods",
        ),
    )
