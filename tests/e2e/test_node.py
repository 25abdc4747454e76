"""The test node itself: what it promises to the scenarios that run on it."""

from typing import cast

import pytest

from tests.cluster.cluster import ControlPlane, Node
from tests.cluster.errors import CommandFailed
from tests.e2e.pods import CONTENTS, ended, look, pod


@pytest.mark.parametrize("extra", CONTENTS)
def test_an_image_of_ours_runs_without_root_on_a_read_only_file_system(node: Node, room: str, extra: str) -> None:
    image = node.load_app_images(extra)[extra]

    seen = look(node, room, image)

    assert CONTENTS[extra].needs <= set(seen["has"])
    assert not CONTENTS[extra].lacks & set(seen["has"])
    assert {key: seen[key] for key in ("uid", "root", "tmp")} == {"uid": 65532, "root": False, "tmp": True}


def test_what_a_pod_writes_to_a_claim_is_here_and_the_other_way_round(node: Node, room: str) -> None:
    image = node.load_app_images("operator")["operator"]
    folder = node.claim("shelf", namespace=room)
    (folder / "asked").write_text("six times seven")

    copy = "import pathlib as p; p.Path('/shelf/answer').write_text(p.Path('/shelf/asked').read_text() + ' = 42')"
    claim = {"name": "shelf", "persistentVolumeClaim": {"claimName": "shelf"}}
    mount = {"name": "shelf", "mountPath": "/shelf"}
    node.kubectl.apply(pod(room, "shelf", image, ["python", "-c", copy], volumes=[claim], volumeMounts=[mount]))
    state = ended(node, room, "shelf")

    assert state["exitCode"] == 0, node.kubectl("logs", "shelf", "-n", room)
    assert (folder / "answer").read_text() == "six times seven = 42"


def test_a_container_over_its_memory_limit_is_killed_by_the_kernel(node: Node, room: str) -> None:
    image = node.load_app_images("operator")["operator"]
    greedy = "x = b'x' * (512 << 20)"  # 512 MiB against a limit of 64 MiB

    limits = {"limits": {"memory": "64Mi"}}
    node.kubectl.apply(pod(room, "greedy", image, ["python", "-c", greedy], resources=limits))
    state = ended(node, room, "greedy")

    assert state["reason"] == "OOMKilled"
    assert state["exitCode"] == 137


def test_a_pod_that_asks_for_more_gpus_than_there_are_stays_pending(node: Node, room: str) -> None:
    image = node.load_app_images("operator")["operator"]
    node.set_gpus(2)

    fits, too_many = ({"limits": {"nvidia.com/gpu": str(count)}} for count in (2, 3))
    node.kubectl.apply(
        pod(room, "fits", image, ["true"], resources=fits), pod(room, "too-many", image, ["true"], resources=too_many)
    )
    ended(node, room, "fits")

    status = cast(dict[str, object], node.kubectl.get("pod", "too-many", "-n", room)["status"])
    assert status["phase"] == "Pending"


def test_objects_outlive_a_crash_of_the_api_server(control_plane: ControlPlane) -> None:
    kubectl = control_plane.kubectl
    kubectl("create", "configmap", "memory", "--from-literal=kept=yes")

    control_plane.crash("kube-apiserver")
    with pytest.raises(CommandFailed):
        kubectl("get", "configmap", "memory", timeout_seconds=5)
    control_plane.restart("kube-apiserver")

    assert kubectl.get("configmap", "memory")["data"] == {"kept": "yes"}
