"""The worlds that every scenario runs in, and a clean slate after each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.embedded_world import EmbeddedWorld
from tests.scenarios.inputs import make_inputs
from tests.scenarios.node_world import NodeWorld
from tests.scenarios.world import World


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models and data that scenarios read; made once."""
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.fixture(scope="session", params=["embedded", pytest.param("node", marks=pytest.mark.real)])
def a_world(request: pytest.FixtureRequest, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for the whole session: embedded mode, then the real node."""
    folder = tmp_path_factory.mktemp(request.param)
    world: EmbeddedWorld | NodeWorld
    if request.param == "embedded":
        world = EmbeddedWorld(inputs, folder)
    else:
        world = NodeWorld(request.getfixturevalue("node"), inputs, folder)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def world(a_world: World) -> Iterator[World]:
    """The world, without the objects of earlier scenarios."""
    yield a_world
    a_world.forget()
