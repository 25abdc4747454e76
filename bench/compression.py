"""What the compression pod reaches on Fashion-MNIST by itself: `python -m bench.compression [SECONDS]` (default 600).

The data comes from FASHION_MNIST (a folder, its files at any depth), or from Debian's package dataset-fashion-mnist
by apt-get download and dpkg -x, without root. Trains the example network, then gives the pod SECONDS for everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, Goal, write
from frugal.api.compression_job import CompressionJobSpec
from frugal.api.request import CompressionRequest
from frugal.api.result import CompressionResult, ResultVerdict

TRAINING_SECONDS = 120
SEARCH_SECONDS = 600
MAX_LOSS = 0.5
PACKAGE = "dataset-fashion-mnist"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def data(folder: Path) -> Path:
    """Return a folder that has Fashion-MNIST's files; raises CalledProcessError where it cannot be had."""
    given = os.environ.get("FASHION_MNIST")
    if given:
        return Path(given)
    subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True, capture_output=True)
    archive = next(folder.glob(f"{PACKAGE}_*.deb"))
    subprocess.run(["dpkg", "-x", archive.name, "unpacked"], cwd=folder, check=True)
    return folder / "unpacked"


def example(folder: Path) -> None:
    """Train the example network and write it with its data to `folder`."""
    command = [
        sys.executable, "-m", "frugal_jobs.examples.fashion_mnist", "--data", str(data(folder)),
        "--output", str(folder), "--seconds", str(TRAINING_SECONDS),
    ]  # fmt: skip
    subprocess.run(command, check=True, env=os.environ | ONE_THREAD, stdout=sys.stderr)


def spec(folder: Path, seconds: int) -> CompressionJobSpec:
    """Return a job that is told nothing but where everything is."""
    images = {name: (folder / f"{name}-images-idx3-ubyte.gz").as_uri() for name in ("train", "t10k")}
    return CompressionJobSpec.model_validate(
        {
            "model": {"uri": (folder / "model.onnx").as_uri()},
            "data": {"evaluation": {"uri": images["t10k"]}, "training": {"uri": images["train"], "augment": ["flip"]}},
            "objective": {"maxLoss": MAX_LOSS},
            "strategy": {"search": {"timeout": f"{seconds}s"}},
            "output": {"uri": (folder / "output").as_uri()},
        }
    )


def compressed(folder: Path, seconds: int) -> CompressionResult:
    """Run the pod once and return its verdict."""
    request = CompressionRequest(
        namespace="bench", name="fashion-cnn", uid="0", inputs_hash="bench", spec=spec(folder, seconds)
    )
    (folder / "request.json").write_text(json.dumps(request.to_json()))
    places = {
        "FRUGAL_REQUEST": folder / "request.json", "FRUGAL_WORK": folder / "work",
        "FRUGAL_TERMINATION_LOG": folder / "termination",
    }  # fmt: skip
    environment = os.environ | ONE_THREAD | {name: str(path) for name, path in places.items()}
    subprocess.run([sys.executable, "-m", "frugal_jobs"], check=True, env=environment, stdout=sys.stderr)
    return CompressionResult.model_validate_json((folder / "termination").read_bytes())


def figures(result: CompressionResult, seconds: float) -> list[Figure]:
    """Return what counts; the goals are those measured for a search of ten minutes on two free cores."""
    best = result.best
    if result.verdict is not ResultVerdict.SUCCEEDED or best is None or best.loss_upper_bound is None:
        raise SystemExit(f"compression: {result.verdict.value}: {result.message}")
    return [
        Figure(
            figure="file, times smaller", value=best.size_ratio, unit="x",
            goal=Goal(direction="at least", value=12),
        ),
        Figure(
            figure="latency at batch 1, times as fast", value=best.latency_ratio, unit="x",
            goal=Goal(direction="at least", value=3.8),
        ),
        Figure(figure="accuracy lost", value=best.loss, unit="points"),
        Figure(
            figure="accuracy lost, upper bound", value=best.loss_upper_bound, unit="points",
            goal=Goal(direction="at most", value=MAX_LOSS),
        ),
        Figure(figure="candidates", value=result.trials, unit=""),
        Figure(figure="wall time", value=seconds, unit="s"),
        Figure(figure="CPU time", value=result.usage.cpu_seconds, unit="s"),
        Figure(figure="peak memory", value=result.usage.peak_memory_bytes / 1e6, unit="MB"),
    ]  # fmt: skip


def main() -> int:
    """Write build/bench/compression.json."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SEARCH_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        example(Path(folder))
        start = time.monotonic()
        result = compressed(Path(folder), seconds)
        write("compression", figures(result, time.monotonic() - start))
    return 0


if __name__ == "__main__":
    sys.exit(main())
