"""A real Kubernetes for the tests on one machine: no docker, no systemd, no image registry.

Here live its build, its start and stop, its images and its pytest fixtures. What the scenarios do with it lives with
the scenarios.
"""
