"""The generated schemas are what Kubernetes accepts, and say everything that the types say."""

from collections.abc import Iterator
from typing import Annotated

import pytest
import yaml
from pydantic import Field

from frugal.api.base import ApiModel, Rule
from frugal.api.crd import KINDS, Kind, custom_resource_definition, object_schema
from frugal.api.schema import Schema, strict_json_schema, structural_schema

BOTH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


class Inner(ApiModel):
    """An inner object."""

    size: Annotated[int, Field(gt=0, le=9)] = 3


class Outer(ApiModel):
    """An outer object."""

    inner: Inner = Inner()
    maybe: Inner | None = None
    named: Annotated[Inner | None, Field(description="By name.")] = None
    word: Annotated[str, Field(pattern="^(a|b)?$")] = ""
    never: int | None = 5
    weights: dict[str, float] = {}
    RULES = (
        Rule(cel="self.inner.size > 1", check=lambda self: self.inner.size > 1, field="inner", message="more than 1"),
        Rule(cel="", check=lambda self: True, field="inner", message="what CEL cannot say"),
    )


def outer(*, with_defaults: bool = True) -> Schema:
    return structural_schema(Outer, with_defaults=with_defaults)


def test_an_object_with_defaults_inside_has_an_empty_object_as_its_default() -> None:
    inner = outer()["properties"]["inner"]

    assert inner["default"] == {}
    assert inner["properties"]["size"]["default"] == 3


def test_an_optional_object_has_no_default() -> None:
    assert "default" not in outer()["properties"]["maybe"]


def test_a_fields_own_description_beats_that_of_its_type() -> None:
    properties = outer()["properties"]

    assert properties["maybe"]["description"] == "An inner object."
    assert properties["named"]["description"] == "By name."


def test_exclusive_bounds_are_written_as_openapi_3_0_has_them() -> None:
    size = outer()["properties"]["inner"]["properties"]["size"]

    assert (size["minimum"], size["exclusiveMinimum"], size["maximum"]) == (0, True, 9)
    assert "exclusiveMaximum" not in size


def test_a_pattern_that_lists_words_becomes_an_enum() -> None:
    word = outer()["properties"]["word"]

    assert word["enum"] == ["", "a", "b"]
    assert "pattern" not in word


def test_null_is_allowed_only_where_it_differs_from_leaving_out() -> None:
    properties = outer()["properties"]

    assert properties["never"]["nullable"] is True  # null: never; left out: 5
    assert "nullable" not in properties["maybe"]


def test_rules_are_written_where_cel_can_say_them() -> None:
    assert outer()["x-kubernetes-validations"] == [{"rule": "self.inner.size > 1", "message": "more than 1"}]


def test_a_status_has_no_defaults() -> None:
    assert "default" not in str(outer(with_defaults=False))


def test_strict_json_schema_refuses_unknown_fields() -> None:
    strict = strict_json_schema(outer())

    assert strict["additionalProperties"] is False
    assert strict["properties"]["weights"]["additionalProperties"] == {"type": "number"}
    assert strict["properties"]["inner"]["properties"]["size"]["exclusiveMinimum"] == 0
    assert strict["properties"]["never"]["type"] == ["integer", "null"]


@BOTH
def test_every_field_is_described(kind: Kind) -> None:
    undescribed = [path for path, schema in fields("", object_schema(kind)) if not schema.get("description")]

    assert undescribed == [".metadata"]  # the API server knows what that is


@BOTH
def test_every_schema_is_structural(kind: Kind) -> None:
    for path, schema in nodes("", object_schema(kind)):
        assert "$ref" not in schema, path
        assert schema.get("type") or schema.get("x-kubernetes-int-or-string"), path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        for option in schema.get("anyOf", ()):
            assert not {"type", "default", "description", "nullable", "additionalProperties"} & set(option), path


@BOTH
def test_every_list_and_map_of_a_spec_has_a_size(kind: Kind) -> None:
    spec = object_schema(kind)["properties"]["spec"]

    for path, schema in nodes("", spec):
        assert schema.get("type") != "array" or "maxItems" in schema, path
        assert "additionalProperties" not in schema or "maxProperties" in schema, path


@BOTH
def test_every_text_of_a_spec_has_a_length(kind: Kind) -> None:
    for path, schema in nodes("", object_schema(kind)["properties"]["spec"]):
        if schema.get("type") == "string" and "anyOf" not in schema:
            assert "enum" in schema or "maxLength" in schema, path


@BOTH
def test_the_definition_has_names_columns_and_subresources(kind: Kind) -> None:
    definition = custom_resource_definition(kind)
    (version,) = definition["spec"]["versions"]

    assert definition["metadata"]["name"] == f"{kind.plural}.frugal.dev"
    assert definition["spec"]["names"]["categories"] == ["frugal", "all"]
    assert version["subresources"]["status"] == {}
    assert version["additionalPrinterColumns"][0]["name"] == "Phase"
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert status["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]


@BOTH
def test_every_column_points_at_a_field(kind: Kind) -> None:
    schema = object_schema(kind)

    for column in kind.columns:
        place = schema
        if column.path.startswith(".metadata"):
            continue
        for part in column.path.strip(".").split("."):
            place = place["properties"][part]
        assert place["type"] == column.type


def test_an_external_scaler_finds_the_replicas_of_an_inference_deployment() -> None:
    definitions = {kind.name: custom_resource_definition(kind) for kind in KINDS}

    (version,) = definitions["InferenceDeployment"]["spec"]["versions"]
    assert version["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas.desired",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }


@BOTH
def test_a_definition_is_small_enough_to_be_applied(kind: Kind) -> None:
    assert len(yaml.safe_dump(custom_resource_definition(kind))) < 200 * 1024


def fields(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, one in schema.get("properties", {}).items():
        yield f"{path}.{name}", one
        yield from fields(f"{path}.{name}", one)
    for part in ("items", "additionalProperties"):
        if part in schema:
            yield from fields(f"{path}[]", schema[part])


def nodes(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, one in schema.get("properties", {}).items():
        yield from nodes(f"{path}.{name}", one)
    for part in ("items", "additionalProperties"):
        if part in schema:
            yield from nodes(f"{path}[]", schema[part])
