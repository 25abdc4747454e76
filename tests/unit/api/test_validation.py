"""From a manifest to a parsed object, or to every fault in it."""

from typing import Any

import pytest

from frugal.api.validation import parse_compression_job, parse_inference_deployment
from frugal.errors import FieldError, InvalidObject
from tests.unit.api.objects import Manifest, compression_job, inference_deployment


def faults(manifest: Manifest, parse: Any = parse_compression_job) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidObject) as refusal:
        parse(manifest)
    return refusal.value.errors


def test_a_small_object_gets_every_default() -> None:
    parsed = parse_compression_job(compression_job())

    assert (parsed.namespace, parsed.name, parsed.uid, parsed.generation) == ("team", "cnn", "u", 3)
    assert parsed.spec.objective.max_loss == 0.5
    assert parsed.spec.strategy.search.timeout.seconds == 1800
    assert [str(target) for target in parsed.spec.targets] == ["onnxruntime/cpu"]


def test_every_fault_is_told_not_only_the_first() -> None:
    found = faults(compression_job(objective={"maxLoss": -1, "confidence": 2}, backoffLimit=99))

    assert [one.path for one in found] == [
        "spec.objective.maxLoss",
        "spec.objective.confidence",
        "spec.backoffLimit",
    ]
    assert [one.value for one in found] == [-1, 2, 99]


def test_an_unknown_field_is_named_with_its_place() -> None:
    (found,) = faults(compression_job(objective={"maxLos": 1}))

    assert found.path == "spec.objective.maxLos"
    assert "unknown field" in found.message


def test_a_field_in_snake_case_is_unknown_as_it_is_to_the_api_server() -> None:
    (found,) = faults(compression_job(objective={"max_loss": 1}))

    assert found.path == "spec.objective.maxLoss" or found.path == "spec.objective.max_loss"
    assert "unknown field" in found.message


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"objective": {"maxLoss": "1"}}, "spec.objective.maxLoss"),
        ({"suspend": "yes"}, "spec.suspend"),
        ({"backoffLimit": 1.5}, "spec.backoffLimit"),
        ({"backoffLimit": True}, "spec.backoffLimit"),
        ({"objective": {"maxLoss": float("nan")}}, "spec.objective.maxLoss"),
        ({"targets": {}}, "spec.targets"),
    ],
)
def test_no_type_is_guessed_from_another(spec: Manifest, path: str) -> None:
    (found,) = faults(compression_job(**spec))

    assert found.path == path


def test_what_is_missing_is_said_to_be_required() -> None:
    (found,) = faults(
        {"metadata": {"name": "cnn"}, "spec": {"model": {"uri": "s3://a/b"}, "output": {"uri": "s3://a"}}}
    )

    assert (found.path, found.message) == ("spec.data", "required")


def test_a_broken_rule_blames_its_field() -> None:
    (found,) = faults(inference_deployment(replicas={"min": 5, "max": 2}), parse_inference_deployment)

    assert found.path == "spec.replicas.min"
    assert found.value == 5
    assert "may not be more than" in found.message


def test_a_request_above_its_limit_is_refused_in_any_unit() -> None:
    resources = {"requests": {"memory": "1Gi"}, "limits": {"memory": "1000Mi"}}  # 1024 Mi > 1000 Mi

    (found,) = faults(compression_job(resources=resources))

    assert found.message == "a request may not be more than its limit"


def test_a_model_with_credentials_in_its_uri_is_refused() -> None:
    (found,) = faults(compression_job(model={"uri": "https://user:word@example.com/cnn.onnx"}))

    assert found.path == "spec.model.uri"


@pytest.mark.parametrize("document", [{}, {"metadata": {"name": "cnn"}}, {"metadata": {"name": "cnn"}, "spec": {}}])
def test_an_empty_object_is_refused_and_not_a_crash(document: Manifest) -> None:
    assert faults(document)


@pytest.mark.parametrize("template", [{"spec": "x"}, {"spec": {"containers": "x"}}, {"spec": {"volumes": [{"a": 1}]}}])
def test_a_pod_template_that_could_not_be_merged_is_refused(template: Manifest) -> None:
    (found,) = faults(compression_job(podTemplate=template))

    assert found.path == "spec.podTemplate"


@pytest.mark.parametrize(("amount", "is_money"), [("60", True), ("0.000001", True), ("1e3", False), (60, False)])
def test_money_is_a_quoted_decimal(amount: object, is_money: bool) -> None:
    manifest = compression_job(costBenefit={"labourRate": amount})

    if is_money:
        assert str(parse_compression_job(manifest).spec.cost_benefit.labour_rate) == amount
    else:
        assert faults(manifest)[0].path == "spec.costBenefit.labourRate"
