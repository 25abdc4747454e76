"""Every runtime whose metrics are known by name, best first where one pod speaks as two of them."""

from __future__ import annotations

from frugal.telemetry.sources.frugal_server import FRUGAL_SERVER
from frugal.telemetry.sources.kserve import KSERVE
from frugal.telemetry.sources.triton import TRITON
from frugal.telemetry.sources.vllm import VLLM

RUNTIMES = (FRUGAL_SERVER, VLLM, TRITON, KSERVE)
