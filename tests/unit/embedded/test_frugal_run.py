"""`frugal run` as a process of its own, killed for real."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ports import free_port
from tests.unit.embedded.machine import job

FRUGAL = Path(sys.executable).with_name("frugal")
# Writes one line at each start, then works until the file `done` is there.
WORK = """
import os, pathlib, sys, time
root = pathlib.Path(os.environ["ROOT"])
with (root / "starts").open("a") as starts: starts.write(f"{os.getpid()}\\n")
while not (root / "done").exists(): time.sleep(0.05)
"""


class Run:
    """One `frugal run` over a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "manifests").mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []

    def apply(self, name: str, *manifests: dict[str, Any]) -> None:
        (self.root / "manifests" / f"{name}.yaml").write_text(yaml.safe_dump_all(manifests))

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command: list[str | Path] = [
            FRUGAL,
            "run",
            "-f",
            self.root / "manifests",
            "--state",
            self.root / "state",
            *words,
        ]
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen([*command, "--metrics-port", str(free_port())], stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in (self.root / "state/objects" / kind).glob("*/[!.]*.json")]

    def until(self, holds: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if found := holds():
                    return found
            except FileNotFoundError:
                pass
            time.sleep(0.05)
        raise AssertionError((self.root / "log").read_text())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    for process in made.processes:
        process.terminate()
        process.wait(20)


def starts(run: Run) -> list[int]:
    return [int(line) for line in (run.root / "starts").read_text().split()]


def test_a_kill_in_the_middle_of_a_job_loses_and_duplicates_nothing(run: Run) -> None:
    container = {"env": [{"name": "ROOT", "value": str(run.root)}]}
    run.apply("job", job("long", WORK, container=container, backoffLimit=0))
    first = run.start()
    (pid,) = run.until(lambda: starts(run))
    (uid,) = [one["metadata"]["uid"] for one in run.objects("Job")]

    first.kill()
    first.wait(10)
    run.until(lambda: not is_alive(pid))  # nothing of it is left, though nobody ended it
    run.start()
    run.until(lambda: len(starts(run)) == 2)
    (run.root / "done").touch()
    ended = run.until(lambda: (run.objects("Job")[0].get("status") or {}).get("conditions"))

    assert ended[0]["type"] == "Complete"
    assert [one["metadata"]["uid"] for one in run.objects("Job")] == [uid]
    assert run.objects("Job")[0]["status"]["failed"] == 0  # the kill was not the pod's fault
    assert len(starts(run)) == 2


def test_ending_it_ends_every_pod(run: Run) -> None:
    run.apply("job", job("long", WORK, container={"env": [{"name": "ROOT", "value": str(run.root)}]}))
    process = run.start()
    (pid,) = run.until(lambda: starts(run))

    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 0
    assert not is_alive(pid)


def test_a_second_one_over_the_same_state_is_refused_by_pid(run: Run) -> None:
    run.apply("config", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    first = run.start()
    run.until(lambda: run.objects("ConfigMap"))

    second = run.start()

    assert second.wait(20) == 2
    assert f"running process {first.pid}" in (run.root / "log").read_text()


def test_a_file_of_the_state_that_is_removed_deletes_its_object_and_what_it_owns(run: Run) -> None:
    run.apply("job", job("long", WORK, container={"env": [{"name": "ROOT", "value": str(run.root)}]}))
    run.start()
    (pid,) = run.until(lambda: starts(run))

    (run.root / "state/objects/Job/default/long.json").unlink()

    run.until(lambda: not is_alive(pid) and not run.objects("Pod"))


def test_bad_input_is_said_beside_a_good_object_and_ends_a_script(run: Run) -> None:
    broken = {
        "apiVersion": "frugal.dev/v1alpha1",
        "kind": "CompressionJob",
        "metadata": {"name": "bad"},
        "spec": {"a": 1},
    }
    run.apply("a", broken)
    run.apply("b", job("good", "print('done')"))

    ended = run.start("--until", "Ready", "--timeout", "20s")

    assert ended.wait(30) == 1
    (bad,) = run.objects("CompressionJob")
    valid = next(one for one in bad["status"]["conditions"] if one["type"] == "Valid")
    assert (valid["status"], valid["reason"]) == ("False", "InvalidSpec")
    assert "spec.a: unknown field" in valid["message"]
    assert run.objects("Job")[0]["metadata"]["name"] == "good"
