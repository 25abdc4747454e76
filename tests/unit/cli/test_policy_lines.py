"""The JSON lines of `frugal policy --stdio`: the protocol as a simulator sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from frugal.cli.policy_lines import BadLine, answers

SERVICE: dict[str, Any] = {
    "flavors": [
        {"name": "1g.10gb", "slots": 1, "memory_gib": 10, "gpu_hours_price": 0.14},
        {"name": "2g.20gb", "slots": 2, "memory_gib": 20, "gpu_hours_price": 0.28},
    ],
    "sequences_per_replica": [4, 8],
    "service_seconds": 2,
    "wait_budget_seconds": 1,
    "violation_target": 0.001,
    "startup_minutes": 2,
    "model_memory_gib": 18,
}


def lines(*minutes: dict[str, Any], service: dict[str, Any] | None = None) -> list[str]:
    return [json.dumps(one) for one in ({"service": service or SERVICE}, *minutes)]


def test_each_minute_is_answered_with_a_flavor_that_holds_the_model_and_enough_replicas() -> None:
    first = {"t": 0, "requests": 600, "load": 20}
    second = first | {"t": 1, "util": 0.5, "capacity": 40, "backlog": 0, "violations": 0, "flavor": 1, "replicas": 5}

    told = [json.loads(answer) for answer in answers(lines(first, second | {"ready": 5, "new": [1]}))]

    assert [one["flavor"] for one in told] == [1, 1]  # the model does not fit into 10 GiB
    assert all(one["replicas"] * 8 > 20 for one in told)


def test_an_answer_comes_before_the_next_line_is_read() -> None:
    read: list[str] = []

    def source() -> Any:
        for line in lines({"t": 0, "requests": 1, "load": 1}, {"t": 1, "requests": 1, "load": 1}):
            read.append(line)
            yield line

    next(answers(source()))

    assert len(read) == 2


def test_a_stricter_target_never_means_fewer_replicas() -> None:
    minutes = [{"t": t, "requests": 600, "load": 20 + t % 7} for t in range(40)]

    def replicas(target: float) -> list[int]:
        told = answers(lines(*minutes, service=SERVICE | {"violation_target": target}))
        return [json.loads(one)["replicas"] for one in told]

    assert all(strict >= loose for strict, loose in zip(replicas(0.001), replicas(0.05), strict=True))


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ("{", "line 2"),
        ('{"t": 0, "requests": -1, "load": 1}', "requests"),
        ('{"t": 0, "requests": 1}', "load"),
        ('{"t": 0, "requests": 1, "load": 1, "flavor": 7, "replicas": 1}', "flavor"),
    ],
)
def test_a_bad_line_is_named_with_its_field(bad: str, named: str) -> None:
    with pytest.raises(BadLine, match=named):
        list(answers([*lines(), bad]))


def test_sequences_must_be_given_for_each_flavor() -> None:
    with pytest.raises(BadLine, match="expected one per flavor, found 1 for 2"):
        list(answers(lines(service=SERVICE | {"sequences_per_replica": [4]})))


def test_the_program_ends_with_2_and_a_sentence_on_bad_input() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from frugal.cli import main; raise SystemExit(main(['policy', '--stdio']))"],
        input='{"service": 1}\n',
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("frugal: line 1: service")
