"""Embedded mode as a World: `frugal run` over a folder of manifests, looked at through its state folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import yaml

from tests.ports import free_port
from tests.scenarios.world import CLAIM, Manifest, World


class EmbeddedWorld(World):
    """`frugal run` as a process of its own."""

    name = "embedded"
    has_api_server = False
    enforces_rules = False
    pods_outlive_operator = False  # they are its processes, so that none is left behind when it is killed
    operator_namespace = "default"

    def __init__(self, inputs: Path, folder: Path) -> None:
        super().__init__()
        self._manifests, self._state, self._folder = folder / "manifests", folder / "state", folder
        self._manifests.mkdir()
        self._volume = self._state / "volumes" / CLAIM
        shutil.copytree(inputs, self._volume)
        self._metrics_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._apply(
            [
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": CLAIM, "namespace": "default"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            ]
        )
        self.start_operator()

    @property
    def volume(self) -> Path:
        """The folder behind the claim."""
        return self._volume

    def close(self) -> None:
        """End `frugal run`, and with it every pod."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
            self._process.kill()

    def _apply(self, manifests: Sequence[Manifest]) -> None:
        for manifest in manifests:
            file = self._file(manifest["kind"], manifest["metadata"]["name"])
            half = file.with_suffix(".half")
            half.write_text(yaml.safe_dump(manifest))
            half.replace(file)

    def _file(self, kind: str, name: str) -> Path:
        return self._manifests / f"{kind.lower()}-{name}.yaml"

    def delete(self, kind: str, name: str) -> None:
        file = self._file(kind, name)
        if file.exists():
            file.unlink()
        else:  # a child: it goes as `frugal delete` would have it go
            (self._state / "objects" / kind / "default" / f"{name}.json").unlink(missing_ok=True)

    def get(self, kind: str, name: str) -> Manifest | None:
        try:
            found: Manifest = json.loads((self._state / "objects" / kind / "default" / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        return found

    def children(self, uid: str, kind: str) -> list[Manifest]:
        labelled = [
            one for one in self._all(kind) if (one["metadata"].get("labels") or {}).get("frugal.dev/uid") == uid
        ]
        return [one for one in labelled if "deletionTimestamp" not in one["metadata"]]

    def events(self, name: str) -> list[Manifest]:
        return [
            event
            for event in self._all("Event")
            if event["involvedObject"]["name"] == name
            and event["involvedObject"]["kind"] in ("CompressionJob", "InferenceDeployment")
        ]

    def _all(self, kind: str) -> list[Manifest]:
        found = []
        for file in (self._state / "objects" / kind).glob("default/[!.]*.json"):
            with suppress(FileNotFoundError):
                found.append(json.loads(file.read_text()))
        return found

    @property
    def is_alive(self) -> bool:
        """Whether `frugal run` runs."""
        return self._process is not None and self._process.poll() is None

    def kill_operator(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def start_operator(self) -> None:
        where: list[str | Path] = [
            "-f",
            self._manifests,
            "--state",
            self._state,
            "--metrics-port",
            str(self._metrics_port),
        ]
        environment = {**os.environ, "FRUGAL_TICK_SECONDS": "5"}
        with (self._folder / "frugal.log").open("ab") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("frugal"), "run", *where], env=environment, stdout=log, stderr=log
            )

    def kill_pod(self, pod: Manifest) -> None:
        """End every process that carries the pod's uid in its environment."""
        uid = pod["metadata"]["uid"]
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if f"/pods/{uid}/".encode() in environ.read_bytes():
                    os.kill(int(environ.parent.name), signal.SIGKILL)

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=10).raise_for_status().text

    @contextmanager
    def endpoint(self, name: str) -> Iterator[str]:
        service = self.get("Service", name)
        assert service is not None, f"no Service {name}"
        yield f"http://127.0.0.1:{service['spec']['ports'][0]['port']}"
