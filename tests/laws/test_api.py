"""Laws of the API: reading what was written changes nothing, and no document makes the reader crash."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from frugal.api.crd import COMPRESSION_JOB, object_schema
from frugal.api.schema import Schema
from frugal.api.validation import parse_compression_job, parse_inference_deployment
from frugal.errors import InvalidObject
from tests.cel.cases import CASES, Case

GOOD_JOBS = [case for case in CASES if not case.fault and case.kind == "CompressionJob"]
ANYTHING: some.SearchStrategy[Any] = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(object_schema(COMPRESSION_JOB)["properties"]["spec"]["properties"])


@given(some.sampled_from(GOOD_JOBS))
def test_a_written_spec_reads_back_equal(case: Case) -> None:
    parsed = parse_compression_job(case.manifest)

    again = parse_compression_job({**case.manifest, "spec": parsed.spec.to_json()})

    assert again.spec == parsed.spec
    assert again.spec.inputs_hash() == parsed.spec.inputs_hash()


@given(some.sampled_from(GOOD_JOBS))
def test_the_defaults_of_the_crd_are_those_of_the_types(case: Case) -> None:
    spec_schema = object_schema(COMPRESSION_JOB)["properties"]["spec"]

    defaulted = with_defaults(case.manifest["spec"], spec_schema)

    parsed = parse_compression_job(case.manifest).spec
    assert parse_compression_job({**case.manifest, "spec": defaulted}).spec == parsed
    assert with_defaults(defaulted, spec_schema) == defaulted


@given(some.sampled_from(FIELDS), ANYTHING)
def test_nonsense_in_a_field_is_read_or_refused_and_never_a_crash(field: str, nonsense: Any) -> None:
    manifest = GOOD_JOBS[0].manifest
    manifest["spec"][field] = nonsense

    with suppress(InvalidObject):
        parse_compression_job(manifest)


@given(some.dictionaries(some.text(max_size=8), ANYTHING, max_size=4))
def test_a_spec_of_nonsense_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidObject):
        parse_inference_deployment({"metadata": {"name": "cnn"}, "spec": spec})


def with_defaults(value: Any, schema: Schema) -> Any:
    """Return `value` as an API server stores it: absent fields that have a default are set, from the outside in."""
    if isinstance(value, dict) and "properties" in schema:
        filled = {name: one["default"] for name, one in schema["properties"].items() if "default" in one} | value
        return {name: with_defaults(one, schema["properties"].get(name, {})) for name, one in filled.items()}
    if isinstance(value, dict) and "additionalProperties" in schema:
        return {name: with_defaults(one, schema["additionalProperties"]) for name, one in value.items()}
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(one, schema["items"]) for one in value]
    return value
