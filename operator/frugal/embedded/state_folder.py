"""The folder that one `frugal run` owns: where things lie in it, whole files, and the lock.

It knows no object's meaning.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from frugal.errors import FrugalError


class StateInUse(FrugalError):
    """Another process owns the state folder."""

    def __init__(self, *, folder: Path, pid: str) -> None:
        self.folder, self.pid = folder, pid
        super().__init__(
            f"the state folder {folder} belongs to the running process {pid}: end it, or give another one by --state"
        )


class StateUnreadable(FrugalError):
    """A file of the state folder holds something that was never written by us."""

    def __init__(self, *, file: Path, fault: str) -> None:
        self.file, self.fault = file, fault
        super().__init__(f"{file} cannot be read ({fault}): remove it, and its object is made again from its manifest")


class StateFolder:
    """The layout of a state folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.objects = self.root / "objects"
        self.pods = self.root / "pods"
        self.logs = self.root / "logs"
        self.volumes = self.root / "volumes"
        self.operator_log = self.root / "frugal.log"
        self._lock: IO[str] | None = None

    def lock(self) -> None:
        """Own the folder until `unlock`, or until this process ends in any way; raises StateInUse."""
        for folder in (self.root, self.objects, self.pods, self.logs, self.volumes):
            folder.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)  # Secrets lie in it
        lock = (self.root / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            raise StateInUse(folder=self.root, pid=pid) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def object_file(self, kind: str, namespace: str, name: str) -> Path:
        return self.objects / kind / namespace / f"{name}.json"

    def pod_folder(self, uid: str) -> Path:
        return self.pods / uid

    def log_file(self, namespace: str, pod: str, container: str) -> Path:
        return self.logs / f"{namespace}_{pod}" / f"{container}.log"


def write_whole(file: Path, content: str) -> None:
    """Make `content` the file's; whoever reads, even after a power cut, sees the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f".{file.name}.half")
    with half.open("w") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
    half.replace(file)
    _sync_folder(file.parent)


def remove_whole(file: Path) -> None:
    """Remove the file so that it stays removed; already gone is success."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir():
        _sync_folder(file.parent)


def read_objects(folder: StateFolder) -> Iterator[dict[str, Any]]:
    """Yield every object in the folder; needs no lock. Raises StateUnreadable."""
    for file in sorted(folder.objects.glob("*/*/[!.]*.json")):
        try:
            manifest = json.loads(file.read_text())
        except FileNotFoundError:
            continue  # deleted while we looked
        except ValueError as error:
            raise StateUnreadable(file=file, fault=str(error)) from None
        if not isinstance(manifest, dict) or "metadata" not in manifest:
            raise StateUnreadable(file=file, fault="not an object")
        yield manifest


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
