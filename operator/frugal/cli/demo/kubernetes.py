"""The demo's world on a real cluster: the operator that is installed there, reached by kubectl. Decides nothing.

One pod of the demo's own holds the claim: it takes the model in, sends the load from inside, and gives the report back.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from frugal.cli.demo.inputs import CLAIM, JOB, SERVING, Manifest
from frugal.cli.demo.kubectl import Kubectl, KubectlFailed
from frugal.embedded.table import plain_line
from frugal.errors import FrugalError
from frugal.settings import Settings
from frugal.telemetry.counters import PodCounters, pod_counters
from frugal.telemetry.exposition import parse_exposition

CONTEXTS = {"kind": "kind-frugal", "context": "", "node": ""}
HELPER = "frugal-demo"
HELPER_VOLUME = "/models"
LOOK_SECONDS = 1.0
START_SECONDS = 120
OPERATOR = "deployment/frugal-operator"
PLURALS = {"CompressionJob": "compressionjobs.frugal.dev", "InferenceDeployment": "inferencedeployments.frugal.dev"}
POD_USER = 65532  # of the images


class AlreadyThere(FrugalError):
    """The cluster has an object of a name that the demo would take, and delete at its end."""

    def __init__(self, manifest: Manifest) -> None:
        self.kind, self.name = manifest["kind"], manifest["metadata"]["name"]
        super().__init__(
            f"{self.kind} {self.name} is in the namespace default already: delete it, or use another cluster"
        )


class KubernetesWorld:
    """A cluster with Frugal in it. `cluster` is kind, context (the kubeconfig's present one) or node."""

    service_port = 8080

    def __init__(self, cluster: str, console: Console) -> None:
        self.name, self._console = cluster, console
        self._kubectl = Kubectl(CONTEXTS[cluster])
        self._settings = Settings()
        self._objects: dict[tuple[str, str], Manifest] = {}
        self._applied: list[Manifest] = []
        self._watcher: asyncio.Task[None] | None = None

    async def start(self, manifests: Sequence[Manifest], models: Path) -> None:
        namespace = self._settings.operator_namespace
        prices = await self._kubectl.get("configmap", self._settings.price_book, "-n", namespace)
        claims = [one for one in manifests if one["kind"] == "PersistentVolumeClaim"]
        others = [one for one in manifests if one["kind"] in PLURALS]
        others += [one for one in manifests if one["kind"] == "ConfigMap" and prices is None]
        helper = helper_pod(self._settings.jobs_image)
        await self._refuse_to_touch([*(one for one in others if one["kind"] in PLURALS), helper])
        claims = [one for one in claims if not await self._is_there(one)]  # a claim that is there is used, and stays
        volumes = [await self._volume(models)] if claims and self.name == "node" else []
        await self._apply(*volumes, *(_bound(one) if volumes else one for one in claims), helper)
        await self._kubectl.run(
            "wait", "--for=condition=Ready", f"pod/{HELPER}", f"--timeout={START_SECONDS}s", seconds=START_SECONDS + 5
        )
        await self._send(models)
        await self._apply(*others)
        self._watcher = asyncio.create_task(self._follow())

    def get(self, kind: str, name: str) -> Manifest | None:
        return self._objects.get((kind, name))

    async def add_history(self, checkpoint: Manifest) -> None:
        """Take the operator away meanwhile: it writes a checkpoint of its own, and reads one only at its start."""
        namespace = self._settings.operator_namespace
        await self._kubectl.run("scale", OPERATOR, "--replicas=0", "-n", namespace)
        waiting = ("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "-n", namespace)
        await self._kubectl.run(*waiting, f"--timeout={START_SECONDS}s", seconds=START_SECONDS + 5)
        try:
            await self._kubectl.apply(checkpoint)
        finally:
            await self._kubectl.run("scale", OPERATOR, "--replicas=1", "-n", namespace)
        rollout = ("rollout", "status", OPERATOR, "-n", namespace, f"--timeout={START_SECONDS}s")
        await self._kubectl.run(*rollout, seconds=START_SECONDS + 5)

    async def answers(self) -> bool:
        """The replicas went on serving: nothing to wait for."""
        return True

    async def drive(self, rates: Sequence[float]) -> dict[str, Any]:
        """Send the load from the helper pod, to the Service's own address."""
        service = await self._kubectl.get("service", SERVING)
        if service is None:
            return {}
        url = f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"
        images = f"{HELPER_VOLUME}/{JOB}/t10k-images-idx3-ubyte.gz"
        plan = {"url": url, "model": SERVING, "images": images, "rates": list(rates)}
        code = Path(__file__).with_name("load.py").read_text()
        words = ("exec", "-i", HELPER, "--", "python", "-c", code)
        said = await self._kubectl.run(*words, sent=json.dumps(plan).encode(), seconds=len(rates) + 60)
        return dict(json.loads(said))

    async def server_counters(self) -> PodCounters | None:
        labels = f"frugal.dev/kind=InferenceDeployment,frugal.dev/name={SERVING}"
        pods = await self._kubectl.get("pods", "-l", labels, "--field-selector=status.phase=Running")
        if not pods or not pods["items"]:
            return None
        page = await self._page("default", pods["items"][0], "http")
        return pod_counters(parse_exposition(page), at=datetime.now(UTC))  # noqa: TID251 (the demo's own clock)

    async def metrics(self) -> str:
        namespace = self._settings.operator_namespace
        pods = await self._kubectl.get("pods", "-l", "app.kubernetes.io/component=operator", "-n", namespace)
        assert pods is not None, "a list is always there"
        pages = [await self._page(namespace, pod, "metrics") for pod in pods["items"]]
        return max(pages, key=len, default="")  # a follower shows little

    async def fetch(self, models: Path) -> None:
        """Bring what was published into `models`."""
        words = ("exec", HELPER, "--", "python", "-c", _PACK, f"{HELPER_VOLUME}/{JOB}", "compressed")
        packed = await self._kubectl.run(*words)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(models / JOB, filter="data")

    async def close(self) -> None:
        """Delete what was applied, newest first; the operator and a price book that was there stay."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        for one in reversed(self._applied):
            kind, metadata = PLURALS.get(one["kind"], one["kind"].lower()), one["metadata"]
            namespace = metadata.get("namespace", "default")
            words = ("delete", kind, metadata["name"], "-n", namespace, "--ignore-not-found", "--timeout=60s")
            await self._kubectl.run(*words, seconds=90)

    async def _is_there(self, manifest: Manifest) -> bool:
        kind = PLURALS.get(manifest["kind"], manifest["kind"].lower())
        return await self._kubectl.get(kind, manifest["metadata"]["name"], "-n", "default") is not None

    async def _refuse_to_touch(self, manifests: Sequence[Manifest]) -> None:
        """Raise AlreadyThere for an object that somebody else made: the demo deletes at its end what it applied."""
        for one in manifests:
            if await self._is_there(one):
                raise AlreadyThere(one)

    async def _apply(self, *manifests: Manifest) -> None:
        self._applied += manifests
        await self._kubectl.apply(*manifests)

    async def _follow(self) -> None:
        """Keep a fresh copy of both objects, and tell what changed; an API server that is away keeps the last one."""
        while True:
            for kind, name in (("CompressionJob", JOB), ("InferenceDeployment", SERVING)):
                with contextlib.suppress(KubectlFailed):
                    found = await self._kubectl.get(PLURALS[kind], name)
                    if found is not None:
                        self._take(kind, name, found)
            await asyncio.sleep(LOOK_SECONDS)

    def _take(self, kind: str, name: str, found: Manifest) -> None:
        before = self._objects.get((kind, name))
        self._objects[kind, name] = found
        if before is None or plain_line(before) != plain_line(found):
            self._console.print(plain_line(found), markup=False, highlight=False, soft_wrap=True)

    async def _page(self, namespace: str, pod: Manifest, port_name: str) -> str:
        """Return a pod's /metrics by way of the API server."""
        ports = [port for one in pod["spec"]["containers"] for port in one.get("ports") or []]
        port = next(one["containerPort"] for one in ports if one.get("name") == port_name)
        path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}:{port}/proxy/metrics"
        return (await self._kubectl.run("get", "--raw", path)).decode()

    async def _send(self, models: Path) -> None:
        """Put the model and its data into the claim."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(models / JOB, arcname=JOB)
        words = ("exec", "-i", HELPER, "--", "python", "-c", _UNPACK, HELPER_VOLUME)
        await self._kubectl.run(*words, sent=packed.getvalue(), seconds=120)

    async def _volume(self, models: Path) -> Manifest:
        """Return a volume in a folder of this machine, which is the node: it has no provisioner of volumes."""
        folder = models.with_name("claim")
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"frugal-demo-{CLAIM}"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": "default", "name": CLAIM},
            },
        }


def helper_pod(image: str) -> Manifest:
    """Return the demo's own pod, which only waits until it is asked for something."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": HELPER, "namespace": "default"},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": POD_USER, "fsGroup": POD_USER},
            "containers": [
                {
                    "name": "helper",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", "import signal; signal.pause()"],
                    "volumeMounts": [{"name": "models", "mountPath": HELPER_VOLUME}],
                }
            ],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}}],
        },
    }


def _bound(claim: Manifest) -> Manifest:
    """Return the claim bound to the demo's own volume."""
    bound = {"storageClassName": "", "volumeName": f"frugal-demo-{CLAIM}"}
    return {**claim, "spec": {**claim["spec"], **bound}}


_UNPACK = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall(sys.argv[1])"
_PACK = (
    "import os, sys, tarfile; os.chdir(sys.argv[1]); "
    "made = tarfile.open(fileobj=sys.stdout.buffer, mode='w|'); made.add(sys.argv[2]); made.close()"
)
