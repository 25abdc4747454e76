from __future__ import annotations

from pathlib import Path

import pytest

from frugal.embedded.manifests import Loaded, NoManifests, files_of, load

JOB = """
apiVersion: frugal.dev/v1alpha1
kind: CompressionJob
metadata: {name: NAME}
spec:
  model: {uri: pvc://models/m.onnx}
  data: {evaluation: {uri: pvc://models/t.npz}, calibration: {uri: pvc://models/c.npz}}
  output: {uri: pvc://models/out}
"""


def loaded(folder: Path, **files: str) -> Loaded:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return load(files_of([folder]))


def names(found: Loaded) -> list[str]:
    return [one["metadata"]["name"] for one in found.manifests]


def test_documents_and_files_are_read_in_order(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, a=JOB.replace("NAME", "one") + "---" + JOB.replace("NAME", "two"), b=JOB.replace("NAME", "x")
    )

    assert names(found) == ["one", "two", "x"]
    assert found.faults == ()
    assert all(one["metadata"]["namespace"] == "default" for one in found.manifests)


def test_an_unknown_kind_is_named_with_its_place_and_stops_no_other(tmp_path: Path) -> None:
    found = loaded(tmp_path, a="kind: Nonsense\n---" + JOB.replace("NAME", "good"))

    (fault,) = found.faults
    assert names(found) == ["good"]
    assert "a.yaml: document 1, field kind: unknown kind" in str(fault)
    assert "'Nonsense'" in str(fault)


def test_an_unknown_field_is_named_and_the_object_is_kept_so_that_its_status_says_so(tmp_path: Path) -> None:
    found = loaded(tmp_path, a=JOB.replace("NAME", "typo").replace("spec:", "spec:\n  modle: {}"))

    (fault,) = found.faults
    assert "document 1 (CompressionJob typo): field spec.modle: unknown field" in str(fault)
    assert names(found) == ["typo"]


def test_broken_yaml_keeps_what_came_before_and_marks_the_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, a=JOB.replace("NAME", "good") + "---\n{", b=JOB.replace("NAME", "other"))

    assert names(found) == ["good", "other"]
    assert found.unreadable == {tmp_path / "a.yaml"}
    assert "document 2" in str(found.faults[0])


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    found = loaded(tmp_path, a=JOB.replace("NAME", "twice") + "  output: {uri: pvc://models/other}\n")

    assert found.manifests == ()
    assert "'output' stands twice" in str(found.faults[0])


def test_one_object_in_two_files_is_said(tmp_path: Path) -> None:
    found = loaded(tmp_path, a=JOB.replace("NAME", "same"), b=JOB.replace("NAME", "same"))

    assert names(found) == ["same"]
    assert "stands in" in str(found.faults[0])
    assert found.faults[0].file.name == "b.yaml"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("apiVersion: v1\nkind: ConfigMap\ndata: {}\n", "metadata.name"),
        ("apiVersion: v2\nkind: ConfigMap\nmetadata: {name: a}\n", "apiVersion"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, nmae: b}\n", "metadata.nmae"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nspec: {}\n", "spec"),
        ("- a\n- b\n", "apiVersion, kind and metadata"),
    ],
)
def test_what_cannot_be_stored_names_its_field(tmp_path: Path, text: str, field: str) -> None:
    found = loaded(tmp_path, a=text)

    assert found.manifests == ()
    assert field in str(found.faults[0])


def test_a_path_without_manifests_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoManifests, match="nowhere"):
        files_of([tmp_path / "nowhere"])
