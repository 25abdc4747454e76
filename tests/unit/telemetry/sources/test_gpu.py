"""Cards, on pages as the exporters write them: each trap has its test."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from frugal.telemetry.exposition import parse_exposition
from frugal.telemetry.sources.gpu import MIB, Cards, GpuUse, PodName

PAGES = Path(__file__).parent / "pages"

# From the DCGM exporter's README and default-counters.csv, on a node of two cards; shortened to what is read.
WHOLE = (PAGES / "dcgm.prom").read_text()

A, B = ("team", "a"), ("other", "b")


def cards(page: str) -> Cards:
    found = Cards()
    for sample in parse_exposition(page):
        found.add(sample.name, sample.labels, sample.value)
    return found


def used(page: str, pod: PodName = A, computed: dict[PodName, float] | None = None) -> GpuUse:
    use = cards(page).use(pod, computed or {})
    assert use is not None
    return use


def line(name: str, value: float, *, pod: PodName = A, uuid: str = "GPU-1", **labels: str) -> str:
    given = {"namespace": pod[0], "pod": pod[1], "UUID": uuid, **labels}
    written = ",".join(f'{key}="{text}"' for key, text in given.items())
    return f"{name}{{{written}}} {value}\n"


def test_a_blank_of_sm_activity_leaves_engine_activity() -> None:
    use = used(WHOLE)

    assert (use.ratio, use.source) == (0.4, "DCGM_FI_PROF_GR_ENGINE_ACTIVE")
    assert use.memory_bytes == 1024 * MIB


def test_a_card_belongs_to_the_pod_that_the_exporter_names_not_to_the_exporter() -> None:
    renamed = line(
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        0.3,
        pod=("gpu-operator", "dcgm-exporter-x"),
        exported_namespace="team",
        exported_pod="a",
    )

    assert used(renamed).ratio == 0.3


def test_a_card_that_nobody_holds_is_nobodys() -> None:
    page = 'DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="1",UUID="GPU-2"} 0.0\n'

    assert cards(page).use(("", ""), {}) is None


def test_the_best_metric_that_is_there_is_used() -> None:
    util, engine, sm = (
        line("DCGM_FI_DEV_GPU_UTIL", 90),
        line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.5),
        line("DCGM_FI_PROF_SM_ACTIVE", 0.2),
    )

    assert used(util).ratio == pytest.approx(0.9)  # percent
    assert used(util + engine).ratio == 0.5
    assert used(util + engine + sm).ratio == 0.2


def test_gpu_util_of_a_mig_slice_says_nothing() -> None:
    use = used(line("DCGM_FI_DEV_GPU_UTIL", 0, GPU_I_PROFILE="1g.10gb", GPU_I_ID="7"))

    assert use.ratio is None


def test_two_slices_of_one_card_are_two() -> None:
    one = line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.9, GPU_I_PROFILE="1g.10gb", GPU_I_ID="7")
    other = line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.1, pod=B, GPU_I_PROFILE="1g.10gb", GPU_I_ID="8")

    assert (used(one + other).ratio, used(one + other, B).ratio) == (0.9, 0.1)


def test_slices_that_dra_allocates_are_told_apart_by_their_own_uuid() -> None:
    one = line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.9, dra_mig_device_uuid="MIG-1", dra_claim_name="c1")
    other = line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.1, pod=B, dra_mig_device_uuid="MIG-2", dra_claim_name="c2")

    assert (used(one + other).ratio, used(one + other, B).ratio) == (0.9, 0.1)


def test_sm_activity_above_one_is_a_problem_and_the_next_metric_is_used() -> None:
    use = used(line("DCGM_FI_PROF_SM_ACTIVE", 1.7) + line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.6))

    assert use.ratio == 0.6
    assert use.problem == "DCGM_FI_PROF_SM_ACTIVE says 1.70 of one card, which cannot be: it is not used"


def test_with_no_metric_that_can_be_true_the_activity_is_unknown() -> None:
    use = used(line("DCGM_FI_PROF_SM_ACTIVE", 1.7))

    assert use.ratio is None
    assert "1.70" in use.problem


def test_a_ratio_that_is_one_but_for_rounding_is_one() -> None:
    use = used(line("DCGM_FI_PROF_SM_ACTIVE", 1.004))

    assert (use.ratio, use.problem) == (1.0, "")


def test_the_cards_of_a_pod_are_averaged_in_activity_and_added_in_memory() -> None:
    page = "".join(
        line("DCGM_FI_PROF_SM_ACTIVE", ratio, uuid=uuid) + line("DCGM_FI_DEV_FB_USED", held, uuid=uuid)
        for ratio, held, uuid in ((0.2, 100, "GPU-1"), (0.4, 200, "GPU-2"))
    )

    use = used(page)

    assert use.ratio == pytest.approx(0.3)
    assert use.memory_bytes == 300 * MIB


# Time-slicing with KUBERNETES_VIRTUAL_GPUS=true: every pod's series repeats the whole card.
def shared(*pods: PodName, activity: float = 0.8) -> str:
    return "".join(
        line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", activity, pod=pod, vgpu=str(number))
        + line("DCGM_FI_DEV_FB_USED", 9000, pod=pod, vgpu=str(number))
        for number, pod in enumerate(pods)
    )


def test_a_shared_card_is_shared_out_equally_where_nothing_else_is_known() -> None:
    pods = [("team", str(number)) for number in range(4)]
    found = cards(shared(*pods))

    uses = [found.use(pod, {}) for pod in pods]

    assert math.isclose(sum(use.ratio or 0 for use in uses if use), 0.8)  # the card, not four times the card
    assert {use.source for use in uses if use} == {
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE, shared equally among 4 pods",
    }


def test_a_shared_card_is_shared_out_by_compute_time_where_every_server_tells_it() -> None:
    computed = {A: 9.0, B: 1.0}

    first, second = used(shared(A, B), A, computed), used(shared(A, B), B, computed)

    assert first.ratio == pytest.approx(0.72)  # 0.8 * 9 / 10
    assert second.ratio == pytest.approx(0.08)
    assert "compute time" in first.source


def test_compute_time_of_some_pods_alone_shares_out_nothing() -> None:
    assert "equally" in used(shared(A, B), A, {A: 9.0}).source


def test_memory_of_a_shared_card_is_nobodys_alone() -> None:
    assert used(shared(A, B)).memory_bytes is None


def test_the_only_pod_on_a_card_for_many_has_it_all() -> None:
    use = used(shared(A))

    assert (use.ratio, use.memory_bytes) == (0.8, 9000 * MIB)


# From HAMi's monitor (port 9394); the utilization is in percent, in spite of its name.
HAMI = (PAGES / "hami.prom").read_text()


def test_hami_alone_tells_activity_and_memory_of_each_pod() -> None:
    use = used(HAMI)

    assert use == GpuUse(ratio=0.3, memory_bytes=4 * 1024**3, source="hami_container_device_utilization_ratio")


def test_hami_shares_out_what_dcgm_measures_of_the_card() -> None:
    use = used(HAMI + shared(A, B), A, {A: 1.0, B: 1.0})

    assert use.ratio == pytest.approx(0.6)  # 0.8 * 30 / 40
    assert use.memory_bytes == 4 * 1024**3
    assert "HAMi" in use.source


def test_more_than_the_whole_card_by_hami_is_a_problem() -> None:
    page = 'hami_container_device_utilization_ratio{namespace="team",pod="a",device_uuid="GPU-1"} 250\n'

    use = used(page)

    assert use.ratio is None
    assert "250 percent" in use.problem
