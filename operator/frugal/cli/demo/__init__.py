"""`frugal demo`: the whole loop on real input. Every figure is measured, but for the history, which says so."""

from frugal.cli.demo.command import add

__all__ = ["add"]
