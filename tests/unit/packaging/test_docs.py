"""What the documentation says about commands, files and settings is there."""

import dataclasses
import re
from pathlib import Path

import pytest

from frugal.settings import Settings
from tests.unit.packaging.rendering import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@EACH
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())

    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert dead == []


@EACH
def test_a_make_target_that_is_named_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()

    named = re.findall(r"^(?:`)?make ([a-z-]+)|`make ([a-z-]+)[ `]", page.read_text(), re.M)

    missing = {name for pair in named for name in pair if name and not re.search(rf"^{name}:", makefile, re.M)}
    assert missing == set()


@EACH
def test_a_manifest_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"\b((?:manifests|helm|crds|tests|docs)/[\w./-]*\w)", page.read_text())

    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"\| `FRUGAL_([A-Z_]+)` \| (\S+) \|", (ROOT / "docs/how-to/install.md").read_text())

    told = {name.lower(): default.strip("`") for name, default in rows}
    assert told == {field.name: as_written(field.name, field.default) for field in dataclasses.fields(Settings)}


def as_written(name: str, default: object) -> str:
    """Return a default as the table has it."""
    if not default:
        return "all" if name == "namespaces" else "none"
    return f"{default:g}" if isinstance(default, float) else str(default)
