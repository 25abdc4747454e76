"""A pod that looks around in its image, and what it saw.

What a scenario's own pods do is made by the product; these are for the images and the node alone.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

from tests.cluster.cluster import Node

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}
# Asks Python and the file system, since no command line tool is in the images for sure.
LOOK = """
import importlib.util, json, os, pathlib
def can_write(path):
    try:
        open(path + "/probe", "w").close()
    except OSError:
        return False
    return True
names = ("frugal", "frugal_jobs", "frugal_serve", "kopf", "torch", "onnxruntime", "pip", "setuptools", "pytest")
has = [name for name in names if importlib.util.find_spec(name)]
compilers = [str(path) for name in ("gcc", "cc", "pip", "pip3") for path in pathlib.Path("/usr").glob("**/bin/" + name)]
report = {"uid": os.getuid(), "has": has, "tools": compilers, "root": can_write("/"), "tmp": can_write("/tmp")}
open("/dev/termination-log", "w").write(json.dumps(report))
"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image must have and must not have, as importable names."""

    needs: frozenset[str]
    lacks: frozenset[str]


CONTENTS = {
    "operator": Contents(
        frozenset({"frugal", "kopf"}), frozenset({"torch", "onnxruntime", "pip", "setuptools", "pytest"})
    ),
    "jobs": Contents(
        frozenset({"frugal", "frugal_jobs", "torch", "onnxruntime"}), frozenset({"kopf", "pip", "pytest"})
    ),
    "serve": Contents(
        frozenset({"frugal", "frugal_serve", "onnxruntime"}),
        frozenset({"kopf", "torch", "pip", "setuptools", "pytest"}),
    ),
}


def pod(room: str, name: str, image: str, command: list[str], **container: Any) -> dict[str, Any]:
    """Return a pod that runs `command` once, as the restricted profile wants it, with a writable /tmp."""
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, *container.pop("volumeMounts", [])]
    volumes = [{"name": "tmp", "emptyDir": {}}, *container.pop("volumes", [])]
    main = {"name": "main", "image": image, "command": command, "securityContext": RESTRICTED, "volumeMounts": mounts}
    spec = {"restartPolicy": "Never", "volumes": volumes, "containers": [main | container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": room}, "spec": spec}


def ended(node: Node, room: str, name: str, *, seconds: float = 60) -> dict[str, Any]:
    """Wait until the container of a pod ended and return its `terminated` state."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status: dict[str, Any] = node.kubectl.get("pod", name, "-n", room)["status"]  # type: ignore[assignment]  # an object of the API
        for container in status.get("containerStatuses", []):
            if state := container["state"].get("terminated"):
                return dict(state)
        time.sleep(0.2)
    raise AssertionError(f"pod {name} did not end:\n{node.kubectl('describe', 'pod', name, '-n', room)}")


def look(node: Node, room: str, image: str) -> dict[str, Any]:
    """Run a pod of `image` that looks around and return its report."""
    node.kubectl.apply(pod(room, "look", image, ["python", "-c", LOOK]))
    state = ended(node, room, "look")
    assert state["exitCode"] == 0, node.kubectl("logs", "look", "-n", room)
    return dict(json.loads(state["message"]))
