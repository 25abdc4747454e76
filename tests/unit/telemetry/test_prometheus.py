"""PromQL: a constant number of queries, safe parameters, and answers read as they are meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple

from frugal.loop.ports import ObjectKey
from frugal.telemetry.counters import PodCounters
from frugal.telemetry.exposition import Sample
from frugal.telemetry.prometheus import MIB, any_of, figures, queries
from tests.unit.telemetry.factories import at, pod, workload

POD = {"namespace": "team", "pod": "a"}


def found(**answers: Iterable[Sample]) -> PodCounters:
    """Return where pod a of namespace team stands, scraped at noon."""
    empty: dict[str, Iterable[Sample]] = dict.fromkeys(
        ("cpu_seconds", "cpu_at", "memory_bytes", "server", "server_at", "gpu"), ()
    )
    scraped = {"server_at": [Sample("", POD, at(0).timestamp())]}
    return figures(**(empty | scraped | answers))["team", "a"]


def card(name: str, value: float, **labels: str) -> Sample:
    return Sample(
        name,
        {"namespace": "gpu-operator", "pod": "dcgm-x", "exported_namespace": "team", "exported_pod": "a", **labels},
        value,
    )


def test_a_thousand_workloads_take_as_many_queries_as_one() -> None:
    many = [workload(pod(f"p{n}"), key=ObjectKey("InferenceDeployment", "team", f"i{n}")) for n in range(1000)]

    one, all_of_them = queries(many[:1]), queries(many)

    assert astuple(one) == astuple(all_of_them)  # the same namespace and container: even the same text


def test_a_name_with_a_quote_or_a_pattern_in_it_stays_a_name() -> None:
    assert any_of(['a"} or vector(1) #']) == '"a\\"\\\\}\\\\ or\\\\ vector\\\\(1\\\\)\\\\ \\\\#"'
    assert any_of(["b.c", "a|d"]) == '"a\\\\|d|b\\\\.c"'


def test_the_kubelets_figures_replace_what_the_process_says_of_itself() -> None:
    own = [Sample("process_cpu_seconds_total", POD, 5.0), Sample("process_resident_memory_bytes", POD, 100.0)]

    counters = found(
        server=own,
        cpu_seconds=[Sample("", POD, 7.0)],
        cpu_at=[Sample("", POD, at(-10).timestamp())],
        memory_bytes=[Sample("", POD, 120.0)],
    )

    assert (counters.cpu_seconds, counters.memory_bytes) == (7.0, 120)
    assert (counters.at, counters.cpu_moment) == (at(0), at(-10))


def test_without_the_kubelets_figures_the_process_speaks() -> None:
    own = [Sample("process_cpu_seconds_total", POD, 5.0), Sample("process_resident_memory_bytes", POD, 100.0)]

    counters = found(server=own)

    assert (counters.cpu_seconds, counters.memory_bytes, counters.cpu_moment) == (5.0, 100, at(0))


def test_a_card_belongs_to_the_pod_that_the_exporter_names_not_to_the_exporter() -> None:
    counters = found(gpu=[card("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.4), card("DCGM_FI_DEV_FB_USED", 1024)])

    assert (counters.gpu_ratio, counters.gpu_memory_bytes) == (0.4, 1024 * MIB)


def test_the_best_metric_of_activity_that_is_there_is_used() -> None:
    utilization, engine, sm = (
        card("DCGM_FI_DEV_GPU_UTIL", 100.0),
        card("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.5),
        card("DCGM_FI_PROF_SM_ACTIVE", 0.2),
    )

    assert found(gpu=[utilization]).gpu_ratio == 1.0  # percent
    assert found(gpu=[utilization, engine]).gpu_ratio == 0.5
    assert found(gpu=[utilization, engine, sm]).gpu_ratio == 0.2


def test_the_cards_of_a_pod_are_averaged_in_activity_and_added_in_memory() -> None:
    gpus = [
        card("DCGM_FI_PROF_SM_ACTIVE", 0.2, gpu="0"),
        card("DCGM_FI_PROF_SM_ACTIVE", 0.4, gpu="1"),
        card("DCGM_FI_DEV_FB_USED", 100, gpu="0"),
        card("DCGM_FI_DEV_FB_USED", 200, gpu="1"),
    ]

    counters = found(gpu=gpus)

    assert counters.gpu_ratio is not None
    assert abs(counters.gpu_ratio - 0.3) < 1e-9
    assert counters.gpu_memory_bytes == 300 * MIB


def test_a_card_that_several_pods_share_tells_nothing_of_one_of_them() -> None:
    counters = found(gpu=[card("DCGM_FI_PROF_SM_ACTIVE", 0.9, vgpu="1")])

    assert counters.gpu_ratio is None


def test_activity_above_one_as_seen_on_mig_slices_is_one() -> None:
    assert found(gpu=[card("DCGM_FI_PROF_SM_ACTIVE", 1.7)]).gpu_ratio == 1.0
