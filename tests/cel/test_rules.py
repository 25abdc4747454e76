"""For every rule the API server (by CEL and schema) and the operator (in Python) give the same verdict."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from frugal.api.base import CEL_RULES
from frugal.api.compression_job import CompressionJob
from frugal.api.crd import KINDS, object_schema
from frugal.api.inference_deployment import InferenceDeployment
from frugal.api.validation import parse_compression_job, parse_inference_deployment
from frugal.errors import InvalidObject
from tests.cel.cases import CASES, Case
from tests.cel.server import CrdServer

PARSERS: dict[str, Callable[[Mapping[str, Any]], CompressionJob | InferenceDeployment]] = {
    "CompressionJob": parse_compression_job,
    "InferenceDeployment": parse_inference_deployment,
}
PLURALS = {kind.name: kind.plural for kind in KINDS}
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@EACH
def test_the_operator_judges_each_object_as_the_table_says(case: Case) -> None:
    fault = operators_fault(case)

    assert bool(fault) == bool(case.fault), fault
    assert case.fault in fault


@pytest.mark.real
@EACH
def test_the_server_judges_each_object_as_the_table_says(case: Case, crd_server: CrdServer) -> None:
    path = f"/apis/frugal.dev/v1alpha1/namespaces/default/{PLURALS[case.kind]}?dryRun=All"

    answer = crd_server.call("POST", path, case.manifest)

    assert answer.is_accepted == (not case.fault), answer.message
    assert not case.fault or answer.status == 422
    assert not case.fault or case.fault in answer.message


@pytest.mark.real
@pytest.mark.parametrize("case", [case for case in CASES if not case.fault], ids=lambda case: case.name)
def test_the_servers_defaults_change_nothing_that_the_operator_reads(case: Case, crd_server: CrdServer) -> None:
    path = f"/apis/frugal.dev/v1alpha1/namespaces/default/{PLURALS[case.kind]}?dryRun=All"

    stored = crd_server.call("POST", path, case.manifest).body

    assert stored["status"] == {"observedGeneration": -1}
    assert PARSERS[case.kind](stored).spec == PARSERS[case.kind](case.manifest).spec


def test_every_rule_is_broken_by_a_case() -> None:
    faults = [case.fault for case in CASES if case.fault]

    forgotten = {
        message for kind in KINDS for message in rule_messages(object_schema(kind)) if not shown(message, faults)
    }

    assert not forgotten


def operators_fault(case: Case) -> str:
    try:
        PARSERS[case.kind](case.manifest)
    except InvalidObject as error:
        return str(error)
    return ""


def rule_messages(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (rule["message"] for rule in schema.get(CEL_RULES, ()) if isinstance(rule, dict))
        for part in schema.values():
            yield from rule_messages(part)


def shown(message: str, faults: list[str]) -> bool:
    # The keys of a cost are named by the operator's message too, but in its own words.
    return any(fault in message for fault in faults) or message.startswith("the keys are")
