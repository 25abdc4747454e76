"""What a person would install: the kustomize folders and the chart, rendered to lists of objects."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
CHART = ROOT / "helm" / "frugal"

Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    """Return the objects of a YAML text, empty documents left out."""
    return [one for one in yaml.safe_load_all(text) if one]


def resources(folder: Path) -> list[Manifest]:
    """Return the objects of a kustomization that has resources alone; no program is needed."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(kustomization) == {"apiVersion", "kind", "resources"}, f"{folder} needs kustomize"
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        found += resources(path) if path.is_dir() else documents(path.read_text())
    return found


def kustomized(folder: Path) -> list[Manifest]:
    """Return the objects that `kubectl kustomize` makes of a folder; skips where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here to run kustomize with")
    made = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True, timeout=60)
    return documents(made.stdout)


def chart(values: Manifest | None = None, *, namespace: str = "frugal-system") -> list[Manifest]:
    """Return the objects of the chart."""
    with helm_python.Chart.load(CHART) as loaded:
        rendered = loaded.render(values or {}, name="frugal", namespace=namespace)
    return [one for path, text in rendered.items() if path.endswith(".yaml") for one in documents(text)]


def by_identity(manifests: list[Manifest]) -> dict[tuple[str, str, str], Manifest]:
    """Return objects by kind, namespace and name; two of one identity are a mistake."""
    found = {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in manifests}
    assert len(found) == len(manifests)
    return found
