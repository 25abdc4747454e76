"""Where the demo runs, as a Protocol: what its story needs of embedded mode or of a cluster. Fulfils nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from frugal.cli.demo.inputs import Manifest
from frugal.telemetry.counters import PodCounters


class World(Protocol):
    """A running Frugal. `service_port` is the one that its InferenceDeployment shall have."""

    name: str
    service_port: int

    async def start(self, manifests: Sequence[Manifest], models: Path) -> None:
        """Start Frugal with the objects; `models` holds what belongs into the claim."""

    def get(self, kind: str, name: str) -> Manifest | None:
        """Return an object as it is now."""

    async def add_history(self, checkpoint: Manifest) -> None:
        """Start Frugal again over what is there, and over this sizing checkpoint."""

    async def answers(self) -> bool:
        """Return whether the InferenceDeployment's Service comes to answer; its status may be of an earlier time."""

    async def drive(self, rates: Sequence[float]) -> dict[str, Any]:
        """Send so many requests in each second, from a process of its own; return what came of it, or nothing."""

    async def server_counters(self) -> PodCounters | None:
        """Return what the serving pod has counted, or None when it cannot be asked."""

    async def metrics(self) -> str:
        """Return the operator's /metrics."""

    async def fetch(self, models: Path) -> None:
        """Bring the artifacts and the report back into `models`."""

    async def close(self) -> None:
        """End everything that was started."""
