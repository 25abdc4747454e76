"""How long `frugal demo` takes on this machine, and what it comes to: the whole loop on real input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.figures import Figure, Goal, write

OUTCOME = Path("build/demo.json")
GOAL_SECONDS = 240.0  # two cores, warm pip cache; making the virtual environment comes on top and counts too


def main() -> int:
    """Run the demo and write its figures; the exit status is the demo's."""
    status = subprocess.run([Path(sys.executable).with_name("frugal"), "demo"], check=False).returncode
    if status:
        return status
    told = json.loads(OUTCOME.read_text())
    compression, inference = told["compression"], told["inference"]
    before, after = float(inference["costHourlyBefore"]), float(inference["costHourlyAfter"])
    figures = [
        Figure(figure="demo", value=told["seconds"], unit="s", goal=Goal(direction="at most", value=GOAL_SECONDS)),
        Figure(
            figure="size, before / after",
            value=compression["sizeRatio"],
            unit="x",
            goal=Goal(direction="at least", value=3.5),
        ),
        Figure(figure="latency p50, before / after", value=compression["latencyRatio"], unit="x"),
        Figure(
            figure="accuracy lost, upper 95 % bound",
            value=compression["lossUpperPoints"],
            unit="points",
            goal=Goal(direction="at most", value=0.5),
        ),
        Figure(
            figure="requests failed while the size changed",
            value=inference["failed"],
            unit=f"of {inference['requests']}",
            goal=Goal(direction="at most", value=0),
        ),
        Figure(figure="serving, cost an hour", value=after, unit="of the price book's money", baseline=before),
    ]
    write("demo", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
