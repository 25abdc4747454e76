"""The engine: anything done twice equals done once, whatever is interrupted, refused, deleted or changed midway."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from frugal.errors import ClusterUnavailable, Conflict, Forbidden, Rejected
from frugal.loop.fleet import fleet_snapshot
from frugal.loop.ports import ObjectKey, Reading
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from tests.fakes.cluster import FakeCluster, PowerCut
from tests.unit.loop.world import NOON, World, compression_job, inference_deployment

QUOTA = Forbidden('jobs.batch "cnn-1" is forbidden: exceeded quota: few, requested: count/jobs=1')


def facts(cluster: FakeCluster) -> dict[str, Any]:
    """Return everything that lasts, without the order in which it came to be."""
    objects = {address: _without_uids(manifest) for address, manifest in cluster.objects.items()}
    return {"objects": objects, "events": {(reason, message) for _, reason, message in cluster.events}}


def _without_uids(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _without_uids(value) for name, value in part.items() if "uid" not in name and "hash" not in name}
    return [_without_uids(value) for value in part] if isinstance(part, list) else part


def conditions(cluster: FakeCluster, key: ObjectKey) -> dict[str, tuple[str, str]]:
    """Return (status, reason) of each condition."""
    told = (cluster.get(key) or {})["status"].get("conditions", [])
    return {one["type"]: (one["status"], one["reason"]) for one in told}


def message(cluster: FakeCluster, key: ObjectKey, kind: str) -> str:
    told = (cluster.get(key) or {})["status"].get("conditions", [])
    return next(str(one["message"]) for one in told if one["type"] == kind)


@pytest.mark.parametrize("manifest", [compression_job(), inference_deployment()], ids=lambda one: one["kind"])
async def test_a_second_look_writes_nothing(manifest: dict[str, Any]) -> None:
    world = World()
    key = world.cluster.create(manifest)
    await world.settle(key)
    written = len(world.cluster.writes)

    world.clock.advance(60)
    await world.engine.reconcile(key)

    assert written > 0
    assert len(world.cluster.writes) == written


@pytest.mark.parametrize("manifest", [compression_job(), inference_deployment()], ids=lambda one: one["kind"])
async def test_a_process_that_ends_after_any_write_leaves_nothing_that_its_successor_does_not_mend(
    manifest: dict[str, Any],
) -> None:
    undisturbed = World()
    await undisturbed.settle(undisturbed.cluster.create(manifest))
    writes = len(undisturbed.cluster.writes)

    for last in range(1, writes + 1):
        world = World()
        key = world.cluster.create(manifest)
        world.cluster.power_cut_after = last
        with pytest.raises(PowerCut):
            await world.settle(key)
        world.cluster.power_cut_after = None
        world.restart()
        await world.settle(key)

        assert facts(world.cluster) == facts(undisturbed.cluster), f"after {world.cluster.writes[last - 1]}"


async def test_a_changed_input_replaces_the_job_and_its_request() -> None:
    world = World()
    key = world.cluster.create(compression_job())
    await world.settle(key)
    before = world.cluster.names("Job")

    world.cluster.change(key, model={"uri": "s3://models/better.onnx"})
    await world.settle(key)

    assert len(before) == len(world.cluster.names("Job")) == 1
    assert world.cluster.names("Job") != before


async def test_an_object_deleted_midway_is_left_alone() -> None:
    world = World()
    key = world.cluster.create(compression_job())
    await world.settle(key)
    world.cluster.drop(key)
    written = len(world.cluster.writes)

    again = await world.engine.reconcile(key)

    assert again is None
    assert len(world.cluster.writes) == written
    assert world.cluster.objects == {}


async def test_a_child_that_somebody_changed_is_put_right() -> None:
    world = World()
    key = world.cluster.create(inference_deployment())
    await world.settle(key)
    address = next(address for address in world.cluster.objects if address[0] == "Service")
    wanted = world.cluster.objects[address]
    world.cluster.put_child({**wanted, "spec": {**wanted["spec"], "ports": []}})

    await world.engine.reconcile(key)

    assert world.cluster.objects[address]["spec"] == wanted["spec"]


async def test_a_child_that_somebody_deleted_comes_back() -> None:
    world = World()
    key = world.cluster.create(inference_deployment())
    await world.settle(key)
    names = world.cluster.names("Deployment")
    del world.cluster.objects["Deployment", "team", names[0]]

    await world.settle(key)

    assert world.cluster.names("Deployment") == names


async def test_a_quota_that_refuses_becomes_a_condition_in_the_servers_words_and_goes_when_it_yields() -> None:
    world = World()
    key = world.cluster.create(compression_job())

    with world.cluster.refusing("apply Job", QUOTA), pytest.raises(Forbidden):
        await world.engine.reconcile(key)
    refused, said = conditions(world.cluster, key), message(world.cluster, key, "Stalled")
    await world.settle(key)

    assert refused["Ready"] == ("False", "Forbidden")
    assert refused["Stalled"] == ("True", "Forbidden")
    assert "exceeded quota: few" in said
    assert conditions(world.cluster, key)["Stalled"][0] == "False"


async def test_a_refused_write_is_not_claimed_in_the_status() -> None:
    world = World()
    key = world.cluster.create(inference_deployment())

    with world.cluster.refusing("apply Deployment", QUOTA), pytest.raises(Forbidden):
        await world.engine.reconcile(key)

    assert "applied" not in (world.cluster.get(key) or {})["status"]


async def test_a_refusal_is_written_once_however_often_it_is_met() -> None:
    world = World()
    key = world.cluster.create(compression_job())
    with world.cluster.refusing("apply Job", QUOTA):
        for _ in range(3):
            with pytest.raises(Forbidden):
                await world.engine.reconcile(key)
            world.clock.advance(30)

    assert world.cluster.writes.count("status") == 1


async def test_what_the_server_finds_invalid_is_told_as_the_specs_fault() -> None:
    world = World()
    key = world.cluster.create(compression_job())
    fault = Rejected("spec.template.spec.nodeSelector: Invalid value")

    with world.cluster.refusing("apply Job", fault), pytest.raises(Rejected):
        await world.engine.reconcile(key)

    assert conditions(world.cluster, key)["Stalled"] == ("True", "InvalidSpec")


@pytest.mark.parametrize("fault", [ClusterUnavailable("HTTP 503"), Conflict("another uid")])
async def test_an_outage_says_nothing_in_the_status(fault: Exception) -> None:
    world = World()
    key = world.cluster.create(compression_job())

    with world.cluster.refusing("apply", fault), pytest.raises(type(fault)):
        await world.engine.reconcile(key)

    assert (world.cluster.get(key) or {})["status"] == {"observedGeneration": -1}


async def test_events_that_may_not_be_written_do_not_stop_the_work() -> None:
    world = World()
    key = world.cluster.create(compression_job())

    with world.cluster.refusing("event", Forbidden("no right to create events")):
        await world.settle(key)

    assert len(world.cluster.names("Job")) == 1


async def test_a_compression_job_wakes_what_refers_to_it() -> None:
    world = World()
    job = world.cluster.create(compression_job("cnn"))
    served = world.cluster.create(inference_deployment(model={"compressionJobRef": {"name": "cnn"}}))
    world.engine.notice(served)
    assert await world.engine.queue.take() == served
    world.engine.queue.done(served)

    world.engine.notice(job)

    assert {await world.engine.queue.take(), await world.engine.queue.take()} == {job, served}


async def test_a_child_wakes_its_owner_and_strangers_wake_nobody() -> None:
    world = World()
    labels = {"frugal.dev/kind": "CompressionJob", "frugal.dev/name": "cnn"}

    world.engine.notice_child(labels, "team")
    world.engine.notice_child({"app": "nginx"}, "team")

    assert len(world.engine.queue) == 1
    assert await world.engine.queue.take() == ObjectKey("CompressionJob", "team", "cnn")


async def test_the_engine_works_until_it_is_stopped_and_one_objects_fault_does_not_stop_the_others() -> None:
    world = World()
    stop = asyncio.Event()
    refused = world.cluster.create(compression_job("refused"))
    good = world.cluster.create(inference_deployment())
    world.engine.notice_all()

    with world.cluster.refusing("apply Job", QUOTA):
        running = asyncio.create_task(world.engine.run(stop))
        await _until(
            lambda: bool(world.cluster.names("Deployment")) and "Stalled" in conditions(world.cluster, refused)
        )
        stop.set()
        await asyncio.wait_for(running, 5)

    assert conditions(world.cluster, good)
    assert world.engine.longest_in_hand_seconds() == 0.0


async def test_a_bug_in_one_reconcile_is_retried_and_does_not_end_the_engine() -> None:
    world = World()
    stop = asyncio.Event()
    world.cluster.create(compression_job("broken"))
    good = world.cluster.create(inference_deployment())
    world.engine.notice_all()

    with world.cluster.refusing("apply Job", ZeroDivisionError("a bug")):
        running = asyncio.create_task(world.engine.run(stop))
        await _until(lambda: bool(conditions(world.cluster, good)))
    await _until(lambda: bool(world.cluster.names("Job")))  # the retry after the backoff
    stop.set()
    await asyncio.wait_for(running, 5)

    assert len(world.cluster.names("Job")) == 1


async def test_telemetry_is_read_in_one_call_for_all_workloads_that_have_running_pods() -> None:
    world = World()
    keys = [world.cluster.create(inference_deployment(name)) for name in ("a", "b", "idle")]
    for key in keys[:2]:
        world.cluster.put_child(_pod_of(world, key))

    await world.engine.tick()

    assert [[workload.key.name for workload in asked] for asked in world.telemetry.asked] == [["a", "b"]]


async def test_a_measurement_wakes_its_workload_and_no_other() -> None:
    world = World()
    measured = world.cluster.create(inference_deployment("measured"))
    world.cluster.create(inference_deployment("other"))
    world.telemetry.reading = _reading(measured, cores=0.5)

    await world.engine.tick()

    assert len(world.engine.queue) == 1
    assert await world.engine.queue.take() == measured


async def test_what_was_learnt_survives_the_process_in_its_checkpoint() -> None:
    world = World()
    key = world.cluster.create(inference_deployment())
    for _ in range(3):
        world.clock.advance(60)
        world.telemetry.reading = _reading(key, cores=0.5, at_seconds=(world.clock.now - NOON).total_seconds())
        await world.engine.tick()
    await world.settle(key)

    world.restart()
    await world.engine.reconcile(key)
    world.clock.advance(60)
    world.telemetry.reading = _reading(key, cores=0.5, at_seconds=(world.clock.now - NOON).total_seconds())
    await world.engine.tick()

    (figures,) = fleet_snapshot(world.engine.see())[0].inferences
    assert figures.samples == 4  # three minutes before the restart and one after it


async def test_an_unreadable_price_book_is_a_problem_of_prices_and_of_nothing_else() -> None:
    world = World()
    world.cluster.prices = "currency: [not, a, currency]"
    key = world.cluster.create(inference_deployment())

    await world.settle(key)

    assert world.cluster.names("Deployment")


async def _until(holds: Any) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - the engine's own tasks bring it about
            await asyncio.sleep(0.01)


def _pod_of(world: World, key: ObjectKey) -> dict[str, Any]:
    uid = (world.cluster.get(key) or {})["metadata"]["uid"]
    labels = {"frugal.dev/uid": uid}
    metadata = {"namespace": "team", "name": f"{key.name}-pod", "uid": f"{key.name}-pod", "labels": labels}
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "serve"}]},
        "status": {"phase": "Running"},
    }


def _reading(key: ObjectKey, *, cores: float, at_seconds: float = 60.0) -> Reading:
    moment = NOON.fromtimestamp(NOON.timestamp() + at_seconds, tz=NOON.tzinfo)
    load = LoadSample(
        at=moment,
        interval_seconds=15,
        requests=30,
        failed=0,
        service_seconds=0.01,
        latency_buckets=((0.01, 20), (0.1, 30)),
        in_flight=0,
        replicas=1,
    )
    usage = UsageSample(at=moment, cpu_cores=cores, memory_bytes=64_000_000)
    return Reading(observations={key: Observation(usage=(usage,), load=load)}, problems={}, ages_seconds={"pods": 0.0})
