"""One engine over fakes, and the objects that users give it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from frugal.loop.engine import Engine
from frugal.loop.ports import ObjectKey
from frugal.settings import Settings
from tests.fakes.cluster import FakeCluster
from tests.fakes.telemetry import FakeTelemetry

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass
class HandClock:
    """A time of day that moves only by hand."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class World:
    """Everything that one test holds."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    telemetry: FakeTelemetry = field(default_factory=FakeTelemetry)
    clock: HandClock = field(default_factory=HandClock)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin again with an engine that remembers nothing."""
        self.engine = Engine(self.cluster, self.telemetry, Settings(workers=2, tick_seconds=3600), self.clock)

    async def settle(self, *keys: ObjectKey) -> None:
        """Reconcile until a whole round writes nothing."""
        for _ in range(10):
            before = len(self.cluster.writes)
            for key in keys:
                await self.engine.reconcile(key)
            if len(self.cluster.writes) == before:
                return
        raise AssertionError(f"no end of writing: {self.cluster.writes[-6:]}")


def compression_job(name: str = "cnn", **spec: Any) -> dict[str, Any]:
    """Return a CompressionJob as a user applies it; `spec` replaces fields."""
    smallest = {
        "model": {"uri": "s3://models/cnn.onnx"},
        "data": {"evaluation": {"uri": "s3://data/test.npz"}},
        "output": {"uri": "s3://models/out"},
    }
    return _object("CompressionJob", name, smallest | spec)


def inference_deployment(name: str = "fashion", **spec: Any) -> dict[str, Any]:
    """Return an InferenceDeployment as a user applies it."""
    return _object("InferenceDeployment", name, {"model": {"uri": "s3://models/cnn.onnx"}} | spec)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": name}
    return {"apiVersion": "frugal.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
