"""The images of the Dockerfile, really built and really run."""

from collections.abc import Iterator

import pytest

from tests.cluster import buildah
from tests.cluster.buildah import Workshop, workshop
from tests.cluster.cluster import Node
from tests.cluster.fixtures import do_without
from tests.e2e.pods import CONTENTS, look

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    """A place to build images in."""
    if reason := buildah.objection():
        do_without(f"no image can be built here: {reason}")
    with workshop() as opened:
        yield opened


@pytest.mark.parametrize("target", buildah.TARGETS)
def test_an_image_of_the_dockerfile_has_what_it_needs_and_runs_restricted(
    node: Node, shop: Workshop, room: str, target: str
) -> None:
    archive = shop.archive(shop.build(target))
    image = node.load_archive(archive, f"frugal.local/{target}:built")
    archive.unlink()

    seen = look(node, room, image)

    assert CONTENTS[target].needs <= set(seen["has"])
    assert not CONTENTS[target].lacks & set(seen["has"])
    assert seen["tools"] == []
    assert {key: seen[key] for key in ("uid", "root", "tmp")} == {"uid": 65532, "root": False, "tmp": True}
