"""python -m frugal_jobs.reclaim: removes what a deleted CompressionJob published, as its request says.

Exit status 0: nothing of it is left. 1: an outage, worth a retry; the termination message says which.
"""

from __future__ import annotations

import sys

from frugal.api.request import ReclaimRequest
from frugal_artifacts.errors import ArtifactError
from frugal_artifacts.storage import Storage
from frugal_jobs.environment import PodEnvironment


def main() -> int:
    """Remove every folder and return the exit status; what is already gone is success."""
    pod = PodEnvironment.read()
    request = ReclaimRequest.model_validate_json(pod.request.read_bytes())
    storage = Storage(pod.volumes)
    try:
        for uri in request.uris:
            storage.delete(uri)
    except ArtifactError as error:
        if pod.termination_log is not None:
            pod.termination_log.write_text(str(error)[:4096])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
