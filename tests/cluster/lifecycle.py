"""Bringing an instance up, taking it down without a trace, and breaking parts of it on purpose.

What each program is started with is said in `control_plane`, `runtime` and `kubelet`.
"""

import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from tests.cluster import certificates, control_plane, kubelet, network, packages, places, runtime
from tests.cluster.client import call, get_object
from tests.cluster.control_plane import Ports
from tests.cluster.errors import ClusterError, NotBuilt, NotPossible
from tests.cluster.instance import Instance, Process, Record
from tests.cluster.processes import found_by_command, is_alive, kill, start, stop, wait_until
from tests.ports import free_ports

logger = logging.getLogger(__name__)

NODE_INSTANCE = "default"  # there is one full node on a machine, and this is its name
_FULL_ONLY = ("scheduler", "kubelet", "proxy")
_STOPPED_FIRST = ("kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager")
_STOPPED_LAST = ("kube-apiserver", "containerd", "etcd")
# What `residue` looks for; another process may name our folder too, such as somebody's kubectl.
_PROGRAMS = {*_STOPPED_FIRST, *_STOPPED_LAST, "containerd-shim-runc-v2"}
# Folders that the kubelet, the runtime and CNI use whatever they are told.
_FIXED_FOLDERS = (
    "/var/log/pods",
    "/var/log/containers",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/run/containerd",
    "/run/netns",
)


def objection(*, is_full: bool) -> str:
    """Say why no cluster can be started here; empty where one can."""
    try:
        _require(is_full=is_full)
    except ClusterError as error:
        return str(error)
    return ""


def is_up(instance: Instance) -> bool:
    """Say whether this instance was started whole and every program of it still runs."""
    record = instance.record()
    return record is not None and record.is_ready and all(map(is_alive, record.processes.values()))


def up(instance: Instance, *, is_full: bool) -> None:
    """Start a cluster and wait until pods can be scheduled (full) or objects be written (control plane only).

    Does nothing where it is up; clears away one that is half up.

    Raises:
        NotBuilt, NotPossible: this machine cannot, and what would help.
        NotReady: a part did not come up; what was started is left for a look at its logs, until `down`.
    """
    if is_up(instance):
        return
    down(instance)
    _require(is_full=is_full)
    if is_full and instance.name != NODE_INSTANCE:
        raise NotPossible(
            f"a machine has one full node, named {NODE_INSTANCE!r}; {instance.name!r} can be control plane only"
        )
    started = time.monotonic()
    names = Ports.__dataclass_fields__
    ports = Ports(**dict(zip(names, free_ports(len(names)), strict=True)))
    host = places.GATEWAY if is_full else "127.0.0.1"
    _prepare(instance, server=f"https://{host}:{ports.api}", is_full=is_full)
    _start_control_plane(instance, ports, host=host, is_full=is_full)
    if is_full:
        _start_node(instance, ports)
    _wait_for_accounts(instance)
    instance.note(is_ready=True)
    logger.info("ready in %.1f s", time.monotonic() - started)


def down(instance: Instance) -> None:
    """Stop everything that `up` started and undo everything that it changed; nothing happens where nothing is up."""
    record = instance.record()
    if record is None:
        return
    stop(_among(record, _STOPPED_FIRST))
    if record.is_full and instance.containerd_socket.exists():
        runtime.end_pods(instance)
    stop(_among(record, _STOPPED_LAST), term_seconds=5)  # a server that still starts does not heed SIGTERM
    if record.is_full:
        runtime.end_shims(instance)
        network.tear_down(record)
        kubelet.remove_cgroups()
    runtime.remove([record.etcd_data, record.storage, *record.absent_folders])
    instance.forget()


def residue(instance: Instance) -> list[str]:
    """Return what this machine still has of an instance that is down, one line each; empty is as it should be."""
    run = str(instance.run)
    programs = [found for found in found_by_command(run) if Path(found.command[0]).name in _PROGRAMS]
    left = [f"process {found.pid}: {' '.join(found.command)[:80]}" for found in programs]
    left += [f"mount {point}" for point in runtime.mounts() if point.startswith(f"{run}/")]
    left += [str(path) for path in (instance.run, places.cache() / "run" / instance.name) if path.exists()]
    if instance.name == NODE_INSTANCE:
        left += [*network.residue(), *kubelet.residue()]
    return left


def crash(instance: Instance, component: str) -> None:
    """End one program at once (SIGKILL); `restart` brings it back on the same ports and data."""
    kill(instance.must_record().processes[component])


def restart(instance: Instance, component: str) -> None:
    """Start one program again that was crashed, and wait until the API server answers."""
    process = instance.must_record().processes[component]
    if not is_alive(process):
        start(instance, component, process.command)
    _wait_for_api(instance)


