"""One probe of a container, asked again and again as a kubelet does. What an answer means stands elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp

from frugal.embedded.pod_environment import ADDRESS, Launch
from frugal.embedded.process import LocalProcess

DEFAULTS = {"initialDelaySeconds": 0, "periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3}


class Probe:
    """A readiness, liveness or startup probe.

    port_of: the port on this machine of a container's port, by name or number.
    """

    def __init__(self, spec: Mapping[str, Any], port_of: Callable[[str | int], int], launch: Launch) -> None:
        self._spec: dict[str, Any] = {**DEFAULTS, **spec}
        self._port_of, self._launch = port_of, launch

    async def changes(self) -> AsyncIterator[tuple[bool, str]]:
        """Ask for ever; yield each change, true or false with the reason, once its threshold is reached."""
        await asyncio.sleep(self._spec["initialDelaySeconds"])
        known: bool | None = None
        streak, streak_of = 0, None
        while True:
            answer, why = await self.ask()
            streak, streak_of = (streak + 1 if answer is streak_of else 1), answer
            needed = self._spec.get("successThreshold", 1) if answer else self._spec["failureThreshold"]
            if answer is not known and streak >= needed:
                known = answer
                yield answer, why
            await asyncio.sleep(self._spec["periodSeconds"])

    async def ask(self) -> tuple[bool, str]:
        """Return one answer and, for a failure, why."""
        try:
            async with asyncio.timeout(self._spec["timeoutSeconds"]):
                return await self._ask()
        except TimeoutError:
            return False, f"no answer within {self._spec['timeoutSeconds']} s"
        except (OSError, aiohttp.ClientError) as error:
            return False, str(error) or type(error).__name__

    async def _ask(self) -> tuple[bool, str]:
        if "httpGet" in self._spec:
            return await self._get(self._spec["httpGet"])
        if "tcpSocket" in self._spec:
            _, writer = await asyncio.open_connection(ADDRESS, self._port_of(self._spec["tcpSocket"]["port"]))
            writer.close()
            return True, ""
        if "exec" in self._spec:
            return await self._run(self._spec["exec"]["command"])
        return False, f"a probe has httpGet, tcpSocket or exec, not {sorted(self._spec.keys() - DEFAULTS.keys())}"

    async def _get(self, get: Mapping[str, Any]) -> tuple[bool, str]:
        scheme = get.get("scheme", "HTTP").lower()
        url = f"{scheme}://{ADDRESS}:{self._port_of(get['port'])}{get.get('path', '/')}"
        headers = {header["name"]: header["value"] for header in get.get("httpHeaders") or []}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, ssl=False)) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            return 200 <= answer.status < 400, f"HTTP probe failed with statuscode: {answer.status}"

    async def _run(self, command: list[str]) -> tuple[bool, str]:
        lines: list[str] = []
        process = await LocalProcess.start(
            command, environment=self._launch.environment, folder=self._launch.folder, on_line=lines.append
        )
        try:
            ended = await process.wait()
        finally:
            process.kill()
        return ended.code == 0, "\n".join(lines[-5:])
