"""From a manifest to a parsed object, or to every fault in it with its field, value and remedy. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from frugal.api.compression_job import CompressionJob
from frugal.api.inference_deployment import InferenceDeployment
from frugal.errors import FieldError, InvalidObject

Model = TypeVar("Model", bound=BaseModel)

KINDS: dict[str, type[CompressionJob] | type[InferenceDeployment]] = {
    "CompressionJob": CompressionJob,
    "InferenceDeployment": InferenceDeployment,
}


def parse_compression_job(manifest: Mapping[str, Any]) -> CompressionJob:
    """Return the parsed object; raises InvalidObject with every fault."""
    return parse_model(CompressionJob, _with_identity(manifest))


def parse_inference_deployment(manifest: Mapping[str, Any]) -> InferenceDeployment:
    """Return the parsed object; raises InvalidObject with every fault."""
    return parse_model(InferenceDeployment, _with_identity(manifest))


def parse_model(model: type[Model], document: object) -> Model:
    """Return `document` as `model`; raises InvalidObject with every fault, each at its path in camelCase.

    It is read as JSON and strictly, as an API server reads it: no text becomes a number, no name is in snake_case.
    """
    try:
        text = json.dumps(document, default=str)
        return model.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidObject(tuple(_field_error(fault) for fault in error.errors())) from None


def _with_identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = manifest.get("metadata") or {}
    return {
        "namespace": metadata.get("namespace", "default"),
        "name": metadata.get("name"),
        "uid": metadata.get("uid", ""),
        "generation": metadata.get("generation", 1),
        "spec": manifest.get("spec") or {},
    }


def _field_error(fault: Any) -> FieldError:
    parts = [to_camel(str(part)) if isinstance(part, str) and "_" in part else str(part) for part in fault["loc"]]
    blamed = (fault.get("ctx") or {}).get("field", "")
    path = ".".join([*parts, *([blamed] if blamed else [])])
    value = "nothing" if fault["type"] == "missing" else _blamed_value(fault["input"], blamed)
    return FieldError(path=path or "object", value=value, message=_message(fault))


def _blamed_value(document: object, blamed: str) -> object:
    for part in filter(None, blamed.split(".")):
        if not isinstance(document, Mapping):
            return document
        document = document.get(part, "nothing")
    return document


def _message(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown field; check its spelling and place against the reference"
    if fault["type"] == "missing":
        return "required"
    return str(fault["msg"])
