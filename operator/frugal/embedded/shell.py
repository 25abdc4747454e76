"""`frugal run` put together: engine, node, files, metrics and table over one state folder, until it is told to stop.

It is embedded mode's counterpart of the operator's `__main__`; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from frugal.decisions.snapshot import Manifest
from frugal.embedded.applied import AppliedFiles, claim_folders, follow_deletions
from frugal.embedded.cluster import OURS, EmbeddedCluster
from frugal.embedded.goal import Goal, goal_of
from frugal.embedded.manifests import files_of
from frugal.embedded.node import Node
from frugal.embedded.pod import DEFAULT_TIMING, Ground, Timing
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Change, Store, key_of
from frugal.embedded.table import live_table, plain_line
from frugal.errors import InvalidSettings
from frugal.loop.engine import Engine
from frugal.loop.fleet import Fleet
from frugal.metrics.exposition import Exposition, MetricsServer, serve_metrics
from frugal.metrics.instruments import OperatorInstruments
from frugal.settings import Settings
from frugal.telemetry.scrape import PodScraper

DEFAULT_SETTINGS = Settings()
LOOPBACK = "127.0.0.1"
REFRESH_SECONDS = 0.5  # the live table
FLEET_SECONDS = 2.0  # the metrics are at most so old: people watch a few objects here

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `frugal run` was asked for.

    until: a condition that every object of ours shall have, after which it ends; empty: it goes on.
    timeout_seconds: how long it may take until then.
    """

    paths: tuple[Path, ...]
    state: Path
    volumes: Mapping[str, Path] = field(default_factory=dict)
    settings: Settings = DEFAULT_SETTINGS
    until: str = ""
    timeout_seconds: float | None = None
    timing: Timing = DEFAULT_TIMING


class Shell:
    """One `frugal run`."""

    def __init__(self, options: RunOptions, folder: StateFolder, console: Console) -> None:
        self._options, self._console = options, console
        self._clock: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: TID251 (the shell's own clock)
        settings = options.settings
        self._price_book = settings.price_book
        self.store = Store(folder, self._clock)
        self._folder = folder
        ground = Ground(
            store=self.store,
            folder=folder,
            clock=self._clock,
            volumes=lambda: claim_folders(self.store, folder, options.volumes),
            printed=self._wake_owner,
            timing=options.timing,
        )
        self.node = Node(ground)
        cluster = EmbeddedCluster(self.store, self.node, folder, settings, self._clock)
        self._loop = asyncio.get_running_loop()
        fleet = Fleet(lambda: self.engine.see(), self._loop, settings.workload_labels)
        self._exposition = Exposition(
            lambda: self.engine.figures(), fleet, refresh_seconds=min(FLEET_SECONDS, settings.tick_seconds)
        )
        instruments = OperatorInstruments(self._exposition.registry)
        self.engine = Engine(cluster, PodScraper(self._clock), settings, self._clock, instruments)
        self._files = AppliedFiles(options.paths, self.store)
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """End everything gracefully."""
        self._stop.set()

    async def run(self) -> Goal:
        """Work until stopped or until the goal is decided; every pod has ended when this returns."""
        self._metrics = self._serve_metrics()
        try:
            self.node.recover()
            self.store.subscribe(self._notice)
            self._files.sync()
            self.engine.notice_all()
            return await self._work()
        finally:
            await asyncio.to_thread(self._metrics.stop)

    async def _work(self) -> Goal:
        goal = asyncio.create_task(self._await_goal())
        parts: list[Coroutine[Any, Any, Any]] = [
            self.engine.run(self._stop),
            self.node.run(self._stop),
            self._files.follow(self._stop),
            follow_deletions(self.store, self._folder, self._stop),
            self._show(),
        ]
        tasks = [goal, *(asyncio.create_task(part) for part in parts)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            await asyncio.gather(*(task for task in tasks if task is not goal))
            return goal.result() if goal in done else Goal.AHEAD
        finally:
            self._stop.set()
            goal.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _objects(self) -> tuple[Manifest, ...]:
        return self.store.all(*OURS)

    def _notice(self, change: Change) -> None:
        """Tell the engine what changed in the store."""
        manifest = change.manifest
        key = key_of(manifest)
        if key.kind in OURS:
            self.engine.notice(key)
            self._changed.set()
        elif key.kind == "ConfigMap" and key.name == self._price_book:
            self.engine.notice_all()
        elif key.kind != "Event":
            self.engine.notice_child(manifest["metadata"].get("labels") or {}, key.namespace)

    def _wake_owner(self, pod: Manifest) -> None:
        self.engine.notice_child(pod["metadata"].get("labels") or {}, pod["metadata"]["namespace"])

    def _serve_metrics(self) -> MetricsServer:
        port = self._options.settings.metrics_port
        try:
            return serve_metrics(self._exposition, address=LOOPBACK, port=port)
        except OSError as error:
            allowed = f"cannot listen on {LOOPBACK} ({error.strerror}); choose another port, or 0 for a free one"
            raise InvalidSettings(variable="--metrics-port", value=str(port), allowed=allowed) from None

    async def _await_goal(self) -> Goal:
        """Return how it ended: told to stop, the condition reached or out of reach, or the time over (AHEAD)."""
        deadline = self._options.timeout_seconds
        try:
            async with asyncio.timeout(deadline):
                while not self._stop.is_set():
                    self._changed.clear()
                    goal = goal_of(self._objects(), self._options.until) if self._options.until else Goal.AHEAD
                    if goal is not Goal.AHEAD:
                        return goal
                    await self._until_changed()
        except TimeoutError:
            _log.warning("not %s within %.0f s", self._options.until or "stopped", deadline)
        return Goal.AHEAD

    async def _until_changed(self) -> None:
        waiting = [asyncio.create_task(event.wait()) for event in (self._changed, self._stop)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _show(self) -> None:
        """Show the live table on a terminal, and elsewhere one line for each change of what can be seen."""
        if not self._console.is_terminal:
            await self._print_lines()
            return
        footer = f"state {self._folder.root}  metrics http://{LOOPBACK}:{self._metrics.port}/metrics"
        with Live(console=self._console, auto_refresh=False) as live:
            while not self._stop.is_set():
                live.update(live_table(self._objects(), self._files.faults, footer), refresh=True)
                await _wait(self._stop, REFRESH_SECONDS)
            live.update(live_table(self._objects(), self._files.faults, footer), refresh=True)

    async def _print_lines(self) -> None:
        shown: dict[object, str] = {}
        while not self._stop.is_set():
            for one in self._objects():
                line = plain_line(one)
                if shown.get(key_of(one)) != line:
                    shown[key_of(one)] = line
                    self._console.print(line, markup=False, soft_wrap=True)
            await _wait(self._stop, REFRESH_SECONDS)


async def run_shell(options: RunOptions) -> Goal:
    """Run until SIGINT, SIGTERM or the goal; raises FrugalError when it cannot begin."""
    files_of(options.paths)  # a path that holds nothing is told before anything starts
    folder = StateFolder(options.state)
    folder.lock()
    console = Console()
    handler = _log_to(folder, console)
    try:
        shell = Shell(options, folder, console)
        for one in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(one, shell.stop)
        return await shell.run()
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
        folder.unlock()


def _log_to(folder: StateFolder, console: Console) -> logging.Handler:
    """Log to the state folder while the live table has the terminal, else to stderr."""
    handler: logging.Handler = (
        logging.FileHandler(folder.operator_log) if console.is_terminal else logging.StreamHandler(sys.stderr)
    )
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    logging.getLogger("frugal").setLevel(logging.INFO)
    return handler


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
