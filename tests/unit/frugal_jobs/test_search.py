"""What the search decides: objective, order of verification, front, ratios, advice; and what the study keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugal.api.compression_job import CostKey, Limits, Objective
from frugal.api.compression_steps import Step
from frugal.api.result import Candidate, ModelFigures
from frugal.units import Duration, Quantity
from frugal_jobs.errors import UnusableOutput
from frugal_jobs.search.advice import Family, advice
from frugal_jobs.search.choice import pareto_front, sequence
from frugal_jobs.search.lineages import Outcome, first_ratios, next_ratio, parent_of, relative, training_seconds
from frugal_jobs.search.objective import Gains, cost, gains_nothing, limits_of, outside_limits, score
from frugal_jobs.search.space import INT8, cut, forms_after_training, quantizations
from frugal_jobs.search.study import Study, Trial, key_of
from tests.unit.frugal_jobs.small_models import small_cnn, storage


def candidate(
    name: str = "c", *, loss: float = 0.1, size: float = 4, latency: float = 2, objective: float = 0.4
) -> Candidate:
    return Candidate(
        technique=name, loss=loss, size_ratio=size, latency_ratio=latency, objective=objective, figures=ModelFigures()
    )


def trial(name: str, *, bound: float = 0.2, objective: float = 0.4, objection: str = "") -> Trial:
    return Trial(
        key=name, steps=[], candidate=candidate(name, objective=objective), expected_bound=bound, objection=objection
    )


def test_the_cost_is_the_weighted_mean_of_what_remains() -> None:
    spent = cost(Gains(latency=2.0, size=4.0), Objective())

    assert spent == pytest.approx((1.0 / 2 + 0.5 / 4) / 1.5)


def test_with_lambda_loss_and_cost_are_traded() -> None:
    objective = Objective.model_validate({"lambda": 2.0, "cost": {"size": 1.0}})

    value = score(Gains(latency=1.0, size=4.0), 0.3, objective)

    assert value == pytest.approx(0.3 + 2.0 * 0.25)


@pytest.mark.parametrize(
    ("gains", "reason"),
    [
        (Gains(latency=2, size=4), ""),
        (Gains(latency=0.98, size=2), ""),
        (Gains(latency=0.5, size=4), "slower than the original (0.50x)"),
        (Gains(latency=2, size=0.9), "larger than the original (0.90x)"),
        (Gains(latency=1, size=1), "gains nothing that the objective weighs"),
    ],
)
def test_what_gains_nothing_is_named(gains: Gains, reason: str) -> None:
    assert gains_nothing(gains, Objective()) == reason


def test_a_cost_that_is_not_weighed_is_no_objection() -> None:
    small_but_slow, fast_but_large = Gains(latency=0.5, size=4), Gains(latency=2, size=0.9)

    assert gains_nothing(small_but_slow, Objective(cost={CostKey.SIZE: 1})) == ""
    assert gains_nothing(fast_but_large, Objective(cost={CostKey.LATENCY: 1})) == ""


def test_a_profile_sets_limits_that_the_user_may_overrule() -> None:
    objective = Objective(limits=Limits(size=Quantity("1Mi")))

    limits = limits_of(objective, "mobile")

    assert (limits.size, limits.memory) == ("1Mi", "128Mi")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(), ""),
        (Limits(size=Quantity("1Ki")), "its file has 2Ki, limit 1Ki"),
        (Limits(latency_p95=Duration("1ms")), "its p95 latency is 2ms, limit 1ms"),
        (Limits(memory=Quantity("1Mi")), "it needs 3Mi of memory, limit 1Mi"),
    ],
)
def test_a_hard_limit_names_what_breaks_it(limits: Limits, reason: str) -> None:
    figures = ModelFigures(size_bytes=2048, latency_p95_seconds=0.002, memory_bytes=3 << 20)

    assert outside_limits(figures, limits) == reason


def test_verification_begins_with_the_safest_and_each_next_one_is_better() -> None:
    trials = [trial("a", bound=0.45, objective=0.2), trial("beaten", bound=0.46, objective=0.5),
              trial("safe", bound=0.1, objective=0.9), trial("b", bound=0.44, objective=0.3)]  # fmt: skip

    order = [one.key for one in sequence(trials, max_loss=0.5)]

    assert order == ["safe", "b", "a"]


def test_what_will_hardly_pass_comes_last_where_its_failure_costs_nothing() -> None:
    trials = [trial("bold", bound=0.8, objective=0.1), trial("bolder", bound=0.9, objective=0.05),
              trial("boldest", bound=2.0, objective=0.01), trial("likely", bound=0.2, objective=0.5)]  # fmt: skip

    order = [one.key for one in sequence(trials, max_loss=0.5)]

    assert order == ["likely", "bold", "bolder"]


def test_at_most_five_are_verified_the_safest_and_the_best_among_them() -> None:
    trials = [trial(f"{number}", bound=0.04 * number, objective=1 - 0.1 * number) for number in range(9)]

    order = [one.key for one in sequence(trials, max_loss=0.5)]

    assert order == ["0", "5", "6", "7", "8"]


def test_a_wide_gap_is_filled_with_what_is_safer_than_it_looks() -> None:
    tied = [trial("half", bound=0.3, objective=0.4), trial("most", bound=0.3, objective=0.2)]

    order = [one.key for one in sequence([trial("safe", bound=0.1, objective=0.9), *tied], max_loss=0.5)]

    assert order == ["safe", "half", "most"]


def test_what_was_objected_to_is_not_verified() -> None:
    trials = [trial("a", objection="slower than the original"), trial("b", objection="failed")]

    assert sequence(trials, max_loss=0.5) == []


def test_the_front_holds_what_no_other_beats() -> None:
    small, exact, beaten = (
        candidate("small", loss=0.4, size=12, latency=3),
        candidate("exact", loss=0.0, size=4, latency=2),
        candidate("beaten", loss=0.4, size=4, latency=2),
    )

    front = [one.technique for one in pareto_front([small, exact, beaten])]

    assert front == ["exact", "small"]


def test_ratios_bisect_between_what_fits_and_what_does_not() -> None:
    outcomes: list[Outcome] = []
    ratios = []
    for _ in range(3):
        ratio = next_ratio(outcomes, seed=7)
        assert ratio is not None
        ratios.append(ratio)
        outcomes.append(Outcome(ratio=ratio, value=0.1, fits=ratio <= 0.6))

    assert ratios == [0.5, 0.7, 0.6]


def test_workers_begin_apart_and_then_halve_the_widest_gap() -> None:
    first = first_ratios(0.5, workers=2)
    outcomes = [Outcome(ratio=0.5, value=1000, fits=False), Outcome(ratio=0.35, value=0.2, fits=True)]

    at_once = next_ratio([], seed=7, running=[first[0]], first=first)
    later = [next_ratio(outcomes, seed=7, running=running, first=first) for running in ([], [0.42])]

    assert (first, at_once) == ((0.5, 0.35), 0.35)
    assert later == [0.4, 0.45]  # (0.35 + 0.5) / 2 in steps of 0.05, then between 0.42 and 0.5
    assert first_ratios(1.0, workers=2) == (0.5, 0.65)


def test_a_further_cut_starts_from_the_largest_that_fits() -> None:
    outcomes = [Outcome(ratio=0.35, value=0.3, fits=True), Outcome(ratio=0.5, value=0.2, fits=True),
                Outcome(ratio=0.8, value=1001, fits=False)]  # fmt: skip

    assert parent_of(0.65, outcomes) == 0.5
    assert relative(0.65, 0.5) == pytest.approx(0.3)  # of the half that is left
    assert parent_of(0.3, outcomes) is None
    assert relative(0.3, None) == 0.3


def test_later_ratios_repeat_for_a_seed_and_end() -> None:
    outcomes = [Outcome(ratio=ratio, value=ratio, fits=True) for ratio in (0.5, 0.7, 0.6, 0.65)]

    one, other = next_ratio(outcomes, seed=7), next_ratio(outcomes, seed=7)

    assert one == other
    assert next_ratio(outcomes * 2, seed=7) is None


@pytest.mark.parametrize(("left", "expected"), [(10.0, None), (30.0, 22.0), (108.0, 100.0), (1008.0, 500.0)])
def test_a_lineage_gets_its_share_of_the_time(left: float, expected: float | None) -> None:
    assert training_seconds(left, overhead_seconds=8.0) == expected


@pytest.mark.parametrize(
    ("operators", "can_train", "sentence"),
    [
        ({"Conv": 12, "Gemm": 2}, True, "12 Conv, 2 Linear: convolutional, so structured pruning then int8"),
        ({"Conv": 12, "Gemm": 2}, False, "12 Conv, 2 Linear: convolutional, so int8; with data.training"),
        ({"LSTM": 2, "Gemm": 1}, True, "2 recurrent, 1 Linear: recurrent, so distillation"),
        ({"MatMul": 48, "Softmax": 6}, True, "48 Linear: a transformer, so 8-bit products"),
        ({"Add": 1}, True, "no heavy operators: little to compress"),
    ],
)
def test_advice_tells_what_the_structure_suggests(operators: dict[str, int], can_train: bool, sentence: str) -> None:
    assert advice(operators, can_train=can_train).startswith(sentence)


def test_what_needs_calibration_is_not_tried_without() -> None:
    without = [steps[0]["quantize"] for steps in quantizations(Family.CONVOLUTIONAL, can_calibrate=False)]

    assert all(step["scheme"] == "float16" or step["mode"] in ("dynamic", "weights") for step in without)
    assert quantizations(Family.CONVOLUTIONAL, can_calibrate=True)[0][0]["quantize"] == INT8


@pytest.mark.parametrize("kind", list(Family))
@pytest.mark.parametrize("can_calibrate", [True, False])
def test_every_proposed_step_is_one_that_the_api_allows(kind: Family, can_calibrate: bool) -> None:
    proposals = [
        *quantizations(kind, can_calibrate=can_calibrate),
        *forms_after_training(kind, can_calibrate=can_calibrate),
        [cut(kind, 0.5, epochs=2)],
    ]

    for steps in proposals:
        for step in steps:
            Step.model_validate(step)
    keys = [key_of(steps) for steps in quantizations(kind, can_calibrate=can_calibrate)]
    assert len(set(keys)) == len(keys)


def test_a_study_remembers_trials_models_checkpoints_and_tries(tmp_path: Path) -> None:
    uri, model = tmp_path.as_uri(), small_cnn()
    first = Study.open(storage(), output_uri=uri, inputs_hash="abc")
    first.add(trial(key_of([{"quantize": {}}])), model)
    first.write("prune", b"state")
    first.record.sequence = ["x"]
    first.save()

    again = Study.open(storage(), output_uri=uri, inputs_hash="abc")

    assert again.has(key_of([{"quantize": {}}]))
    assert again.model(again.record.trials[0]).content == model.content
    assert again.read("prune") == b"state"
    assert again.read("other") is None
    assert again.record.sequence == ["x"]
    assert again.record.attempts == 2


def test_studies_of_other_inputs_are_apart(tmp_path: Path) -> None:
    Study.open(storage(), output_uri=tmp_path.as_uri(), inputs_hash="abc").add(trial("a"), None)

    other = Study.open(storage(), output_uri=tmp_path.as_uri(), inputs_hash="def")

    assert other.record.trials == []


@pytest.mark.parametrize("uri", ["https://example.invalid/out", "file:///proc/no/such/place"])
def test_an_output_that_cannot_be_written_names_its_field(uri: str) -> None:
    with pytest.raises(UnusableOutput) as caught:
        Study.open(storage(), output_uri=uri, inputs_hash="abc")

    assert caught.value.field == "spec.output.uri"
    assert caught.value.value == uri
