"""The one loop that both shells drive: keyed queue, reconcile of each kind, telemetry tick. Knows only ports."""
