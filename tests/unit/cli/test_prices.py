from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugal.api.price_book import PriceBook
from frugal.cli import main
from frugal.pricing.pricebook import hourly_price
from frugal.units import GIB

HEADING = "EndTimestamp,InstanceID,Region,AssetClass,InstanceIDField,InstanceType,MarketPriceHourly,Version\n"
TYPE = "metadata.labels.node.kubernetes.io/instance-type"
SPLIT = ["--core", "0.03", "--gib", "0.004", "--shape", "m5.large=2,8Gi"]


def asset(**more: Any) -> dict[str, Any]:
    return {
        "type": "Node",
        "nodeType": "e2-medium",
        "labels": {"topology_kubernetes_io_region": "us-central1"},
        "cpuCoreHours": 48,
        "ramByteHours": 96 * GIB,
        "GPUHours": 0,
        "preemptible": 0,
        "discount": 0.3,
        "cpuCost": 1.44,
        "ramCost": 0.48,
        "gpuCost": 0,
        **more,
    }


@pytest.fixture
def opencost() -> Iterator[str]:
    """An OpenCost that answers /assets with two nodes of one type, a spot node with a card, and a disk."""
    card = asset(nodeType="g2", preemptible=1, gpuCost=13.44, GPUHours=24, discount=0)
    card["labels"] = {"nvidia_com_gpu_product": "NVIDIA-L4"}
    dear = asset(cpuCost=2.88)
    answer = {"code": 200, "data": [{"a": asset(), "b": dear, "c": card, "d": {"type": "Disk", "totalCost": 1}}]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/assets?window=1d" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def printed(capsys: pytest.CaptureFixture[str]) -> PriceBook:
    return PriceBook.model_validate(yaml.safe_load(capsys.readouterr().out))


def test_opencost_states_what_cores_memory_and_cards_cost(opencost: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "--opencost", opencost]) == 0

    ordinary, spot = printed(capsys).entries
    assert ordinary.cpu_per_core_hour == Decimal("0.0315")  # (1.44 + 2.88) * 0.7 / 96
    assert ordinary.memory_per_gib_hour == Decimal("0.0035")  # 0.96 * 0.7 / 192
    assert ordinary.node_labels["topology.kubernetes.io/region"] == "us-central1"
    assert (spot.pricing.value, spot.gpu_per_hour) == ("spot", {"NVIDIA-L4": Decimal("0.56")})


def test_a_list_states_whole_nodes_that_are_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = f",m5.large,us-east-1,node,{TYPE},m5.large,0.096,v1\n,NVIDIA-L4,,gpu,nvidia.com/gpu_type,,0.56,\n"
    rows += ",standard,,pv,spec.storageClassName,,0.0001,v1\n"
    (tmp_path / "prices.csv").write_text(HEADING + rows)

    assert main(["prices", "--csv", str(tmp_path / "prices.csv"), *SPLIT, "--valid-from", "2026-01-01"]) == 0

    book = printed(capsys)
    labels = {"node.kubernetes.io/instance-type": "m5.large", "topology.kubernetes.io/region": "us-east-1"}
    whole = hourly_price(book, node_labels=labels, cores=Decimal(2), memory_bytes=Decimal(8 * GIB))
    assert round(whole.total, 20) == Decimal("0.096")
    assert book.entries[0].gpu_per_hour == {"NVIDIA-L4": Decimal("0.56")}
    assert (book.entries[0].storage_per_gib_hour, book.entries[0].valid_from) == (Decimal("0.0001"), "2026-01-01")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f",m5.large,,node,{TYPE},,cheap,\n", "line 2, MarketPriceHourly: found 'cheap'"),
        (f",m5.huge,,node,{TYPE},,1,\n", "line 2, InstanceID: found 'm5.huge'"),
        (",m5.large,,node,spec.providerID,,1,\n", "line 2, InstanceIDField: found 'spec.providerID'"),
        (",x,,bucket,,,1,\n", "line 2, AssetClass: found 'bucket'; allowed is node, gpu, pv"),
        (f",m5.large,,node,{TYPE},,NaN,\n", "line 2, MarketPriceHourly: found 'NaN'"),
    ],
)
def test_a_row_that_cannot_be_taken_over_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, said: str
) -> None:
    (tmp_path / "prices.csv").write_text(HEADING + rows)

    assert main(["prices", "--csv", str(tmp_path / "prices.csv"), *SPLIT]) == 2

    assert said in capsys.readouterr().err


def test_a_list_without_its_columns_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prices.csv").write_text("a,b\n1,2\n")

    assert main(["prices", "--csv", str(tmp_path / "prices.csv")]) == 2

    assert "line 1: found 'InstanceID, Region" in capsys.readouterr().err


def test_an_address_without_opencost_is_said(opencost: str, capsys: pytest.CaptureFixture[str]) -> None:
    for url in (f"{opencost}/nowhere", "ftp://x", "http://127.0.0.1:1"):
        assert main(["prices", "--opencost", url]) == 2
        assert url in capsys.readouterr().err
