"""One frozen ServeSettings, read once from the environment. Nothing else of the server reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from frugal.errors import InvalidSettings

PREFIX = "FRUGAL_"


class ServeSettings(BaseModel):
    """What the operator tells one server; each field is the variable `FRUGAL_` plus its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$", max_length=253)]
    model_uri: Annotated[str, Field(min_length=1)]
    model_sha256: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{64})?$")] = ""  # empty: any file at the URI will do
    model_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$", max_length=63)] = "1"
    volumes: Path | None = None  # where claims are mounted
    work: Path | None = None  # scratch for files that come from a store; unset: the system's temporary folder
    host: str = ""  # the address to listen on; empty: all of this pod's
    port: Annotated[int, Field(ge=0, le=65535)] = 8080  # 0: any free one, said in the start line
    threads: Annotated[int, Field(ge=1, le=1024)] = 1  # of one inference; a pod of one core gains nothing from more
    max_batch: Annotated[int, Field(ge=1, le=65536)] = 32  # rows
    batch_delay_ms: Annotated[float, Field(ge=0, le=60_000)] = 0  # 0: take what is queued, wait for nobody
    drain_seconds: Annotated[float, Field(gt=0, le=3600)] = 20  # under Kubernetes' default grace period of 30
    queue_limit: Annotated[int, Field(ge=1, le=10_000_000)] = 1000  # requests
    latency_threshold_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    termination_log: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ServeSettings:
        """Return the settings that `environment` holds; an empty variable counts as unset. Raises InvalidSettings."""
        names = {name: f"{PREFIX}{name.upper()}" for name in cls.model_fields}
        found = {name: environment[variable] for name, variable in names.items() if environment.get(variable)}
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            raise InvalidSettings(variable=names[name], value=found.get(name, ""), allowed=first["msg"]) from None
