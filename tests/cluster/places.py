"""Names, addresses and folders that every part of the test node agrees on.

Nothing is created here: a folder comes to be where it is first written.
"""

import os
import tempfile
from pathlib import Path

VERSION = "1.20.2"  # the newest complete Kubernetes source tree that Debian packages
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")

NODE_NAME = "frugal-node"
NODE_CGROUP = "frugal-node"
BRIDGE = "frugal0"
GATEWAY = "10.88.0.1"
POD_CIDR = "10.88.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_API = "10.96.0.1"  # first address of SERVICE_CIDR: the API server as pods see it

PAUSE_IMAGE = "frugal.local/pause:1"
PYTHON_IMAGE = "frugal.local/python:3.11"
POD_UID = 65532  # the user that our images run as: distroless' `nonroot`


def cache() -> Path:
    """Return the folder of binaries and images that outlives every node."""
    home = os.environ.get("FRUGAL_CACHE") or Path.home() / ".cache/frugal"
    return Path(home) / "kubernetes" / VERSION


def images() -> Path:
    """Return the folder of image layers and of the descriptions of images."""
    return cache() / "layers"


def runs() -> Path:
    """Return the folder under which each instance keeps its run folder."""
    if os.geteuid() == 0:
        return Path("/run/frugal-node")
    return Path(tempfile.gettempdir()) / f"frugal-node-{os.geteuid()}"


def binary(component: str) -> Path:
    """Return where the built program of `component` lies, built or not."""
    return cache() / component


def is_built() -> bool:
    """Say whether the cache holds every program that `build` makes."""
    return all(binary(name).exists() for name in (*COMPONENTS, "pause"))
