"""Which pods were the same workload's, by what owns them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from frugal.telemetry.owners import pod_names


def owned(name: str, kind: str, owner: str, **labels: str) -> dict[str, Any]:
    reference = {"kind": kind, "name": owner, "controller": True}
    return {"metadata": {"name": name, "namespace": "team", "labels": labels, "ownerReferences": [reference]}}


DEPLOYED = owned("fashion-7d4b9c-x2x4z", "ReplicaSet", "fashion-7d4b9c", **{"pod-template-hash": "7d4b9c"})
NUMBERED = owned("llm-0", "StatefulSet", "llm")
WORKER = owned("big-0-3", "StatefulSet", "big-0", **{"leaderworkerset.sigs.k8s.io/name": "big"})
BATCH = owned("nightly-k9xw2", "Job", "nightly")
ALONE = {"metadata": {"name": "alone", "namespace": "team"}}


@pytest.mark.parametrize(
    ("pod", "others", "strangers"),
    [
        (DEPLOYED, ["fashion-7d4b9c-aaaaa", "fashion-599f-bcdfg"], ["fashion-2-7d4b9c-aaaaa", "fashion"]),
        (NUMBERED, ["llm-7"], ["llm-7-1", "llm-x"]),
        (WORKER, ["big-1", "big-2-1"], ["bigger-1"]),
        (BATCH, ["nightly-2-abcde"], ["nightly2-abcde"]),
        (ALONE, [], ["alone-1"]),
    ],
    ids=["Deployment", "StatefulSet", "LeaderWorkerSet", "Job", "bare pod"],
)  # fmt: skip
def test_earlier_pods_of_the_same_owner_are_found_and_others_are_not(
    pod: dict[str, Any], others: list[str], strangers: list[str]
) -> None:
    pattern = re.compile(pod_names([pod]))

    assert pattern.fullmatch(pod["metadata"]["name"])
    assert all(pattern.fullmatch(name) for name in others)
    assert not [name for name in strangers if pattern.fullmatch(name)]


def test_a_name_is_no_pattern() -> None:
    dotted = owned("a.b-0", "StatefulSet", "a.b")

    assert not re.fullmatch(pod_names([dotted]), "axb-0")
