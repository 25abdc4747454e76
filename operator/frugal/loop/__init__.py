"""The one loop that both shells drive: a keyed queue, the reconcile of each kind, the telemetry tick. Knows only ports."""
