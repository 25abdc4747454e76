"""`frugal recommend`: what size would do, and with --explain the measurements and the alternatives behind it."""

from frugal.cli.recommend.command import add

__all__ = ["add"]
