"""Fakes of our own Protocols. They keep the promises that the Protocols' docstrings make, and nothing else."""
