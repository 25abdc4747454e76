"""One CompressionJob from request to verdict: estimate, search, verify, publish. Each step is another module's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frugal.api.compression_job import CompressionJobSpec, Metric, StrategyMode
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
from frugal_jobs.assembly import Assembly, TargetUnavailable
from frugal_jobs.datasets.provision import Provision, is_shared, provide
from frugal_jobs.environment import PodEnvironment
from frugal_jobs.errors import Unsupported, UnusableData
from frugal_jobs.evaluation.bounds import samples_needed
from frugal_jobs.evaluation.quality import score_for
from frugal_jobs.models.loading import Original, load
from frugal_jobs.models.model import Model, Runnable
from frugal_jobs.progress import Progress
from frugal_jobs.report.page import page_of
from frugal_jobs.report.publication import publish_model, publish_report
from frugal_jobs.report.wording import rejection_sentence, verdict_sentence
from frugal_jobs.search import choice
from frugal_jobs.search.advice import advice, family
from frugal_jobs.search.measuring import Scale, scale_for
from frugal_jobs.search.objective import Gains, gains_nothing, limits_of, outside_limits, score
from frugal_jobs.search.per_target import float_steps
from frugal_jobs.search.search import Budget, Search
from frugal_jobs.search.study import Study, Trial
from frugal_jobs.search.workers import Crew, Means
from frugal_jobs.shelf import Shelf, native
from frugal_jobs.techniques.context import Context
from frugal_jobs.usage import Meter
from frugal_jobs.verification import Verifier
from frugal_jobs.verify import Answer

if TYPE_CHECKING:
    from frugal_jobs.datasets.samples import Samples
    from frugal_jobs.techniques.distillation import Teacher

NATIVE = "onnxruntime/cpu"  # the target in which the search itself measures
REPORT_SECONDS = 3.0  # writing report and artifact, on a slow store
TARGET_SECONDS = 120.0  # of another target: four conversions at about 20 s, measurements and answers
TARGET_SHARE = 0.2  # of the timeout at most, for each
RESERVED_SHARE = 0.4  # of the timeout at most: on a busy machine a candidate and one verification are worth more
RESERVED_ANSWERS = 3.0  # verifications of candidates whose time is set aside, in units of the baseline's


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verification ended with; `published` is what it measured of the model that may be published."""

    model: Runnable | None = None
    reason: str = ""  # why the target could not be tried at all
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
    model: Runnable
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
        scale = self._search(original, provision, figures)
        verdicts = {str(target): self._target(str(target), scale, provision, verifier) for target in self.spec.targets}
        return self._publish(verdicts, figures, hint)

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

    def _target(self, name: str, scale: Scale, provision: Provision, verifier: Verifier) -> Verdict:
        """Return how one target ended; each succeeds or fails for itself."""
        assert self.study.record.baseline is not None
        if name == NATIVE:
            return self._verify(native(name, self.study, verifier, self.study.record.baseline, self.pod.work))
        assembly = Assembly(
            spec=self.spec, pod=self.pod, study=self.study, progress=self.progress, scale=scale,
            calibration=provision.calibration, seconds_left=self._time_for(name),
        )  # fmt: skip
        try:
            shelf = assembly.shelf(name, verifier)
        except TargetUnavailable as error:
            self.progress.warning(str(error))
            return Verdict(reason=str(error))
        self._save()
        return self._verify(shelf)

    @property
    def _foreign(self) -> list[str]:
        """The targets other than ONNX Runtime, in the order of the spec."""
        return [str(target) for target in self.spec.targets if str(target) != NATIVE]

    def _time_for(self, name: str) -> Callable[[], float]:
        """Return what tells the seconds that target `name` still has."""
        to_come = len(self._foreign) - self._foreign.index(name) - 1
        end = self._budget(targets_to_come=to_come).end
        return lambda: end - time.monotonic()

    def _search(self, original: Original, provision: Provision, figures: ModelFigures) -> Scale:
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
                scale=scale, context=context, study=self.study, progress=self.progress,
                budget=self._budget(targets_to_come=len(self._foreign)),
                trials_at_most=self.spec.strategy.search.trials, kind=family(original.model.operator_counts()),
                crew=None if provision.training is None or is_pipeline else crew,
            )  # fmt: skip
            search.run()
            if is_pipeline and self._foreign:
                self._float_pipeline(search)
        self._save()
        return scale

    def _float_pipeline(self, search: Search) -> None:
        """Make what the other targets quantize in their own way: the pipeline without its last quantization."""
        steps = float_steps(self.spec.strategy.pipeline)
        if steps:
            search.attempt([step.to_json() for step in steps])

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

    def _budget(self, *, targets_to_come: int) -> Budget:
        """Return the time that the timeout leaves after earlier attempts, verification, report and later targets."""
        record = self.study.record
        timeout = self.spec.strategy.search.timeout.seconds
        reserve = min(RESERVED_ANSWERS * record.baseline_seconds + REPORT_SECONDS, RESERVED_SHARE * timeout)
        reserve += targets_to_come * min(TARGET_SECONDS, TARGET_SHARE * timeout)
        left = timeout - record.usage.wall_seconds - reserve
        return Budget(end=time.monotonic() + left)

    def _verify(self, shelf: Shelf) -> Verdict:
        """Return the best of the candidates that passed before the first that failed, in an order fixed beforehand.

        Each is judged at the full confidence, which holds for all together because the order is fixed and the first
        loss that is too large ends it. A pod that goes on after a kill repeats the same tests on the same samples.
        """
        self.progress.phase("Verifying", f"{shelf.name}: judging the file in a fresh process on evaluation data")
        passed: list[Judged] = []
        judged: list[Candidate] = []
        for trial in shelf.sequence(self.spec.objective.max_loss, save=self._save):
            model = shelf.opened(trial)
            answer = shelf.judged(model, self.spec.objective.confidence)
            objection = self._objection(answer, model, shelf.figures)
            verdict = objection or f"verified on {shelf.figures.samples:,} evaluation samples"
            judged.append(self._candidate(trial, answer, model, verdict))
            if not objection:
                passed.append(Judged(trial, answer, model, judged[-1]))
                continue
            self.progress.warning(f"{trial.candidate.technique}: {objection}")
            if self._loses_too_much(answer):
                break
        return self._best_of(passed, judged)

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

    def _gains(self, answer: Answer, model: Runnable, trial: Trial) -> Gains:
        return Gains(
            latency=answer.latency_ratio or 0.0,
            size=trial.candidate.size_ratio * (trial.size_bytes or model.size_bytes) / model.size_bytes,
            flops=trial.candidate.flops_ratio,
        )

    def _objection(self, answer: Answer, model: Runnable, figures: ModelFigures) -> str:
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

    def _candidate(self, trial: Trial, answer: Answer, model: Runnable, verdict: str) -> Candidate:
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

    def _publish(self, verdicts: Mapping[str, Verdict], figures: ModelFigures, hint: str) -> CompressionResult:
        """Return the result after artifacts and report are at the output; the artifacts first.

        One target that failed keeps the job from success; what the others published stays.
        """
        self.progress.phase("Publishing", "writing artifacts and report")
        artifacts = [self._artifact(name, one.model) for name, one in verdicts.items() if one.model is not None]
        main = next((one for one in verdicts.values() if one.model is not None), next(iter(verdicts.values())))
        result = CompressionResult(
            verdict=ResultVerdict.SUCCEEDED if len(artifacts) == len(verdicts) else ResultVerdict.REJECTED,
            message=self._sentence(verdicts)[:1024], inputs_hash=self.request.inputs_hash, advice=hint,
            baseline=figures, best=main.best, artifacts=artifacts, trials=self._trials, usage=self.meter.now(),
        )  # fmt: skip
        report = self._report(result, main, verdicts)
        page = page_of(report, published=main.published, max_loss=self.spec.objective.max_loss)
        uri, digest = publish_report(self.storage, self.spec.output.uri, report, page)
        result = result.model_copy(update={"report_uri": uri, "report_sha256": digest})
        self.study.record.result = result
        self._save()
        return result

    def _artifact(self, target: str, model: Runnable) -> Artifact:
        return publish_model(self.storage, self.spec.output.uri, model, target=target)

    @property
    def _trials(self) -> int:
        record = self.study.record
        return len(record.trials) + sum(len(target.trials) for target in record.targets.values())

    def _sentence(self, verdicts: Mapping[str, Verdict]) -> str:
        """Return what to tell: the verdict, or one for each target."""
        told = {name: self._told(name, one) for name, one in verdicts.items()}
        return next(iter(told.values())) if len(told) == 1 else " ".join(f"{name}: {one}" for name, one in told.items())

    def _told(self, name: str, verdict: Verdict) -> str:
        max_loss, record = self.spec.objective.max_loss, self.study.record
        if verdict.reason:
            return verdict.reason
        if verdict.best is not None:
            return verdict_sentence(verdict.best, max_loss=max_loss, confidence=verdict.confidence)
        trials = record.trials if name == NATIVE else record.targets[name].trials
        candidates = [trial.candidate for trial in trials]
        return rejection_sentence(candidates, verified=len(verdict.judged), max_loss=max_loss)

    def _report(self, result: CompressionResult, main: Verdict, verdicts: Mapping[str, Verdict]) -> Report:
        record = self.study.record
        all_trials = [record.trials, *(target.trials for target in record.targets.values())]
        searched = [trial.candidate for trials in all_trials for trial in trials]
        front = choice.pareto_front([one for one in searched if one.figures is not None])
        judged = [candidate for verdict in verdicts.values() for candidate in verdict.judged]
        return Report(
            namespace=self.request.namespace, name=self.request.name, inputs_hash=self.request.inputs_hash,
            result=result, candidates=[*searched, *judged], front=front,
            pipeline=list(main.model.steps) if main.model else [],
            environment=machine.environment(seed=self.spec.strategy.search.seed, cpu_per_wall=main.cpu_per_wall),
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
    if spec.distillation.student:
        raise Unsupported(
            field="spec.distillation.student", value=spec.distillation.student,
            fault="a student of your own is not trained yet",
            remedy="leave it out: pruned candidates learn from the original",
        )  # fmt: skip
