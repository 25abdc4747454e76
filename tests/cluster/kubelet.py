"""The kubelet and kube-proxy of a full node: their configuration, their commands and their control groups.

The container runtime under them is in `runtime`.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from tests.cluster import places
from tests.cluster.control_plane import Command, Ports
from tests.cluster.instance import Instance

CGROUPS = Path("/sys/fs/cgroup")
_UNIFIED_CONTROLLERS = "+cpu +cpuset +memory +pids"


def kubelet(instance: Instance, ports: Ports) -> Command:
    """Write the kubelet's configuration and return its command."""
    config = instance.run / "kubelet.yaml"
    config.write_text(json.dumps(_kubelet_config(instance, ports), indent=1))
    (instance.run / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # there is no cluster DNS
    return [
        places.binary("kubelet"), "--config", config, "--kubeconfig", instance.run / "kubelet.kubeconfig",
        "--container-runtime", "remote", "--container-runtime-endpoint", f"unix://{instance.containerd_socket}",
        "--hostname-override", places.NODE_NAME, "--node-ip", places.GATEWAY, "--root-dir", instance.run / "kubelet",
        "--cert-dir", instance.run / "kubelet-pki", "--pod-infra-container-image", places.PAUSE_IMAGE,
    ]  # fmt: skip


def proxy(instance: Instance, ports: Ports) -> Command:
    """Return the command of kube-proxy in its iptables mode, without any change of connection tracking limits."""
    return [
        places.binary("kube-proxy"), "--kubeconfig", instance.run / "proxy.kubeconfig", "--proxy-mode", "iptables",
        "--hostname-override", places.NODE_NAME, "--cluster-cidr", places.POD_CIDR, "--bind-address", places.GATEWAY,
        "--healthz-bind-address", f"127.0.0.1:{ports.proxy_health}",
        "--metrics-bind-address", f"127.0.0.1:{ports.proxy_metrics}",
        "--conntrack-max-per-core", 0, "--conntrack-tcp-timeout-established", "0s",
        "--conntrack-tcp-timeout-close-wait", "0s",
    ]  # fmt: skip


def make_cgroups() -> None:
    """Make the control groups under which every pod of the node runs."""
    if (CGROUPS / "cgroup.controllers").exists():
        (CGROUPS / "cgroup.subtree_control").write_text(_UNIFIED_CONTROLLERS)
        (CGROUPS / places.NODE_CGROUP).mkdir(exist_ok=True)
        return
    for hierarchy in _hierarchies():
        (hierarchy / places.NODE_CGROUP).mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset is empty and lets nothing run
        ours = CGROUPS / "cpuset" / places.NODE_CGROUP / setting
        if ours.exists() and not ours.read_text().strip():
            ours.write_text((CGROUPS / "cpuset" / setting).read_text())


def remove_cgroups() -> None:
    """Remove our control groups, innermost first; one that still holds a process stays, and is in `residue`."""
    for ours in _ours():
        for folder, _, _ in os.walk(ours, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()


def residue() -> list[str]:
    """Return which of our control groups are left, one line each."""
    return [f"control group {path}" for path in _ours()]


def _ours() -> list[Path]:
    """Return our control groups wherever they are; the runtime makes them in the hybrid `unified` hierarchy too."""
    places_to_look = (CGROUPS, *CGROUPS.iterdir()) if CGROUPS.is_dir() else ()
    return [found for place in places_to_look if (found := place / places.NODE_CGROUP).is_dir()]


def _hierarchies() -> list[Path]:
    """Return the hierarchies of control groups version 1; none where version 2 alone is mounted."""
    if not CGROUPS.is_dir() or (CGROUPS / "cgroup.controllers").exists():
        return []
    return [path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and path.name != "unified"]


def _kubelet_config(instance: Instance, ports: Ports) -> dict[str, object]:
    pki = instance.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": places.GATEWAY,
        "port": ports.kubelet,
        "healthzPort": 0,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{places.NODE_CGROUP}",
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "resolvConf": str(instance.run / "resolv.conf"),
        "maxPods": 200,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "10s",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "volumePluginDir": str(instance.run / "plugins"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "volumeStatsAggPeriod": "0s",
    }
