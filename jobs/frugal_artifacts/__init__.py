"""Artifacts as untrusted files: where they lie, what their digest is, whether a model may be loaded.

Shared by the compression pod and the server; knows no torch, no runtime, and nothing about compressing or serving.
"""
