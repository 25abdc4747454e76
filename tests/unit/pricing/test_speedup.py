from __future__ import annotations

import math
from typing import Any

import pytest

from frugal.api.compression_job import CompressionJobSpec
from frugal.api.validation import parse_model
from frugal.pricing.speedup import Outcome, Speedup, predicted, scored, sort_of, told

SPEC = {
    "model": {"uri": "pvc://models/digits.onnx"},
    "data": {"evaluation": {"uri": "pvc://data/test.npz"}},
    "output": {"uri": "pvc://models/out"},
}


def spec(*steps: dict[str, Any], trained: bool = False, **more: Any) -> CompressionJobSpec:
    made = {**SPEC, **more}
    if trained:
        made["data"] = {**made["data"], "training": {"uri": "pvc://data/train.npz"}}
    if steps:
        made["strategy"] = {"mode": "Pipeline", "pipeline": list(steps)}
    return parse_model(CompressionJobSpec, made)


def outcomes(spec_: CompressionJobSpec, *ratios: float) -> list[Outcome]:
    return [Outcome(sort=sort_of(spec_), latency_ratio=ratio) for ratio in ratios]


def test_without_training_data_int8_is_expected() -> None:
    assert predicted(spec(), []) == Speedup(low=1.27, expected=2.2, high=3.81)


def test_training_data_promise_more_and_less_surely() -> None:
    plain, trained = predicted(spec(), []), predicted(spec(trained=True), [])

    assert trained.expected > plain.expected
    assert trained.high / trained.low > plain.high / plain.low


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"quantize": {"scheme": "linear", "bits": 8}}], 2.2),
        ([{"quantize": {"scheme": "kmeans", "bits": 4}}], 1.0),  # smaller, computed as before
        ([{"prune": {"kind": "structured", "ratio": 0.5}}], 4.0),
        ([{"prune": {"kind": "unstructured", "ratio": 0.9}}], 1.0),  # zeros are computed too
        ([{"prune": {"ratio": 0.5}}, {"quantize": {"scheme": "linear", "bits": 8}}], 4.4),
    ],
)
def test_a_pipeline_is_known_by_its_steps(steps: list[dict[str, Any]], expected: float) -> None:
    assert predicted(spec(*steps), []).expected == expected


def test_earlier_jobs_of_the_same_sort_move_the_prediction() -> None:
    wanted = spec()

    learnt = predicted(wanted, outcomes(wanted, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0))

    assert learnt.expected == float(f"{math.exp((2 * math.log(2.2) + 6 * math.log(3)) / 8):.3g}")
    assert learnt.jobs == 6
    assert learnt.high / learnt.low < predicted(wanted, []).high / predicted(wanted, []).low


def test_jobs_of_another_sort_tell_nothing() -> None:
    assert predicted(spec(), outcomes(spec(trained=True), 9.0, 9.0)) == predicted(spec(), [])


def test_jobs_that_differ_much_keep_the_interval_wide() -> None:
    wanted = spec()

    alike, apart = predicted(wanted, outcomes(wanted, *[2.2] * 8)), predicted(wanted, outcomes(wanted, *[1.0, 4.8] * 4))

    assert apart.high / apart.low > alike.high / alike.low


def test_the_interval_holds_four_of_five() -> None:
    """Jobs drawn around a middle that the published figures do not know: 20 learnt, the 21st predicted."""
    wanted, middle, spread = spec(), math.log(3.0), 0.3
    steps = [(number + 0.5) / 400 for number in range(400)]
    from statistics import NormalDist

    drawn = [math.exp(NormalDist(middle, spread).inv_cdf(step)) for step in steps]
    shuffled = [drawn[(number * 149) % 400] for number in range(400)]

    held = 0
    for start in range(380):
        interval = predicted(wanted, outcomes(wanted, *shuffled[start : start + 20]))
        held += interval.low <= shuffled[start + 20 - 400] <= interval.high

    assert 0.72 <= held / 380 <= 0.92


def test_a_prediction_is_scored_by_what_became_of_it() -> None:
    kept = told(Speedup(low=1.5, expected=2.0, high=3.0, jobs=1))

    good, bad = scored(kept, 2.5), scored(kept, 1.2)

    assert (good.measured, good.error_ratio, good.is_within) == (2.5, 0.25, True)
    assert (bad.error_ratio, bad.is_within) == (-0.4, False)
