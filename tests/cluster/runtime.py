"""containerd on a full node: its configuration, the images in it, and ending what runs in it.

How an image is made is not its matter: see `images`.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.cluster import images, places
from tests.cluster.errors import CommandFailed
from tests.cluster.images import Image
from tests.cluster.instance import Instance
from tests.cluster.processes import found_by_command, start, stop, wait_until
from tests.cluster.shell import attempt, run

IMPORT_SECONDS = 300


def start_runtime(instance: Instance) -> None:
    """Start containerd, wait for it and give it the pause image."""
    _write_network(instance)
    config = instance.run / "containerd.toml"
    config.write_text(_config(instance))
    start(instance, "containerd", ["containerd", "--config", config])
    wait_until("containerd", lambda: ctr(instance, "version"), instance=instance, seconds=30)
    load(instance, pause_image())


def ctr(instance: Instance, *words: str | Path) -> str:
    """Return what containerd's own client says; empty where it fails."""
    return attempt("ctr", "-a", instance.containerd_socket, "-n", "k8s.io", *words, timeout_seconds=IMPORT_SECONDS)


def load(instance: Instance, image: Image) -> None:
    """Give an image of ours to the node; layers that it has already are not copied again."""
    stored = frozenset(ctr(instance, "content", "ls", "-q").split())
    client = ["ctr", "-a", str(instance.containerd_socket), "-n", "k8s.io", "images", "import", "-"]
    with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as importing:
        assert importing.stdin is not None
        with suppress(BrokenPipeError), importing.stdin:  # it ended early: its own words say why
            images.write_archive(image, importing.stdin, without=stored)
        assert importing.stdout is not None
        said = importing.stdout.read().decode(errors="replace")
    if importing.returncode != 0:
        raise CommandFailed(f"containerd did not take {image.name}: {said}")


def load_archive(instance: Instance, archive: Path, name: str = "") -> None:
    """Give an OCI or docker image archive to the node, under `name` too where that is not its own."""
    client = ("ctr", "-a", instance.containerd_socket, "-n", "k8s.io", "images")
    printed = run(*client, "import", archive, timeout_seconds=IMPORT_SECONDS)
    found = re.search(r"unpacking (\S+)", printed)
    if name and found and found[1] != images.full_name(name):
        run(*client, "tag", "--force", found[1], images.full_name(name))


def pause_image() -> Image:
    """Return the image that holds a pod's namespaces open, made from the built pause program."""
    if kept := images.find(places.PAUSE_IMAGE):
        return kept
    layer = images.layer_of_files({"pause": places.binary("pause")}, places.images() / "pause.layer.tar")
    return images.keep(Image(name=places.PAUSE_IMAGE, layers=(layer,), config={"Entrypoint": ["/pause"]}))


def end_pods(instance: Instance) -> None:
    """End every container of a running containerd and remove its network namespace."""
    namespaces: set[str] = set()
    for container in ctr(instance, "containers", "ls", "-q").split():
        described = ctr(instance, "containers", "info", container)
        namespaces.update(re.findall(r'"(/(?:var/)?run/netns/[^"]+)"', described))
    for task in ctr(instance, "tasks", "ls", "-q").split():
        ctr(instance, "tasks", "rm", "-f", task)
    for namespace in namespaces:
        attempt("ip", "netns", "del", Path(namespace).name)


def end_shims(instance: Instance) -> None:
    """End the processes that held containers for a containerd that is gone."""
    stop(found_by_command("containerd-shim", str(instance.run)), term_seconds=2)
    unmount_under(instance.run)


def unmount_under(folder: Path) -> None:
    """Detach every mount under `folder`, innermost first."""
    for point in sorted(mounts(), reverse=True):
        if point.startswith(f"{folder}/"):
            attempt("umount", "-l", point)


def mounts() -> list[str]:
    """Return where something is mounted on this machine."""
    return [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]


def remove(folders: Iterable[str]) -> None:
    """Remove folders, whether they are there or not."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _write_network(instance: Instance) -> None:
    plugins: Sequence[object] = [
        {
            "type": "bridge",
            "bridge": places.BRIDGE,
            "isDefaultGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(instance.run / "leases"),
                "ranges": [[{"subnet": places.POD_CIDR}]],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    folder = instance.run / "cni"
    folder.mkdir()
    text = json.dumps({"cniVersion": "0.4.0", "name": "frugal-node", "plugins": plugins})
    (folder / "10-frugal-node.conflist").write_text(text)


def _config(instance: Instance) -> str:
    return f"""
version = 2
root = "{instance.must_record().storage}"
state = "{instance.run}/containerd-state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{instance.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{places.PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{instance.run}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""
