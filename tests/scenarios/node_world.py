"""A real Kubernetes as a World: objects by kubectl, the operator as a process beside the node, kills for real."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.cluster.cluster import Node
from tests.cluster.errors import ClusterError, CommandFailed
from tests.ports import free_port
from tests.scenarios.world import CLAIM, Manifest, World

ROOT = Path(__file__).parents[2]
LEASE_LOST = 1  # exit status: an outage was longer than the short Lease of these tests
PLURALS = {"CompressionJob": "compressionjobs.frugal.dev", "InferenceDeployment": "inferencedeployments.frugal.dev"}


class NodeWorld(World):
    """The operator on the real node."""

    name = "node"
    has_api_server = True
    enforces_rules = False  # Kubernetes 1.20 has no CEL
    pods_outlive_operator = True
    operator_namespace = "frugal-system"

    def __init__(self, node: Node, inputs: Path, logs: Path) -> None:
        super().__init__()
        self._node = node
        self._logs = logs
        self._operator: subprocess.Popen[bytes] | None = None
        self._metrics_port, self._health_port = free_port(), free_port()
        for crd in sorted((ROOT / "crds").glob("frugal.dev_*.yaml")):
            node.kubectl("apply", "--validate=false", "-f", str(crd))
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.operator_namespace}})
        self._images = node.load_app_images("jobs", "serve")
        self._volume = node.claim(CLAIM)
        shutil.copytree(inputs, self._volume, dirs_exist_ok=True)
        for path in (self._volume, *self._volume.rglob("*")):
            os.chown(path, 65532, 65532)
        self.start_operator()

    @property
    def volume(self) -> Path:
        """The folder behind the claim."""
        return self._volume

    def close(self) -> None:
        """End the operator."""
        if self._operator is not None:
            self._operator.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._operator.wait(20)
            self._operator.kill()

    def _apply(self, manifests: Sequence[Manifest]) -> None:
        self._node.kubectl.apply(*manifests)

    def delete(self, kind: str, name: str) -> None:
        self._node.kubectl("delete", PLURALS.get(kind, kind.lower()), name, "-n", "default", "--ignore-not-found")

    def get(self, kind: str, name: str) -> Manifest | None:
        try:
            return self._node.kubectl.get(PLURALS.get(kind, kind.lower()), name, "-n", "default")
        except CommandFailed:
            return None

    def children(self, uid: str, kind: str) -> list[Manifest]:
        found: list[Manifest] = self._list(kind, "-l", f"frugal.dev/uid={uid}")
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def events(self, name: str) -> list[Manifest]:
        kinds = tuple(PLURALS)
        every = self._list("Event", "--field-selector", f"involvedObject.name={name}")
        return [event for event in every if event["involvedObject"]["kind"] in kinds]

    def _list(self, kind: str, *words: str) -> list[Manifest]:
        listed: Manifest = self._node.kubectl.get(kind.lower(), "-n", "default", *words)
        items: list[Manifest] = listed["items"]
        return items

    @property
    def is_alive(self) -> bool:
        """Whether the operator's process runs; one that lost its Lease is started again, as its Deployment would."""
        if self._operator is not None and self._operator.poll() == LEASE_LOST:
            self.start_operator()
        return self._operator is not None and self._operator.poll() is None

    def kill_operator(self) -> None:
        assert self._operator is not None
        self._operator.kill()
        self._operator.wait(10)

    def start_operator(self) -> None:
        environment = {
            **os.environ,
            "KUBECONFIG": str(self._node.kubeconfig),
            "FRUGAL_JOBS_IMAGE": self._images["jobs"],
            "FRUGAL_SERVE_IMAGE": self._images["serve"],
            "FRUGAL_IMAGE_PULL_POLICY": "Never",
            "FRUGAL_METRICS_PORT": str(self._metrics_port),
            "FRUGAL_HEALTH_PORT": str(self._health_port),
            "FRUGAL_TICK_SECONDS": "5",
            "FRUGAL_LEASE_SECONDS": "5",
        }
        with (self._logs / "operator.log").open("ab") as log:
            self._operator = subprocess.Popen([sys.executable, "-m", "frugal"], env=environment, stderr=log, stdout=log)

    def kill_pod(self, pod: Manifest) -> None:
        """End every process of the pod's containers, as the kernel's out-of-memory killer would."""
        uid = pod["metadata"]["uid"]
        for cgroup in Path("/proc").glob("[0-9]*/cgroup"):
            with suppress(OSError):
                is_sandbox = (cgroup.parent / "comm").read_text().strip() == "pause"
                if uid in cgroup.read_text() and not is_sandbox:
                    os.kill(int(cgroup.parent.name), signal.SIGKILL)

    def restart_api_server(self) -> None:
        self._node.crash("kube-apiserver")
        self._node.restart("kube-apiserver")

    def replace_node(self, pods: Sequence[Manifest]) -> None:
        self._node.crash("kubelet")
        for pod in pods:
            self.kill_pod(pod)
        self._node.kubectl("delete", "node", "--all", "--wait=false")
        for pod in pods:
            # The pod garbage collector waits 40 s before it believes that a node is gone.
            self._node.kubectl.wait(f"pod/{pod['metadata']['name']}", condition="delete", timeout_seconds=150)
        self._node.restart("kubelet")

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=10).raise_for_status().text

    @contextmanager
    def endpoint(self, name: str) -> Iterator[str]:
        service = self.get("Service", name)
        if service is None:
            raise ClusterError(f"no Service {name}")
        yield f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"
