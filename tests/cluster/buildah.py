"""Building the repository's Dockerfile with buildah, on a base image made here: no daemon and no registry.

Its storage is its own and goes with it. The images for most tests come faster from `app_images`.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from tests.cluster import images, packages, places
from tests.cluster.app_images import ROOT
from tests.cluster.errors import NotPossible
from tests.cluster.interpreter import base_image
from tests.cluster.shell import attempt, run

TARGETS = ("operator", "jobs", "serve")
BASE = "frugal.local/python-pip:3.11"
BUILD_SECONDS = 900
MEMORY_BYTES = 12 << 30  # twice what the largest build takes
_BUILDAH = {"buildah": "buildah"}
_PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT")


def objection() -> str:
    """Say why nothing can be built here; empty where it can."""
    if os.geteuid() != 0:
        return "buildah builds here as root alone"
    if lacking := packages.missing(_BUILDAH):
        return f"not installed: {', '.join(lacking)}; as root: apt-get install {' '.join(lacking)}"
    return ""


@dataclass(frozen=True, slots=True)
class Workshop:
    """A store of images under one folder."""

    folder: Path

    def build(self, target: str) -> str:
        """Build one target of the Dockerfile and return the image's name.

        Raises:
            CommandFailed: with the last lines of the build.
        """
        name = f"frugal.local/{target}:built"
        network = ("--isolation", "chroot", "--network", "host", "--pull-never", "--layers=false")
        arguments = [f"--build-arg={key}={value}" for key, value in {"BASE": BASE, **_pip_settings()}.items()]
        volumes = [f"--volume={path}:{path}:ro" for path in _pip_paths()]
        words = ("bud", *network, *arguments, *volumes, "--target", target, "-t", name, str(ROOT))
        self._buildah(*words, timeout_seconds=BUILD_SECONDS)
        return name

    def archive(self, name: str) -> Path:
        """Write an image as a docker archive, its layers uncompressed, and return its path."""
        path = self.folder / f"{images.slug(name)}.tar"
        path.unlink(missing_ok=True)
        self._buildah("push", name, f"docker-archive:{path}:{name}", timeout_seconds=BUILD_SECONDS)
        return path

    def pull_base(self) -> None:
        """Bring the base image in."""
        archive = self.folder / "base.tar"
        with archive.open("wb") as stream:
            images.write_archive(base_image(BASE, with_pip=True), cast(IO[bytes], stream))
        found = self._buildah("pull", "-q", f"oci-archive:{archive}", timeout_seconds=300).split()[-1]
        self._buildah("tag", found, BASE)
        archive.unlink()

    def _buildah(self, *words: str, timeout_seconds: float = 60) -> str:
        store = ("--root", self.folder / "root", "--runroot", self.folder / "runroot", "--storage-driver", "overlay")
        return run("buildah", *store, *words, timeout_seconds=timeout_seconds)


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Give a store with the base image in it, and remove it with all its images at the end.

    Raises:
        NotPossible: no root or no buildah.
    """
    if reason := objection():
        raise NotPossible(reason)
    folder = _parent() / f"frugal-buildah-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        shop = Workshop(folder)
        shop.pull_base()
        yield shop
    finally:
        attempt("umount", folder / "root/overlay")  # overlay mounts its own folder private
        shutil.rmtree(folder, ignore_errors=True)


def _parent() -> Path:
    """Return where to put the store: in memory where there is plenty, since it is written and removed thrice over."""
    memory = Path("/dev/shm")
    if memory.is_mount() and shutil.disk_usage(memory).free > MEMORY_BYTES and _available_bytes() > MEMORY_BYTES:
        return memory
    return places.cache().parent


def _available_bytes() -> int:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _pip_settings() -> dict[str, str]:
    return {name: os.environ[name] for name in _PIP_SETTINGS if name in os.environ}


def _pip_paths() -> list[str]:
    """Return the local files and folders that pip is told to look at here, for the build to see them too."""
    return [value for value in _pip_settings().values() if value.startswith("/") and Path(value).exists()]
