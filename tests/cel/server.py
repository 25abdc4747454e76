"""The CRD-only API server of a current Kubernetes, run beside a control plane of `tests.cluster` on the same etcd.

`build_crd_server.sh` makes its program. It serves CustomResourceDefinitions and their objects, with CEL, and no
discovery root, so that it is spoken to by full paths and not by kubectl.
"""

import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.instance import Instance

START_SECONDS = 60.0


def program() -> Path:
    """Return where the built program lies, built or not."""
    cache = Path(os.environ.get("FRUGAL_CACHE") or Path.home() / ".cache/frugal")
    return cache / "crd-server" / "apiextensions-apiserver"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: an HTTP status and the parsed body."""

    status: int
    body: dict[str, Any]

    @property
    def is_accepted(self) -> bool:
        return self.status < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


@dataclass(frozen=True, slots=True)
class CrdServer:
    """A running server, spoken to as the administrator."""

    url: str
    pki: Path

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Return the answer to one request, refusals included."""
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        payload = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, method=method, data=payload, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=10) as response:
                return Answer(response.status, _parsed(response.read()))
        except urllib.error.HTTPError as refusal:
            return Answer(refusal.code, _parsed(refusal.read()))


@contextmanager
def running(instance: Instance) -> Iterator[CrdServer]:
    """Run the server beside `instance` while the block lasts."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    with instance.log("crd-server").open("w") as log:
        process = subprocess.Popen(_command(instance, port), stdout=log, stderr=log)
    try:
        server = CrdServer(f"https://127.0.0.1:{port}", instance.pki)
        _wait(server, process, instance.log("crd-server"))
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _command(instance: Instance, port: int) -> list[str]:
    api_server = instance.must_record().processes["kube-apiserver"].command
    etcd = api_server[api_server.index("--etcd-servers") + 1]
    pki, admin = instance.pki, str(instance.kubeconfig)
    return [
        str(program()), "--etcd-servers", etcd, "--etcd-prefix", "/crd-server",
        "--bind-address", "127.0.0.1", "--secure-port", str(port),
        "--tls-cert-file", str(pki / "apiserver.crt"), "--tls-private-key-file", str(pki / "apiserver.key"),
        "--client-ca-file", str(pki / "ca.crt"), "--requestheader-client-ca-file", str(pki / "ca.crt"),
        "--requestheader-allowed-names", "front-proxy", "--requestheader-username-headers", "X-Remote-User",
        "--requestheader-group-headers", "X-Remote-Group", "--requestheader-extra-headers-prefix", "X-Remote-Extra-",
        "--kubeconfig", admin, "--authentication-kubeconfig", admin, "--authorization-kubeconfig", admin,
        # The control plane beside it is older than these two groups and than API priority in its present version.
        "--disable-admission-plugins", "ValidatingAdmissionPolicy,MutatingAdmissionPolicy",
        "--enable-priority-and-fairness=false",
    ]  # fmt: skip


def _wait(server: CrdServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if server.call("GET", "/readyz").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the CRD server did not come up:\n{log.read_text(errors='replace')[-2000:]}")


def _parsed(text: bytes) -> dict[str, Any]:
    return dict(json.loads(text)) if text.startswith(b"{") else {"message": text.decode(errors="replace")}
