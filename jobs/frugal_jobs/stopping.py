"""How the pod ends when it is asked to: SIGTERM becomes an exception, which no handler of ordinary errors catches."""

from __future__ import annotations

import signal
from types import FrameType


class Stopped(BaseException):
    """The pod was asked to end; what is unfinished is saved on the way up."""


STOPPED_STATUS = 143  # 128 + SIGTERM, as shells count


def stop_on_sigterm() -> None:
    """Raise Stopped in the main thread when SIGTERM comes; a second one changes nothing."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_IGN)
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
