"""Size of the three images of the Dockerfile and how long they take to build: `python -m bench.images` (root)."""

from __future__ import annotations

import sys
import time

from bench.figures import Figure, Goal, write
from tests.cluster import buildah
from tests.cluster.buildah import workshop
from tests.cluster.errors import NotPossible

# Uncompressed, on a base of about 115 MB. Torch alone is 760 MB, ONNX Runtime 80 MB and PyArrow 176 MB of the jobs'.
GOALS_MEGABYTES = {"operator": 350.0, "jobs": 2000.0, "serve": 500.0}


def measure() -> list[Figure]:
    """Build every image and return the figures.

    Raises:
        NotPossible: images cannot be built here.
    """
    figures = []
    with workshop() as shop:
        for target in buildah.TARGETS:
            started = time.monotonic()
            archive = shop.archive(shop.build(target))
            seconds = time.monotonic() - started
            goal = Goal(direction="at most", value=GOALS_MEGABYTES[target])
            size = archive.stat().st_size / 1e6
            archive.unlink()
            figures.append(Figure(figure=f"{target} image, uncompressed", value=size, unit="MB", goal=goal))
            figures.append(Figure(figure=f"{target} image, build", value=seconds, unit="s"))
    return figures


def main() -> int:
    """Write build/bench/images.json; exit status 1 with the reason where nothing can be built."""
    try:
        write("images", measure())
    except NotPossible as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
