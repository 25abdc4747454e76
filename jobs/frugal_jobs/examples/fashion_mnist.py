"""Trains a small CNN and writes it with its data, as the example CompressionJob reads them. Not part of a compression.

    python -m frugal_jobs.examples.fashion_mnist --data DIR --output DIR [--seconds N] [--dataset fashion-mnist|digits]
                                                 [--network residual|gru|lstm] [--format onnx|torch|pt2] [--seed N]

`--data` is a folder with Fashion-MNIST's four `*-ubyte.gz` files (Debian's package dataset-fashion-mnist has them in
usr/share/datasets/fashion-mnist or similar: any depth is searched). `--dataset digits` needs no `--data`: it takes
scikit-learn's 1,797 digits. `--output` then holds, whole or not at all:

    model.onnx (or model.pt: a state dict for factory frugal_jobs.examples.network:network; or model.pt2)
    {train,validation,t10k}-images-idx3-ubyte.gz  {train,validation,t10k}-labels-idx1-ubyte.gz

The network never sees the validation images (5,000 of Fashion-MNIST's 60,000): a search that ranks on images that the
original learnt by heart holds every smaller model for worse than it is.

One JSON line tells the progress about every five seconds; the last one has {"accuracy", "parameters", "seconds"}.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import math
import os
import struct
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frugal_jobs.examples.network import network, reader

Pixels = NDArray[np.uint8]
BATCH = 64
VALIDATION_IMAGES = 5000  # rank candidates to about 0.3 points
PEAK_RATE = 4e-3  # AdamW, one cycle; 6e-3 was no better and 1e-2 worse on Fashion-MNIST in 50 s


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Grey images uint8 (samples, height, width) and their classes uint8 (samples,), split in three."""

    train: Pixels
    train_labels: Pixels
    validation: Pixels
    validation_labels: Pixels
    test: Pixels
    test_labels: Pixels


def fashion_mnist(folder: Path) -> ImageSet:
    """Return the 55,000, 5,000 and 10,000 images found anywhere under `folder`; raises FileNotFoundError."""
    images, labels = read_idx(_find(folder, "train-images")), read_idx(_find(folder, "train-labels"))
    return ImageSet(
        train=images[:-VALIDATION_IMAGES],
        train_labels=labels[:-VALIDATION_IMAGES],
        validation=images[-VALIDATION_IMAGES:],
        validation_labels=labels[-VALIDATION_IMAGES:],
        test=read_idx(_find(folder, "t10k-images")),
        test_labels=read_idx(_find(folder, "t10k-labels")),
    )


def digits() -> ImageSet:
    """Return scikit-learn's digits, 8x8, every fifth one (360) for the test and every tenth (180) for validation."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    number, classes = np.arange(len(images)), labels.astype(np.uint8)
    tested, ranked = number % 5 == 0, number % 10 == 1
    learnt = ~(tested | ranked)
    return ImageSet(
        train=images[learnt], train_labels=classes[learnt],
        validation=images[ranked], validation_labels=classes[ranked],
        test=images[tested], test_labels=classes[tested],
    )  # fmt: skip


def _find(folder: Path, stem: str) -> Path:
    found = sorted(folder.rglob(f"{stem}-idx?-ubyte*"))
    if not found:
        raise FileNotFoundError(f"no {stem}-idx*-ubyte(.gz) under {folder}: unpack Fashion-MNIST there")
    return found[0]


def read_idx(path: Path) -> Pixels:
    """Return the array of an IDX file of bytes that we trust; untrusted ones go through datasets/idx.py."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rank = content[3]
    sizes = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return np.frombuffer(bytearray(content), np.uint8, offset=4 + 4 * rank).reshape(sizes)


def write_idx(path: Path, pixels: Pixels) -> None:
    """Write `pixels` as a gzipped IDX file, whole or not at all."""
    head = struct.pack(f">HBB{pixels.ndim}I", 0, 8, pixels.ndim, *pixels.shape)
    half = path.with_suffix(".half")
    half.write_bytes(gzip.compress(head + pixels.tobytes(), compresslevel=1, mtime=0))
    half.replace(path)


