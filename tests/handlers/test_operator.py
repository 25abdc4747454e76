"""The whole operator on a real API server: what it makes, what it survives, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cluster.cluster import ControlPlane
from tests.handlers.conftest import OPERATOR_NAMESPACE, OperatorProcess, crashed, until

Start = Callable[..., OperatorProcess]
Manifest = dict[str, Any]


def compression_job(namespace: str, name: str = "cnn", **spec: Any) -> Manifest:
    smallest = {
        "model": {"uri": "s3://models/cnn.onnx"},
        "data": {"evaluation": {"uri": "s3://data/test.npz"}},
        "output": {"uri": "s3://models/out"},
    }
    return _object("CompressionJob", namespace, name, smallest | spec)


def inference_deployment(namespace: str, name: str = "fashion", **spec: Any) -> Manifest:
    return _object("InferenceDeployment", namespace, name, {"model": {"uri": "s3://models/cnn.onnx"}} | spec)


def _object(kind: str, namespace: str, name: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "frugal.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def status(cluster: ControlPlane, kind: str, namespace: str, name: str) -> Manifest:
    found: Manifest = cluster.kubectl.get(f"{kind}.frugal.dev", name, "-n", namespace)
    told: Manifest = found.get("status", {})
    return told


def names(cluster: ControlPlane, kind: str, namespace: str) -> list[str]:
    listed: Manifest = cluster.kubectl.get(kind, "-n", namespace)
    found = [item["metadata"]["name"] for item in listed["items"]]
    return [name for name in found if name != "kube-root-ca.crt"]


def condition(told: Manifest, kind: str) -> Manifest:
    found: list[Manifest] = [one for one in told.get("conditions", []) if one["type"] == kind]
    return found[0] if found else {}


def test_both_kinds_get_their_children_and_a_status_that_kubectl_reads(
    api_server: ControlPlane, namespace: str, start_operator: Start
) -> None:
    start_operator()

    api_server.kubectl.apply(compression_job(namespace), inference_deployment(namespace))

    until(lambda: names(api_server, "jobs", namespace), "a Job")
    until(lambda: names(api_server, "deployments", namespace) == ["fashion"], "a Deployment")
    until(lambda: names(api_server, "services", namespace) == ["fashion"], "a Service")
    until(lambda: status(api_server, "compressionjobs", namespace, "cnn").get("phase") == "Pending", "a phase")
    told = status(api_server, "inferencedeployments", namespace, "fashion")
    assert told["observedGeneration"] == 1
    assert condition(told, "Valid")["status"] == "True"


def test_the_operator_writes_nothing_more_once_everything_is_said(
    api_server: ControlPlane, namespace: str, start_operator: Start
) -> None:
    operator = start_operator()
    api_server.kubectl.apply(compression_job(namespace), inference_deployment(namespace))
    until(lambda: status(api_server, "compressionjobs", namespace, "cnn").get("phase"), "a phase")
    until(lambda: status(api_server, "inferencedeployments", namespace, "fashion").get("phase"), "a phase")
    before = _versions(api_server, namespace)

    operator.kill()
    again = start_operator()
    until(lambda: again.is_leader, "leading again")
    until(lambda: _reconciles(again) >= 2, "both looked at again")

    assert _versions(api_server, namespace) == before


def test_neither_kopf_nor_we_leave_annotations_or_finalizers_on_users_objects(
    api_server: ControlPlane, namespace: str, start_operator: Start
) -> None:
    start_operator()
    made = compression_job(namespace)

    api_server.kubectl("create", "-f", "-", stdin=_json(made))

    until(lambda: status(api_server, "compressionjobs", namespace, "cnn").get("phase"), "a phase")
    found: Manifest = api_server.kubectl.get("compressionjobs.frugal.dev", "cnn", "-n", namespace)
    assert "annotations" not in found["metadata"]
    assert "finalizers" not in found["metadata"]


def test_a_rule_that_an_old_server_cannot_check_becomes_a_condition(
    api_server: ControlPlane, namespace: str, start_operator: Start
) -> None:
    start_operator()
    contradictory = inference_deployment(namespace, replicas={"min": 5, "max": 2})

    api_server.kubectl.apply(contradictory)

    def is_told() -> bool:
        told = status(api_server, "inferencedeployments", namespace, "fashion")
        return condition(told, "Valid").get("status") == "False"

    until(is_told, "Valid=False")
    message = condition(status(api_server, "inferencedeployments", namespace, "fashion"), "Valid")["message"]
    assert "replicas.min" in message
    assert names(api_server, "deployments", namespace) == []


def test_a_quota_that_refuses_is_told_and_the_work_begins_when_it_yields(
    api_server: ControlPlane, namespace: str, start_operator: Start
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": namespace},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    api_server.kubectl.apply(quota)
    until(lambda: "status" in api_server.kubectl.get("resourcequota", "few", "-n", namespace), "the quota to hold")
    until(lambda: api_server.kubectl.get("resourcequota", "few", "-n", namespace)["status"], "the quota to hold")
    start_operator()

    api_server.kubectl.apply(compression_job(namespace))

    def stalled() -> Manifest:
        return condition(status(api_server, "compressionjobs", namespace, "cnn"), "Stalled")

    until(lambda: stalled().get("reason") == "Forbidden", "Stalled for the quota")
    assert "exceeded quota: few" in stalled()["message"]
    api_server.kubectl("delete", "resourcequota", "few", "-n", namespace)
    until(lambda: names(api_server, "jobs", namespace), "a Job once the quota is gone")
    until(lambda: stalled().get("status") == "False", "not stalled any more")


def test_what_was_deleted_and_made_while_no_operator_ran_comes_right_when_one_does(
    api_server: ControlPlane, namespace: str, start_operator: Start
) -> None:
    first = start_operator()
    api_server.kubectl.apply(compression_job(namespace, "before"))
    until(lambda: names(api_server, "jobs", namespace), "a Job")
    first.kill()

    api_server.kubectl("delete", "compressionjobs.frugal.dev", "before", "-n", namespace)
    api_server.kubectl.apply(compression_job(namespace, "meanwhile"))
    start_operator()

    until(lambda: any(name.startswith("meanwhile") for name in names(api_server, "jobs", namespace)), "the new Job")
    until(lambda: not any(name.startswith("before") for name in names(api_server, "jobs", namespace)), "no old Job")


def test_the_operator_outlives_the_api_server_and_says_so_in_its_probes(
    api_server: ControlPlane, namespace: str, start_operator: Start
) -> None:
    operator = start_operator(FRUGAL_LEASE_SECONDS="60")  # an outage shorter than the Lease costs no leadership
    until(lambda: operator.is_leader, "leading")

    with crashed(api_server, "kube-apiserver"):
        until(lambda: operator.probe("/readyz")[0] == 503, "not ready without the API server", seconds=60)
        assert operator.probe("/healthz")[0] == 200  # restarting it would mend nothing

    until(lambda: operator.probe("/readyz")[0] == 200, "ready again")
    api_server.kubectl.apply(compression_job(namespace, "after"))
    until(lambda: names(api_server, "jobs", namespace), "a Job after the outage")


def test_a_graceful_stop_gives_the_lease_back_and_a_standby_takes_over_at_once(
    api_server: ControlPlane, namespace: str, start_operator: Start
) -> None:
    long = {"FRUGAL_LEASE_SECONDS": "60"}  # nobody can wait for that to run out in the time that the test gives
    first = start_operator(**long)
    until(lambda: first.is_leader, "the first leads")
    second = start_operator(**long)
    until(lambda: second.probe("/readyz")[0] == 200, "the standby is ready")
    assert not second.is_leader
    assert "frugal_leader 0.0" in second.metrics()

    exit_status = first.stop()

    assert exit_status == 0
    until(lambda: second.is_leader, "the standby leads", seconds=20)
    api_server.kubectl.apply(compression_job(namespace))
    until(lambda: names(api_server, "jobs", namespace), "a Job by the standby")


def test_who_loses_the_lease_ends_with_a_failure(api_server: ControlPlane, start_operator: Start) -> None:
    operator = start_operator()
    until(lambda: operator.is_leader, "leading")

    usurper = '{"spec": {"holderIdentity": "usurper", "leaseDurationSeconds": 1}}'
    api_server.kubectl("patch", "lease", "frugal-operator", "-n", OPERATOR_NAMESPACE, "--type=merge", "-p", usurper)

    assert operator.process.wait(15) == 1


def test_a_cluster_without_our_kinds_is_told_in_a_sentence(control_plane: ControlPlane, start_operator: Start) -> None:
    control_plane.kubectl("delete", "crd", "compressionjobs.frugal.dev")
    try:
        operator = start_operator()
        assert operator.process.wait(20) == 1
        assert "apply crds/ first" in operator.log.read_text()
    finally:
        control_plane.kubectl("apply", "--validate=false", "-k", "crds")


def _versions(cluster: ControlPlane, namespace: str) -> dict[str, str]:
    kinds = "compressionjobs.frugal.dev,inferencedeployments.frugal.dev,jobs,services,configmaps,events"
    listed: Manifest = cluster.kubectl.get(kinds, "-n", namespace)
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for item in listed["items"]
        if item.get("source", {}).get("component", "frugal") == "frugal"
    }


def _reconciles(operator: OperatorProcess) -> float:
    lines = operator.metrics().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("frugal_reconcile_duration_seconds_count"))


def _json(manifest: Manifest) -> str:
    return json.dumps(manifest)
