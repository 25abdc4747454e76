"""Verification, in a process of its own: judges files on evaluation data alone, each in its own runtime.

    python -m frugal_jobs.verify --request FILE --baseline FILE [--candidate FILE] --confidence C --answer FILE
        [--target TARGET --source FILE] [--baseline-target TARGET --baseline-source FILE]

With a target the file is run in the target's own runtime; its source is the float graph that it was made from.

Knows nothing of the search, so its figures cannot be the search's. Exit status 0: the answer holds
figures, or the fault of an input.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from frugal.api.compression_job import CompressionJobSpec
from frugal.api.result import ModelFigures
from frugal_artifacts.storage import Storage
from frugal_jobs.datasets.loading import load
from frugal_jobs.datasets.provision import is_shared, parts_of_evaluation
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.environment import read_request
from frugal_jobs.errors import InvalidInput
from frugal_jobs.evaluation.figures import figures_of
from frugal_jobs.evaluation.latency import Latency, compare
from frugal_jobs.evaluation.quality import loss_between
from frugal_jobs.models.loading import from_bytes
from frugal_jobs.models.model import Runnable
from frugal_jobs.models.running import outputs_of
from frugal_jobs.targets.built import restored

BASELINE_ANSWERS = "baseline-answers.npy"


class Fault(BaseModel):
    """An InvalidInput on its way between processes."""

    field: str
    value: str
    fault: str
    remedy: str


class Answer(BaseModel):
    """What verification found; the loss in points, ratios above 1 are gains."""

    fault: Fault | None = None
    baseline: ModelFigures | None = None
    candidate: ModelFigures | None = None
    loss: float | None = None
    loss_upper_bound: float | None = None
    confidence: float | None = None
    latency_ratio: float | None = None
    cpu_per_wall: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The evaluation data and what counts."""

    spec: CompressionJobSpec
    samples: Samples
    baseline: Runnable
    baseline_outputs: NDArray[np.generic]

    @classmethod
    def sworn_in(cls, spec: CompressionJobSpec, baseline: Runnable, *, storage: Storage, folder: Path) -> Judge:
        """Return a judge over the evaluation data, which fits the baseline; raises InvalidInput."""
        samples = load(
            spec.data.evaluation, field="spec.data.evaluation", model=baseline, described=spec.model, storage=storage,
            folder=folder,
        )  # fmt: skip
        if is_shared(spec):
            _, samples = parts_of_evaluation(samples, spec)
        outputs = _answers_of(baseline, samples, folder / BASELINE_ANSWERS)
        return cls(spec=spec, samples=samples, baseline=baseline, baseline_outputs=outputs)

    @property
    def labels(self) -> NDArray[np.generic]:
        """The labels, or what the original says, where an embedding has none."""
        return self.baseline_outputs if self.samples.labels is None else self.samples.labels

    def figures(self, model: Runnable, outputs: NDArray[np.generic]) -> ModelFigures:
        return figures_of(model, outputs, self.labels, task=self.spec.model.task, metric=self.spec.objective.metric)

    def of_baseline(self) -> Answer:
        """Return the figures of the baseline alone, its latency too."""
        figures = self.figures(self.baseline, self.baseline_outputs)
        measured = compare(self.baseline, self.baseline, self._feed())
        return Answer(
            baseline=figures.model_copy(update=_latencies(measured.baseline)),
            cpu_per_wall=measured.baseline.cpu_per_wall,
        )

    def of_candidate(self, candidate: Runnable, *, confidence: float) -> Answer:
        """Return the figures of both, and the loss with its bound at `confidence`."""
        outputs = outputs_of(candidate, self.samples.batches())
        loss = loss_between(
            self.spec.objective.metric, baseline=self.baseline_outputs, candidate=outputs, labels=self.labels,
            confidence=confidence, seed=self.spec.strategy.search.seed,
        )  # fmt: skip
        measured = compare(self.baseline, candidate, self._feed())
        before, after = self.figures(self.baseline, self.baseline_outputs), self.figures(candidate, outputs)
        return Answer(
            baseline=before.model_copy(update=_latencies(measured.baseline)),
            candidate=after.model_copy(update=_latencies(measured.candidate)),
            loss=loss.points, loss_upper_bound=loss.upper_bound, confidence=confidence,
            latency_ratio=measured.ratio, cpu_per_wall=measured.candidate.cpu_per_wall,
        )  # fmt: skip

    def _feed(self) -> dict[str, NDArray[np.generic]]:
        return self.samples.at(np.full(self.baseline.inputs[0].shape[0] or 1, self.samples.typical()))


def _answers_of(baseline: Runnable, samples: Samples, kept: Path) -> NDArray[np.generic]:
    """Return the baseline's outputs, computed once for all candidates of an attempt: `kept` is the pod's own file."""
    if kept.exists():
        return np.asarray(np.load(kept, allow_pickle=False))
    outputs = outputs_of(baseline, samples.batches())
    np.save(kept, outputs, allow_pickle=False)
    return outputs


def _latencies(latency: Latency) -> dict[str, float]:
    return {"latency_p50_seconds": latency.p50_seconds, "latency_p95_seconds": latency.p95_seconds}


def main(arguments: list[str] | None = None) -> int:
    """Judge, write the answer, and return the exit status."""
    options = _options(arguments)
    options.answer.write_text(_answer(options).model_dump_json())
    return 0


def _answer(options: argparse.Namespace) -> Answer:
    spec = read_request(options.request).spec
    try:
        baseline = _runnable(options.baseline, options.baseline_target, options.baseline_source)
        judge = Judge.sworn_in(spec, baseline, storage=Storage(options.volumes), folder=options.answer.parent)
        if options.candidate is None:
            return judge.of_baseline()
        candidate = _runnable(options.candidate, options.target, options.source)
        return judge.of_candidate(candidate, confidence=options.confidence)
    except InvalidInput as error:
        fault = Fault(field=error.field, value=str(error.value), fault=error.fault, remedy=error.remedy)
        return Answer(fault=fault)


def _runnable(path: Path, target: str, source: Path | None) -> Runnable:
    if not target or source is None:
        return from_bytes(path.read_bytes(), place=str(path))
    return restored(target, path, from_bytes(source.read_bytes(), place=str(source)))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m frugal_jobs.verify", description=__doc__)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--volumes", type=Path)
    parser.add_argument("--baseline", type=Path, required=True)
    parser.add_argument("--candidate", type=Path)
    for side in ("", "baseline-"):
        parser.add_argument(f"--{side}target", default="")
        parser.add_argument(f"--{side}source", type=Path)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--answer", type=Path, required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
