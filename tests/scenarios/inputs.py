"""Real inputs, small: a CNN trained on scikit-learn's digits, its data, and files that are wrong in one way each."""

from __future__ import annotations

import gzip
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TRAINING_SECONDS = 10


class RunsCode:
    """Unpickling this runs a command: what a malicious model file does."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch /tmp/frugal-was-here",)


def make_inputs(folder: Path) -> None:
    """Write digits/ (model.onnx, train.npz, test.npz) and bad/ into `folder`."""
    digits = folder / "digits"
    trainer = [sys.executable, "-m", "frugal_jobs.examples.fashion_mnist", "--dataset", "digits"]
    subprocess.run([*trainer, "--output", digits, "--seconds", str(TRAINING_SECONDS)], check=True, timeout=300)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(digits / f"{prefix}-images-idx3-ubyte.gz")[:, None].astype(np.float32) / 255
        np.savez(digits / f"{split}.npz", x=images, y=read_idx(digits / f"{prefix}-labels-idx1-ubyte.gz").astype(int))
    make_bad_inputs(folder / "bad", digits)


def make_bad_inputs(bad: Path, digits: Path) -> None:
    """Write files that look right from afar and are wrong in one way each."""
    bad.mkdir()
    test = np.load(digits / "test.npz")
    (bad / "noise.onnx").write_bytes(np.random.default_rng(7).bytes(20_000))
    (bad / "pickle.pt").write_bytes(pickle.dumps(RunsCode()))
    np.savez(bad / "shape.npz", x=test["x"][:, :, :5], y=test["y"])
    np.savez(bad / "labels.npz", x=test["x"], y=test["y"] + 40)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of an IDX file of bytes."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = struct.unpack(f">{dimensions}I", raw[4 : 4 + 4 * dimensions])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
