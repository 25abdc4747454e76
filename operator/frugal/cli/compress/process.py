"""The pod's work as a process of this machine: its places, its progress lines, its verdict. Shows nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from frugal.api.request import CompressionRequest
from frugal.api.result import CompressionResult, ProgressLine, Report
from frugal.errors import FrugalError

SAID_LINES = 12  # of a crash, for people
STOPPING_SECONDS = 20.0  # a training saves its state within a step; then the folder goes


class WorkEnded(FrugalError):
    """The process ended without a verdict."""

    def __init__(self, *, status: int, said: str) -> None:
        self.status, self.said = status, said
        if "No module named" in said and "frugal_jobs" in said:
            said = "the package that does the work is not installed: pip install 'frugal-operator[jobs]'"
        super().__init__(f"the work ended with status {status} and no verdict: {said or 'it said nothing'}")


@dataclass(slots=True)
class Session:
    """One run; `volumes` are folders by claim."""

    request: CompressionRequest
    volumes: Mapping[str, Path] = field(default_factory=dict)

    def run(self, tell: Callable[[ProgressLine], None]) -> CompressionResult:
        """Return the verdict, telling each line of progress; raises WorkEnded, and KeyboardInterrupt after a stop."""
        with tempfile.TemporaryDirectory(prefix="frugal-") as folder:
            places = Places(Path(folder))
            places.prepare(self.request, self.volumes)
            process = subprocess.Popen(
                [sys.executable, "-m", "frugal_jobs"], env=places.environment(), text=True, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True,  # Ctrl-C is ours: the work is asked to end
            )  # fmt: skip
            said = _followed(process, tell)
            if not places.termination.exists():
                raise WorkEnded(status=process.returncode, said=said)
            return CompressionResult.model_validate_json(places.termination.read_bytes())

    def report_of(self, result: CompressionResult) -> Report | None:
        """Return the published report where it is a file of this machine, otherwise None."""
        path = local_path(result.report_uri)
        try:
            return Report.model_validate_json(path.read_bytes()) if path else None
        except (OSError, ValidationError):
            return None


@dataclass(frozen=True, slots=True)
class Places:
    """The folder that stands for the pod's mounts."""

    folder: Path

    @property
    def termination(self) -> Path:
        return self.folder / "termination.json"

    def prepare(self, request: CompressionRequest, volumes: Mapping[str, Path]) -> None:
        """Write the request, and link the volumes."""
        for name in ("work", "volumes"):
            (self.folder / name).mkdir()
        (self.folder / "request.json").write_text(json.dumps(request.to_json()))
        for claim, path in volumes.items():
            (self.folder / "volumes" / claim).symlink_to(path.absolute())

    def environment(self) -> dict[str, str]:
        """Return what the process needs beside this process's own environment."""
        return {
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            **os.environ,
            "FRUGAL_REQUEST": str(self.folder / "request.json"),
            "FRUGAL_WORK": str(self.folder / "work"),
            "FRUGAL_VOLUMES": str(self.folder / "volumes"),
            "FRUGAL_TERMINATION_LOG": str(self.termination),
        }


def _followed(process: subprocess.Popen[str], tell: Callable[[ProgressLine], None]) -> str:
    """Tell what the process says until it ends, and return the end of its standard error."""
    assert process.stdout is not None
    assert process.stderr is not None
    errors: list[str] = []
    reader = threading.Thread(target=errors.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        for text in process.stdout:
            with contextlib.suppress(ValidationError):  # a library that prints is no progress
                tell(ProgressLine.model_validate_json(text))
        process.wait()
    except BaseException:
        _stop(process)
        raise
    reader.join(timeout=5)
    return "".join(errors[-SAID_LINES:]).strip()


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPPING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def local_path(uri: str) -> Path | None:
    """Return the path behind a file URI, or None."""
    split = urlsplit(uri)
    return Path(unquote(split.path)) if split.scheme == "file" else None
