"""The two CustomResourceDefinitions as values: names, printer columns, subresources, schemas. Writes no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from frugal.api.base import CEL_RULES, GROUP, VERSION, ApiModel, cel_rules
from frugal.api.compression_job import CompressionJob, CompressionJobSpec
from frugal.api.inference_deployment import InferenceDeployment, InferenceDeploymentSpec
from frugal.api.schema import Schema, strict_json_schema, structural_schema
from frugal.api.status import CompressionJobStatus, InferenceDeploymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`; a wide one is shown with `-o wide` alone."""

    name: str
    type: str
    path: str
    description: str
    is_wide: bool = False

    def to_json(self) -> dict[str, Any]:
        column: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return column | {"description": self.description} | ({"priority": 1} if self.is_wide else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a CustomResourceDefinition says of one kind."""

    name: str
    plural: str
    short_name: str
    description: str
    model: type[ApiModel]
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    scale: dict[str, str] | None = None

    @property
    def singular(self) -> str:
        return self.name.lower()


AGE = Column(name="Age", type="date", path=".metadata.creationTimestamp", description="Time since its creation.")

COMPRESSION_JOB = Kind(
    name="CompressionJob",
    plural="compressionjobs",
    short_name="cjob",  # kubectl reads `cj` as cronjobs: a built-in group comes first
    description="Make this model smaller and faster, lose no more than this much quality: the operator runs the work "
    "in a pod and publishes a verified artifact with a report.",
    model=CompressionJob,
    spec=CompressionJobSpec,
    status=CompressionJobStatus,
    columns=(
        Column(name="Phase", type="string", path=".status.phase", description="Where the work stands."),
        Column(name="Trials", type="integer", path=".status.progress.trials", description="Candidates measured."),
        Column(name="Of", type="integer", path=".status.progress.of", description="Candidates planned."),
        Column(name="Loss", type="number", path=".status.best.loss", description="Points of quality lost."),
        Column(
            name="Smaller", type="number", path=".status.best.sizeRatio", description="Baseline's size over the best's."
        ),
        Column(
            name="Faster",
            type="number",
            path=".status.best.latencyRatio",
            description="Baseline's latency over the best's.",
        ),
        Column(
            name="Saving/Month",
            type="string",
            path=".status.costBenefit.after.monthlySaving",
            description="Money saved a month by serving the best instead.",
        ),
        Column(
            name="Technique",
            type="string",
            path=".status.best.technique",
            description="What the best candidate was made by.",
            is_wide=True,
        ),
        Column(name="Report", type="string", path=".status.report", description="URI of the report.", is_wide=True),
        AGE,
    ),
)

INFERENCE_DEPLOYMENT = Kind(
    name="InferenceDeployment",
    plural="inferencedeployments",
    short_name="idep",
    description="Serve this model under this latency objective, as cheaply as possible: the operator runs it, measures "
    "it, right-sizes it and says what it costs and what was saved.",
    model=InferenceDeployment,
    spec=InferenceDeploymentSpec,
    status=InferenceDeploymentStatus,
    columns=(
        Column(name="Phase", type="string", path=".status.phase", description="Where serving stands."),
        Column(name="Ready", type="integer", path=".status.readyReplicas", description="Replicas that serve."),
        Column(name="Replicas", type="integer", path=".status.replicas", description="Replicas that exist."),
        Column(name="Mode", type="string", path=".spec.rightSizing.mode", description="What right-sizing may do."),
        Column(name="Cost/H", type="string", path=".status.cost.hourly", description="Money an hour."),
        Column(
            name="Saving/Month",
            type="string",
            path=".status.recommendation.saving.monthly",
            description="Money a month that the recommendation would save.",
        ),
        Column(name="Endpoint", type="string", path=".status.endpoint", description="Where it answers.", is_wide=True),
        Column(
            name="Why",
            type="string",
            path=".status.recommendation.explanation",
            description="Why this size is recommended.",
            is_wide=True,
        ),
        AGE,
    ),
    scale={
        "specReplicasPath": ".spec.replicas.desired",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
)

KINDS = (COMPRESSION_JOB, INFERENCE_DEPLOYMENT)


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of `kind`, as it is applied to a cluster."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.to_json() for column in kind.columns],
        "subresources": {"status": {}} | ({"scale": kind.scale} if kind.scale else {}),
        "schema": {"openAPIV3Schema": object_schema(kind)},
    }
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "shortNames": [kind.short_name],
        "categories": ["frugal", "all"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def object_schema(kind: Kind) -> Schema:
    """Return the structural schema of a whole object.

    The status has a default so that a brand-new object carries an `observedGeneration` that no generation equals:
    kstatus would take it for done otherwise. Its fields have none: what the operator has not said must stay unsaid.
    """
    status = structural_schema(kind.status, with_defaults=False)
    status["properties"]["conditions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind.name},
            "metadata": {"type": "object"},
            "spec": structural_schema(kind.spec, with_defaults=True),
            "status": status | {"default": {"observedGeneration": -1}},
        },
        CEL_RULES: cel_rules(kind.model),
    }


def json_schema(kind: Kind) -> Schema:
    """Return JSON Schema for one manifest of `kind`: what an editor or a pipeline checks before it is applied."""
    schema = strict_json_schema(object_schema(kind))
    schema["properties"] |= {
        "apiVersion": {"const": f"{GROUP}/{VERSION}"},
        "kind": {"const": kind.name},
        "metadata": {"type": "object", "required": ["name"]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.name,
        **schema,
        "required": ["apiVersion", "kind", "metadata", "spec"],
    }
