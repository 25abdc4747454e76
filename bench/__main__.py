"""`make bench`: run every benchmark one after the other, then show one table that marks what misses its goal.

Exit status 0 also when a goal is missed: a benchmark informs, the tests judge. A benchmark that fails to run is named.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figures import FOLDER, Goal

NOT_BENCHMARKS = {"__init__", "__main__", "figures"}
TIMEOUT_SECONDS = 1800


def names() -> list[str]:
    """Return the names of every benchmark in this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_BENCHMARKS)


def run(name: str) -> str:
    """Run one benchmark in a process of its own and return what went wrong, or nothing."""
    try:
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"did not end within {TIMEOUT_SECONDS} s"
    return "" if done.returncode == 0 else f"exit status {done.returncode}"


def add_rows(table: Table, name: str) -> None:
    """Add what NAME.json holds to the table."""
    path = FOLDER / f"{name}.json"
    for line in json.loads(path.read_text()) if path.exists() else []:
        judged = line["ratio"] if line["ratio"] is not None else line["value"]
        mark = "" if not line["goal"] else "met" if Goal.parse(line["goal"]).met(judged) else "MISSED"
        shown = [line["figure"], f"{line['value']:.4g} {line['unit']}"]
        compared = [f"{line[key]:.4g}" if line[key] is not None else "" for key in ("baseline", "ratio")]
        table.add_row(name, *shown, *compared, line["goal"] or "", mark, style="red" if mark == "MISSED" else "")


def main() -> int:
    """Run every benchmark, or those named on the command line."""
    table = Table("benchmark", "figure", "value", "baseline", "ratio", "goal", "", title="Benchmarks")
    for name in sys.argv[1:] or names():
        problem = run(name)
        add_rows(table, name)
        if problem:
            table.add_row(name, problem, style="red")
    Console(width=160 if not sys.stdout.isatty() else None).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
