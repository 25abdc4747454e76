"""Starting and stopping the long-running programs of an instance, each by its own pid and start time.

What the programs are, and with which flags, is said in `control_plane` and `kubelet`.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.cluster.errors import NotReady
from tests.cluster.instance import Instance, Process

TERM_SECONDS = 10.0
KILL_SECONDS = 5.0


def start(instance: Instance, name: str, command: Iterable[str | Path | int]) -> None:
    """Start `command` in a session of its own, with stdout and stderr in its log, and record it."""
    words = [str(word) for word in command]
    log = instance.log(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(
        words[0],
        words,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    started = Process(pid=pid, start_ticks=_start_ticks(pid) or 0, command=words)
    instance.note(processes={**instance.must_record().processes, name: started})


def is_alive(process: Process) -> bool:
    """Say whether this very process runs; a zombie or another process with its pid does not count."""
    return _start_ticks(process.pid) == process.start_ticks


def stop(processes: Iterable[Process], *, term_seconds: float = TERM_SECONDS) -> None:
    """End processes by SIGTERM, then those that are left after `term_seconds` by SIGKILL; gone ones are fine."""
    left = [process for process in processes if is_alive(process)]
    for number, seconds in ((signal.SIGTERM, term_seconds), (signal.SIGKILL, KILL_SECONDS)):
        for process in left:
            _signal(process.pid, number)
        left = _still_alive_after(left, seconds)


def kill(process: Process) -> None:
    """End one process at once, as a crash or a power cut would."""
    _signal(process.pid, signal.SIGKILL)
    _still_alive_after([process], KILL_SECONDS)


def found_by_command(*fragments: str) -> list[Process]:
    """Return the running processes whose command line contains every one of `fragments`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        command = _command(folder)
        ticks = _start_ticks(int(folder.name))
        if ticks is not None and all(any(fragment in word for word in command) for fragment in fragments):
            found.append(Process(pid=int(folder.name), start_ticks=ticks, command=command))
    return found


def wait_until(what: str, probe: Callable[[], object], *, instance: Instance, seconds: float) -> None:
    """Wait until `probe` returns something true; an OSError or ValueError of it means "not yet".

    Raises:
        NotReady: `seconds` went by, or a recorded process died meanwhile.
    """
    deadline, last = time.monotonic() + seconds, "no answer"
    while time.monotonic() < deadline:
        _refuse_deaths(instance)
        try:
            if probe():
                return
        except (OSError, ValueError, KeyError) as error:
            last = str(error)
        time.sleep(0.1)
    raise NotReady(f"{what}: not ready after {seconds:g} s ({last}); logs in {instance.run / 'logs'}")


def _refuse_deaths(instance: Instance) -> None:
    for name, process in instance.must_record().processes.items():
        if not is_alive(process):
            lines = instance.log(name).read_text(errors="replace").splitlines()[-15:]
            raise NotReady(f"{name} died; the last lines of its log:\n" + "\n".join(lines))


def _still_alive_after(processes: list[Process], seconds: float) -> list[Process]:
    deadline = time.monotonic() + seconds
    while processes and time.monotonic() < deadline:
        for process in processes:
            _reap(process.pid)
        processes = [process for process in processes if is_alive(process)]
        time.sleep(0.02)
    return processes


def _reap(pid: int) -> None:
    """Collect the exit status of a child of this process; somebody else's child is collected by its own parent."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _start_ticks(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks after boot; None where it is gone or a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if after_name[0] == "Z" else int(after_name[19])


def _command(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
