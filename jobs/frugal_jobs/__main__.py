"""python -m frugal_jobs: reads the request, does the work, leaves the verdict in the termination message.

Exit status 0: a verdict (Succeeded, Rejected or Invalid), which a retry cannot change. 1: an outage or a crash, worth a
retry. 143: asked to end by SIGTERM; the study is saved and the next attempt goes on from it.
"""

from __future__ import annotations

import os
import sys
import traceback

from frugal.api.request import CompressionRequest
from frugal.api.result import CompressionResult, ResultVerdict, Usage
from frugal_artifacts.errors import ArtifactError
from frugal_artifacts.storage import Storage
from frugal_jobs import termination
from frugal_jobs.environment import PodEnvironment, read_request
from frugal_jobs.errors import InvalidInput
from frugal_jobs.progress import Progress
from frugal_jobs.search.study import Study
from frugal_jobs.stopping import STOPPED_STATUS, Stopped, stop_on_sigterm
from frugal_jobs.usage import Meter
from frugal_jobs.work import Work

FAILED_STATUS = 1


def main() -> int:
    """Do the work and return the exit status."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads on shared cores are 8-10 times slower
    stop_on_sigterm()
    pod = PodEnvironment.read()
    request = read_request(pod.request)
    pod.work.mkdir(parents=True, exist_ok=True)
    try:
        result = _outcome(request, pod)
    except Stopped:
        return STOPPED_STATUS
    termination.write(pod.termination_log, result)
    return FAILED_STATUS if result.verdict is ResultVerdict.ERROR else 0


def _outcome(request: CompressionRequest, pod: PodEnvironment) -> CompressionResult:
    """Return the verdict; every fault becomes one, and a crash says what it was."""
    meter, hashed = Meter(Usage()), request.inputs_hash
    try:
        storage = Storage(pod.volumes)
        study = Study.open(storage, output_uri=request.spec.output.uri, inputs_hash=hashed)
        meter = Meter(study.record.usage)
        return _worked(Work(request, pod, storage, Progress(sys.stdout), study, meter))
    except InvalidInput as error:
        return _ended(ResultVerdict.INVALID, str(error), hashed, meter, field=error.field)
    except ArtifactError as error:
        return _ended(ResultVerdict.ERROR, str(error), hashed, meter)
    except Exception as error:  # a crash: its trace goes to the log, its first line to the status
        traceback.print_exc(file=sys.stderr)
        return _ended(ResultVerdict.ERROR, f"{type(error).__name__}: {error}", hashed, meter)


def _worked(work: Work) -> CompressionResult:
    """Return the verdict, with what was used saved even when the work is stopped."""
    try:
        return work.run()
    except Stopped:
        work.study.record.usage = work.meter.now()
        work.study.save()
        raise


def _ended(
    verdict: ResultVerdict, message: str, inputs_hash: str, meter: Meter, *, field: str = ""
) -> CompressionResult:
    return CompressionResult(
        verdict=verdict, field=field, message=message[:1024], inputs_hash=inputs_hash, usage=meter.now()
    )


if __name__ == "__main__":
    sys.exit(main())
