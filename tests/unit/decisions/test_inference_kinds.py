"""Another accelerator, a change on trial, and what is taken back: look by look."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from frugal.api.price_book import PriceBook, PriceEntry
from frugal.decisions.inference import plan_inference
from frugal.decisions.inventory import of_its_kind
from frugal.decisions.snapshot import InferenceSnapshot, Manifest, Measured
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.state import WorkloadState
from frugal.units import GIB
from tests.unit.decisions.factories import (
    NOW,
    carried_out,
    condition,
    environment,
    inference_spec,
    later,
    status,
)
from tests.unit.decisions.test_inference import AUTO, deployment_of, overdue, rolled_out, serving

A100 = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.memory": "81920"}
T4 = {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "15360"}
A100_KEY, T4_KEY = "1xnvidia.com/gpu@NVIDIA-A100-SXM4-80GB", "1xnvidia.com/gpu@Tesla-T4"
NODES = {"a": A100, "b": T4}
GPU_PRICES = PriceBook(
    currency="USD",
    source="made for tests",
    retrieved_at="2026-11-01",
    entries=[
        PriceEntry(
            cpu_per_core_hour=Decimal("0.04"),
            memory_per_gib_hour=Decimal("0.005"),
            gpu_per_hour={"NVIDIA-A100-SXM4-80GB": Decimal(4), "Tesla-T4": Decimal("0.35")},
        )
    ],
)


def runtime(**limits: Any) -> dict[str, Any]:
    asked = {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "8Gi", **limits}}
    return {
        "name": "custom",
        "podTemplate": {"spec": {"containers": [{"name": "llm", "image": "llm:1", "resources": asked}]}},
    }


def learnt(*, until: int = 0, slow: int = 0, kind: str = A100_KEY, state: WorkloadState | None = None) -> WorkloadState:
    """400 minutes at 2 requests a second up to `until` minutes from NOW, of which `slow` a minute miss 500 ms."""
    state = state or WorkloadState.empty()
    first = -400 if state.is_empty else 1
    replicas, service_seconds = (1, 0.02) if kind == A100_KEY else (2, 0.121)  # as the ratio of their bandwidths has it
    for minute in range(first, until + 1):
        at = NOW + timedelta(minutes=minute)
        usage = UsageSample(
            at=at,
            cpu_cores=0.2 / replicas,
            memory_bytes=4 * GIB - 2**28,
            gpu_ratio=2.0 * service_seconds / replicas,  # one request at a time
            gpu_memory_bytes=3 * GIB,
        )
        load = LoadSample(
            at=at,
            interval_seconds=60,
            requests=120,
            failed=0,
            service_seconds=service_seconds,
            latency_buckets=((0.5, 120 - slow), (10.0, 120)),
            in_flight=0,
            replicas=replicas,
        )
        state = state.observe(Observation(usage=(usage,), load=load, kind=kind))
    return state


def measured(state: WorkloadState) -> Measured:
    assert state.last_at is not None
    return Measured(state=state, observed_at=state.last_at)


def on_the_a100(**changes: Any) -> InferenceSnapshot:
    spec = inference_spec(
        runtime=runtime(**{"nvidia.com/gpu": "1"}),
        slo={"latency": {"threshold": "500ms", "quantile": 0.99}},
        rightSizing=AUTO,
        **changes,
    )
    world = environment(prices=GPU_PRICES, node_labels=NODES)
    return replace(serving(spec, environment=world), measured=measured(learnt()))


def moved() -> InferenceSnapshot:
    """What is seen once every replica runs on the T4."""
    seen = rolled_out(carried_out(on_the_a100(), plan_inference(on_the_a100())))
    return carried_out(seen, plan_inference(seen))


def later_with(seen: InferenceSnapshot, state: WorkloadState, minutes: int) -> InferenceSnapshot:
    return replace(later(seen, 60 * minutes), measured=measured(state))


def pod_spec(seen: InferenceSnapshot) -> Manifest:
    spec: Manifest = deployment_of(seen)["spec"]["template"]["spec"]
    return spec


def test_an_idle_card_is_exchanged_for_a_cheaper_one_by_a_rollout_that_never_drops_below_capacity() -> None:
    seen = on_the_a100()

    plan = plan_inference(seen)

    after = carried_out(seen, plan)
    assert pod_spec(after)["nodeSelector"] == {"nvidia.com/gpu.product": "Tesla-T4"}
    resources = pod_spec(after)["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
    assert deployment_of(after)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert status(plan)["applied"]["trial"]["previous"]["accelerator"] == "nvidia.com/gpu"
    assert status(plan)["applied"]["size"]["replicas"] == 2  # 6 times as slow: one alone would make 1 in 45 wait
    assert status(plan)["cost"]["hourly"].startswith("0.75")  # 2 x 0.35 for the T4s, the rest for CPU and memory
    assert "(Tesla-T4) instead of 1 nvidia.com/gpu" in status(plan)["applied"]["reason"]


def test_recommend_names_the_alternatives_with_their_price_and_changes_nothing() -> None:
    seen = on_the_a100()
    spec = {**seen.manifest["spec"], "rightSizing": {"mode": "Recommend"}, "accelerators": ["nvidia.com/gpu"]}
    seen = replace(seen, manifest={**seen.manifest, "spec": spec})

    plan = plan_inference(seen)

    recommendation = status(plan)["recommendation"]
    assert recommendation["target"]["product"] == "Tesla-T4"
    (present,) = recommendation["alternatives"]
    assert present["hourly"].startswith("4.0")
    assert present["reason"] == "it costs more"
    assert "nodeSelector" not in pod_spec(carried_out(seen, plan))


def test_a_template_that_asks_for_a_product_keeps_it() -> None:
    asked = runtime(**{"nvidia.com/gpu": "1"})
    asked["podTemplate"]["spec"]["nodeSelector"] = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    seen = on_the_a100()
    seen = replace(seen, manifest={**seen.manifest, "spec": {**seen.manifest["spec"], "runtime": asked}})

    plan = plan_inference(seen)

    assert status(plan)["recommendation"]["target"].get("product", "") == ""
    assert status(plan)["recommendation"].get("alternatives", []) == []


def test_the_sentence_of_an_applied_size_promises_no_saving_twice() -> None:
    seen = moved()

    plan = plan_inference(later_with(seen, learnt(until=1, kind=T4_KEY, state=learnt()), 1))

    recommendation = status(plan)["recommendation"]
    assert "cheaper" not in recommendation["explanation"]
    assert recommendation["saving"]["percent"] == 0


def test_a_change_that_misses_the_objective_is_taken_back_and_not_tried_again() -> None:
    seen = moved()
    slow = learnt(
        until=20, slow=12, kind=T4_KEY, state=learnt()
    )  # a tenth of the requests, where a hundredth is allowed

    back = plan_inference(later_with(seen, slow, 20))

    after = carried_out(later_with(seen, slow, 20), back)
    assert "nodeSelector" not in pod_spec(after)
    assert [event.reason for event in back.events if event.type == "Warning"] == ["RolledBack"]
    assert condition(back, "RightSized")["reason"] == "RolledBack"
    (failed,) = status(back)["rejected"]
    assert failed["size"]["product"] == "Tesla-T4"
    assert failed["isKind"] is True
    assert "240 of 2400 requests took longer than 500ms, 1 % are allowed" in failed["reason"]

    day_later = learnt(until=1440, state=slow)
    again = plan_inference(later_with(rolled_out(after), day_later, 1440 - 20))
    assert status(again)["recommendation"]["target"].get("product", "") == ""
    assert "nodeSelector" not in pod_spec(carried_out(after, again))


def test_a_change_that_keeps_the_objective_for_an_hour_stands() -> None:
    seen = moved()

    early = plan_inference(later_with(seen, learnt(until=30, kind=T4_KEY, state=learnt()), 30))
    late = plan_inference(later_with(seen, learnt(until=61, kind=T4_KEY, state=learnt()), 61))

    assert status(early)["applied"]["trial"]["since"]
    assert "trial" not in status(late)["applied"]
    assert "rejected" not in status(late) or status(late)["rejected"] == []


def test_requests_that_were_slow_before_the_change_do_not_speak_against_it() -> None:
    before = learnt(slow=1)
    seen = replace(on_the_a100(), measured=measured(before))
    seen = rolled_out(carried_out(seen, plan_inference(seen)))
    seen = carried_out(seen, plan_inference(seen))

    plan = plan_inference(later_with(seen, learnt(until=20, kind=T4_KEY, state=before), 20))

    assert status(plan).get("rejected", []) == []


def test_a_kind_whose_pods_never_become_ready_is_taken_back() -> None:
    seen = on_the_a100()
    seen = overdue(carried_out(seen, plan_inference(seen)))

    plan = plan_inference(later(seen, 900))

    (failed,) = status(plan)["rejected"]
    assert failed["reason"] == "its pods did not become ready in time"
    assert "nodeSelector" not in pod_spec(carried_out(seen, plan))


def test_without_rollback_a_change_that_misses_the_objective_stays() -> None:
    seen = moved()
    spec = {**seen.manifest["spec"], "rollout": {"rollback": False}}
    seen = replace(seen, manifest={**seen.manifest, "spec": spec})

    plan = plan_inference(later_with(seen, learnt(until=20, slow=12, kind=T4_KEY, state=learnt()), 20))

    assert pod_spec(carried_out(seen, plan))["nodeSelector"] == {"nvidia.com/gpu.product": "Tesla-T4"}


def test_outside_of_its_change_window_another_kind_waits_while_replicas_do_not() -> None:
    window = {"mode": "Auto", "changeWindows": ["Sun 02:00-03:00 UTC"]}
    seen = on_the_a100()
    seen = replace(seen, manifest={**seen.manifest, "spec": {**seen.manifest["spec"], "rightSizing": window}})

    plan = plan_inference(seen)

    assert condition(plan, "RightSized")["reason"] == "OutsideChangeWindow"
    assert "nodeSelector" not in pod_spec(carried_out(seen, plan))


@pytest.mark.parametrize(("desired", "replicas"), [(None, 1), (3, 3)])
def test_an_external_scaler_keeps_the_replicas_and_reads_what_is_needed(desired: int | None, replicas: int) -> None:
    owned = {"min": 1, "max": 9} | ({"desired": desired} if desired else {})
    spec = inference_spec(
        rightSizing={"mode": "Auto", "scaling": "External"},
        replicas=owned,
        slo={"latency": {"threshold": "500ms", "quantile": 0.99}},
    )
    seen = serving(spec, environment=environment(prices=GPU_PRICES))
    busy = WorkloadState.empty()
    for minute in range(400):
        at = NOW - timedelta(minutes=400 - minute)
        load = LoadSample(
            at=at,
            interval_seconds=60,
            requests=6000,
            failed=0,
            service_seconds=0.02,
            latency_buckets=((0.5, 6000), (10.0, 6000)),
            in_flight=0,
            replicas=1,
        )
        busy = busy.observe(
            Observation(usage=(UsageSample(at=at, cpu_cores=0.4, memory_bytes=400 * 2**20),), load=load)
        )

    plan = plan_inference(replace(seen, measured=measured(busy)))

    assert deployment_of(carried_out(seen, plan))["spec"]["replicas"] == replicas
    assert status(plan)["recommendation"]["target"]["replicas"] == 3  # 100/s x 20 ms are 2 busy servers


def test_an_observation_carries_the_kind_on_which_every_pod_ran() -> None:
    def pod(node: str) -> Manifest:
        resources = {"limits": {"nvidia.com/gpu": "1"}}
        return {"spec": {"nodeName": node, "containers": [{"name": "llm", "resources": resources}]}}

    load = LoadSample(
        at=NOW,
        interval_seconds=60,
        requests=1,
        failed=0,
        service_seconds=1.0,
        latency_buckets=(),
        in_flight=0,
        replicas=2,
    )
    seen = Observation(usage=(), load=load)

    alike, mixed = of_its_kind(seen, (pod("b"), pod("b")), NODES), of_its_kind(seen, (pod("a"), pod("b")), NODES)

    assert alike.kind == "1xnvidia.com/gpu@Tesla-T4"
    assert mixed.load is not None
    assert mixed.load.service_seconds is None
