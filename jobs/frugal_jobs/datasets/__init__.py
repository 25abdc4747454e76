"""Samples from untrusted files: `.npz`, Parquet and IDX, read within limits and checked."""
