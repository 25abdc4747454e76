"""Building Kubernetes from Debian's source package, once per machine, into the cache.

Takes 25 s for packages and source and 5 to 9 minutes of compiling on two cores; needs root and Debian 12.
"""

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import packages, places
from tests.cluster.errors import ClusterError, NotPossible
from tests.cluster.shell import run

logger = logging.getLogger(__name__)

SUITE = "bookworm"  # Debian 12, the last release that carries the whole source tree
SOURCE = f"kubernetes=1.20.5+really{places.VERSION}-1.1+deb12u1"
BUILD_SECONDS = 3000  # nine minutes on two idle cores; several times that on busy ones


def objection() -> str:
    """Say why this machine cannot build the node; empty where it can."""
    if os.geteuid() != 0:
        return "building the test node needs root (it installs packages)"
    if packages.release() != SUITE:
        return f"the test node is built from the source packages of Debian 12 ({SUITE}), which this is not"
    return ""


def build() -> None:
    """Make sure that the cache holds every program of the node; the second of two callers waits for the first.

    Raises:
        NotPossible: not built yet, and this machine cannot build it.
        CommandFailed: a step of the build failed.
    """
    if not places.is_built():
        if reason := objection():
            raise NotPossible(reason)
        with _alone():
            if not places.is_built():
                _build()
    packages.install({**packages.CONTROL_PLANE, **packages.NODE})


@contextmanager
def _alone() -> Iterator[None]:
    """Hold this machine's lock on the build; the kernel gives it back when the process ends, however it ends."""
    places.cache().parent.mkdir(parents=True, exist_ok=True)
    with (places.cache().parent / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build() -> None:
    started = time.monotonic()
    work = places.cache().parent / "build"
    shutil.rmtree(work, ignore_errors=True)  # of a build that was cut off
    tree = work / "src/k8s.io/kubernetes"
    packages.install(packages.BUILD)
    _fetch_source(work, tree)
    _replace_reflect2(tree)
    logger.info("packages and source: %.0f s; compiling (5 to 9 minutes on 2 cores)", time.monotonic() - started)
    _compile(work, tree)
    shutil.rmtree(work)
    logger.info("built in %.0f s: %s", time.monotonic() - started, places.cache())


def _fetch_source(work: Path, tree: Path) -> None:
    """Unpack the source package into `tree`, through a package source that is there only meanwhile."""
    tree.parent.mkdir(parents=True)
    entry = Path("/etc/apt/sources.list.d/frugal-node-source.sources")
    entry.write_text(packages.source_entry(SUITE))
    try:
        packages.apt_get("update", "-qq")
        packages.apt_get("source", "-qq", "--download-only", SOURCE, cwd=work)
    finally:
        entry.unlink()
    description = next(work.glob("*.dsc"))
    run("dpkg-source", "--no-check", "-x", description, tree, timeout_seconds=300)


def _replace_reflect2(tree: Path) -> None:
    """Mend the vendored reflect2 1.0.1: with Go 1.18 or newer the server crashes on the first custom resource."""
    vendored = tree / "vendor/github.com/modern-go/reflect2"
    shutil.rmtree(vendored)
    packaged = "/usr/share/gocode/src/github.com/modern-go/reflect2"
    shutil.copytree(packaged, vendored, ignore=shutil.ignore_patterns("*_test.go", "go.mod"))


def _compile(work: Path, tree: Path) -> None:
    """Compile the components and the pause program, and put each into the cache in one step."""
    env = {
        **os.environ,
        "GOPATH": str(work),
        "PATH": f"/usr/lib/go-1.19/bin:{os.environ['PATH']}",
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "KUBE_GIT_VERSION": f"v{places.VERSION}",
    }
    what = " ".join(f"cmd/{name}" for name in places.COMPONENTS)
    run("make", f"WHAT={what}", "GOLDFLAGS=-s -w", cwd=tree, env=env, timeout_seconds=BUILD_SECONDS)
    pause = work / "pause"
    run("gcc", "-Os", "-static", f"-DVERSION={places.VERSION}", "-o", pause, _pause_source(tree))
    made = [tree / "_output/local/bin/linux/amd64" / name for name in places.COMPONENTS]
    places.cache().mkdir(parents=True, exist_ok=True)
    for program in (*made, pause):
        program.rename(places.binary(program.name))


def _pause_source(tree: Path) -> Path:
    for place in ("build/pause/linux/pause.c", "build/pause/pause.c"):
        if (tree / place).exists():
            return tree / place
    raise ClusterError(f"no pause.c in {tree / 'build/pause'}: is this Kubernetes {places.VERSION}?")
