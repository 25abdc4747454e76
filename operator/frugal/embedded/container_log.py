"""What one container printed: bounded files, and the newest lines in memory. Understands no line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

KEPT_LINES = 2000  # what the loop's port promises of progress
FILE_BYTES = 10 * 1024**2  # the kubelet's containerLogMaxSize


class ContainerLog:
    """The log of one container over all its restarts: FILE, and FILE.1 with what came before."""

    def __init__(self, file: Path, on_json: Callable[[], None]) -> None:
        self._file, self._on_json = file, on_json
        file.parent.mkdir(parents=True, exist_ok=True)
        self.lines: deque[str] = deque(read_tail(file), maxlen=KEPT_LINES)
        self._stream = file.open("a", buffering=1)
        self._written = file.stat().st_size

    def add(self, line: str) -> None:
        """Keep one line; a line of JSON is progress, and is told."""
        self.lines.append(line)
        self._written += self._stream.write(f"{line}\n")
        if self._written > FILE_BYTES:
            self._turn()
        if line.startswith("{"):
            self._on_json()

    def tail(self, *, lines: int, characters: int) -> str:
        """Return the newest lines, at most so many and so long."""
        return "\n".join(list(self.lines)[-lines:])[-characters:]

    def close(self) -> None:
        self._stream.close()

    def _turn(self) -> None:
        self._stream.close()
        self._file.replace(self._file.with_name(f"{self._file.name}.1"))
        self._stream = self._file.open("w", buffering=1)
        self._written = 0


def read_tail(file: Path, lines: int = KEPT_LINES) -> tuple[str, ...]:
    """Return the newest lines of a log file, older ones from before it turned included."""
    found: list[str] = []
    for part in (file.with_name(f"{file.name}.1"), file):
        if part.is_file():
            found += part.read_text(errors="replace").splitlines()
    return tuple(found[-lines:])
