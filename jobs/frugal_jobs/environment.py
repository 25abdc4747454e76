"""What the pod is told by its environment: where the request, the volumes and the scratch folder are. Read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from frugal.api.request import CompressionRequest
from frugal.errors import InvalidSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEnvironment:
    """The pod's own places."""

    request: Path
    volumes: Path | None  # the folder under which claims are mounted
    termination_log: Path | None
    work: Path  # writable scratch

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> PodEnvironment:
        """Return what FRUGAL_REQUEST, FRUGAL_VOLUMES, FRUGAL_TERMINATION_LOG and FRUGAL_WORK say."""
        return cls(
            request=Path(_needed(variables, "FRUGAL_REQUEST")),
            volumes=_path(variables, "FRUGAL_VOLUMES"),
            termination_log=_path(variables, "FRUGAL_TERMINATION_LOG"),
            work=Path(_needed(variables, "FRUGAL_WORK")),
        )


def _needed(variables: Mapping[str, str], name: str) -> str:
    if not variables.get(name):
        raise InvalidSettings(variable=name, value="", allowed="the path of a file or folder")
    return variables[name]


def _path(variables: Mapping[str, str], name: str) -> Path | None:
    return Path(variables[name]) if variables.get(name) else None


def read_request(path: Path) -> CompressionRequest:
    """Return the request at `path`; raises OSError and pydantic's ValidationError."""
    return CompressionRequest.model_validate_json(path.read_bytes())
