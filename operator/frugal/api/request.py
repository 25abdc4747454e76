"""What the operator asks of a pod: request.json, mounted from a ConfigMap."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from frugal.api.base import MachineModel
from frugal.api.compression_job import CompressionJobSpec


class CompressionRequest(MachineModel):
    """The object's identity and its whole validated spec."""

    namespace: str
    name: str
    uid: str
    inputs_hash: Annotated[str, Field(description="Hash of what defines the result; names the study.")]
    spec: CompressionJobSpec


class ReclaimRequest(MachineModel):
    """What a deleted CompressionJob leaves to be removed (`output.reclaim: Delete`)."""

    uris: Annotated[list[str], Field(description="Folders that it alone wrote: artifacts, report, study.")]
