"""Parts that both kinds share: references, credentials, pod templates, where a model is. No kind stands here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from frugal.api.base import ApiModel, Name, Rule, Sha256, Uri
from frugal.units import Quantity

ResourceList = Annotated[dict[Annotated[str, Field(max_length=253)], Quantity], Field(max_length=32)]


def _pod_shaped(template: dict[str, Any]) -> dict[str, Any]:
    """Refuse a template whose parts that Frugal merges are not maps and lists of named objects."""
    metadata, spec = template.get("metadata", {}), template.get("spec", {})
    lists = [spec.get(key, []) for key in _MERGED_LISTS] if isinstance(spec, dict) else []
    if (
        not isinstance(metadata, dict)
        or not isinstance(spec, dict)
        or not all(isinstance(one, list) for one in lists)
        or not all(isinstance(item, dict) and isinstance(item.get("name"), str) for one in lists for item in one)
    ):
        raise PydanticCustomError(
            "pod_template",
            "metadata and spec are maps; containers, initContainers and volumes are lists of objects with a name",
        )
    return template


_MERGED_LISTS = ("containers", "initContainers", "volumes")
_OPEN: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_NAMED = _OPEN | {
    "description": "As in a Pod.",
    "required": ["name"],
    "properties": {"name": {"type": "string", "maxLength": 253, "description": "Which of its kind."}},
}

PodTemplate = Annotated[
    dict[str, Any],
    AfterValidator(_pod_shaped),
    WithJsonSchema(
        _OPEN
        | {
            "properties": {
                "metadata": _OPEN | {"description": "Labels and annotations, as in a Pod."},
                "spec": _OPEN
                | {
                    "description": "As in a Pod.",
                    "properties": {
                        key: {"type": "array", "maxItems": 64, "items": _NAMED, "description": "Merged by name."}
                        for key in _MERGED_LISTS
                    },
                },
            }
        }
    ),
]
"""A partial pod template (metadata, spec), merged over ours: maps by key, lists of objects by `name`."""

ENTRY_POINT_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"
EntryPoint = Annotated[str, Field(max_length=253, pattern=f"^({ENTRY_POINT_PATTERN[1:-1]})?$")]
"""A Python entry point, `package.module:function`, from the image or a wheel pinned by digest."""


class ModelFormat(StrEnum):
    """The file format of a model."""

    ONNX = "onnx"
    TORCH = "torch"
    KERAS = "keras"
    SAFETENSORS = "safetensors"


class Task(StrEnum):
    """What a model is for; decides which metrics make sense."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    EMBEDDING = "embedding"
    RANKING = "ranking"
    DETECTION = "detection"
    SEGMENTATION = "segmentation"
    LANGUAGE_MODEL = "language-model"
    CUSTOM = "custom"


class LocalReference(ApiModel):
    """The name of an object in the same namespace."""

    name: Annotated[Name, Field(description="Its name, in the same namespace.")]


class Credentials(ApiModel):
    """What the pod may use to reach its storage; nothing secret is ever inlined."""

    secret_ref: Annotated[
        LocalReference | None, Field(description="A Secret whose keys become environment variables of the pod.")
    ] = None
    service_account_name: Annotated[
        Name | None, Field(description="A ServiceAccount for workload identity; its token is mounted only then.")
    ] = None


class ResourceRequirements(ApiModel):
    """Requests and limits of the pod's container, as in a Pod; no request may be more than its limit."""

    requests: Annotated[ResourceList, Field(description="What the scheduler reserves.")] = {}
    limits: Annotated[ResourceList, Field(description="What the container may use at most.")] = {}
    RULES = (
        Rule(
            cel="",  # comparing quantities came with Kubernetes 1.29
            check=lambda self: all(
                amount.value <= self.limits[key].value for key, amount in self.requests.items() if key in self.limits
            ),
            field="requests",
            message="a request may not be more than its limit",
        ),
    )


class TensorShape(ApiModel):
    """One input of a model, where the file does not say."""

    shape: Annotated[
        list[Annotated[int, Field(ge=-1)]],
        Field(min_length=1, max_length=8, description="Sizes of its dimensions, the batch first; -1 where it varies."),
    ]
    dtype: Annotated[
        str,
        Field(pattern=r"^(float16|float32|float64|int8|uint8|int32|int64|bool|string)$", description="Element type."),
    ] = "float32"
    scale: Annotated[
        float, Field(description="Values in the data are multiplied by this before they reach the model.")
    ] = 1.0


class ModelSource(ApiModel):
    """The model to compress, and what must be known to load it. Untrusted input: it is checked before it is loaded."""

    uri: Annotated[
        Uri, Field(description="Where the model is: file:, pvc://CLAIM/PATH, s3:, gs:, az:, https:, hf: or oci:.")
    ]
    sha256: Annotated[Sha256 | None, Field(description="Digest of the file; checked before anything is loaded.")] = None
    format: Annotated[ModelFormat, Field(description="File format.")] = ModelFormat.ONNX
    task: Annotated[Task, Field(description="What the model is for.")] = Task.CLASSIFICATION
    factory: Annotated[
        EntryPoint,
        Field(description="For a torch state dict: entry point that makes the empty module, from the image."),
    ] = ""
    inputs: Annotated[
        dict[Annotated[str, Field(max_length=128)], TensorShape],
        Field(max_length=16, description="Names, shapes and scaling of the inputs where the file does not say."),
    ] = {}
    tokenizer: Annotated[str, Field(max_length=1024, description="URI of tokenizer.json, for text.")] = ""
    RULES = (
        Rule(
            cel="!has(self.factory) || self.factory == '' || (has(self.format) && "
            "self.format in ['torch', 'safetensors'])",
            check=lambda self: not self.factory or self.format in (ModelFormat.TORCH, ModelFormat.SAFETENSORS),
            field="factory",
            message="a factory is only for format: torch or safetensors",
        ),
    )
