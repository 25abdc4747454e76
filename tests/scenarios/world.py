"""What a scenario may do to the world it runs in. Two worlds fulfil it: embedded mode and a real cluster."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

Manifest = dict[str, Any]
CLAIM = "models"


class World(ABC):
    """A place where Frugal runs. Everything that waits has a timeout; nothing here knows how Frugal decides."""

    name: str
    has_api_server: bool
    enforces_rules: bool  # the server refuses broken cross-field rules by itself
    pods_outlive_operator: bool
    operator_namespace: str  # where the price book lies

    @property
    @abstractmethod
    def volume(self) -> Path:
        """The folder behind the claim `models`, writable by the test and by the pods."""

    def __init__(self) -> None:
        self._applied: dict[tuple[str, str], None] = {}

    def apply(self, *manifests: Manifest) -> None:
        """Create or change objects, as `kubectl apply` does."""
        for manifest in manifests:
            self._applied[manifest["kind"], manifest["metadata"]["name"]] = None
        self._apply(manifests)

    def forget(self) -> None:
        """Delete every object of ours that was applied since the last call."""
        for kind, name in self._applied:
            if kind in ("CompressionJob", "InferenceDeployment"):
                self.delete(kind, name)
        self._applied.clear()

    @abstractmethod
    def _apply(self, manifests: Sequence[Manifest]) -> None:
        """Create or change the objects."""

    @abstractmethod
    def delete(self, kind: str, name: str) -> None:
        """Delete an object of ours, a ConfigMap or a Secret."""

    @abstractmethod
    def get(self, kind: str, name: str) -> Manifest | None:
        """Return an object, or None."""

    @abstractmethod
    def children(self, uid: str, kind: str) -> list[Manifest]:
        """Return the objects of `kind` that carry the label frugal.dev/uid: UID."""

    @abstractmethod
    def events(self, name: str) -> list[Manifest]:
        """Return the events about the object of ours called `name`."""

    @property
    @abstractmethod
    def is_alive(self) -> bool:
        """Whether the operator's process runs."""

    @abstractmethod
    def kill_operator(self) -> None:
        """End the operator as `kill -9` does, wherever it is."""

    @abstractmethod
    def start_operator(self) -> None:
        """Start the operator again, over what is there."""

    @abstractmethod
    def kill_pod(self, pod: Manifest) -> None:
        """End the pod's process as `kill -9` does."""

    def restart_api_server(self) -> None:
        """Take the API server away for a moment, as a power cut would."""
        raise NotImplementedError(f"{self.name} has no API server")

    def replace_node(self, pods: Sequence[Manifest]) -> None:
        """Lose the node with these pods for good, and get another one when the cluster has noticed."""
        raise NotImplementedError(f"{self.name} has no node apart from itself")

    @abstractmethod
    def metrics(self) -> str:
        """Return the operator's /metrics."""

    @abstractmethod
    @contextmanager
    def endpoint(self, name: str) -> Iterator[str]:
        """Yield the base URL at which the InferenceDeployment's Service answers the test."""

    def uid(self, kind: str, name: str) -> str:
        """Return the uid of an object that is there."""
        found = self.get(kind, name)
        assert found is not None, f"no {kind} {name}"
        uid: str = found["metadata"]["uid"]
        return uid

    def status(self, kind: str, name: str) -> Manifest:
        """Return the object's status, empty when there is none."""
        return (self.get(kind, name) or {}).get("status") or {}

    def wait(
        self, kind: str, name: str, until: Callable[[Manifest], bool], *, seconds: float = 180.0, why: str = ""
    ) -> Manifest:
        """Return the status as soon as `until(status)` holds; fails with the last status after `seconds`."""
        found = self._wait(kind, name, lambda one: until(one["status"]), seconds=seconds, why=why)
        status: Manifest = found["status"]
        return status

    def wait_condition(
        self, kind: str, name: str, type_: str, status: str = "True", *, seconds: float = 180.0
    ) -> Manifest:
        """Return the condition as soon as it has `status` for the object's present generation."""

        def holds(one: Manifest) -> bool:
            found = condition(one["status"], type_)
            is_present = found.get("observedGeneration") == one["metadata"].get("generation")
            return found.get("status") == status and is_present

        return condition(self._wait(kind, name, holds, seconds=seconds, why=f"{type_}={status}")["status"], type_)

    def _wait(self, kind: str, name: str, until: Callable[[Manifest], bool], *, seconds: float, why: str) -> Manifest:
        """Return the very version of the object for which `until` held; one without a status is not asked."""
        deadline = time.monotonic() + seconds
        found: Manifest = {}
        while time.monotonic() < deadline:
            assert self.is_alive, "the operator ended by itself: see its log"
            found = self.get(kind, name) or {}
            if found.get("status") and until(found):
                return found
            time.sleep(0.25)
        last = summary(found.get("status") or {})
        raise AssertionError(f"{kind} {name} did not get there in {seconds:.0f} s ({why}): {last}")


def condition(status: Manifest, type_: str) -> Manifest:
    """Return the condition of that type, or an empty one."""
    return next((one for one in status.get("conditions") or [] if one["type"] == type_), {})


def summary(status: Manifest) -> str:
    """Return what a person needs of a status to see why a test failed."""
    words = [f"phase {status.get('phase')}"]
    words += [f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in status.get("conditions") or []]
    return "\n  ".join(words)


def infer(url: str, model: str, rows: Sequence[Any], *, timeout: float = 10.0) -> list[float]:
    """Ask the model for the outputs of `rows` by the Open Inference Protocol and return them flat."""
    with httpx.Client(timeout=timeout) as client:
        described = client.get(f"{url}/v2/models/{model}").raise_for_status().json()
        tensor = described["inputs"][0]
        shape = [len(rows), *tensor["shape"][1:]]
        body = {"inputs": [{"name": tensor["name"], "datatype": tensor["datatype"], "shape": shape, "data": rows}]}
        answer = client.post(f"{url}/v2/models/{model}/infer", json=body).raise_for_status().json()
    return list(answer["outputs"][0]["data"])


def sample_rows(world: World, count: int) -> list[Any]:
    """Return so many of the digits that the example model was not trained on, as nested lists."""
    rows: list[Any] = np.load(world.volume / "digits/test.npz")["x"][:count].tolist()
    return rows
