"""The options of `frugal compress`, and how its verdict becomes an exit status. Runs and shows nothing itself."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from frugal.api.compression_job import Metric
from frugal.api.result import ResultVerdict
from frugal.cli.options import volume

STOPPED_STATUS = 130  # as shells count Ctrl-C
EXIT_STATUS = {
    ResultVerdict.SUCCEEDED: 0,
    ResultVerdict.REJECTED: 1,
    ResultVerdict.ERROR: 1,
    ResultVerdict.INVALID: 2,
}


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "compress",
        help="compress one model on this machine",
        description="Searches for the smallest and fastest form of MODEL that keeps its quality, judges it on the "
        "evaluation data, and publishes it with a report to --output. Needs the jobs extra. Data: .npz whose arrays "
        "are named like the model's inputs (or x when there is one) plus y, IDX images, .parquet, or .jsonl of text. "
        "Exit status: 0 published, 1 nothing was good enough or an outage, 2 an input cannot be used. Ctrl-C stops; "
        "the same command goes on from there.",
    )
    command.add_argument("model", nargs="?", metavar="MODEL", help="path or URI of the model")
    command.add_argument("-f", "--filename", type=Path, metavar="FILE", help="a CompressionJob instead of options")
    _add_inputs(command)
    _add_aims(command)
    _add_search(command)
    command.add_argument("--output", metavar="DIR", help="folder or URI for artifacts, report and study")
    command.add_argument(
        "-o", dest="form", choices=("text", "json"), default="text", help="json: report.json's summary"
    )
    command.set_defaults(command=run)


def _add_inputs(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("inputs, each a path or a URI")
    group.add_argument("--evaluation", metavar="URI", help="labelled samples that carry the verdict")
    group.add_argument("--training", metavar="URI", help="unlocks pruning and distillation")
    group.add_argument("--validation", metavar="URI", help="ranks candidates (default: held out of the training data)")
    group.add_argument("--calibration", metavar="URI", help="ranges for int8 (default: from the training data)")
    group.add_argument("--augment", action="append", default=[], metavar="NAME", help="flip, crop or mixup; may repeat")
    group.add_argument("--format", help="onnx, torch, keras or safetensors (default: by the file's ending)")
    group.add_argument("--task", help="what the model is for (default: by the metric)")
    group.add_argument("--tokenizer", default="", metavar="URI", help="tokenizer.json, for text")
    group.add_argument("--factory", default="", metavar="MODULE:NAME", help="makes the empty module, for a state dict")
    group.add_argument(
        "--volume", type=volume, action="append", default=[], metavar="CLAIM=DIR", help="the folder behind a claim (-f)"
    )


def _add_aims(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("aims")
    names = ", ".join(metric.value for metric in Metric)
    group.add_argument("--metric", default="accuracy", help=f"{names}, or an entry point (default: accuracy)")
    group.add_argument("--max-loss", type=float, default=0.5, metavar="POINTS", help="may be lost (default: 0.5)")
    group.add_argument("--confidence", type=float, default=0.95, metavar="P", help="of that bound (default: 0.95)")
    group.add_argument(
        "--lambda", type=float, dest="lambda_", metavar="POINTS", help="points that one unit of C is worth"
    )
    group.add_argument(
        "--cost", action="append", default=[], metavar="KEY=WEIGHT", help="latency, size, flops, memory or price"
    )
    group.add_argument(
        "--target", action="append", default=[], metavar="RUNTIME/DEVICE", help="may repeat (default: onnxruntime/cpu)"
    )
    group.add_argument("--profile", default="", metavar="NAME", help="a device profile, such as edge or mobile")


def _add_search(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("search")
    group.add_argument("--timeout", default="15m", metavar="DURATION", help="of the whole work (default: 15m)")
    group.add_argument("--parallelism", type=int, default=2, metavar="N", help="candidates at a time (default: 2)")
    group.add_argument("--trials", type=int, default=40, metavar="N", help="candidates at most (default: 40)")
    group.add_argument("--seed", type=int, default=7, help="makes the search repeatable (default: 7)")


def run(arguments: argparse.Namespace) -> int:
    """Compress, show the verdict, and return its status; raises FrugalError for what cannot be used."""
    from frugal.cli.compress.process import Session
    from frugal.cli.compress.request import request_from
    from frugal.cli.compress.screen import Screen, summary

    request = request_from(arguments)
    session = Session(request=request, volumes=dict(arguments.volume))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the work is stopped too, and saves its state
    with Screen(name=request.name, live=arguments.form == "text") as screen:
        try:
            result = session.run(screen.tell)
        except KeyboardInterrupt:
            screen.stopped()
            return STOPPED_STATUS
    report = session.report_of(result)
    if arguments.form == "json":
        json.dump(summary(result, report), sys.stdout, indent=2)
        print()
    else:
        screen.verdict(result)
    return EXIT_STATUS[result.verdict]
