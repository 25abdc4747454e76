"""Runtimes that artifacts are made for: one file is one target, and the registry lists them."""
