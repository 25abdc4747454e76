"""The default runtime: ONNX Runtime behind the Open Inference Protocol v2 (REST), with batching and metrics.

Started by the operator as `python -m frugal_serve`; configured by the environment alone.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("frugal-operator")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0"
