"""A real Prometheus on loopback: Debian's package, installed or unpacked without root into the cache."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml

from tests.cluster import places
from tests.ports import free_port

SCRAPE_SECONDS = 1
READY_SECONDS = 20.0

Jobs = Sequence[Mapping[str, object]]
StartPrometheus = Callable[..., AbstractContextManager[str]]


@contextmanager
def prometheus(
    folder: Path,
    *,
    jobs: Jobs,
    rule_files: Sequence[Path] = (),
    scrape_seconds: int = SCRAPE_SECONDS,
    port: int | None = None,
) -> Iterator[str]:
    """Run Prometheus with these scrape jobs, and give its URL once it is ready; all its files are in `folder`.

    Raises NoPrometheus where the program cannot be had.
    """
    program, address = find_program(), f"127.0.0.1:{port or free_port()}"
    interval = f"{scrape_seconds}s"
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(path.resolve()) for path in rule_files],
        "scrape_configs": list(jobs),
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_until_ready(f"http://{address}/-/ready", process, folder / "log")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


class NoPrometheus(Exception):
    """The program is not here and cannot be fetched; the message says why."""


def find_program() -> str:
    """Return the path of the program; raises NoPrometheus."""
    unpacked = places.cache() / "prometheus"
    found = shutil.which("prometheus") or shutil.which("prometheus", path=str(unpacked / "usr/bin"))
    if found:
        return found
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NoPrometheus("no prometheus here, and no apt-get to fetch Debian's package with")
    unpacked.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", "prometheus"], cwd=unpacked, capture_output=True, check=False)
    archives = list(unpacked.glob("prometheus_*.deb"))
    if fetched.returncode or not archives:
        raise NoPrometheus("no prometheus here, and Debian's package cannot be downloaded")
    subprocess.run(["dpkg-deb", "-x", archives[0], unpacked], check=True)
    return str(unpacked / "usr/bin/prometheus")


@pytest.fixture(name="start_prometheus")
def start_prometheus_fixture() -> StartPrometheus:
    """Give `prometheus` to a test; the test is skipped, with the reason, where the program cannot be had."""
    try:
        find_program()
    except NoPrometheus as reason:
        pytest.skip(str(reason))
    return prometheus


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.05)
    raise AssertionError(f"Prometheus is not ready after {READY_SECONDS:.0f} s: {log.read_text()[-2000:]}")
