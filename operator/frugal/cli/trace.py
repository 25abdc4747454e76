"""A load history in a file: a CSV line a minute, plain or gzip. Reads, checks, computes the load; chooses nothing."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from frugal.errors import FrugalError
from frugal.sizing.comparison import Load
from frugal.sizing.waiting import Floats

PROMPT_TOKEN_WORK = 1 / 20  # of an output token: prompts are computed in parallel
COLUMNS = ("minute", "requests", "input_tokens", "output_tokens", "exec_seconds")
LEAST_MINUTES = 8  # a quarter of them is for warming up


class BadTrace(FrugalError):
    """A trace that cannot be read."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: {problem}; expected CSV with the columns minute,requests[,input_tokens,output_tokens]"
        )


def read_trace(path: Path, *, service_seconds: float, minutes: int | None = None) -> Load:
    """Return the load of a file's first `minutes` (all where None); raises BadTrace.

    A request holds a sequence for `service_seconds` in the mean over the file, and in proportion to its tokens where
    the file has them; exec_seconds, where the file has them, are taken as they are. Missing minutes had no request.
    """
    table = _table(path)
    rows = {name: column[:minutes] for name, column in table.items()}
    requests = rows["requests"]
    if not requests.sum() > 0:
        raise BadTrace(path, "no request in it")
    return Load(requests=requests, loads=_loads(rows, service_seconds))


def mean_exec_seconds(path: Path) -> float | None:
    """Return the mean of the requests' measured seconds, None where the file has none."""
    table = _table(path)
    seconds, requests = table["exec_seconds"].sum(), table["requests"].sum()
    return float(seconds / requests) if seconds > 0 else None


def _loads(rows: dict[str, Floats], service_seconds: float) -> Floats:
    if rows["exec_seconds"].sum() > 0:
        return rows["exec_seconds"] / 60
    work = rows["output_tokens"] + rows["input_tokens"] * PROMPT_TOKEN_WORK
    if not work.sum() > 0:
        return rows["requests"] * service_seconds / 60
    loads: Floats = work * (rows["requests"].sum() / work.sum()) * service_seconds / 60
    return loads


def _table(path: Path) -> dict[str, Floats]:
    """Return the known columns by minute, zeros where the file has nothing."""
    reader = csv.DictReader(io.StringIO(_text(path)))
    if not {"minute", "requests"} <= set(reader.fieldnames or ()):
        raise BadTrace(path, f"its columns are {', '.join(reader.fieldnames or ()) or 'none'}")
    lines = [{name: _number(path, reader.line_num, name, row.get(name)) for name in COLUMNS} for row in reader]
    if len(lines) < LEAST_MINUTES:
        raise BadTrace(path, f"{len(lines)} minutes are too few, at least {LEAST_MINUTES} are needed")
    first, last = int(lines[0]["minute"]), int(max(line["minute"] for line in lines))
    columns = {name: np.zeros(last - first + 1) for name in COLUMNS}
    for number, line in enumerate(lines, start=2):
        place = int(line["minute"]) - first
        if place < 0:
            raise BadTrace(path, f"line {number}: minute {int(line['minute'])} is before the first, {first}")
        for name in COLUMNS:
            columns[name][place] += line[name]
    return columns


def _text(path: Path) -> str:
    try:
        return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as fault:
        raise BadTrace(path, f"cannot be read ({fault})") from None


def _number(path: Path, line: int, name: str, text: str | None) -> float:
    try:
        number = float(text or 0)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise BadTrace(path, f"line {line}: {name}: expected a number of at least 0, found {text!r}")
    return number
