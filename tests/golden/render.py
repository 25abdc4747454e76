"""Renders the children of each case's object: `python -m tests.golden.render` writes what `test_golden` compares."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from frugal.decisions.compression import plan_compression
from frugal.decisions.inference import plan_inference
from frugal.decisions.snapshot import Capabilities, Children, CompressionSnapshot, Environment, InferenceSnapshot

HERE = Path(__file__).parent
CASES = tuple(sorted(path.parent for path in HERE.glob("*/cr.yaml")))
ENVIRONMENT = Environment(
    now=datetime(2026, 11, 18, 15, tzinfo=UTC),
    jobs_image="frugal.dev/jobs:0.1.0",
    serve_image="frugal.dev/serve:0.1.0",
    capabilities=Capabilities(pod_disruption_budgets=True, pod_failure_policy=True),
)


def rendered(case: Path) -> str:
    """Return the children of the case's object as YAML."""
    manifest: dict[str, Any] = yaml.safe_load((case / "cr.yaml").read_text())
    if manifest["kind"] == "CompressionJob":
        plan = plan_compression(CompressionSnapshot(environment=ENVIRONMENT, manifest=manifest, children=Children()))
    else:
        plan = plan_inference(InferenceSnapshot(environment=ENVIRONMENT, manifest=manifest, children=Children()))
    return yaml.dump_all(plan.apply, Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.SafeDumper):
    """YAML without anchors: what stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _represent_text)
_Plain.add_multi_representer(str, lambda dumper, text: _represent_text(dumper, str(text)))


if __name__ == "__main__":
    for case in CASES:
        (case / "manifests.yaml").write_text(rendered(case))
