"""`frugal compress`: one model, compressed on this machine. The work is the pod's, done by a process."""

from frugal.cli.compress.command import add

__all__ = ["add"]
