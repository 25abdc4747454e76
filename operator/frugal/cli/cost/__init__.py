"""`frugal cost`, `savings` and `idle`: the money of a state folder or of a cluster, for people and programs."""

from frugal.cli.cost.command import add

__all__ = ["add"]