def train(images: ImageSet, *, seconds: float, seed: int, kind: str = "residual") -> nn.Module:
    """Return a network trained for about `seconds` of wall time; the rate falls with the time that is left."""
    torch.manual_seed(seed)
    model = network() if kind == "residual" else reader(kind, width=images.train.shape[-1])
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    pixels = torch.from_numpy(images.train).unsqueeze(1)
    labels = torch.from_numpy(images.train_labels.astype(np.int64))
    order = torch.Generator().manual_seed(seed)
    start, told, seen = time.monotonic(), 0.0, 0
    while (spent := time.monotonic() - start) < seconds:
        for batch in torch.split(torch.randperm(len(labels), generator=order), BATCH):
            spent = time.monotonic() - start
            if spent >= seconds or len(batch) < 2:
                break
            optimizer.param_groups[0]["lr"] = one_cycle(spent / seconds) * PEAK_RATE
            loss = _step(model, optimizer, augmented(pixels[batch], order), labels[batch])
            seen += len(batch)
            if spent - told > 5:
                told = spent
                _tell(phase="training", seconds=round(spent, 1), epochs=round(seen / len(labels), 2), loss=loss)
    model.eval()
    return model


def one_cycle(share: float) -> float:
    """Return the learning rate's factor at `share` of the time: up within the first tenth, then down by a cosine."""
    if share < 0.1:
        return 0.1 + 9 * share
    return max(0.002, 0.5 * (1 + math.cos(math.pi * (share - 0.1) / 0.9)))


def augmented(pixels: Tensor, order: torch.Generator) -> Tensor:
    """Return the batch in [0, 1], half of it mirrored where images are wide enough for that to keep their class."""
    batch = pixels.float() / 255
    if batch.shape[-1] < 28:  # digits are not mirror images of each other
        return batch
    mirrored = torch.rand(len(batch), generator=order) < 0.5
    return torch.where(mirrored[:, None, None, None], batch.flip(-1), batch)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor, labels: Tensor) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(model(batch.contiguous(memory_format=torch.channels_last)), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return round(float(loss.detach()), 4)


def accuracy(model: nn.Module, pixels: Pixels, labels: Pixels) -> float:
    """Return the share of images whose highest logit is their label's."""
    with torch.inference_mode():
        batches = torch.split(torch.from_numpy(pixels).unsqueeze(1), 500)
        hits = torch.cat([model(batch.float() / 255).argmax(1) for batch in batches]).numpy() == labels
    return float(hits.mean())


def save(model: nn.Module, images: ImageSet, output: Path, form: str) -> Path:
    """Write the model in the format `form` into `output` and return its path."""
    name = {"onnx": "model.onnx", "torch": "model.pt", "pt2": "model.pt2"}[form]
    path, half = output / name, output / f"half-{name}"
    example = torch.zeros(2, 1, *images.test.shape[1:])
    model = model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    batch = {0: torch.export.Dim("batch")}
    if form == "torch":
        torch.save(model.state_dict(), half)
    elif form == "pt2":
        torch.export.save(torch.export.export(model, (example,), dynamic_shapes=(batch,)), half)
    else:
        _export_onnx(model, example, half)
    half.replace(path)
    return path


def _export_onnx(model: nn.Module, example: Tensor, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of a torchvision that nobody needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )


def _tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Train, write, and return the exit status."""
    options = _options(arguments)
    torch.set_num_threads(1)  # spin barriers of two threads on shared cores are 8-10 times slower
    options.output.mkdir(parents=True, exist_ok=True)
    images = digits() if options.dataset == "digits" else fashion_mnist(options.data)
    seconds = options.seconds or (12 if options.dataset == "digits" else 50)
    start = time.monotonic()
    model = train(images, seconds=seconds, seed=options.seed, kind=options.network)
    save(model, images, options.output, options.format)
    for split, pixels in {
        "train-images-idx3": images.train,
        "train-labels-idx1": images.train_labels,
        "validation-images-idx3": images.validation,
        "validation-labels-idx1": images.validation_labels,
        "t10k-images-idx3": images.test,
        "t10k-labels-idx1": images.test_labels,
    }.items():
        write_idx(options.output / f"{split}-ubyte.gz", pixels)
    _tell(
        phase="done",
        accuracy=accuracy(model, images.test, images.test_labels),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        seconds=round(time.monotonic() - start, 1),
    )
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m frugal_jobs.examples.fashion_mnist", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with Fashion-MNIST's files, at any depth")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--seconds", type=float, default=0, help="training time; default 50, or 12 for digits")
    parser.add_argument("--dataset", choices=("fashion-mnist", "digits"), default="fashion-mnist")
    parser.add_argument(
        "--network", choices=("residual", "gru", "lstm"), default="residual", help="gru, lstm: row reader"
    )
    parser.add_argument("--format", choices=("onnx", "torch", "pt2"), default="onnx")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    if options.dataset == "fashion-mnist" and options.data is None:
        parser.error("--data is needed for fashion-mnist")
    return options


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
