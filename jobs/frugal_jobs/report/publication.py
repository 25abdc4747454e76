"""Writes artifacts and reports by content address: `sha256/DIGEST/...`, so that nothing published ever changes."""

from __future__ import annotations

import hashlib

from frugal.api.result import Artifact, Report
from frugal_artifacts.storage import Storage
from frugal_jobs.models.model import Runnable
from frugal_jobs.targets.built import Built


def publish_model(storage: Storage, output_uri: str, model: Runnable, *, target: str) -> Artifact:
    """Return the published file; writing it twice is writing it once. Raises ArtifactError."""
    digest = hashlib.sha256(model.content).hexdigest()
    extension = model.extension if isinstance(model, Built) else ".onnx"
    uri = f"{output_uri.rstrip('/')}/sha256/{digest}/model{extension}"
    storage.write_bytes(uri, model.content)
    return Artifact(target=target, uri=uri, sha256=digest, size_bytes=model.size_bytes, verified=True)


def publish_report(storage: Storage, output_uri: str, report: Report, page: str) -> tuple[str, str]:
    """Return (URI, SHA-256) of report.json; report.html lies beside it. Raises ArtifactError."""
    content = report.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode()
    digest = hashlib.sha256(content).hexdigest()
    folder = f"{output_uri.rstrip('/')}/sha256/{digest}"
    storage.write_bytes(f"{folder}/report.html", page.encode())
    storage.write_bytes(f"{folder}/report.json", content)
    return f"{folder}/report.json", digest
