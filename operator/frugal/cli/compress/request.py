"""From the command line, or a CompressionJob in a file, to the request that the pod reads. Starts nothing."""

from __future__ import annotations

import argparse
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from frugal.api.compression_job import CompressionJobSpec
from frugal.api.request import CompressionRequest
from frugal.api.validation import parse_compression_job, parse_model
from frugal.errors import FrugalError

FORMATS = {
    ".onnx": "onnx",
    ".pt": "torch", ".pt2": "torch", ".pth": "torch",
    ".keras": "keras", ".h5": "keras", ".hdf5": "keras",
    ".safetensors": "safetensors",
}  # fmt: skip
TASKS = {
    "mae": "regression", "rmse": "regression", "cosine": "embedding", "spearman": "embedding", "ndcg": "ranking",
    "map": "detection", "miou": "segmentation", "wer": "language-model", "bleu": "language-model",
    "perplexity": "language-model",
}  # fmt: skip
SETS = ("evaluation", "training", "validation", "calibration")


class UnusableArgument(FrugalError):
    """An option of the command line that cannot be used."""

    def __init__(self, *, option: str, value: object, allowed: str) -> None:
        self.option, self.value, self.allowed = option, value, allowed
        super().__init__(f"{option} {value!r}: expected {allowed}".replace(" ''", ""))


def request_from(arguments: argparse.Namespace) -> CompressionRequest:
    """Return the request; raises UnusableArgument, and InvalidObject with every fault of the spec."""
    if arguments.filename is not None:
        return _from_file(arguments)
    spec = parse_model(CompressionJobSpec, _spec(arguments))
    return _request(_name_of(spec.model.uri), spec)


def _request(name: str, spec: CompressionJobSpec, namespace: str = "default") -> CompressionRequest:
    return CompressionRequest(namespace=namespace, name=name, uid="local", inputs_hash=spec.inputs_hash(), spec=spec)


def _from_file(arguments: argparse.Namespace) -> CompressionRequest:
    file: Path = arguments.filename
    if arguments.model or arguments.evaluation:
        raise UnusableArgument(option="-f", value=str(file), allowed="either a file, or MODEL with its options")
    try:
        documents = [one for one in yaml.safe_load_all(file.read_text()) if one]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnusableArgument(option="-f", value=str(file), allowed=f"a readable YAML file ({error})") from None
    jobs = [one for one in documents if isinstance(one, dict) and one.get("kind") == "CompressionJob"]
    if len(jobs) != 1:
        raise UnusableArgument(option="-f", value=str(file), allowed=f"one CompressionJob, found {len(jobs)}")
    job = jobs[0]
    if arguments.output:
        job.setdefault("spec", {})["output"] = {"uri": _uri(arguments.output)}
    parsed = parse_compression_job(job)
    return _request(parsed.name, parsed.spec, parsed.namespace)


def _spec(arguments: argparse.Namespace) -> dict[str, Any]:
    for option, value in (
        ("MODEL", arguments.model),
        ("--evaluation", arguments.evaluation),
        ("--output", arguments.output),
    ):
        if not value:
            raise UnusableArgument(option=option, value="", allowed="a path or URI (or -f with a CompressionJob)")
    model = _model(arguments)
    data: dict[str, Any] = {
        name: {"uri": _existing(f"--{name}", uri)} for name in SETS if (uri := getattr(arguments, name))
    }
    if arguments.augment and "training" in data:
        data["training"]["augment"] = arguments.augment
    search = {"timeout": arguments.timeout, "parallelism": arguments.parallelism, "trials": arguments.trials}
    return {
        "model": model,
        "data": data,
        "objective": _objective(arguments),
        "strategy": {"search": search | {"seed": arguments.seed}},
        "profile": arguments.profile,
        "output": {"uri": _uri(arguments.output)},
    } | ({"targets": [_target(text) for text in arguments.target]} if arguments.target else {})


def _model(arguments: argparse.Namespace) -> dict[str, Any]:
    uri = _existing("MODEL", arguments.model)
    ending = PurePosixPath(urlsplit(uri).path).suffix.lower()
    form = arguments.format or FORMATS.get(ending)
    if form is None:
        known = ", ".join(FORMATS)
        raise UnusableArgument(
            option="MODEL", value=arguments.model, allowed=f"a file that ends in {known}, or --format"
        )
    task = arguments.task or TASKS.get(arguments.metric, "classification")
    more = {"tokenizer": _existing("--tokenizer", arguments.tokenizer)} if arguments.tokenizer else {}
    return {"uri": uri, "format": form, "task": task, "factory": arguments.factory} | more


def _objective(arguments: argparse.Namespace) -> dict[str, Any]:
    objective: dict[str, Any] = {
        "metric": arguments.metric, "maxLoss": arguments.max_loss, "confidence": arguments.confidence,
    }  # fmt: skip
    if arguments.lambda_ is not None:
        objective["lambda"] = arguments.lambda_
    if arguments.cost:
        objective["cost"] = dict(_weight(text) for text in arguments.cost)
    return objective


def _weight(text: str) -> tuple[str, float]:
    key, _, weight = text.partition("=")
    try:
        return key, float(weight)
    except ValueError:
        raise UnusableArgument(option="--cost", value=text, allowed="KEY=WEIGHT, such as latency=1") from None


def _target(text: str) -> dict[str, str]:
    runtime, _, device = text.partition("/")
    return {"runtime": runtime, "device": device or "cpu"}


def _existing(option: str, text: str) -> str:
    """Return the URI of a path that is there, or a URI as it is: only its store knows whether that is there."""
    uri = _uri(text)
    if "://" not in text and not Path(text).expanduser().exists():
        raise UnusableArgument(option=option, value=text, allowed="a path that exists, or a URI")
    return uri


def _uri(text: str) -> str:
    return text if re.match(r"[a-z][a-z0-9+.-]*:", text) else Path(text).expanduser().absolute().as_uri()


def _name_of(uri: str) -> str:
    stem = PurePosixPath(urlsplit(uri).path).stem.lower()
    return re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:63].rstrip("-") or "model"
