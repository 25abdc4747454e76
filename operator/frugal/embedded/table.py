"""What a person sees while `frugal run` works: one row an object, from its status alone. Computes no figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from frugal.decisions.snapshot import Manifest
from frugal.embedded.manifests import Fault
from frugal.loop.ports import COMPRESSION_JOB

_STYLES = {
    "Succeeded": "green", "Serving": "green", "Failed": "red", "Degraded": "red", "Suspended": "yellow",
    "Idle": "yellow",
}  # fmt: skip
_TELLING = ("Valid", "Stalled", "Ready", "Verified", "SLOMet", "WithinBudget", "RightSized")
_GOOD = {"Stalled": "False"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One object in words; an empty word where nothing is known."""

    kind: str
    name: str
    phase: str
    progress: str
    done_ratio: float | None
    ready: str
    utilization: str
    cost: str
    saving: str
    message: str


def row_of(manifest: Manifest) -> Row:
    """Return what an object's status says in one row."""
    status: Mapping[str, Any] = manifest.get("status") or {}
    is_job = manifest["kind"] == COMPRESSION_JOB
    progress = status.get("progress") or {}
    done, total = progress.get("trials", 0), progress.get("of", 0)
    return Row(
        kind=manifest["kind"],
        name=manifest["metadata"]["name"],
        phase=status.get("phase") or "New",
        progress=progress_words(status) if is_job else "",
        done_ratio=done / total if is_job and total else None,
        ready="" if is_job else f"{status.get('readyReplicas', 0)}/{status.get('replicas', 0)}",
        utilization=utilization_words(status),
        cost=cost_words(status, is_job=is_job),
        saving=saving_words(status),
        message=telling_message(status),
    )


def progress_words(status: Mapping[str, Any]) -> str:
    """Return how far a search is and what its best candidate gains."""
    progress = status.get("progress") or {}
    best = status.get("best") or progress.get("best")
    words = [f"{progress['trials']}/{progress['of']}"] if progress.get("of") else []
    if best:
        words.append(
            f"{best['sizeRatio']:.1f}x smaller, {best['latencyRatio']:.1f}x faster, {best['loss']:+.2f} pt lost"
        )
    return " ".join(words)


def utilization_words(status: Mapping[str, Any]) -> str:
    """Return the use of CPU and memory in percent."""
    used = status.get("utilization") or {}
    names = (("cpu", "cpu"), ("memory", "mem"), ("gpu", "gpu"))
    return " ".join(f"{word} {100 * used[name]:.0f}%" for name, word in names if used.get(name) is not None)


def cost_words(status: Mapping[str, Any], *, is_job: bool) -> str:
    """Return what it cost (a CompressionJob), or costs an hour."""
    cost = status.get("cost") or {}
    if is_job:
        return f"{cost['amount']} {cost.get('currency', '')}" if cost.get("amount") is not None else ""
    return f"{cost['hourly']} {cost['currency']}/h" if cost else ""


def saving_words(status: Mapping[str, Any]) -> str:
    """Return what following the recommendation would save a month."""
    saving = (status.get("recommendation") or {}).get("saving") or {}
    return f"{float(saving['monthly']):.2f}/month ({saving['percent']:.0f}%)" if saving else ""


def telling_message(status: Mapping[str, Any]) -> str:
    """Return the message that a person should read: the first condition that is not well, else that of Ready."""
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    for type_ in _TELLING:
        one = conditions.get(type_)
        if one is not None and one["status"] not in (_GOOD.get(type_, "True"), "Unknown"):
            return str(one["message"])
    return str(conditions.get("Ready", {}).get("message", ""))


def live_table(objects: Iterable[Manifest], faults: Iterable[Fault], footer: str) -> RenderableType:
    """Return the table of all objects, what is wrong in the files, and a line of what else is worth knowing."""
    table = Table(expand=True, header_style="bold", box=None, pad_edge=False)
    for heading in ("Object", "Phase", "Progress", "Ready", "Used", "Cost", "Saving"):
        table.add_column(heading, overflow="fold")
    table.add_column("Message", overflow="fold", ratio=1)
    for one in map(row_of, objects):
        table.add_row(
            f"{one.kind}\n[bold]{one.name}[/bold]",
            Text(one.phase, style=_STYLES.get(one.phase, "cyan")),
            _progress(one),
            one.ready,
            one.utilization,
            one.cost,
            one.saving,
            Text(one.message),
        )
    wrong = [Text(f"! {fault}", style="red") for fault in faults]
    return Group(table, *wrong, Text(footer, style="dim"))


def plain_line(manifest: Manifest) -> str:
    """Return an object as one line, for an output that is no terminal."""
    row = row_of(manifest)
    words = (row.progress, row.ready and f"ready {row.ready}", row.utilization, row.cost, row.saving, row.message)
    return "  ".join([f"{row.kind}/{row.name}", row.phase, *filter(None, words)])


def _progress(row: Row) -> RenderableType:
    if row.done_ratio is None:
        return row.progress
    return Group(ProgressBar(total=1.0, completed=row.done_ratio, width=20), row.progress)
