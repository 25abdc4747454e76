"""The targets by the name that a CompressionJob gives them: a new one is one file and one line here."""

from __future__ import annotations

from importlib.util import find_spec

from frugal_jobs.targets.built import RuntimeTarget
from frugal_jobs.targets.executorch import ExecuTorch
from frugal_jobs.targets.litert import LiteRt

RUNTIME_TARGETS: dict[str, RuntimeTarget] = {target.name: target for target in (LiteRt(), ExecuTorch())}


def absence(target: RuntimeTarget) -> str:
    """Return which library is missing here; empty when the target can be made and run."""
    missing = [name for name in target.modules if find_spec(name) is None]
    return f"{', '.join(missing)} is not installed in this image" if missing else ""
