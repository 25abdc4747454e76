"""A real Prometheus on loopback: Debian's package, installed or unpacked without root into the cache."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.cluster import places

SCRAPE_SECONDS = 1


@contextmanager
def prometheus(folder: Path, *, jobs: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Run Prometheus with these scrape jobs, and give its URL."""
    config = {"global": {"scrape_interval": f"{SCRAPE_SECONDS}s"}, "scrape_configs": list(jobs)}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    command = [
        _program(),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def _program() -> str:
    """Return the path of the program; skips the test where it cannot be had."""
    unpacked = places.cache() / "prometheus"
    found = shutil.which("prometheus") or shutil.which("prometheus", path=str(unpacked / "usr/bin"))
    if found:
        return found
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("no prometheus here, and no apt-get to fetch Debian's package with")
    unpacked.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", "prometheus"], cwd=unpacked, capture_output=True, check=False)
    archives = list(unpacked.glob("prometheus_*.deb"))
    if fetched.returncode or not archives:
        pytest.skip("no prometheus here, and Debian's package cannot be downloaded")
    subprocess.run(["dpkg-deb", "-x", archives[0], unpacked], check=True)
    return str(unpacked / "usr/bin/prometheus")
