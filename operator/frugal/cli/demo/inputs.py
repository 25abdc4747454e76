"""The manifests of the demo: those of manifests/examples, made shorter where a person would wait. Applies nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from frugal.cli.demo.dataset import Dataset
from frugal.errors import FrugalError
from frugal.resources.merge import merge

JOB = "fashion-cnn"
SERVING = "fashion"
CLAIM = "models"
EXAMPLES = ("models-claim.yaml", "fashion-cnn.yaml", "fashion.yaml")
PRICES = "prices.yaml"

Manifest = dict[str, Any]


class NoExamples(FrugalError):
    """The demo was started outside of a checkout."""

    def __init__(self, file: Path) -> None:
        self.file = file
        super().__init__(f"{file} is not there: run the demo in a checkout of the project, or give its --examples")


def demo_manifests(examples: Path, dataset: Dataset, *, port: int) -> list[Manifest]:
    """Return the examples with what the demo changes in them; raises NoExamples."""
    changes = {JOB: _job_changes(dataset), SERVING: _serving_changes(port)}
    documents = [_read(examples / name) for name in EXAMPLES]
    prices = _read(examples.parent / "prices" / "example" / PRICES)
    return [merge(one, changes.get(one["metadata"]["name"], {})) for one in documents] + [prices]


def write_manifests(manifests: list[Manifest], folder: Path) -> None:
    """Write each manifest into a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in manifests:
        name = f"{one['kind'].lower()}-{one['metadata']['name']}.yaml"
        (folder / name).write_text(yaml.safe_dump(one, sort_keys=False))


def _read(file: Path) -> Manifest:
    if not file.is_file():
        raise NoExamples(file)
    document: Manifest = yaml.safe_load(file.read_text())
    return document


def _job_changes(dataset: Dataset) -> Mapping[str, Any]:
    """Return a bound that the data can carry, and a minute of search in one core: an operator fits beside it on two."""
    return {
        "spec": {
            "objective": {"maxLoss": dataset.max_loss_points},
            "strategy": {"search": {"trials": 6, "timeout": "60s"}},
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
        }
    }


def _serving_changes(port: int) -> Mapping[str, Any]:
    """Return a careful person's first guess at the size, and leave for the sizing to mend it at once."""
    guess = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    return {
        "spec": {
            "rightSizing": {"mode": "Auto", "cooldown": "10s"},
            "runtime": {"podTemplate": {"spec": {"containers": [{"name": "server", "resources": guess}]}}},
            "service": {"port": port},
        }
    }
