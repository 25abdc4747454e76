"""The recording rules: the same for both ways of installing them, and under the names that the operator asks for."""

import shutil
import subprocess

import pytest
import yaml

from frugal.telemetry.promql import RECORDED_CPU, RECORDED_CPU_AT, RECORDED_MEMORY
from tests.unit.packaging.rendering import MANIFESTS, documents

RULES = MANIFESTS / "monitoring/recording.rules.yaml"


def test_the_prometheus_rule_holds_the_plain_rules() -> None:
    (rule,) = documents((MANIFESTS / "overlays/monitoring/recording-rules.yaml").read_text())

    assert rule["spec"] == yaml.safe_load(RULES.read_text())


def test_the_rules_record_what_the_operator_asks_for() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]

    assert [rule["record"] for rule in group["rules"]] == [RECORDED_CPU, RECORDED_CPU_AT, RECORDED_MEMORY]


def test_prometheus_accepts_the_rules() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here (Debian's package prometheus has it)")

    checked = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr
