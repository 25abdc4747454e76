"""The alerts speak of metrics that there are, and say the same for both ways of installing them."""

import re
import shutil
import subprocess

import pytest
import yaml

from frugal.metrics.catalogue import CATALOGUE, MetricType
from tests.unit.packaging.rendering import MANIFESTS, documents

RULES = MANIFESTS / "alerts/frugal.rules.yaml"


def test_the_prometheus_rule_holds_the_plain_rules() -> None:
    (rule,) = documents((MANIFESTS / "overlays/monitoring/prometheus-rule.yaml").read_text())

    assert rule["spec"] == yaml.safe_load(RULES.read_text())


def test_every_metric_and_label_of_an_alert_is_in_the_catalogue() -> None:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            names = set(re.findall(r"frugal_[a-z_]+", rule["expr"]))
            labels = set(re.findall(r"\$labels\.([a-z_]+)", str(rule["annotations"])))
            known = {label for name in names for label in CATALOGUE[name].labels}
            assert names <= set(CATALOGUE), rule["alert"]
            assert labels <= known, rule["alert"]


def test_only_counters_are_turned_into_rates() -> None:
    text = RULES.read_text()

    rated = re.findall(r"(?:rate|increase)\((frugal_[a-z_]+)", text)

    assert rated
    assert {CATALOGUE[name].type for name in rated} == {MetricType.COUNTER}


def test_prometheus_accepts_the_rules() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here (Debian's package prometheus has it)")

    checked = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr
