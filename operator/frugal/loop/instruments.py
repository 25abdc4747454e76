"""What the engine counts about itself, as a Protocol; the metrics fulfil it. Holds no metric."""

from __future__ import annotations

from typing import Protocol


class Instruments(Protocol):
    """Counts the engine's own work."""

    def reconciled(self, kind: str, *, seconds: float, error: str) -> None:
        """One reconcile ended; `error` names the fault, empty when there was none."""

    def ticked(self, *, seconds: float, error: str) -> None:
        """One reading of telemetry ended."""


class NoInstruments:
    """Counts nothing."""

    def reconciled(self, kind: str, *, seconds: float, error: str) -> None:
        return

    def ticked(self, *, seconds: float, error: str) -> None:
        return
