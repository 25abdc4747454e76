"""Data files: what is read, how it is made to fit, and which field is blamed for what cannot be."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from frugal.api.common import Task
from frugal.api.compression_job import DataSource
from frugal_jobs.datasets.faults import UnreadableFile
from frugal_jobs.datasets.fitting import fitted
from frugal_jobs.datasets.loading import load
from frugal_jobs.datasets.provision import parts_of_evaluation, provide
from frugal_jobs.datasets.samples import Samples, held_out
from frugal_jobs.errors import UnusableData
from tests.unit.frugal_jobs.small_models import linear, random, samples_of, small_cnn, source_of, spec_of, storage

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
LABELS = (np.arange(12) % 4).astype(np.int64)


def loaded(path: Path, folder: Path, **more: Any) -> Samples:
    options: dict[str, Any] = {"model": small_cnn(), "described": source_of(folder / "m.onnx")} | more
    source = DataSource(uri=path.as_uri())
    return load(source, field="spec.data.evaluation", storage=storage(), folder=folder, **options)


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "set.npz"
    np.savez(path, **arrays)
    return path


def idx(folder: Path, name: str, array: np.ndarray) -> Path:
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def test_bytes_become_pixels_between_zero_and_one_with_a_channel(tmp_path: Path) -> None:
    samples = loaded(npz(tmp_path, x=IMAGES, y=LABELS), tmp_path)

    feed = samples.at(slice(0, 3))

    assert feed["x"].shape == (3, 1, 8, 8)
    assert feed["x"].dtype == np.float32
    np.testing.assert_allclose(feed["x"][:, 0], IMAGES[:3] / 255, rtol=1e-6)
    assert samples.labels is not None
    assert list(samples.labels) == list(LABELS)


def test_a_scale_of_the_users_own_replaces_the_usual_one(tmp_path: Path) -> None:
    described = source_of(tmp_path / "m.onnx", inputs={"x": {"shape": [-1, 1, 8, 8], "scale": 2.0}})

    samples = loaded(npz(tmp_path, x=IMAGES, y=LABELS), tmp_path, described=described)

    np.testing.assert_allclose(samples.at(slice(0, 1))["x"][0, 0], 2.0 * IMAGES[0])


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_images_find_their_labels(tmp_path: Path, ending: str) -> None:
    images = idx(tmp_path, f"t10k-images-idx3-ubyte{ending}", IMAGES)
    idx(tmp_path, f"t10k-labels-idx1-ubyte{ending}", LABELS)

    samples = loaded(images, tmp_path)

    assert len(samples) == 12
    assert samples.labels is not None
    assert list(samples.labels) == list(LABELS)


def test_a_parquet_column_of_lists_is_an_array(tmp_path: Path) -> None:
    rows = random(5, 3)
    table = pyarrow.table({"x": pyarrow.array(list(rows)), "label": [0, 1, 0, 1, 1]})
    parquet.write_table(table, tmp_path / "set.parquet")

    samples = loaded(tmp_path / "set.parquet", tmp_path, model=linear(random(2, 3)))

    np.testing.assert_allclose(samples.at(slice(0, 5))["x"], rows)


def test_only_the_first_samples_are_used_when_asked(tmp_path: Path) -> None:
    source = DataSource(uri=npz(tmp_path, x=IMAGES, y=LABELS).as_uri(), samples=5)

    samples = load(
        source, field="spec.data.evaluation", model=small_cnn(), described=source_of(tmp_path / "m.onnx"),
        storage=storage(), folder=tmp_path,
    )  # fmt: skip

    assert len(samples) == 5


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((3, 8, 8), (1, 8, 8)), ((3, 8, 8), (8, 8, 1)), ((3, 64), (1, 8, 8)), ((3, 1, 8, 8), (1, None, None))],
)
def test_samples_are_reshaped_where_only_one_way_fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> None:
    array = fitted(np.zeros(shape), wanted, "x")

    assert array.shape[1:] == tuple(size or 8 for size in wanted)


def test_samples_of_another_size_do_not_fit() -> None:
    with pytest.raises(UnreadableFile, match="8 x 9 and the model takes 1 x 8 x 8"):
        fitted(np.zeros((3, 8, 9)), (1, 8, 8), "x")


BAD_ARRAYS = [
    ({"x": IMAGES[:, :4], "y": LABELS}, "samples of 'x' are 4 x 8"),
    ({"x": IMAGES, "y": np.where(LABELS == 3, 7, LABELS)}, "3 labels are outside 0..3 (found 0..7)"),
    ({"x": IMAGES, "y": -LABELS}, "outside 0..3"),
    ({"x": IMAGES, "y": LABELS + 0.5}, "labels are float64"),
    ({"x": IMAGES, "y": LABELS[:5]}, "5 labels and 12 samples"),
    ({"x": IMAGES}, "holds no labels"),
    ({"y": LABELS}, "holds no array for input 'x' (found nothing)"),
    ({"x": IMAGES[:0], "y": LABELS[:0]}, "holds no samples"),
    ({"x": np.where(IMAGES > 250, np.nan, 1.0), "y": LABELS}, "NaN or infinity"),
    ({"x": np.array(["a"] * 12), "y": LABELS}, "'x' holds <U1"),
]


@pytest.mark.parametrize(("arrays", "fault"), BAD_ARRAYS)
def test_data_that_does_not_fit_names_field_value_and_remedy(
    tmp_path: Path, arrays: dict[str, Any], fault: str
) -> None:
    path = npz(tmp_path, **arrays)

    with pytest.raises(UnusableData) as caught:
        loaded(path, tmp_path)

    assert fault in str(caught.value)
    assert caught.value.field == "spec.data.evaluation.uri"
    assert caught.value.value == path.as_uri()
    assert caught.value.remedy


def test_an_array_of_objects_is_a_pickle_and_never_loaded(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.array([print, None], object), y=LABELS)

    with pytest.raises(UnusableData, match="a pickle"):
        loaded(path, tmp_path)


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\0" * 4_000_000)

    with pytest.raises(UnusableData, match="unpacks to 4000000 bytes, and at most 100000 are allowed"):
        loaded(path, tmp_path, max_bytes=100_000)


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)})
    path = tmp_path / "liar.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", head.getvalue())

    with pytest.raises(UnusableData, match="claims"):
        loaded(path, tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_a_damaged_archive_is_named_as_such(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(content)

    with pytest.raises(UnusableData, match=r"no .npz archive or a damaged one"):
        loaded(path, tmp_path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\0\0\x08\x01\0\0\0\x05abc", "holds 3 bytes where its header says 5"),
        (b"\0\0\x08\x01\0\0\0\x02abcd", "more bytes"),
        (b"PK\x03\x04", "is no IDX file"),
        (b"\0\0\x08\x03\0\0", "ends within its header"),
        (struct.pack(">HBB3I", 0, 8, 3, 60000, 60000, 60000), "claims 216000000000000 bytes"),
        (gzip.compress(b"\0" * 100)[:-12], "damaged gzip"),
    ],
)
def test_a_bad_idx_file_says_what_is_wrong(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "t-images-idx3-ubyte"
    path.write_bytes(content)

    with pytest.raises(UnusableData, match=fault):
        loaded(path, tmp_path)


def test_a_small_gzip_that_unpacks_without_end_is_read_no_further_than_its_header_says(tmp_path: Path) -> None:
    bomb = struct.pack(">HBB1I", 0, 8, 1, 10) + b"\0" * 50_000_000
    path = tmp_path / "t-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bomb))

    with pytest.raises(UnusableData, match="more bytes"):
        loaded(path, tmp_path)


def test_missing_data_names_its_field(tmp_path: Path) -> None:
    with pytest.raises(UnusableData) as caught:
        loaded(tmp_path / "none.npz", tmp_path)

    assert caught.value.field == "spec.data.evaluation.uri"
    assert "nothing is there" in str(caught.value)


def test_an_unknown_ending_lists_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("1,2")

    with pytest.raises(UnusableData, match="parquet"):
        loaded(tmp_path / "set.csv", tmp_path)


def test_an_input_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    described = source_of(tmp_path / "m.onnx", inputs={"pixels": {"shape": [-1, 1, 8, 8]}})

    with pytest.raises(UnusableData, match=r"model\.inputs names pixels, and the model has x"):
        loaded(npz(tmp_path, x=IMAGES, y=LABELS), tmp_path, described=described)


def test_labels_of_a_regression_may_be_any_number(tmp_path: Path) -> None:
    described = source_of(tmp_path / "m.onnx", task=Task.REGRESSION)

    samples = loaded(
        npz(tmp_path, x=random(4, 3), y=random(4)), tmp_path, model=linear(random(1, 3)), described=described
    )

    assert samples.labels is not None
    assert samples.labels.dtype == np.float32


def test_what_is_held_out_is_not_kept_and_is_the_same_for_a_seed() -> None:
    samples = samples_of(IMAGES, np.arange(12))

    kept, held = held_out(samples, share=0.25, most=100, seed=3)
    again = held_out(samples, share=0.25, most=100, seed=3)[1]

    assert kept.labels is not None
    assert held.labels is not None
    assert again.labels is not None
    assert len(held) == 3
    assert set(kept.labels) | set(held.labels) == set(range(12))
    assert not set(kept.labels) & set(held.labels)
    assert list(held.labels) == list(again.labels)


def test_validation_and_calibration_come_from_training_by_default(tmp_path: Path) -> None:
    path = npz(tmp_path, x=IMAGES, y=LABELS)
    spec = spec_of(data={"evaluation": {"uri": "file:///e.npz"}, "training": {"uri": path.as_uri()}})

    provision = provide(spec, model=small_cnn(), storage=storage(), folder=tmp_path)

    assert provision.training is not None
    assert provision.validation is not None
    assert provision.calibration is not None
    assert (len(provision.training), len(provision.validation), len(provision.calibration)) == (11, 1, 11)
    assert provision.calibration.labels is None


def test_where_evaluation_is_all_there_is_search_and_verification_share_no_sample(tmp_path: Path) -> None:
    images = np.random.default_rng(3).integers(0, 256, (200, 8, 8), np.uint8)
    labels = np.repeat(np.arange(4), [100, 60, 30, 10])
    spec = spec_of(data={"evaluation": {"uri": npz(tmp_path, x=images, y=labels).as_uri()}})
    whole = samples_of(images, labels)

    provision = provide(spec, model=small_cnn(), storage=storage(), folder=tmp_path)
    shared, kept = parts_of_evaluation(whole, spec)

    assert provision.training is None
    assert provision.validation is not None
    assert provision.validation.labels is not None
    assert shared.labels is not None
    assert np.array_equal(provision.validation.labels, shared.labels)
    assert kept.labels is not None
    assert (len(shared), len(kept)) == (60, 140)
    assert np.array_equal(np.bincount(provision.validation.labels), [30, 18, 9, 3])  # 30 % of each class
    seen = {image.tobytes() for image in shared.columns[0].raw}
    assert not seen & {image.tobytes() for image in kept.columns[0].raw}


def test_rows_held_out_of_training_are_told_apart_from_validation_data(tmp_path: Path) -> None:
    path = {"uri": npz(tmp_path, x=IMAGES, y=LABELS).as_uri()}
    sets = {"evaluation": path, "training": path}

    held = provide(spec_of(data=sets), model=small_cnn(), storage=storage(), folder=tmp_path)
    given = provide(spec_of(data=sets | {"validation": path}), model=small_cnn(), storage=storage(), folder=tmp_path)

    assert (held.was_seen, given.was_seen) == (True, False)
