"""One CompressionJob from request to verdict: estimate, search, verify, publish. Each step is another module's."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frugal.api.compression_job import CompressionJobSpec, Metric, Runtime, StrategyMode
from frugal.api.request import CompressionRequest
from frugal.api.result import (
    Artifact,
    Best,
    Candidate,
    CompressionResult,
    ModelFigures,
    Report,
    ResultVerdict,
)
from frugal_artifacts.storage import Storage
from frugal_jobs import machine
from frugal_jobs.datasets.provision import Provision, is_shared, provide
from frugal_jobs.environment import PodEnvironment
from frugal_jobs.errors import Unsupported, UnusableData
from frugal_jobs.evaluation.bounds import samples_needed
from frugal_jobs.evaluation.quality import score_for
from frugal_jobs.models.loading import Original, load
from frugal_jobs.models.model import Model
from frugal_jobs.progress import Progress
from frugal_jobs.report.page import page_of
from frugal_jobs.report.publication import publish_model, publish_report
from frugal_jobs.report.wording import rejection_sentence, verdict_sentence
from frugal_jobs.search import choice
from frugal_jobs.search.advice import advice, family
from frugal_jobs.search.measuring import scale_for
from frugal_jobs.search.objective import Gains, gains_nothing, limits_of, outside_limits, score
from frugal_jobs.search.search import Budget, Search
from frugal_jobs.search.study import Study, Trial
from frugal_jobs.search.workers import Crew, Means
from frugal_jobs.techniques.context import Context
from frugal_jobs.usage import Meter
from frugal_jobs.verification import Verifier
from frugal_jobs.verify import Answer

if TYPE_CHECKING:
    from frugal_jobs.datasets.samples import Samples
    from frugal_jobs.techniques.distillation import Teacher

REPORT_SECONDS = 3.0  # writing report and artifact, on a slow store
RESERVED_SHARE = 0.4  # of the timeout at most: on a busy machine a candidate and one verification are worth more
RESERVED_ANSWERS = 3.0  # verifications of candidates whose time is set aside, in units of the baseline's


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verification ended with; `published` is what it measured of the model that may be published."""

    model: Model | None = None
    best: Best | None = None
    published: Candidate | None = None
    judged: tuple[Candidate, ...] = ()
    confidence: float = 0.0
    cpu_per_wall: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate that passed."""

    trial: Trial
    answer: Answer
    model: Model
    candidate: Candidate


@dataclass(slots=True)
class Work:
    """One attempt of one job."""

    request: CompressionRequest
    pod: PodEnvironment
    storage: Storage
    progress: Progress
    study: Study
    meter: Meter
    _start: float = field(default_factory=time.monotonic)

    @property
    def spec(self) -> CompressionJobSpec:
        return self.request.spec

    def run(self) -> CompressionResult:
        """Return the verdict, published; raises InvalidInput, StorageUnavailable, VerificationFailed."""
        if self.study.record.result is not None:  # an earlier attempt got this far and died before it could say so
            return self.study.record.result
        check_supported(self.spec)
        self.progress.phase("Estimating", "loading the model and measuring it")
        original = load(self.spec.model, storage=self.storage, folder=self.pod.work)
        verifier = self._verifier(original.model)
        figures = self._baseline(verifier)
        check_enough(self.spec, figures)
        provision = provide(self.spec, model=original.model, storage=self.storage, folder=self.pod.work)
        hint = advice(original.model.operator_counts(), can_train=provision.training is not None)
        self.progress.advice(hint)
        self._search(original, provision, figures)
        verdict = self._verify(verifier, figures)
        return self._publish(verdict, figures, hint)

    def _verifier(self, baseline: Model) -> Verifier:
        path = self.pod.work / "baseline.onnx"
        path.write_bytes(baseline.content)
        return Verifier(request=self.pod.request, volumes=self.pod.volumes, folder=self.pod.work, baseline=path)

    def _baseline(self, verifier: Verifier) -> ModelFigures:
        """Return the baseline's figures on evaluation data, measured once in the job's life."""
        record = self.study.record
        if record.baseline is None:
            start = time.monotonic()
            record.baseline = verifier.baseline_answer().baseline
            record.baseline_seconds = time.monotonic() - start
            self._save()
        assert record.baseline is not None
        self.progress.baseline(record.baseline)
        return record.baseline

    def _search(self, original: Original, provision: Provision, figures: ModelFigures) -> None:
        self.progress.phase("Searching", f"{self.spec.strategy.search.trials} trials at most")
        limits = limits_of(self.spec.objective, self.spec.profile)
        scale = scale_for(
            self.spec, limits, baseline=original.model, baseline_bytes=original.file_bytes,
            validation=provision.validation, figures=figures, was_seen=provision.was_seen,
        )  # fmt: skip
        self._warn(provision, scale.inflation_points)
        is_pipeline = self.spec.strategy.mode is StrategyMode.PIPELINE
        context = Context(
            calibration=provision.calibration, training=provision.training, task=self.spec.model.task,
            folder=self.pod.work, seed=self.spec.strategy.search.seed, checkpoints=self.study,
            augment=provision.augment,
            teacher=teacher_of(original.model, provision.training) if is_pipeline else None,
        )  # fmt: skip
        with self._crew(original.model, provision) as crew:
            search = Search(
                scale=scale, context=context, study=self.study, progress=self.progress, budget=self._budget(),
                trials_at_most=self.spec.strategy.search.trials, kind=family(original.model.operator_counts()),
                crew=None if provision.training is None or is_pipeline else crew,
            )  # fmt: skip
            search.run()
        self._save()

    def _crew(self, baseline: Model, provision: Provision) -> Crew:
        """Return as many workers as candidates may be tried at a time, and as there are cores; none is started yet."""
        means = Means(
            baseline=baseline.content, training=provision.training, calibration=provision.calibration,
            task=self.spec.model.task, folder=self.pod.work, seed=self.spec.strategy.search.seed,
            augment=provision.augment, volumes=self.pod.volumes, study_uri=self.study.uri,
        )  # fmt: skip
        return Crew(means=means, size=min(self.spec.strategy.search.parallelism, machine.cores()))

    def _warn(self, provision: Provision, inflation_points: float) -> None:
        if self.spec.strategy.search.parallelism > machine.cores():
            self.progress.warning(
                f"strategy.search.parallelism: {machine.cores()} cores are there, so as many candidates at a time"
            )
        if is_shared(self.spec):
            self.progress.warning(
                "data: only evaluation is given, so the search ranks on 30 % of it, never verified on"
            )
        if provision.was_seen and inflation_points > 0:
            self.progress.warning(
                f"data.validation is not given: on rows held out of its training data the original is "
                f"{inflation_points:.2f} points better than on evaluation data, which is taken off what trained "
                f"candidates seem to lose"
            )

    def _budget(self) -> Budget:
        """Return the time for searching: what the timeout leaves after earlier attempts, verification and report."""
        record = self.study.record
        timeout = self.spec.strategy.search.timeout.seconds
        reserve = min(RESERVED_ANSWERS * record.baseline_seconds + REPORT_SECONDS, RESERVED_SHARE * timeout)
        left = timeout - record.usage.wall_seconds - reserve
        return Budget(end=time.monotonic() + left)

    def _verify(self, verifier: Verifier, figures: ModelFigures) -> Verdict:
        """Return the best of the candidates that passed before the first that failed, in an order fixed beforehand.

        Each is judged at the full confidence, which holds for all together because the order is fixed and the first
        loss that is too large ends it. A pod that goes on after a kill repeats the same tests on the same samples.
        """
        self.progress.phase("Verifying", "judging the exported file in a fresh process on evaluation data")
        passed: list[Judged] = []
        judged: list[Candidate] = []
        for trial in self._sequence():
            answer, model = self._judged(verifier, trial, self.spec.objective.confidence)
            objection = self._objection(answer, model, figures)
            verdict = objection or f"verified on {figures.samples:,} evaluation samples"
            judged.append(self._candidate(trial, answer, model, figures, verdict))
            if not objection:
                passed.append(Judged(trial, answer, model, judged[-1]))
                continue
            self.progress.warning(f"{trial.candidate.technique}: {objection}")
            if self._loses_too_much(answer):
                break
        return self._best_of(passed, judged)

    def _sequence(self) -> list[Trial]:
        """Return the trials to verify, in the order that the first attempt fixed."""
        record = self.study.record
        if record.sequence is None:
            chosen = choice.sequence(record.trials, max_loss=self.spec.objective.max_loss)
            record.sequence = [trial.key for trial in chosen]
            self._save()  # before any answer is known
        by_key = {trial.key: trial for trial in record.trials}
        return [by_key[key] for key in record.sequence]

    def _best_of(self, passed: list[Judged], judged: list[Candidate]) -> Verdict:
        """Return the verdict: of those that passed, what counts least; every one of them is surely good enough."""
        if not passed:
            return Verdict(judged=tuple(judged))
        best = min(reversed(passed), key=lambda one: one.candidate.objective or 0.0)
        published = best.candidate.model_copy(update={"verdict": f"{best.candidate.verdict} and published"})
        return Verdict(
            model=best.model, best=self._best(best.trial, best.answer, published), published=published,
            judged=tuple(published if one is best.candidate else one for one in judged),
            confidence=self.spec.objective.confidence, cpu_per_wall=best.answer.cpu_per_wall,
        )  # fmt: skip

    def _judged(self, verifier: Verifier, trial: Trial, confidence: float) -> tuple[Answer, Model]:
        model = self.study.model(trial)
        path = self.pod.work / "candidate.onnx"
        path.write_bytes(model.content)
        return verifier.candidate_answer(path, confidence=confidence), model

    def _gains(self, answer: Answer, model: Model, trial: Trial) -> Gains:
        return Gains(
            latency=answer.latency_ratio or 0.0,
            size=trial.candidate.size_ratio * (trial.size_bytes or model.size_bytes) / model.size_bytes,
            flops=trial.candidate.flops_ratio,
        )

    def _objection(self, answer: Answer, model: Model, figures: ModelFigures) -> str:
        """Return why what verification measured may not be published; empty when it may."""
        objective = self.spec.objective
        assert answer.candidate is not None
        if self._loses_too_much(answer):
            return (
                f"may lose {answer.loss_upper_bound:.2f} points at {100 * (answer.confidence or 0):.4g} % confidence, "
                f"{objective.max_loss:g} allowed (measured loss {answer.loss:.2f})"
            )
        limits = limits_of(objective, self.spec.profile)
        gains = Gains(latency=answer.latency_ratio or 0.0, size=(figures.size_bytes or 0) / model.size_bytes)
        return outside_limits(answer.candidate, limits) or gains_nothing(gains, objective)

    def _loses_too_much(self, answer: Answer) -> bool:
        assert answer.loss_upper_bound is not None
        return answer.loss_upper_bound > self.spec.objective.max_loss

    def _candidate(self, trial: Trial, answer: Answer, model: Model, figures: ModelFigures, verdict: str) -> Candidate:
        gains = self._gains(answer, model, trial)
        loss = answer.loss or 0.0
        return Candidate(
            technique=trial.candidate.technique, loss=loss, size_ratio=gains.size, latency_ratio=gains.latency,
            flops_ratio=gains.flops, objective=score(gains, loss, self.spec.objective), figures=answer.candidate,
            verdict=verdict,
        )  # fmt: skip

    def _best(self, trial: Trial, answer: Answer, judged: Candidate) -> Best:
        return Best(
            technique=trial.candidate.technique, loss=judged.loss, loss_upper_bound=answer.loss_upper_bound,
            size_ratio=judged.size_ratio, latency_ratio=judged.latency_ratio, flops_ratio=judged.flops_ratio,
        )  # fmt: skip

    def _publish(self, verdict: Verdict, figures: ModelFigures, hint: str) -> CompressionResult:
        """Return the result after artifact and report are at the output; the artifact first."""
        self.progress.phase(
            "Publishing", "writing the report" if verdict.model is None else "writing artifact and report"
        )
        artifacts = [self._artifact(verdict.model)] if verdict.model else []
        result = CompressionResult(
            verdict=ResultVerdict.SUCCEEDED if verdict.model else ResultVerdict.REJECTED,
            message=self._sentence(verdict)[:1024], inputs_hash=self.request.inputs_hash, advice=hint, baseline=figures,
            best=verdict.best, artifacts=artifacts, trials=len(self.study.record.trials), usage=self.meter.now(),
        )  # fmt: skip
        report = self._report(result, verdict)
        page = page_of(report, published=verdict.published, max_loss=self.spec.objective.max_loss)
        uri, digest = publish_report(self.storage, self.spec.output.uri, report, page)
        result = result.model_copy(update={"report_uri": uri, "report_sha256": digest})
        self.study.record.result = result
        self._save()
        return result

    def _artifact(self, model: Model) -> Artifact:
        return publish_model(self.storage, self.spec.output.uri, model, target=str(self.spec.targets[0]))

    def _sentence(self, verdict: Verdict) -> str:
        max_loss = self.spec.objective.max_loss
        if verdict.best is not None:
            return verdict_sentence(verdict.best, max_loss=max_loss, confidence=verdict.confidence)
        candidates = [trial.candidate for trial in self.study.record.trials]
        return rejection_sentence(candidates, verified=len(verdict.judged), max_loss=max_loss)

    def _report(self, result: CompressionResult, verdict: Verdict) -> Report:
        searched = [trial.candidate for trial in self.study.record.trials]
        front = choice.pareto_front([one for one in searched if one.figures is not None])
        seed = self.spec.strategy.search.seed
        return Report(
            namespace=self.request.namespace, name=self.request.name, inputs_hash=self.request.inputs_hash,
            result=result, candidates=[*searched, *verdict.judged], front=front,
            pipeline=list(verdict.model.steps) if verdict.model else [],
            environment=machine.environment(seed=seed, cpu_per_wall=verdict.cpu_per_wall),
            warnings=self.progress.warnings,
        )  # fmt: skip

    def _save(self) -> None:
        self.study.record.usage = self.meter.now()
        self.study.save()


def teacher_of(model: Model, training: Samples | None) -> Teacher | None:
    """Return what fine-tuning learns from beside the labels."""
    if training is None:
        return None
    from frugal_jobs.techniques.distillation import Teacher  # torch takes seconds to import

    return Teacher(model, training)


def check_enough(spec: CompressionJobSpec, figures: ModelFigures) -> None:
    """Return when a candidate that loses nothing could pass; raises UnusableData, which says how many samples could."""
    objective, samples = spec.objective, figures.samples or 0
    if objective.metric is not Metric.ACCURACY or objective.max_loss <= 0:
        return  # at 0 only a gain may pass, and a gain needs no more samples than it has
    needed = samples_needed(max_loss=objective.max_loss / 100, confidence=objective.confidence)
    if samples < needed:
        raise UnusableData(
            field="spec.data.evaluation", value=f"{samples} samples for verification",
            fault=f"are too few to show at {100 * objective.confidence:g} % confidence that no more than "
            f"{objective.max_loss:g} points are lost, however good a candidate is",
            remedy=f"give {needed} or more, or raise objective.maxLoss",
        )  # fmt: skip


def check_supported(spec: CompressionJobSpec) -> None:
    """Return when this version does all that the spec asks; raises Unsupported."""
    score_for(spec.objective.metric)
    for number, target in enumerate(spec.targets):
        if target.runtime is not Runtime.ONNXRUNTIME or target.device != "cpu":
            raise Unsupported(
                field=f"spec.targets[{number}]", value=str(target), fault="is not made yet",
                remedy="use {runtime: onnxruntime, device: cpu}",
            )  # fmt: skip
    if spec.distillation.student:
        raise Unsupported(
            field="spec.distillation.student", value=spec.distillation.student,
            fault="a student of your own is not trained yet",
            remedy="leave it out: pruned candidates learn from the original",
        )  # fmt: skip
