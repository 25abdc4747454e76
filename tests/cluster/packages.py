"""The Debian packages that the node runs on and is built with, and whether they are here.

Only root installs anything; everybody else is told what is missing.
"""

import os
import re
import shutil
from pathlib import Path

from tests.cluster.errors import NotPossible
from tests.cluster.shell import run

CONTROL_PLANE = {"etcd": "etcd-server", "openssl": "openssl", "kubectl": "kubernetes-client"}
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "socat": "socat",
}
BUILD = {
    "/usr/lib/go-1.19/bin/go": "golang-1.19-go",
    "/usr/share/gocode/src/github.com/modern-go/reflect2": "golang-github-modern-go-reflect2-dev",
    "gcc": "gcc",
    "/usr/include/stdlib.h": "libc6-dev",
    "make": "make",
    "rsync": "rsync",
    "dpkg-source": "dpkg-dev",
}


def missing(wanted: dict[str, str]) -> list[str]:
    """Return the packages of those `wanted` (program or path -> package) that are not here."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [package for program, package in wanted.items() if not _is_here(program, path)]


def require(wanted: dict[str, str]) -> None:
    """Refuse to go on without the packages `wanted`.

    Raises:
        NotPossible: names the packages and the command that installs them.
    """
    if lacking := missing(wanted):
        raise NotPossible(f"not installed: {', '.join(lacking)}; as root: apt-get install {' '.join(lacking)}")


def install(wanted: dict[str, str]) -> None:
    """Install what is missing of `wanted`; needs root only where something is missing."""
    lacking = missing(wanted)
    if not lacking:
        return
    if os.geteuid() != 0:
        require(wanted)
    apt_get("update", "-qq")
    apt_get("install", "-y", "-qq", "--no-install-recommends", *lacking)


def apt_get(*words: str, cwd: Path | None = None) -> str:
    """Run apt-get without questions; at most ten minutes."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return run("apt-get", *words, cwd=cwd, env=env, timeout_seconds=600)


def release() -> str:
    """Return this system's codename, such as `bookworm`; empty where it does not say."""
    text = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    found = re.search(r"^VERSION_CODENAME=(\S+)$", text, re.MULTILINE)
    return found[1] if found else ""


def source_entry(suite: str) -> str:
    """Return this machine's own package source for `suite`, rewritten to give source packages (deb822 text).

    Raises:
        NotPossible: no file of apt's names the suite.
    """
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for paragraph in path.read_text().split("\n\n"):
            if re.search(rf"^Suites:.*\b{suite}\b(?!-)", paragraph, re.MULTILINE):
                lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
                return "\n".join(re.sub(r"^Types:.*", "Types: deb-src", line) for line in lines) + "\n"
    one_line = Path("/etc/apt/sources.list")
    text = one_line.read_text() if one_line.exists() else ""
    if found := re.search(rf"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+{suite}\s+(.+)$", text, re.MULTILINE):
        return f"Types: deb-src\nURIs: {found[1]}\nSuites: {suite}\nComponents: {found[2]}\n"
    raise NotPossible(f"apt has no source for {suite!r}; the test node is built from Debian 12's source packages")


def _is_here(program: str, path: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program, path=path) is not None
