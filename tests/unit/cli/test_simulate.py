"""`frugal simulate` on small files: the table, the JSON, one's own prices, and what is wrong with a file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from frugal.cli import main

DEPLOYMENT = """
service:
  flavors:
    - {name: 1g.10gb, slots: 1, memory_gib: 10, gpu_hours_price: 0.4}
    - {name: 7g.80gb, slots: 7, memory_gib: 80, gpu_hours_price: 2.8}
  sequences_per_replica: [4, 28]
  service_seconds: 2
  wait_budget_seconds: 1
  violation_target: 0.001
  startup_minutes: 2
  model_memory_gib: 8
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    rows = "".join(f"{minute},{300 + 60 * (minute % 20 == 0)}\n" for minute in range(120))
    (tmp_path / "trace.csv.gz").write_bytes(gzip.compress(b"minute,requests\n" + rows.encode()))
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    return ["simulate", "--trace", str(tmp_path / "trace.csv.gz"), "--deployment", str(tmp_path / "deployment.yaml")]


def test_the_table_fits_a_terminal_and_names_every_policy(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status = main(files)

    printed = capsys.readouterr().out
    assert status == 0
    assert max(map(len, printed.splitlines())) <= 100
    assert "Frugal" in printed
    assert "HPA, target chosen in hindsight" in printed


def test_twice_the_prices_cost_twice_as_much_and_as_much_relative_to_the_oracle(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prices.yaml").write_text("{1g.10gb: 0.8, 7g.80gb: 5.6}")
    main([*files, "-o", "json"])
    plain = json.loads(capsys.readouterr().out)[0]

    main([*files, "-o", "json", "--prices", str(tmp_path / "prices.yaml")])

    dear = json.loads(capsys.readouterr().out)[0]
    assert dear["cost"] == pytest.approx(2 * plain["cost"])
    assert dear["cost_ratio"] == pytest.approx(plain["cost_ratio"])


@pytest.mark.parametrize(
    ("trace", "named"),
    [("minute,hits\n0,1\n", "columns"), ("minute,requests\n0,-3\n", "requests"), ("minute,requests\n0,1\n", "too few")],
)
def test_a_trace_that_cannot_be_used_is_named(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], trace: str, named: str
) -> None:
    (tmp_path / "bad.csv").write_text(trace)

    status = main([*files[:2], str(tmp_path / "bad.csv"), *files[3:]])

    assert status == 2
    assert named in capsys.readouterr().err
