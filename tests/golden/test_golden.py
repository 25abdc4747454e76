"""The children of an object are what was reviewed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.render import CASES, rendered


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_object_has_the_children_that_were_reviewed(case: Path) -> None:
    reviewed = (case / "manifests.yaml").read_text()

    assert rendered(case) == reviewed, "if this is meant: python -m tests.golden.render, and review the difference"
