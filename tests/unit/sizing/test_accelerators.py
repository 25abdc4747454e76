from __future__ import annotations

import pytest

from frugal.api.accelerators import card_named
from frugal.sizing.accelerators import CPU_KIND, kind_on, misfit, offered, slowdown
from frugal.units import GIB, MIB

A100 = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "nvidia.com/gpu.memory": "81920",
    "nvidia.com/gpu.count": "2",
}
T4 = {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "15360", "nvidia.com/gpu.count": "1"}
MIXED = A100 | {
    "nvidia.com/mig-1g.10gb.count": "7",
    "nvidia.com/mig-1g.10gb.memory": "9728",
    "nvidia.com/mig-3g.40gb.count": "0",
}


@pytest.mark.parametrize(
    ("product", "memory_mib", "card"),
    [
        ("Tesla-T4", None, "T4"),
        ("Tesla-T4-SHARED", None, "T4"),
        ("NVIDIA-L40S", None, "L40S"),
        ("NVIDIA-L4", None, "L4"),
        ("NVIDIA-A10G", None, "A10G"),
        ("NVIDIA-A100-80GB-PCIe", None, "A100-80GB"),
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", None, "A100-40GB"),
        ("NVIDIA-H100-80GB-HBM3", 81559, "H100-80GB"),
        ("NVIDIA-H100-PCIe", 81559, "H100-PCIE-80GB"),
        ("NVIDIA-H100-NVL", 95830, None),
        ("NVIDIA-H200", 143771, "H200-141GB"),
        ("NVIDIA-B200", 183359, "B200-180GB"),
        ("NVIDIA-A100", 40536, "A100-40GB"),  # the name leaves two sizes open, the driver's memory only one
        ("Tesla-V100-SXM2-32GB", 32510, "V100-32GB"),
        ("AMD_Instinct_MI300X_OAM", None, "MI300X"),
        ("NVIDIA-GeForce-RTX-4090", 24564, None),
    ],
)
def test_a_label_names_its_card(product: str, memory_mib: int | None, card: str | None) -> None:
    found = card_named(product, memory_bytes=None if memory_mib is None else memory_mib * MIB)

    assert (found.name if found else None) == card


def test_a_node_offers_whole_cards_and_the_slices_that_are_there() -> None:
    assert offered(T4) == ("nvidia.com/gpu",)
    assert offered(MIXED) == ("nvidia.com/gpu", "nvidia.com/mig-1g.10gb")
    assert offered(T4 | {"nvidia.com/gpu.count": "0"}) == ()
    assert offered({"kubernetes.io/arch": "amd64"}) == ()


def test_a_slice_has_its_share_of_compute_and_of_bandwidth() -> None:
    whole, part = kind_on(A100, "nvidia.com/gpu", 1), kind_on(MIXED, "nvidia.com/mig-1g.10gb", 1)

    assert part.compute == pytest.approx((whole.compute or 0) / 7)
    assert part.bandwidth == pytest.approx((whole.bandwidth or 0) / 8)
    assert part.memory_bytes == 9728 * MIB
    assert slowdown(whole, part) == pytest.approx(8)  # bandwidth is the scarcer one


def test_cards_that_are_all_cut_alike_are_slices_under_the_whole_cards_name() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", "nvidia.com/gpu.memory": "40192"}

    kind = kind_on(labels, "nvidia.com/gpu", 1)

    assert kind.memory_bytes == 40192 * MIB
    assert kind.compute == pytest.approx(312e12 * 3 / 7)


def test_a_shared_card_counts_for_its_part_alone() -> None:
    shared = T4 | {"nvidia.com/gpu.product": "Tesla-T4-SHARED", "nvidia.com/gpu.replicas": "4"}

    kind = kind_on(shared, "nvidia.com/gpu", 1)

    assert kind.memory_bytes == 15360 * MIB / 4
    assert slowdown(kind_on(T4, "nvidia.com/gpu", 1), kind) == pytest.approx(4)


def test_what_is_not_published_cannot_be_compared() -> None:
    strange = kind_on({"nvidia.com/gpu.product": "NVIDIA-NOVUM", "nvidia.com/gpu.memory": "1000"}, "nvidia.com/gpu", 1)

    assert slowdown(kind_on(T4, "nvidia.com/gpu", 1), strange) is None
    assert slowdown(kind_on(T4, "nvidia.com/gpu", 1), CPU_KIND) is None
    assert slowdown(strange, strange) == 1


def test_a_tenth_of_the_memory_is_left_free() -> None:
    t4 = kind_on(T4, "nvidia.com/gpu", 1)

    assert misfit(t4, 13 * GIB) == ""
    assert misfit(t4, 14 * GIB) == "a replica needs 14Gi, 13.5Gi of it may be used"
    assert misfit(kind_on({}, "nvidia.com/gpu", 1), 1.0) == "how much memory it has is not known"
    assert misfit(CPU_KIND, 1e15) == ""
