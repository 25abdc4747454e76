"""Running other programs to their end, with a time limit and with their last words in the error.

Programs that go on running belong to `processes`.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.errors import CommandFailed


def run(
    *command: str | Path,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 60,
) -> str:
    """Return what `command` printed on stdout.

    Raises:
        CommandFailed: non-zero exit status, or still running after `timeout_seconds` (then it was killed).
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=stdin, cwd=cwd, env=env, timeout=timeout_seconds, text=True, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{_shown(words)}` was still running after {timeout_seconds:g} s") from error
    if done.returncode != 0:
        raise CommandFailed(f"`{_shown(words)}` exited with {done.returncode}:\n{_last_words(done)}")
    return done.stdout


def attempt(*command: str | Path, stdin: str | None = None, timeout_seconds: float = 60) -> str:
    """Return what `command` printed on stdout, empty where it failed or is not installed: for cleaning up."""
    try:
        return run(*command, stdin=stdin, timeout_seconds=timeout_seconds)
    except (CommandFailed, FileNotFoundError):
        return ""


def _shown(words: Sequence[str]) -> str:
    return " ".join(words)[:400]


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "\n".join(lines[-15:])
