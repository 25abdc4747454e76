"""The report's sentences and rows for people. Holds no markup and measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from frugal.api.result import Best, Candidate, ModelFigures
from frugal.units import size_text

Row = tuple[str, str, str, str]
QUALITY = {
    "accuracy": "Accuracy",
    "precision": "Precision (macro)",
    "recall": "Recall (macro)",
    "f1": "F1 (macro)",
}


def verdict_sentence(best: Best, *, max_loss: float, confidence: float) -> str:
    """Return what was won and lost, with the figures that decide."""
    change = f"loses {best.loss:.2f} points" if best.loss >= 0 else f"gains {-best.loss:.2f} points"
    bound = ""
    if best.loss_upper_bound is not None:
        worst = best.loss_upper_bound
        sure = f"at most {worst:.2f} lost" if worst >= 0 else f"at least {-worst:.2f} gained"
        bound = f" ({sure} at {100 * confidence:.4g} % confidence, {max_loss:g} allowed)"
    return f"{best.technique}: {best.size_ratio:.2f}x smaller, {best.latency_ratio:.2f}x as fast, {change}{bound}"


def rejection_sentence(candidates: Sequence[Candidate], *, verified: int, max_loss: float) -> str:
    """Return why nothing was published."""
    if not candidates:
        return "no candidate could be made; see the warnings"
    if verified:
        word = "candidate" if verified == 1 else "candidates"
        return f"{verified} {word} went to verification and none kept its loss surely under {max_loss:g} points"
    nearest = min(candidates, key=lambda candidate: candidate.loss)
    return f"none of {len(candidates)} candidates was fit for verification; {nearest.technique}: {nearest.verdict}"


def comparison_rows(before: ModelFigures, after: ModelFigures | None) -> list[Row]:
    """Return (figure, before, after, change) of what is known; empty cells where nothing was published."""
    after = after or ModelFigures()
    quality = [
        _row(label, getattr(before, name), getattr(after, name), _percent, _points) for name, label in QUALITY.items()
    ]
    others = [
        _row("Metric", before.metric, after.metric, lambda value: f"{value:.4f}", lambda old, new: f"{new - old:+.4f}"),
        _row("File", before.size_bytes, after.size_bytes, size_text, _times),
        _row("Parameters", before.parameters, after.parameters, lambda count: f"{count:,.0f}", _times),
        _row("FLOPs per sample", before.flops, after.flops, lambda count: f"{count / 1e6:,.2f} M", _times),
        _row("Latency p50", before.latency_p50_seconds, after.latency_p50_seconds, _milliseconds, _times),
        _row("Latency p95", before.latency_p95_seconds, after.latency_p95_seconds, _milliseconds, _times),
        _row("Memory of inference", before.memory_bytes, after.memory_bytes, size_text, _times),
    ]
    return [row for row in (*quality, *others) if row is not None]


def _row(
    label: str, old: float | None, new: float | None, shown: Callable[[float], str],
    change: Callable[[float, float], str],
) -> Row | None:  # fmt: skip
    if old is None:
        return None
    return (label, shown(old), "", "") if new is None else (label, shown(old), shown(new), change(old, new))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _points(old: float, new: float) -> str:
    return f"{100 * (new - old):+.2f} points"


def _times(old: float, new: float) -> str:
    return f"÷ {old / new:.2f}" if new else ""


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3f} ms"


def reproduction(steps: Sequence[dict[str, Any]]) -> str:
    """Return the part of a spec, in YAML, that makes this candidate again."""
    lines = ["strategy:", "  mode: Pipeline", "  pipeline:"]
    for step in steps:
        for kind, options in step.items():
            fields = ", ".join(f"{name}: {_yaml(value)}" for name, value in options.items())
            lines.append(f"    - {kind}: {{{fields}}}")
    return "\n".join(lines)


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"
