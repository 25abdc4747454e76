"""What sizing policies cost relative to a clairvoyant oracle: `python -m bench.sizing [NAME ...]`, NAME a trace's.

The traces are third-party data, read from ../shared/data/traces where that is; it says so where it is not. Generated
loads are always there. Writes build/bench/sizing.json and sizing.svg.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.figures import FOLDER, Figure, Goal, write
from frugal.cli.simulate import table
from frugal.cli.trace import mean_exec_seconds, read_trace
from frugal.sizing.comparison import HINDSIGHT, OURS, Line, Load, compare, geometric_mean, run
from frugal.sizing.demand import DemandShape, generate_demand
from frugal.sizing.ladder import Flavor, Service
from frugal.sizing.policy import SizingPolicy

TRACES = Path(__file__).parents[2] / "shared" / "data" / "traces"
WEEK = 7 * 1_440
SLICES = ((1, 10, 1 / 7), (2, 20, 2 / 7), (3, 40, 1 / 2), (7, 80, 1.0))  # slots, GiB, price of a card
NOISE_RATIO = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A service on a load. is_large: a day long and a GPU large, for which the goals are."""

    name: str
    service_seconds: float | None  # None: as the trace measured
    sequences_per_slot: float
    wait_budget_seconds: float
    model_memory_gib: float
    is_large: bool = False
    seed: int | None = None  # of a generated load; None: the trace of this name
    violation_ratio: float = 0.001


CASES = (
    Case(name="servegen-m-small", service_seconds=1, sequences_per_slot=16, wait_budget_seconds=0.5,
         model_memory_gib=18, is_large=True),
    Case(name="servegen-mm-image", service_seconds=10, sequences_per_slot=4, wait_budget_seconds=3,
         model_memory_gib=18, is_large=True),
    Case(name="nasa-jul95", service_seconds=4, sequences_per_slot=1, wait_budget_seconds=4, model_memory_gib=8,
         is_large=True),
    Case(name="azure-code-2023", service_seconds=3, sequences_per_slot=4, wait_budget_seconds=1, model_memory_gib=18),
    Case(name="mooncake-conversation", service_seconds=20, sequences_per_slot=2, wait_budget_seconds=5,
         model_memory_gib=70),
    Case(name="gentd26-requests-a", service_seconds=None, sequences_per_slot=1 / 3, wait_budget_seconds=60,
         model_memory_gib=34, violation_ratio=0.002),
    Case(name="generated", service_seconds=1, sequences_per_slot=4, wait_budget_seconds=0.5, model_memory_gib=18,
         is_large=True, seed=1),
)  # fmt: skip


def service_of(case: Case, service_seconds: float) -> Service:
    """Return the service of a case on slices of one card."""
    flavors = tuple(
        Flavor(
            name=f"{slots}g.{memory}gb", memory_gib=memory, price_per_hour=price,
            sequences=case.sequences_per_slot * slots,
        )
        for slots, memory, price in SLICES
    )  # fmt: skip
    return Service(
        flavors=flavors,
        service_seconds=service_seconds,
        wait_budget_seconds=case.wait_budget_seconds,
        violation_ratio=case.violation_ratio,
        startup_minutes=2,
        model_memory_gib=case.model_memory_gib,
    )


def inputs(case: Case) -> tuple[Service, Load]:
    """Return a case's service and its first seven days; raises BadTrace."""
    if case.seed is not None:
        rates = np.array(generate_demand(case.seed, WEEK, 50.0, shape=DemandShape(bursts_per_day=0.5)))
        seconds = case.service_seconds or 1.0
        return service_of(case, seconds), Load(requests=rates * 60, loads=rates * seconds)
    path = TRACES / f"{case.name}.csv.gz"
    seconds = case.service_seconds or mean_exec_seconds(path) or 1.0
    return service_of(case, seconds), read_trace(path, service_seconds=seconds, minutes=WEEK)


