"""From a manifest to a parsed object that its children can be named after. The schema's own rules stand in api/."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from frugal.api.compression_job import CompressionJob
from frugal.api.inference_deployment import InferenceDeployment
from frugal.api.validation import parse_compression_job, parse_inference_deployment
from frugal.errors import FieldError, InvalidObject
from frugal.resources.identity import LABEL_CHARACTERS

_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035, as Services had to be named until 1.34


def parsed_compression_job(manifest: Mapping[str, Any]) -> CompressionJob:
    """Return the parsed object; raises InvalidObject with every fault."""
    job = parse_compression_job(manifest)
    if len(job.name) > LABEL_CHARACTERS:
        raise InvalidObject((_name_fault(job.name, f"at most {LABEL_CHARACTERS} characters: its children carry it"),))
    return job


def parsed_inference_deployment(manifest: Mapping[str, Any]) -> InferenceDeployment:
    """Return the parsed object; raises InvalidObject with every fault."""
    deployment = parse_inference_deployment(manifest)
    if len(deployment.name) > LABEL_CHARACTERS or not _SERVICE_NAME.fullmatch(deployment.name):
        allowed = f"letters, digits and dashes, a letter first, at most {LABEL_CHARACTERS}: its Service is called so"
        raise InvalidObject((_name_fault(deployment.name, allowed),))
    return deployment


def _name_fault(name: str, allowed: str) -> FieldError:
    return FieldError(path="metadata.name", value=name, message=allowed)
