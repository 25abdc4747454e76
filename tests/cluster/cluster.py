"""What a test holds in its hand: a control plane, or a whole node that runs pods.

How they come up and go down is in `lifecycle`; when a test gets one is in `fixtures`.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import lifecycle, places, runtime
from tests.cluster.app_images import MODULES, app_image
from tests.cluster.client import get_object
from tests.cluster.errors import ClusterError
from tests.cluster.images import Image
from tests.cluster.instance import Instance
from tests.cluster.kubectl import Kubectl
from tests.cluster.processes import wait_until


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """An API server with its etcd and controller manager: objects live, pods never run."""

    instance: Instance

    @property
    def kubeconfig(self) -> Path:
        """Path of the administrator's kubeconfig."""
        return self.instance.kubeconfig

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self.instance.must_record().server

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as the administrator."""
        return Kubectl(self.kubeconfig)

    @contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """Give a namespace of one's own, ready for pods; it is deleted with all that is in it, without waiting."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"  # pods are refused until it has its token
        has_token = lambda: get_object(self.instance, path).get("secrets")  # noqa: E731
        try:
            wait_until(f"account of {name}", has_token, instance=self.instance, seconds=30)
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def crash(self, component: str) -> None:
        """End `kube-apiserver`, `etcd`, `kube-controller-manager`, `kubelet`, ... at once, as a power cut would."""
        lifecycle.crash(self.instance, component)

    def restart(self, component: str) -> None:
        """Bring a crashed component back with its data, and wait until the API server answers."""
        lifecycle.restart(self.instance, component)

    def log(self, component: str) -> str:
        """Return what a component has logged so far."""
        return self.instance.log(component).read_text(errors="replace")


@dataclass(frozen=True, slots=True)
class Node(ControlPlane):
    """A whole cluster of one node: containers, networks, memory limits and kills are real."""

    def load_image(self, image: Image) -> str:
        """Give an image of ours to the node and return the name by which pods ask for it."""
        runtime.load(self.instance, image)
        return image.name

    def load_archive(self, archive: Path, name: str) -> str:
        """Give an image archive (OCI or docker) to the node as `name`, and return that."""
        runtime.load_archive(self.instance, archive, name)
        return name

    def load_app_images(self, *extras: str) -> dict[str, str]:
        """Build the images of `operator`, `jobs`, `serve` (all, or those named) from the sources as they are now.

        Returns:
            extra -> image name. The first time takes as long as copying the packages; then only sources are copied.
        """
        return {extra: self.load_image(app_image(extra)) for extra in extras or MODULES}

    def set_gpus(self, count: int) -> None:
        """Let the node advertise `count` devices of nvidia.com/gpu."""
        lifecycle.set_gpus(self.instance, count)

    def claim(self, name: str, *, namespace: str = "default", size: str = "1Gi") -> Path:
        """Make a bound PersistentVolumeClaim whose folder here is returned; our pods' user may write to it.

        Applying it twice gives the same folder. It ends with the node; its content with it.
        """
        folder = self.instance.run / "claims" / namespace / name
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, places.POD_UID, places.POD_UID)
        volume = f"{namespace}-{name}"
        common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        self.kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": volume},
                "spec": {
                    **common,
                    "capacity": {"storage": size},
                    "hostPath": {"path": str(folder)},
                    "claimRef": {"namespace": namespace, "name": name},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {**common, "volumeName": volume, "resources": {"requests": {"storage": size}}},
            },
        )
        return folder

    def give(self, claim: Path, source: Path, path: str) -> Path:
        """Copy a file into a claim's folder at `path`, owned by our pods' user, and return where it lies."""
        target = claim / path
        if not target.resolve().is_relative_to(claim.resolve()):
            raise ClusterError(f"{path!r} leads out of the claim {claim.name!r}: give a path below it")
        for parent in reversed([folder for folder in target.parents if folder.is_relative_to(claim)]):
            parent.mkdir(exist_ok=True)
            os.chown(parent, places.POD_UID, places.POD_UID)
        target.write_bytes(source.read_bytes())
        os.chown(target, places.POD_UID, places.POD_UID)
        return target
