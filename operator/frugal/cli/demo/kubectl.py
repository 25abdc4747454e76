"""kubectl as the demo uses it. Knows no object of the demo."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Sequence
from typing import Any

from frugal.cli.demo.inputs import Manifest
from frugal.errors import FrugalError

CALL_SECONDS = 60.0


class KubectlFailed(FrugalError):
    """kubectl, or the cluster behind it, refused; the words are its own."""

    def __init__(self, words: Sequence[str], said: str) -> None:
        self.words, self.said = tuple(words), said
        super().__init__(f"kubectl {' '.join(words[:4])}: {said.strip() or 'no answer'}")


class Kubectl:
    """One cluster by its kubeconfig's context; an empty one is the present context."""

    def __init__(self, context: str = "") -> None:
        self._head = ["kubectl", *(["--context", context] if context else [])]

    async def run(self, *words: str, sent: bytes = b"", seconds: float = CALL_SECONDS) -> bytes:
        """Return what kubectl printed; raises KubectlFailed."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._head, *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise KubectlFailed(words, "kubectl is not installed") from None
        try:
            said, complained = await asyncio.wait_for(process.communicate(sent), seconds)
        except TimeoutError:
            raise KubectlFailed(words, f"no end after {seconds:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise KubectlFailed(words, complained.decode(errors="replace"))
        return said

    async def apply(self, *manifests: Manifest) -> None:
        """Apply objects server-side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        words = ("apply", "--server-side", "--force-conflicts", "--field-manager=frugal-demo", "-f", "-")
        await self.run(*words, sent=text.encode())

    async def get(self, *words: str) -> dict[str, Any] | None:
        """Return an object or a list, or None when it is not there."""
        said = await self.run("get", *words, "--ignore-not-found", "-o", "json")
        return dict(json.loads(said)) if said.strip() else None
