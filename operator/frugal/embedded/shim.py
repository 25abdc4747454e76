"""Stands between `frugal run` and one container, as containerd's shim does: `python -I -S shim.py COMMAND...`.

Its standard input is a socket to `frugal run`. It says `pid N`, then `exit CODE CPU_SECONDS`; when the socket ends, by
will or because `frugal run` was killed, every process of the container is killed. It imports nothing of the project.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run the command and end with its exit status; a signal N gives 128 + N, as a container runtime reports it."""
    wake, wakened = os.pipe()
    os.set_blocking(wakened, False)
    signal.set_wakeup_fd(wakened)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    control(PR_SET_CHILD_SUBREAPER, 1)
    pid = os.fork()
    if pid == 0:
        become(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: forward(pid))
    with socket.socket(fileno=os.dup(0)) as channel:
        say(channel, f"pid {pid}\n")
        code = wait(pid, channel, wake)
        kill_rest(pid)
        used = sum(os.times()[2:4])
        say(channel, f"exit {code} {used:.3f}\n")
    os._exit(code)


def become(command: list[str]) -> None:
    """Turn this process into the command's."""
    os.setsid()
    control(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        print(f"exec: {command[0]!r}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(128 if isinstance(error, FileNotFoundError) else 126)


def wait(pid: int, channel: socket.socket, wake: int) -> int:
    """Return the exit status of `pid`; kills it when the channel ends."""
    watched: list[int | socket.socket] = [channel, wake]
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code
        ready, _, _ = select.select(watched, [], [])
        if wake in ready:
            os.read(wake, 4096)
            reap_others(pid)
        if channel in ready and not received(channel):
            watched.remove(channel)
            kill_group(pid)


def reap_others(pid: int) -> None:
    """Take leave of processes that the command left to us; the command itself is waited for elsewhere."""
    for other in children():
        if other != pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(other, os.WNOHANG)


def kill_rest(pid: int) -> None:
    """Kill what the command left running, and wait for it, so that its CPU time counts."""
    kill_group(pid)
    while left := children():
        for other in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(other, 0)


def children() -> list[int]:
    """Return our children, also those inherited; without /proc none are known."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


def forward(pid: int) -> None:
    """Ask the command to end, as a kubelet asks process 1 of a container."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def kill_group(pid: int) -> None:
    """Kill the command, which may not have its group yet, and its process group; already gone is success."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def received(channel: socket.socket) -> bytes:
    """Return what came, nothing when the channel has ended."""
    try:
        return channel.recv(64)
    except ConnectionError:
        return b""


def say(channel: socket.socket, words: str) -> None:
    """Tell `frugal run`, if it still listens."""
    with contextlib.suppress(OSError):  # nobody listens any more
        channel.sendall(words.encode())


def control(option: int, value: int) -> None:
    """Call prctl where there is one (Linux); elsewhere the socket alone does the work."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