def memory_bytes(process: Process) -> int:
    """Return the resident memory of a process, in bytes; 0 where it is gone."""
    try:
        pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def set_gpus(instance: Instance, count: int) -> None:
    """Let the node advertise `count` devices of nvidia.com/gpu, which no pod can really use."""
    path = f"/api/v1/nodes/{places.NODE_NAME}"
    patch: list[object] = [
        {"op": "add", "path": f"/status/{part}/nvidia.com~1gpu", "value": str(count)}
        for part in ("capacity", "allocatable")
    ]
    call(instance, "PATCH", f"{path}/status", patch, content_type="application/json-patch+json")
    allocatable = "nvidia.com/gpu"
    wait_until(
        "GPUs allocatable",
        lambda: _part(get_object(instance, path), "status", "allocatable").get(allocatable) == str(count),
        instance=instance,
        seconds=30,
    )


def _require(*, is_full: bool) -> None:
    if not places.is_built():
        raise NotBuilt(f"no Kubernetes in {places.cache()}: as root on Debian 12, `python -m tests.cluster build`")
    packages.require(packages.CONTROL_PLANE)
    if is_full:
        if os.geteuid() != 0:
            raise NotPossible("a full node needs root (network, control groups, mounts)")
        packages.require(packages.NODE)


def _prepare(instance: Instance, *, server: str, is_full: bool) -> None:
    instance.forget()  # what a crash before the first record may have left
    instance.run.mkdir(parents=True)
    instance.run.chmod(0o700)
    memory = Path("/dev/shm")  # etcd syncs at every write, which costs nothing in memory
    parent = memory if os.access(memory, os.W_OK) else instance.run
    record = Record(
        is_full=is_full,
        server=server,
        etcd_data=str(parent / f"frugal-node-{os.geteuid()}-{instance.name}"),
        storage=str(places.cache() / "run" / instance.name),
        absent_folders=[folder for folder in _FIXED_FOLDERS if not Path(folder).exists()] if is_full else [],
    )
    shutil.rmtree(record.etcd_data, ignore_errors=True)
    instance.save(record)
    if is_full:
        network.set_up(instance)
    _write_credentials(instance, server=server, is_full=is_full)


def _write_credentials(instance: Instance, *, server: str, is_full: bool) -> None:
    host = server.removeprefix("https://").rsplit(":", 1)[0]
    certificates.make_all(instance, host=host, is_full=is_full)
    for who in ("admin", "controller-manager", *(_FULL_ONLY if is_full else ())):
        certificates.write_kubeconfig(instance, who, server)


def _start_control_plane(instance: Instance, ports: Ports, *, host: str, is_full: bool) -> None:
    folder = Path(instance.must_record().etcd_data)
    start(instance, "etcd", control_plane.etcd(instance, ports, folder=folder))
    start(instance, "kube-apiserver", control_plane.api_server(instance, ports, host=host, is_full=is_full))
    if is_full:
        runtime.start_runtime(instance)  # while the API server starts
    _wait_for_api(instance)
    start(instance, "kube-controller-manager", control_plane.controller_manager(instance, ports))


def _start_node(instance: Instance, ports: Ports) -> None:
    kubelet.make_cgroups()
    start(instance, "kube-scheduler", control_plane.scheduler(instance, ports))
    start(instance, "kubelet", kubelet.kubelet(instance, ports))
    start(instance, "kube-proxy", kubelet.proxy(instance, ports))
    path = f"/api/v1/nodes/{places.NODE_NAME}"
    wait_until("node Ready", lambda: _is_ready(get_object(instance, path)), instance=instance, seconds=120)
    # The taint of a node that is not ready goes a little later; only then pods are scheduled.
    free = lambda: not _part(get_object(instance, path), "spec").get("taints")  # noqa: E731
    wait_until("node without taints", free, instance=instance, seconds=60)


def _wait_for_api(instance: Instance) -> None:
    ready = lambda: call(instance, "GET", "/readyz") == "ok"  # noqa: E731
    wait_until("kube-apiserver", ready, instance=instance, seconds=120)


def _wait_for_accounts(instance: Instance) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    wait_until("default account", lambda: get_object(instance, path).get("secrets"), instance=instance, seconds=60)


def _is_ready(node: Mapping[str, object]) -> bool:
    conditions = cast(list[dict[str, str]], _part(node, "status")["conditions"])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _part(found: Mapping[str, object], *path: str) -> Mapping[str, object]:
    for name in path:
        found = cast(Mapping[str, object], found[name])
    return found


def _among(record: Record, names: tuple[str, ...]) -> list[Process]:
    return [record.processes[name] for name in names if name in record.processes]
