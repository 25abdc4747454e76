"""What is made from the types is up to date, and the writer writes only what changed."""

from pathlib import Path

import pytest

from frugal.api.conditions import Reason
from frugal.api.crd import KINDS, Kind
from frugal.api.generate import drifted, generated_files, main
from frugal.api.reasons import EXPLANATIONS
from frugal.api.reference import kind_page, troubleshooting_page

ROOT = Path(__file__).parents[3]


def test_the_committed_files_are_what_the_types_say() -> None:
    assert drifted(ROOT, generated_files()) == []


def test_writing_twice_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = main(["--root", str(tmp_path)])
    told = capsys.readouterr().out.splitlines()
    second = main(["--root", str(tmp_path)])

    assert (first, second) == (0, 0)
    assert len(told) == len(generated_files())
    assert capsys.readouterr().out == ""


def test_a_check_writes_nothing_and_fails_on_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--root", str(tmp_path)])
    (tmp_path / "docs/reference/conditions.md").write_text("mine")
    capsys.readouterr()

    status = main(["--root", str(tmp_path), "--check"])

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
