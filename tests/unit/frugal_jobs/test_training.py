"""Pruning, batch norms, distillation and fine-tuning: the parts, and that together they give a small net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frugal.api.common import Task
from frugal.api.compression_steps import PruneStep
from frugal_jobs.evaluation.quality import class_scores
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of
from frugal_jobs.models.trainable import outputs_of_module
from frugal_jobs.techniques.augmentation import augmented, mixing
from frugal_jobs.techniques.batch_norms import add_norms, fold_norms
from frugal_jobs.techniques.distillation import Teacher, divergence, loss_of
from frugal_jobs.techniques.fine_tuning import FineTuning, Lesson, Limit, rate_factor
from frugal_jobs.techniques.structured_pruning import StructuredPruning, prune
from tests.unit.frugal_jobs.small_models import Memory, context, digits, linear, random, samples_of, small_cnn

PIXELS, LABELS = digits()
FOUR = LABELS < 4  # the small network has four classes
TRAINING = samples_of(PIXELS[FOUR][:500], LABELS[FOUR][:500])
TESTING = samples_of(PIXELS[FOUR][500:], LABELS[FOUR][500:])


def accuracy(model: Model) -> float:
    assert TESTING.labels is not None
    return class_scores(outputs_of(model, TESTING.batches()), TESTING.labels).accuracy


def lesson(model: Model, **more: Any) -> Lesson:
    options: dict[str, Any] = {"augment": (), "seed": 3, "teacher": Teacher(model, TRAINING)}
    return Lesson(
        samples=TRAINING, task=Task.CLASSIFICATION, are_probabilities=False,
        **options | more,
    )  # fmt: skip


def batches() -> list[tuple[Tensor, ...]]:
    return [(torch.from_numpy(TRAINING.at(slice(0, 200))["x"]),)]


@pytest.fixture(scope="module")
def trained() -> Model:
    """A network that tells four digits apart."""
    model = small_cnn()
    trainable = imported(model)
    FineTuning(trainable.module, lesson(model, teacher=_Oracle()), Limit(epochs=50), keep=lambda _: None).run()
    return Model(proto=trainable.written_back())


class _Oracle:
    """A teacher that knows the labels."""

    def outputs(self, index: np.ndarray) -> Tensor:
        assert TRAINING.labels is not None
        return 8.0 * nn.functional.one_hot(torch.from_numpy(TRAINING.labels[index].astype(np.int64)), 4).float()


def test_pruning_removes_about_the_asked_share_and_keeps_the_output(trained: Model) -> None:
    trainable = imported(trained)

    prune(trainable, trained, ratio=0.5)

    pruned = Model(proto=trainable.written_back())
    assert pruned.parameters < 0.55 * trained.parameters
    assert outputs_of(pruned, TESTING.batches()).shape == (len(TESTING), 4)


def test_added_norms_change_nothing_and_fold_back_into_nothing(trained: Model) -> None:
    trainable, images = imported(trained), TESTING.at(slice(0, 20))["x"]
    before = outputs_of_module(trainable.module, [images])

    added = add_norms(trainable, batches())
    with_norms = outputs_of_module(trainable.module, [images])
    fold_norms(trainable, added)
    folded = outputs_of_module(trainable.module, [images])

    assert added == ["n0", "n2"]
    np.testing.assert_allclose(with_norms, before, atol=1e-4)
    np.testing.assert_allclose(folded, before, atol=1e-4)


def test_folding_keeps_what_a_trained_norm_computes(trained: Model) -> None:
    trainable, images = imported(trained), TESTING.at(slice(0, 20))["x"]
    added = add_norms(trainable, batches())
    for name in added:
        norm = trainable.module.get_submodule(f"{name}_norm")
        assert isinstance(norm, nn.BatchNorm2d)
        norm.weight.data *= 1.3
        norm.bias.data += 0.2
    before = outputs_of_module(trainable.module, [images])

    fold_norms(trainable, added)

    np.testing.assert_allclose(outputs_of_module(trainable.module, [images]), before, rtol=1e-3, atol=1e-4)


def test_the_divergence_is_hintons() -> None:
    teacher, student, temperature = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]]), 2.0
    high = 1 / (1 + np.exp(-1.0))  # softmax of (1, 0)

    found = float(divergence(student, teacher, temperature=temperature))

    expected = high * np.log(high / 0.5) + (1 - high) * np.log((1 - high) / 0.5)
    assert found == pytest.approx(temperature**2 * expected, rel=1e-5)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it() -> None:
    logits = torch.randn(8, 5)

    found = float(divergence(logits, logits, temperature=2.0))

    assert found == pytest.approx(0.0, abs=1e-6)


def test_probabilities_are_compared_as_the_logits_they_come_from() -> None:
    teacher, student = torch.randn(8, 5), torch.randn(8, 5)
    labels = torch.arange(8) % 5

    from_logits = loss_of(student, teacher, labels, task=Task.CLASSIFICATION, are_probabilities=False)
    from_shares = loss_of(
        student.softmax(-1), teacher.softmax(-1), labels, task=Task.CLASSIFICATION, are_probabilities=True
    )

    assert float(from_shares) == pytest.approx(float(from_logits), rel=1e-4)


def test_a_regression_learns_by_squared_difference() -> None:
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [4.0]])

    loss = loss_of(student, teacher, None, task=Task.REGRESSION, are_probabilities=False)

    assert float(loss) == pytest.approx((1 + 4) / 2)


def test_a_teacher_answers_each_sample_once() -> None:
    model = linear(random(2, 3))
    from frugal_jobs.datasets.samples import Column, Samples

    samples = Samples(columns=(Column(name="x", raw=random(6, 3), dtype="float32"),))
    teacher = Teacher(model, samples)

    first = teacher.outputs(np.array([0, 2]))
    teacher.model = linear(random(2, 3, seed=99))
    teacher._session = None
    second = teacher.outputs(np.array([2, 0]))

    np.testing.assert_array_equal(first.numpy()[::-1], second.numpy())


def test_the_rate_rises_shortly_and_falls_to_nothing() -> None:
    factors = [rate_factor(share) for share in np.linspace(0, 1, 101)]

    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] == pytest.approx(0.0, abs=1e-9)


def test_a_training_that_was_cut_ends_where_an_uncut_one_ends_but_for_the_optimizers_memory(trained: Model) -> None:
    class Cut(BaseException):
        pass

    kept: list[bytes] = []
    module = imported(trained).module
    teacher = Teacher(trained, TRAINING)
    first = FineTuning(module, lesson(trained, teacher=teacher), Limit(epochs=4), keep=kept.append)
    ticks = iter(range(10))

    def tick() -> float:
        try:
            return float(next(ticks))
        except StopIteration:
            raise Cut from None

    first.clock = tick
    with pytest.raises(Cut):
        first.run()
    again = FineTuning(imported(trained).module, lesson(trained, teacher=teacher), Limit(epochs=4), keep=kept.append)
    again.resume(kept[-1])
    resumed_at = again.progress.steps
    epochs = again.run()

    assert resumed_at == 10  # ten steps were made when the clock broke
    assert epochs == pytest.approx(4, abs=0.2)


def test_the_same_seed_trains_the_same_network(trained: Model) -> None:
    def result() -> np.ndarray:
        torch.manual_seed(0)
        module = imported(trained).module
        FineTuning(
            module, lesson(trained, augment=("flip", "crop", "mixup")), Limit(epochs=1), keep=lambda _: None
        ).run()
        return outputs_of_module(module, [TESTING.at(slice(0, 10))["x"]])

    one, other = result(), result()

    np.testing.assert_array_equal(one, other)


def test_a_pruned_and_tuned_network_is_nearly_as_right_as_the_original(trained: Model, tmp_path: Path) -> None:
    means = context(tmp_path, training=TRAINING)

    pruned = StructuredPruning(PruneStep(ratio=0.5, epochs=30))(trained, means)

    assert accuracy(trained) > 0.95
    assert accuracy(pruned) > accuracy(trained) - 0.04
    assert pruned.parameters < 0.55 * trained.parameters
    assert pruned.label == "prune 50 %"
    assert pruned.steps[0]["prune"]["epochs"] == pytest.approx(30, abs=0.2)


def test_pruning_without_training_data_only_prunes(trained: Model, tmp_path: Path) -> None:
    pruned = StructuredPruning(PruneStep(ratio=0.5))(trained, context(tmp_path))

    assert pruned.steps[0]["prune"]["epochs"] == 0


def test_training_stops_at_its_time(trained: Model) -> None:
    module = imported(trained).module
    seconds = iter(range(1000))
    tuning = FineTuning(
        module, lesson(trained), Limit(epochs=1000, seconds=20), keep=lambda _: None, clock=lambda: float(next(seconds))
    )

    tuning.run()

    assert tuning.progress.steps == 20  # the clock ticks once a step


def test_checkpoints_come_at_intervals(trained: Model) -> None:
    memory = Memory()
    seconds = iter(range(0, 10_000, 7))
    tuning = FineTuning(
        imported(trained).module, lesson(trained), Limit(epochs=1000, seconds=70),
        keep=lambda content: memory.write(str(len(memory.kept)), content), clock=lambda: float(next(seconds)),
    )  # fmt: skip

    tuning.run()

    assert len(memory.kept) == 3  # seven seconds a step, at 21, 42 and 63


def test_augmentation_keeps_shapes_and_leaves_rows_alone() -> None:
    images, rows = torch.rand(4, 1, 8, 8), torch.rand(4, 8)
    generator = torch.Generator().manual_seed(1)

    changed = augmented(images, ("flip", "crop"), generator)

    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    assert torch.equal(augmented(rows, ("flip", "crop"), generator), rows)


def test_mixing_keeps_the_sample_itself_the_larger_part() -> None:
    share, others = mixing(6, torch.Generator().manual_seed(1))

    assert 0.5 <= share <= 1
    assert sorted(others.tolist()) == list(range(6))
