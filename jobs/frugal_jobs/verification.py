"""Starts verify.py as a fresh process and reads its answer. What is judged, and how, stands there."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from frugal.errors import FrugalError
from frugal_jobs.errors import UnusableData
from frugal_jobs.verify import BASELINE_ANSWERS, Answer

TIMEOUT_SECONDS = 3600  # an hour for one model over all evaluation samples on one core


class VerificationFailed(FrugalError):
    """The verifying process ended without an answer."""

    def __init__(self, *, status: int, said: str) -> None:
        self.status, self.said = status, said
        super().__init__(f"verification ended with status {status}: {said or 'it said nothing'}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Where the request, the volumes and the scratch folder are."""

    request: Path
    volumes: Path | None
    folder: Path
    baseline: Path
    baseline_target: str = ""  # where the baseline is no ONNX file: its target, and the float graph beside it
    baseline_source: Path | None = None

    def baseline_answer(self) -> Answer:
        """Return the figures of the baseline; raises UnusableData, VerificationFailed."""
        (self.folder / BASELINE_ANSWERS).unlink(missing_ok=True)  # of an earlier attempt, perhaps on other data
        return self._ask()

    def candidate_answer(
        self, candidate: Path, *, confidence: float, target: str = "", source: Path | None = None
    ) -> Answer:
        """Return the figures of the file `candidate` against the baseline; raises UnusableData, VerificationFailed.

        target, source: for a file that is not ONNX, its target and the float graph that it was made from.
        """
        more = ("--target", target, "--source", str(source)) if target else ()
        return self._ask("--candidate", str(candidate), "--confidence", repr(confidence), *more)

    def _ask(self, *more: str) -> Answer:
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "frugal_jobs.verify", "--request", str(self.request),
            "--baseline", str(self.baseline),
            "--answer", str(answer), *(("--volumes", str(self.volumes)) if self.volumes else ()), *more,
        ]  # fmt: skip
        if self.baseline_target:
            command += ["--baseline-target", self.baseline_target, "--baseline-source", str(self.baseline_source)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=TIMEOUT_SECONDS
        )
        if ended.returncode != 0 or not answer.exists():
            raise VerificationFailed(status=ended.returncode, said=ended.stderr.strip()[-300:])
        return _checked(Answer.model_validate_json(answer.read_bytes()))


def _checked(answer: Answer) -> Answer:
    fault = answer.fault
    if fault is not None:
        raise UnusableData(field=fault.field, value=fault.value, fault=fault.fault, remedy=fault.remedy)
    return answer
