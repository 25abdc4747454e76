"""One instance of the test cluster as files: its run folder, and the record of what was started and changed.

The record is written before anything that must be undone is done, so that `down` can undo it after a crash.
"""

import json
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tests.cluster import places
from tests.cluster.errors import ClusterError, NotReady


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One started program; pid and start time together name it, since a pid alone is used again."""

    pid: int
    start_ticks: int  # field 22 of /proc/PID/stat: clock ticks after boot
    command: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What `up` did, so that `down` can undo it."""

    is_full: bool
    server: str
    etcd_data: str
    storage: str  # image store of containerd: on disk, since /run is often in memory
    processes: dict[str, Process] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)  # their values before `up`
    absent_folders: list[str] = field(default_factory=list)  # fixed paths that were not there before `up`
    is_ready: bool = False


@dataclass(frozen=True, slots=True)
class Instance:
    """A named cluster on this machine, up or not."""

    name: str

    def __post_init__(self) -> None:
        """Refuse names that would not do as a folder or a network name."""
        if not re.fullmatch(r"[a-z0-9-]{1,30}", self.name):
            raise ClusterError(f"instance name {self.name!r}: use 1 to 30 of a-z, 0-9 and -")

    @property
    def run(self) -> Path:
        """The folder that holds everything of this instance and that `down` removes."""
        return places.runs() / self.name

    @property
    def kubeconfig(self) -> Path:
        """Path of the administrator's kubeconfig."""
        return self.run / "admin.kubeconfig"

    @property
    def pki(self) -> Path:
        """Folder of keys and certificates."""
        return self.run / "pki"

    @property
    def containerd_socket(self) -> Path:
        """Where the container runtime listens; there only on a full node."""
        return self.run / "containerd.sock"

    def log(self, component: str) -> Path:
        """Return the path of the log of one started program."""
        return self.run / "logs" / f"{component}.log"

    def record(self) -> Record | None:
        """Return what is recorded, or None where this instance is not up at all."""
        try:
            saved = json.loads((self.run / "record.json").read_text())
        except FileNotFoundError:
            return None
        processes = {name: Process(**process) for name, process in saved.pop("processes").items()}
        return Record(processes=processes, **saved)

    def must_record(self) -> Record:
        """Return what is recorded.

        Raises:
            NotReady: this instance is not up.
        """
        if (record := self.record()) is None:
            raise NotReady(f"the instance {self.name!r} is not up; start it with `python -m tests.cluster up`")
        return record

    def save(self, record: Record) -> None:
        """Replace the record in one step."""
        half = self.run / "record.json.half"
        half.write_text(json.dumps(asdict(record), indent=1))
        half.rename(self.run / "record.json")

    def note(self, **changes: object) -> Record:
        """Change some fields of the record and return the new one."""
        record = replace(self.must_record(), **changes)  # type: ignore[arg-type]  # the fields' own types check the caller
        self.save(record)
        return record

    def forget(self) -> None:
        """Remove the run folder with the record in it, and the folder of all of them with the last one."""
        shutil.rmtree(self.run, ignore_errors=True)
        with suppress(OSError):
            places.runs().rmdir()
