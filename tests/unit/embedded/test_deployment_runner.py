from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.unit.embedded.machine import Machine, Manifest, deployment, service


def pid_of(pod: Manifest) -> int:
    return int(pod["status"]["containerStatuses"][0]["containerID"].removeprefix("process://").split("/")[0])


async def test_a_service_sends_nothing_to_a_pod_until_its_probe_holds(tmp_path: Path) -> None:
    port, ready = free_port(), tmp_path / "ready"
    async with Machine(tmp_path) as machine, httpx.AsyncClient(timeout=5) as client:
        machine.store.apply(deployment("web", ready=str(ready)))
        machine.store.apply(service("web", port))
        await machine.until(lambda: machine.events("Unhealthy"))

        refused = False
        try:
            await client.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            refused = True
        assert refused
        assert machine.status("Deployment", "web")["unavailableReplicas"] == 1

        ready.touch()
        await machine.until(lambda: machine.status("Deployment", "web")["readyReplicas"] == 1)
        assert (await client.get(f"http://127.0.0.1:{port}/")).text == "web"


async def test_a_rolling_update_under_load_drops_no_request(tmp_path: Path) -> None:
    port, ready = free_port(), tmp_path / "ready"
    ready.touch()
    async with Machine(tmp_path) as machine, httpx.AsyncClient(timeout=5) as client:
        machine.store.apply(deployment("web", ready=str(ready), replicas=2))
        machine.store.apply(service("web", port))
        await machine.until(lambda: machine.status("Deployment", "web").get("readyReplicas") == 2)
        before = {pod["metadata"]["uid"] for pod in machine.pods()}
        answers: list[str] = []

        async def ask() -> None:
            while True:
                answers.append((await client.get(f"http://127.0.0.1:{port}/")).raise_for_status().text)

        asking = asyncio.create_task(ask())
        changed = deployment("web", ready=str(ready), replicas=2)
        changed["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "new"
        machine.store.apply(changed)
        most = 0

        def is_done() -> bool:
            nonlocal most
            most = max(most, len(machine.pods()))
            status = machine.status("Deployment", "web")
            assert status["readyReplicas"] >= 2  # none fewer than wanted, at any moment
            return {pod["metadata"]["uid"] for pod in machine.store.all("Pod")}.isdisjoint(before)

        await machine.until(is_done)
        await machine.until(lambda: answers[-1] == "new")
        assert not asking.done() or asking.exception() is None
        asking.cancel()
        assert most == 3
        assert set(answers) == {"web", "new"}
        condition = {one["type"]: one["reason"] for one in machine.status("Deployment", "web")["conditions"]}
        assert condition == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}


async def test_a_killed_process_is_started_again_in_its_pod(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    async with Machine(tmp_path) as machine:
        machine.store.apply(deployment("web", ready=str(ready)))
        await machine.until(lambda: machine.status("Deployment", "web").get("readyReplicas") == 1)
        (pod,) = machine.pods()

        os.kill(pid_of(pod), signal.SIGKILL)
        await machine.until(lambda: machine.pods()[0]["status"]["containerStatuses"][0]["restartCount"] == 1)
        await machine.until(lambda: machine.status("Deployment", "web")["readyReplicas"] == 1)

        (after,) = machine.pods()
        assert after["metadata"]["uid"] == pod["metadata"]["uid"]
        last = after["status"]["containerStatuses"][0]["lastState"]["terminated"]
        assert last["exitCode"] == 137


async def test_a_failing_liveness_probe_restarts_the_container(tmp_path: Path) -> None:
    alive = tmp_path / "ready"
    alive.touch()
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 0.1, "failureThreshold": 30}
    async with Machine(tmp_path) as machine:
        machine.store.apply(deployment("web", ready=str(alive), container={"livenessProbe": probe}))
        await machine.until(lambda: machine.status("Deployment", "web").get("readyReplicas") == 1)

        alive.unlink()

        await machine.until(lambda: machine.pods()[0]["status"]["containerStatuses"][0]["restartCount"] > 0)
        assert "liveness" in machine.events("Killing")[0]["message"]


async def test_replicas_grow_and_shrink_in_place(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    async with Machine(tmp_path) as machine:
        machine.store.apply(deployment("web", ready=str(ready)))
        await machine.until(lambda: machine.status("Deployment", "web").get("readyReplicas") == 1)
        (first,) = machine.pods()

        machine.store.apply(deployment("web", ready=str(ready), replicas=3))
        await machine.until(lambda: machine.status("Deployment", "web")["readyReplicas"] == 3)
        assert first["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in machine.pods()}

        machine.store.apply(deployment("web", ready=str(ready), replicas=0))
        await machine.until(lambda: not machine.store.all("Pod"))


async def test_a_change_that_never_gets_ready_is_told_and_the_old_pod_goes_on(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    async with Machine(tmp_path) as machine:
        machine.store.apply(deployment("web", ready=str(ready)))
        await machine.until(lambda: machine.status("Deployment", "web").get("readyReplicas") == 1)

        machine.store.apply(deployment("web", "raise SystemExit(1)", ready=str(ready), progressDeadlineSeconds=2))

        def progressing() -> str:
            conditions = machine.status("Deployment", "web")["conditions"]
            return str(next(one["reason"] for one in conditions if one["type"] == "Progressing"))

        await machine.until(lambda: progressing() == "ProgressDeadlineExceeded")
        assert machine.status("Deployment", "web")["readyReplicas"] == 1


async def test_a_service_on_a_taken_port_says_so_and_opens_when_it_is_free(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        async with Machine(tmp_path) as machine:
            machine.store.apply(service("web", port))
            await machine.until(lambda: machine.events("PortTaken"))

            assert str(port) in machine.events("PortTaken")[0]["message"]
            holder.close()
            await machine.until(lambda: machine.status("Service", "web")["conditions"][0]["status"] == "True")


async def test_a_pod_waits_in_kubernetes_words_for_what_is_missing(tmp_path: Path) -> None:
    container = {"envFrom": [{"secretRef": {"name": "bucket"}}]}
    made = deployment("web", ready=str(tmp_path / "ready"), container=container)
    made["spec"]["template"]["spec"]["volumes"] = [{"name": "m", "persistentVolumeClaim": {"claimName": "models"}}]
    (tmp_path / "ready").touch()
    async with Machine(tmp_path) as machine:
        machine.store.apply(made)
        first = await machine.until(lambda: machine.pods() and machine.pods()[0].get("status"))
        assert first["conditions"][0]["reason"] == "Unschedulable"
        assert 'persistentvolumeclaim "models" not found' in first["conditions"][0]["message"]

        machine.claims["models"] = tmp_path
        machine.node.look_again()

        def waiting() -> Manifest:
            state = machine.pods()[0]["status"]["containerStatuses"][0]["state"]
            return dict(state.get("waiting", {}))

        await machine.until(lambda: waiting().get("reason") == "CreateContainerConfigError")
        assert waiting()["message"] == 'secret "bucket" not found'
        machine.store.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"}, "stringData": {"TOKEN": "x"}}
        )
        await machine.until(lambda: machine.status("Deployment", "web")["readyReplicas"] == 1)