def figures_of(case: Case, lines: list[Line]) -> list[Figure]:
    """Return what our policy came to on one load."""
    ours = next(line for line in lines if line.policy == OURS)
    hindsight = next(line for line in lines if line.policy == HINDSIGHT)
    limit = case.violation_ratio * 100
    goal = Goal(direction="at most", value=0.8 if case.is_large else 0.7)
    return [
        Figure(figure=f"{case.name}: cost, of the oracle's", value=ours.cost_ratio, unit="x"),
        Figure(
            figure=f"{case.name}: cost, of HPA in hindsight", value=ours.cost, unit="price-hours",
            baseline=hindsight.cost, goal=goal,
        ),
        Figure(
            figure=f"{case.name}: over the objective", value=ours.late_ratio * 100, unit="%",
            goal=Goal(direction="at most", value=limit),
        ),
        Figure(
            figure=f"{case.name}: changes", value=ours.changes_per_day, unit="a day",
            goal=Goal(direction="at most", value=100),
        ),
    ]  # fmt: skip


def noise_figure() -> Figure:
    """Return the changes in seven days of +/-10 % noise around one level, after the first day."""
    case = CASES[-1]
    draw = np.random.default_rng(7).uniform(-NOISE_RATIO, NOISE_RATIO, WEEK + 1_440)
    loads = 20.0 * (1 + draw)
    service = service_of(case, 1.0)
    outcome = run(SizingPolicy(service), service, Load(requests=loads * 60, loads=loads))
    return Figure(
        figure="changes in 7 days of +/-10 % noise", value=outcome.changes_per_day * 7, unit="",
        goal=Goal(direction="at most", value=1),
    )  # fmt: skip


def plot(results: dict[str, list[Line]]) -> str:
    """Return an SVG of cost relative to the oracle against requests over the objective, a panel per load."""
    panels = []
    for place, (name, lines) in enumerate(results.items()):
        panels.append(f'<g transform="translate({20 + 330 * (place % 3)},{40 + 260 * (place // 3)})">')
        panels.append(f'<text x="0" y="-8" font-weight="bold">{name}</text>')
        panels.append('<rect width="290" height="200" fill="none" stroke="#888"/>')
        for line in lines:
            x = 290 * min(1.0, max(0.0, (line.cost_ratio - 0.5) / 4))
            y = 200 - 200 * min(1.0, np.log10(1 + line.late_ratio * 1e4) / 4)
            colour = "#c00" if line.policy == OURS else "#36c"
            panels.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{colour}"/>')
            panels.append(f'<text x="{x + 6:.0f}" y="{y + 3:.0f}" font-size="8">{line.policy}</text>')
        panels.append('<text x="0" y="215" font-size="9">cost / oracle, 0.5 to 4.5; upwards: over the objective, '
                      "0 to 100 % (log)</text></g>")  # fmt: skip
    height = 60 + 260 * -(-len(results) // 3)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="1010" height="{height}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="1010" height="{height}" fill="#fff"/>', *panels, "</svg>"])


def main() -> int:
    """Run every case, or those named, and write the figures and the plot."""
    wanted = set(sys.argv[1:]) or {case.name for case in CASES}
    results: dict[str, list[Line]] = {}
    figures: list[Figure] = []
    for case in (one for one in CASES if one.name in wanted):
        if case.seed is None and not (TRACES / f"{case.name}.csv.gz").exists():
            print(f"{case.name}: left out, no trace in {TRACES}")
            continue
        service, load = inputs(case)
        results[case.name] = compare(service, load)
        figures += figures_of(case, results[case.name])
        print(f"\n{case.name}\n" + table(results[case.name], service, minutes=len(load.loads) - load.warm_up_minutes))
    large = [case.name for case in CASES if case.is_large and case.seed is None and case.name in results]
    if large:
        mean = geometric_mean([results[name][0].cost_ratio for name in large])
        goal = Goal(direction="at most", value=1.35)
        figures.append(Figure(figure="large services: cost, of the oracle's, mean", value=mean, unit="x", goal=goal))
    figures.append(noise_figure())
    write("sizing", figures)
    (FOLDER / "sizing.svg").write_text(plot(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
