"""Runtimes that artifacts are made for: one file is one target. ONNX Runtime alone is here so far."""
