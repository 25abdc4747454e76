"""`kubectl frugal` against an API server that lists what a cluster would."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from frugal.cli.kubectl_frugal import main
from tests.unit.cli.test_cost import savings, service, utilization

PRICES = """
currency: USD
source: a test
retrievedAt: "2026-11-01"
entries: [{cpuPerCoreHour: "0.04", memoryPerGiBHour: "0.005"}]
"""
NODE = {
    "metadata": {"name": "n1", "labels": {"frugal.dev/price-cpu-core-hour": "0.02"}},
    "status": {"capacity": {"cpu": "8", "memory": "16Gi"}},
}
UNPRICED = {
    "metadata": {"name": "n2", "labels": {"frugal.dev/pricing": "spot"}},
    "status": {"capacity": {"cpu": "8", "memory": "16Gi"}},
}
PROXY = {
    "metadata": {"name": "proxy", "namespace": "kube-system"},
    "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "1"}}}]},
    "status": {"phase": "Running"},
}
POD = {
    "metadata": {
        "name": "train-x",
        "namespace": "shop",
        "labels": {"frugal.dev/track": "true"},
        "ownerReferences": [{"kind": "Job", "name": "train", "controller": True}],
    },
    "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "2"}}}]},
    "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z"},
}
USAGE = {
    "metadata": {"name": "train-x", "namespace": "shop"},
    "containers": [{"usage": {"cpu": "500m", "memory": "1Gi"}}],
}


class Cluster(BaseHTTPRequestHandler):
    """Lists; two pages of InferenceDeployments."""

    forbidden: tuple[str, ...] = ()

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        plural = asked.path.rsplit("/", 1)[-1]
        found, status = self.listed(asked.path, plural, query), 200
        if plural in self.forbidden:
            found, status = {"kind": "Status", "reason": "Forbidden", "code": 403, "message": "no"}, 403
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def listed(self, path: str, plural: str, query: dict[str, str]) -> dict[str, Any]:
        if plural == "inferencedeployments":
            page = {"": (["a"], "more"), "more": (["b"], "")}[query.get("continue", "")]
            made = [service(name, savings=savings(), utilization=utilization(load=0.0, cpu=0.1)) for name in page[0]]
            return {"items": [{**one, "kind": ""} for one in made], "metadata": {"continue": page[1]}}
        if "metrics.k8s.io" in path:
            return {"items": [USAGE], "metadata": {}}
        if plural == "pods":
            return {"items": [POD] if "labelSelector" in query else [POD, PROXY], "metadata": {}}
        known = {"nodes": [NODE, UNPRICED], "configmaps": [{"data": {"prices.yaml": PRICES}}]}
        return {"items": known.get(plural, []), "metadata": {}}

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    yield str(tmp_path / "config")
    server.shutdown()
    server.server_close()


def workloads(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main([*words, "-o", "json"]) == 0
    return {one["name"]: one for one in json.loads(capsys.readouterr().out)["workloads"]}


def test_every_page_and_every_tracked_pod_is_shown(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = workloads(["cost", "--kubeconfig", kubeconfig], capsys)

    assert set(found) == {"a", "b", "train"}
    # 2 cores at the price that its node's label states; the memory that it uses without a request is paid too
    assert found["train"]["hourlyByResource"] == {"cpu": "0.04", "memory": "0.005"}
    assert found["train"]["utilization"] == {"cpu": 0.25}
    assert found["train"]["kind"] == "Job"


def test_who_may_not_see_pods_sees_the_services(
    kubeconfig: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "forbidden", ("pods",))

    assert set(workloads(["cost", "--kubeconfig", kubeconfig, "-n", "shop"], capsys)) == {"a", "b"}


def test_savings_and_idle_are_there_too(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["savings", "--kubeconfig", kubeconfig]) == 0
    assert "24.00" in capsys.readouterr().out  # realized of both together

    assert main(["idle", "--kubeconfig", kubeconfig]) == 0
    assert "2 of 3 serve nobody" in capsys.readouterr().out


def test_a_cluster_that_cannot_be_reached_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--kubeconfig", str(tmp_path / "nowhere")]) == 2
    assert "kubectl frugal: no Kubernetes API to talk to" in capsys.readouterr().err


def test_a_nodes_price_is_shown_in_its_parts(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "--kubeconfig", kubeconfig]) == 0

    _, first, second, total, *notes = capsys.readouterr().out.splitlines()
    # 8 * 0.02 + 16 * 0.005 = 0.24; half a core and a GiB are used, 1.5 cores reserved beside, the proxy serves all
    assert first.split() == ["n1", "0.2400", "0.0150", "0.0300", "0.0200", "0.1750", "USD"]
    assert second.split()[:2] == ["n2", "-"]
    assert total.split()[:2] == ["TOTAL", "0.2400"]
    assert "no price: n2: no price for 'a node that is paid spot'" in "\n".join(notes)


def test_a_namespace_may_bear_what_is_idle(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "--kubeconfig", kubeconfig, "--by", "namespace", "--share", "proportional"]) == 0

    _, shop, nobody, *_ = capsys.readouterr().out.splitlines()
    assert shop.split() == ["shop", "0.2400", "0.0150", "0.0300", "0.0200", "0.1750", "USD"]
    assert nobody.split()[1] == "0.0000"


def test_nodes_cannot_be_priced_without_a_book(
    kubeconfig: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "forbidden", ("configmaps",))

    assert main(["nodes", "--kubeconfig", kubeconfig]) == 2
    assert "there is no price book" in capsys.readouterr().err
