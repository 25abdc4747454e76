"""Frugal makes models cheaper to train and to serve, and proves it in money.

The rooms of this package and the directions in which they may import are drawn in docs/explanation/architecture.md.
"""

__version__ = "0.1.0"
