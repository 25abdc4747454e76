"""The commands of etcd, the API server, the controller manager and the scheduler.

The node's own programs are in `runtime` and `kubelet`; the order of starting is in `lifecycle`.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import places
from tests.cluster.instance import Instance

Command = Sequence[str | Path | int]

_GATES = ("--feature-gates", "TTLAfterFinished=true")  # on by default from 1.21
_ETCD_QUOTA_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Free ports of one instance."""

    etcd: int
    etcd_peer: int
    api: int
    controller_manager: int
    scheduler: int
    kubelet: int
    proxy_health: int
    proxy_metrics: int


def etcd(instance: Instance, ports: Ports, *, folder: Path) -> Command:
    """Return the command of etcd with its data in `folder`."""
    client = f"http://127.0.0.1:{ports.etcd}"
    peer = f"http://127.0.0.1:{ports.etcd_peer}"
    return [
        shutil.which("etcd") or "etcd", "--name", instance.name, "--data-dir", folder, "--log-level", "warn",
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", f"{instance.name}={peer}", "--quota-backend-bytes", _ETCD_QUOTA_BYTES,
    ]  # fmt: skip


def api_server(instance: Instance, ports: Ports, *, host: str, is_full: bool) -> Command:
    """Return the command of the API server, listening on `host`."""
    return [
        places.binary("kube-apiserver"), "--etcd-servers", f"http://127.0.0.1:{ports.etcd}",
        "--bind-address", host, "--advertise-address", host, "--secure-port", ports.api, "--insecure-port", 0,
        *(() if is_full else ("--endpoint-reconciler-type", "none")),
        "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--allow-privileged",
        "--service-cluster-ip-range", places.SERVICE_CIDR, "--cert-dir", instance.run / "apiserver",
        "--profiling=false", *_GATES, *_api_server_keys(instance.pki), *_aggregation(instance.pki),
    ]  # fmt: skip


def _api_server_keys(pki: Path) -> Command:
    return [
        "--tls-cert-file", pki / "apiserver.crt", "--tls-private-key-file", pki / "apiserver.key",
        "--client-ca-file", pki / "ca.crt", "--service-account-issuer", "https://kubernetes.default.svc",
        "--service-account-key-file", pki / "sa.pub", "--service-account-signing-key-file", pki / "sa.key",
        "--kubelet-client-certificate", pki / "apiserver-kubelet.crt",
        "--kubelet-client-key", pki / "apiserver-kubelet.key",
        "--kubelet-certificate-authority", pki / "ca.crt", "--kubelet-preferred-address-types", "InternalIP",
    ]  # fmt: skip


def _aggregation(pki: Path) -> Command:
    """Return the flags that let another API server be registered behind this one."""
    return [
        "--requestheader-client-ca-file", pki / "ca.crt", "--requestheader-allowed-names", "front-proxy",
        "--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
        "--requestheader-extra-headers-prefix", "X-Remote-Extra-",
        "--proxy-client-cert-file", pki / "front-proxy.crt", "--proxy-client-key-file", pki / "front-proxy.key",
    ]  # fmt: skip


def controller_manager(instance: Instance, ports: Ports) -> Command:
    """Return the command of the controller manager: Jobs, Deployments, garbage collection, accounts and tokens."""
    pki = instance.pki
    return [
        places.binary("kube-controller-manager"), "--kubeconfig", instance.run / "controller-manager.kubeconfig",
        "--service-account-private-key-file", pki / "sa.key", "--root-ca-file", pki / "ca.crt",
        "--cluster-signing-cert-file", pki / "ca.crt", "--cluster-signing-key-file", pki / "ca.key",
        "--use-service-account-credentials", "--flex-volume-plugin-dir", instance.run / "plugins",
        "--pvclaimbinder-sync-period", "1s",  # by default a claim may wait 15 s for its volume
        *_GATES, *_served(instance, "controller-manager", ports.controller_manager),
    ]  # fmt: skip


def scheduler(instance: Instance, ports: Ports) -> Command:
    """Return the command of the scheduler."""
    return [
        places.binary("kube-scheduler"), "--kubeconfig", instance.run / "scheduler.kubeconfig",
        *_served(instance, "scheduler", ports.scheduler),
    ]  # fmt: skip


def _served(instance: Instance, name: str, port: int) -> Command:
    return [
        "--secure-port", port, "--port", 0, "--bind-address", "127.0.0.1", "--cert-dir", instance.run / name,
        "--leader-elect=false",
    ]  # fmt: skip
