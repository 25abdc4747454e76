"""What is made from the code is up to date, and the writer writes only what changed."""

import importlib.util
from pathlib import Path

import pytest

from frugal.api.conditions import Reason
from frugal.api.crd import KINDS, Kind
from frugal.api.reasons import EXPLANATIONS
from frugal.api.reference import kind_page, troubleshooting_page
from tests.unit.packaging.rendering import ROOT

_FOUND = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
assert _FOUND is not None
assert _FOUND.loader is not None
generate = importlib.util.module_from_spec(_FOUND)
_FOUND.loader.exec_module(generate)


def test_the_committed_files_are_what_the_types_say() -> None:
    assert generate.drifted(ROOT, generate.generated_files()) == []


def test_writing_twice_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = generate.main(["--root", str(tmp_path)])
    told = capsys.readouterr().out.splitlines()
    second = generate.main(["--root", str(tmp_path)])

    assert (first, second) == (0, 0)
    assert len(told) == len(generate.generated_files())
    assert capsys.readouterr().out == ""


def test_a_check_writes_nothing_and_fails_on_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main(["--root", str(tmp_path)])
    (tmp_path / "docs/reference/conditions.md").write_text("mine")
    capsys.readouterr()

    status = generate.main(["--root", str(tmp_path), "--check"])

    assert status == 1
    assert capsys.readouterr().out == "out of date: docs/reference/conditions.md\n"
    assert (tmp_path / "docs/reference/conditions.md").read_text() == "mine"


def test_every_reason_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    assert all(f"### {reason.value}\n" in troubleshooting_page() for reason in Reason)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_page_names_fields_inside_fields(kind: Kind) -> None:
    page = kind_page(kind)

    assert "## spec.model\n" in page
    assert "| `conditions` | list of object |" in page
