"""Which model an InferenceDeployment shall serve: its own, what was published for it, or the last one that worked."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from frugal.api.conditions import Reason
from frugal.api.inference_deployment import InferenceDeployment
from frugal.api.result import Artifact
from frugal.api.status import CompressionJobStatus, InferenceDeploymentStatus, ServedModelStatus
from frugal.decisions.pods import Trouble
from frugal.decisions.snapshot import InferenceSnapshot, Manifest
from frugal.resources.inference import failed_version_in, model_in, model_version

TARGET = "onnxruntime/cpu"  # of the artifacts, the one that our server runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """The model to serve; None while there is none.

    wait: why the wanted model is not there; what runs then goes on.
    failed_version: a version that did not become ready and that was given up for `model`; empty when there is none.
    """

    model: ServedModelStatus | None
    wait: Trouble | None = None
    failed_version: str = ""


def choose_model(
    deployment: InferenceDeployment, seen: InferenceSnapshot, live: Manifest | None, before: InferenceDeploymentStatus
) -> ModelChoice:
    """Return what to serve now.

    live: the Deployment as it is. before: the present status, whose `model` is the last one that was fully rolled out.
    """
    wanted = _wanted(deployment, seen)
    if isinstance(wanted, Trouble):
        return ModelChoice(model=model_in(live) if live is not None else None, wait=wanted)
    given_up = _given_up(deployment, live, before, wanted)
    if given_up and before.model is not None:
        return ModelChoice(model=before.model, failed_version=wanted.version)
    return ModelChoice(model=wanted)


def deadline_exceeded(live: Manifest) -> bool:
    """Whether Kubernetes says that the rollout did not get on in time."""
    conditions = (live.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Progressing" and one.get("status") == "False" for one in conditions)


def _wanted(deployment: InferenceDeployment, seen: InferenceSnapshot) -> ServedModelStatus | Trouble:
    served = deployment.spec.model
    assert served is not None, "an object without a model is unsupported and was refused before"
    if served.uri is not None:
        sha256 = served.sha256 or ""
        return ServedModelStatus(uri=served.uri, sha256=sha256, version=model_version(served.uri, sha256))
    assert served.compression_job_ref is not None, "a rule of the schema"
    name = served.compression_job_ref.name
    if seen.compression_job is None:
        return Trouble(
            Reason.REFERENCE_MISSING,
            f"spec.model.compressionJobRef.name: there is no CompressionJob {name!r} in this namespace; create it",
        )
    artifact = _artifact(seen.compression_job)
    if artifact is None:
        phase = (seen.compression_job.get("status") or {}).get("phase") or "not looked at yet"
        return Trouble(
            Reason.WAITING_FOR_ARTIFACT,
            f"CompressionJob {name} ({phase}) has published no artifact for {TARGET}; it is served as soon as it has",
        )
    version = model_version(artifact.uri, artifact.sha256)
    return ServedModelStatus(uri=artifact.uri, sha256=artifact.sha256, version=version)


def _artifact(job: Manifest) -> Artifact | None:
    """Return the verified artifact that our server runs; a status that cannot be read names none."""
    try:
        status = CompressionJobStatus.model_validate(job.get("status") or {})
    except ValidationError:
        return None
    return next((one for one in status.artifacts if one.target == TARGET and one.verified), None)


def _given_up(
    deployment: InferenceDeployment,
    live: Manifest | None,
    before: InferenceDeploymentStatus,
    wanted: ServedModelStatus,
) -> bool:
    """Whether `wanted` was tried and did not become ready; a version that never served is what is given up."""
    if live is None or not deployment.spec.rollout.rollback:
        return False
    if before.model is None or before.model.version == wanted.version:
        return False
    if failed_version_in(live) == wanted.version:
        return True
    tried = model_in(live)
    return tried is not None and tried.version == wanted.version and deadline_exceeded(live)
