from __future__ import annotations

import time
from pathlib import Path

from tests.unit.embedded.machine import Machine, job


async def test_a_job_that_ends_well_is_complete(tmp_path: Path) -> None:
    async with Machine(tmp_path) as machine:
        machine.store.apply(job("fine", "print('{\"kind\": \"phase\"}'); print('bye')"))

        condition = await machine.until_job_ends("fine")

        status = machine.status("Job", "fine")
        (pod,) = machine.pods()
        assert condition["type"] == "Complete"
        assert (status["succeeded"], status["failed"], status["active"]) == (1, 0, 0)
        assert pod["status"]["phase"] == "Succeeded"
        assert machine.node.lines(pod) == ('{"kind": "phase"}', "bye")
        assert machine.printed == [pod["metadata"]["name"]]


async def test_a_failing_job_is_tried_again_with_growing_pauses_and_then_given_up(tmp_path: Path) -> None:
    async with Machine(tmp_path) as machine:
        machine.store.apply(job("bad", "raise SystemExit(3)", backoffLimit=2))
        began = time.monotonic()

        condition = await machine.until_job_ends("bad")

        took = time.monotonic() - began
        assert condition["type"] == "Failed"
        assert condition["reason"] == "BackoffLimitExceeded"
        assert len(machine.pods()) == 3  # the first and two retries
        assert took >= 0.4 + 0.8  # the pause doubles
        codes = {pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for pod in machine.pods()}
        assert codes == {3}


async def test_a_job_that_takes_too_long_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen(['sleep', '987']); time.sleep(60)"
    async with Machine(tmp_path) as machine:
        machine.store.apply(job("slow", code, activeDeadlineSeconds=1, pod={"terminationGracePeriodSeconds": 1}))

        condition = await machine.until_job_ends("slow")
        await machine.until(lambda: not machine.pods() and not machine.store.all("Pod"))

        assert condition["reason"] == "DeadlineExceeded"
        assert not _running("sleep 987")


async def test_a_finished_job_goes_after_its_time_to_live(tmp_path: Path) -> None:
    async with Machine(tmp_path) as machine:
        machine.store.apply(job("brief", "pass", ttlSecondsAfterFinished=1))
        await machine.until_job_ends("brief")

        await machine.until(lambda: not machine.get("Job", "brief") and not machine.store.all("Pod"))


async def test_a_process_that_outgrows_its_memory_limit_is_killed_as_out_of_memory(tmp_path: Path) -> None:
    code = "import time; held = bytearray(200 * 1024**2); time.sleep(60)"
    limits = {"resources": {"limits": {"memory": "100Mi"}}}
    async with Machine(tmp_path) as machine:
        machine.store.apply(job("greedy", code, container=limits, backoffLimit=0))

        await machine.until_job_ends("greedy")

        (pod,) = machine.pods()
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
        assert machine.events("OOMKilling")


async def test_the_termination_message_is_read_and_cut_where_a_kubelet_cuts_it(tmp_path: Path) -> None:
    code = "import os; open(os.environ['SAY'], 'w').write('x' * 9000)"
    container = {
        "terminationMessagePath": "/dev/termination-log",
        "env": [{"name": "SAY", "value": "/dev/termination-log"}],
    }
    async with Machine(tmp_path) as machine:
        machine.store.apply(job("speaks", code, container=container))

        await machine.until_job_ends("speaks")

        (pod,) = machine.pods()
        assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "x" * 4096


async def test_a_job_ended_by_a_stop_starts_again_and_the_stop_counts_for_nothing(tmp_path: Path) -> None:
    code = "import pathlib, time, sys; f = pathlib.Path(sys.argv[1]); a = f.exists(); f.touch(); a or time.sleep(60)"
    made = job("resumes", code, backoffLimit=0, pod={"terminationGracePeriodSeconds": 1})
    made["spec"]["template"]["spec"]["containers"][0]["args"] = [str(tmp_path / "was-here")]
    async with Machine(tmp_path) as machine:
        machine.store.apply(made)
        await machine.until((tmp_path / "was-here").exists)

    async with Machine(tmp_path) as machine:
        condition = await machine.until_job_ends("resumes")

        assert condition["type"] == "Complete"
        assert machine.status("Job", "resumes")["failed"] == 0


def _running(words: str) -> bool:
    lines = [file.read_bytes().replace(b"\0", b" ").decode() for file in _command_lines()]
    return any(line.startswith(words) for line in lines)


def _command_lines() -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
