"""The command `frugal`: run without a cluster, look at what it keeps, and the demo. Decides nothing."""

from frugal.cli.main import main

__all__ = ["main"]
