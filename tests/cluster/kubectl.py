"""kubectl against one cluster, every call with a time limit.

Waiting is done by kubectl itself (`wait`, `rollout status`); what objects mean is the tests' matter.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.cluster.shell import run

_GRACE_SECONDS = 5.0  # kubectl's own limit ends it first, with its better message


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A runner of kubectl for one kubeconfig."""

    kubeconfig: Path

    def __call__(self, *words: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
        """Return what `kubectl WORDS` printed.

        Raises:
            CommandFailed: non-zero exit status, or no end within `timeout_seconds`.
        """
        client = ("kubectl", "--kubeconfig", self.kubeconfig, f"--request-timeout={timeout_seconds:g}s")
        return run(*client, *words, stdin=stdin, timeout_seconds=timeout_seconds + _GRACE_SECONDS)

    def apply(self, *manifests: object, timeout_seconds: float = 60) -> str:
        """Apply objects given as Python values; the errors of a call."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return self("apply", "-f", "-", stdin=json.dumps(items), timeout_seconds=timeout_seconds)

    def get(self, *words: str, timeout_seconds: float = 60) -> dict[str, object]:
        """Return `kubectl get WORDS` as an object (a List where `words` name several); the errors of a call."""
        text = self("get", *words, "-o", "json", timeout_seconds=timeout_seconds)
        return cast(dict[str, object], json.loads(text))

    def wait(self, target: str, *, condition: str, namespace: str = "default", timeout_seconds: float = 60) -> None:
        """Wait for a condition (`Ready`, `Complete=True`, `delete`) of `target`, such as `job/NAME`.

        Raises:
            CommandFailed: not so after `timeout_seconds`.
        """
        wanted = condition if condition == "delete" else f"condition={condition}"
        words = ("wait", target, "-n", namespace, f"--for={wanted}", f"--timeout={timeout_seconds:g}s")
        self(*words, timeout_seconds=timeout_seconds)
