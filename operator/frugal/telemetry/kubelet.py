"""CPU and memory of pods from their kubelets' /stats/summary, for a cluster without Prometheus.

The kubelet is asked itself, for which `nodes/stats` is enough. Through the API server's proxy it would take
`nodes/proxy`, which lets its holder run commands in every pod of the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import orjson

from frugal.errors import TelemetryError
from frugal.telemetry.credentials import Credentials

PORT = 10250
SUMMARY_SECONDS = 5.0  # one kubelet; a third of a tick
KUBELETS_AT_A_TIME = 16
LARGEST_SUMMARY_BYTES = 32 * 1024**2  # 110 pods take about 300 KiB

Uid = str


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletFigures:
    """Where one pod stands by its kubelet, all its containers together.

    at: when the kubelet looked. cpu_seconds: since the containers began. memory_bytes: working sets.
    """

    at: datetime
    cpu_seconds: float
    memory_bytes: int


class Kubelets:
    """Asks kubelets over HTTPS; `credentials` are those of a service account, whose authority signed the kubelets'."""

    def __init__(self, credentials: Credentials, *, port: int = PORT) -> None:
        self._credentials, self._port = credentials, port

    async def figures(self, addresses: Iterable[str]) -> tuple[dict[Uid, KubeletFigures], tuple[str, ...]]:
        """Return where every pod on these nodes stands, by its uid, and in words which kubelets could not be asked."""
        places = asyncio.Semaphore(KUBELETS_AT_A_TIME)
        timeout = aiohttp.ClientTimeout(total=SUMMARY_SECONDS)
        try:
            headers, tls = self._credentials.headers(), self._credentials.tls()
        except TelemetryError as error:
            return {}, (str(error),)
        connector = aiohttp.TCPConnector(ssl=tls)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers, connector=connector) as session:
            answers = await asyncio.gather(*(self._ask(session, places, one) for one in sorted(set(addresses))))
        found: dict[Uid, KubeletFigures] = {}
        for answer in answers:
            if not isinstance(answer, str):
                found |= answer
        return found, tuple(answer for answer in answers if isinstance(answer, str))

    async def _ask(
        self, session: aiohttp.ClientSession, places: asyncio.Semaphore, address: str
    ) -> dict[Uid, KubeletFigures] | str:
        host = f"[{address}]" if ":" in address else address
        url = f"https://{host}:{self._port}/stats/summary"
        try:
            async with places, session.get(url, allow_redirects=False) as response:
                body = await _body(response.content)
            if response.status != 200:
                return f"the kubelet at {url} answers HTTP {response.status}: {body[:200].decode(errors='replace')}"
            return parse_summary(body)
        except (aiohttp.ClientError, TimeoutError, TelemetryError) as error:
            return f"the kubelet at {url} cannot be asked: {str(error) or type(error).__name__}"


async def _body(content: aiohttp.StreamReader) -> bytes:
    """Return a whole answer; raises TelemetryError when it is too large to be a summary."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > LARGEST_SUMMARY_BYTES:
            raise TelemetryError(f"more than {LARGEST_SUMMARY_BYTES} bytes")
    return bytes(body)


def parse_summary(body: bytes) -> dict[Uid, KubeletFigures]:
    """Return the figures in a summary; a pod that was not measured yet is left out. Raises TelemetryError."""
    try:
        pods = orjson.loads(body)["pods"]
        known = {pod["podRef"]["uid"]: _figures(pod.get("containers") or ()) for pod in pods}
    except (ValueError, TypeError, KeyError) as error:
        raise TelemetryError(f"no summary of a kubelet's: {error!r}") from error
    return {uid: figures for uid, figures in known.items() if figures is not None}


def _figures(containers: Iterable[Mapping[str, Any]]) -> KubeletFigures | None:
    """Return the sums of a pod's containers, or None while one of them was not measured."""
    known = tuple(containers)
    cpus = [one.get("cpu") or {} for one in known]
    if not cpus or not all("usageCoreNanoSeconds" in cpu for cpu in cpus):
        return None
    return KubeletFigures(
        at=max(datetime.fromisoformat(cpu["time"].replace("Z", "+00:00")) for cpu in cpus),
        cpu_seconds=sum(cpu["usageCoreNanoSeconds"] for cpu in cpus) / 1e9,
        memory_bytes=sum((one.get("memory") or {}).get("workingSetBytes", 0) for one in known),
    )
