"""Cards as the DCGM exporter and HAMi's monitor show them: whose they are, how busy, and what cannot be told.

What misleads: a blank is 9223372036854775794 (dropped where samples are read); SM activity is off by default and was
seen above 1 on MIG slices; DCGM_FI_DEV_GPU_UTIL is 0 on MIG; Prometheus renames the exporter's `pod` to `exported_pod`
unless labels are honoured; a shared card is repeated, whole, for each of its pods; HAMi's `_ratio` is in percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PodName = tuple[str, str]  # namespace, name
CardId = tuple[str, str, str]  # node where the UUID is missing, UUID (or number), MIG instance

MIB = 1024**2
ROUNDING = 0.01  # above 1 by so little is how a ratio is rounded; above that it is a fault

SM_ACTIVE = "DCGM_FI_PROF_SM_ACTIVE"
ENGINE_ACTIVE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
GPU_UTIL = "DCGM_FI_DEV_GPU_UTIL"
FRAME_BUFFER = "DCGM_FI_DEV_FB_USED"  # MiB
HAMI_UTILIZATION = "hami_container_device_utilization_ratio"  # percent of the card, in spite of its name
HAMI_MEMORY = "hami_vgpu_memory_used_bytes"

LADDER = ((SM_ACTIVE, 1.0), (ENGINE_ACTIVE, 1.0), (GPU_UTIL, 0.01))  # best first, with what one unit is
GPU_METRICS = (SM_ACTIVE, ENGINE_ACTIVE, GPU_UTIL, FRAME_BUFFER, HAMI_UTILIZATION, HAMI_MEMORY)
GPU_LABELS = (
    "namespace", "pod", "exported_namespace", "exported_pod", "UUID", "gpu", "GPU_I_ID", "GPU_I_PROFILE", "Hostname",
    "hostname", "dra_device_name", "dra_mig_device_uuid", "device_uuid", "vdevice_index", "container",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """What one pod did with its cards.

    ratio: mean activity of its cards that is the pod's own; None where it cannot be told.
    memory_bytes: frame buffer that it holds; None where only the card's is known.
    source: the metric, and how the activity of a shared card was shared out.
    problem: what is wrong with the figures, for people; empty where nothing is.
    """

    ratio: float | None
    memory_bytes: int | None
    source: str = ""
    problem: str = ""


@dataclass(slots=True)
class _Card:
    values: dict[str, float] = field(default_factory=dict)
    pods: set[PodName] = field(default_factory=set)
    is_mig: bool = False


@dataclass(slots=True)
class _Virtual:
    """What HAMi says of one pod."""

    percent: dict[str, float] = field(default_factory=dict)  # by card
    memory_bytes: float | None = None


class Cards:
    """Every card that was seen, filled series by series."""

    def __init__(self) -> None:
        self._cards: dict[CardId, _Card] = {}
        self._of: dict[PodName, set[CardId]] = {}
        self._virtual: dict[PodName, _Virtual] = {}

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Take one series; a card that no pod holds is left out."""
        pod = pod_of(labels)
        if not pod[1]:
            return
        if name in (HAMI_UTILIZATION, HAMI_MEMORY):
            self._add_virtual(pod, name, labels, value)
            return
        card_id = _card_id(labels)
        card = self._cards.setdefault(card_id, _Card())
        card.values[name] = max(card.values.get(name, 0.0), value)  # the same card, said again for each pod
        card.pods.add(pod)
        card.is_mig = card.is_mig or bool(labels.get("GPU_I_PROFILE") or labels.get("dra_mig_device_uuid"))
        self._of.setdefault(pod, set()).add(card_id)

    def shared_pods(self) -> frozenset[PodName]:
        """Return the pods that share a card with another one."""
        return frozenset(pod for card in self._cards.values() if len(card.pods) > 1 for pod in card.pods)

    def use(self, pod: PodName, computed_seconds: Mapping[PodName, float]) -> GpuUse | None:
        """Return what a pod did with its cards; None where it has none.

        computed_seconds: compute time of each pod's requests since the last look, where its server tells it.
        """
        virtual = self._virtual.get(pod)
        card_ids = sorted(self._of.get(pod, ()))
        if not card_ids:
            return _by_hami_alone(virtual) if virtual is not None else None
        parts = [self._part(pod, self._cards[one], computed_seconds) for one in card_ids]
        ratios = [part.ratio for part in parts if part.ratio is not None]
        held = [part.memory_bytes for part in parts if part.memory_bytes is not None]
        memory = sum(held) if len(held) == len(parts) else None
        if virtual is not None and virtual.memory_bytes is not None:
            memory = int(virtual.memory_bytes)
        return GpuUse(
            ratio=sum(ratios) / len(parts) if len(ratios) == len(parts) else None,
            memory_bytes=memory,
            source=next((part.source for part in parts if part.source), ""),
            problem=next((part.problem for part in parts if part.problem), ""),
        )

    def _part(self, pod: PodName, card: _Card, computed_seconds: Mapping[PodName, float]) -> GpuUse:
        activity, metric, problem = _activity(card)
        if len(card.pods) == 1:
            memory = card.values.get(FRAME_BUFFER)
            held = int(memory * MIB) if memory is not None else None
            return GpuUse(ratio=activity, memory_bytes=held, source=metric, problem=problem)
        share, how = self._share(pod, card, computed_seconds)
        return GpuUse(
            ratio=activity * share if activity is not None else None,
            memory_bytes=None,  # the card's, all pods together
            source=f"{metric}, {how}" if metric else "",
            problem=problem,
        )

    def _share(self, pod: PodName, card: _Card, computed_seconds: Mapping[PodName, float]) -> tuple[float, str]:
        """Return a pod's share of its card's activity and by what it was told; all shares of a card add up to 1."""
        by_hami = {one: self._hami_percent(one) for one in card.pods}
        by_compute = {one: computed_seconds.get(one) for one in card.pods}
        for measured, how in ((by_hami, "shared by HAMi's measure"), (by_compute, "shared by compute time")):
            known = {one: weight for one, weight in measured.items() if weight is not None}
            if len(known) == len(card.pods) and (total := sum(known.values())) > 0:
                return known[pod] / total, how
        return 1 / len(card.pods), f"shared equally among {len(card.pods)} pods"

    def _hami_percent(self, pod: PodName) -> float | None:
        virtual = self._virtual.get(pod)
        return sum(virtual.percent.values()) if virtual is not None and virtual.percent else None

    def _add_virtual(self, pod: PodName, name: str, labels: Mapping[str, str], value: float) -> None:
        virtual = self._virtual.setdefault(pod, _Virtual())
        if name == HAMI_MEMORY:
            virtual.memory_bytes = (virtual.memory_bytes or 0.0) + value
        else:
            card = labels.get("device_uuid", "")
            virtual.percent[card] = virtual.percent.get(card, 0.0) + value


def pod_of(labels: Mapping[str, str]) -> PodName:
    """Return whom a series speaks of: an exporter's own pod gives way to the one that it names (exported_)."""
    if "exported_pod" in labels:
        return labels.get("exported_namespace", ""), labels["exported_pod"]
    return labels.get("namespace", ""), labels.get("pod", "")


def _card_id(labels: Mapping[str, str]) -> CardId:
    slice_id = labels.get("dra_mig_device_uuid") or labels.get("GPU_I_ID", "")
    if uuid := labels.get("UUID"):
        return "", uuid, slice_id
    node = labels.get("Hostname") or labels.get("hostname", "")
    return node, labels.get("gpu") or labels.get("dra_device_name", ""), slice_id


def _activity(card: _Card) -> tuple[float | None, str, str]:
    """Return a card's activity in [0, 1], by which metric, and what is wrong with a better one."""
    problem = ""
    for metric, unit in LADDER:
        value = card.values.get(metric)
        if value is None or (metric == GPU_UTIL and card.is_mig):
            continue
        ratio = value * unit
        if -ROUNDING <= ratio <= 1 + ROUNDING:
            return min(1.0, max(0.0, ratio)), metric, problem
        problem = problem or f"{metric} says {ratio:.2f} of one card, which cannot be: it is not used"
    return None, "", problem


def _by_hami_alone(virtual: _Virtual) -> GpuUse:
    held = int(virtual.memory_bytes) if virtual.memory_bytes is not None else None
    if not virtual.percent:
        return GpuUse(ratio=None, memory_bytes=held)
    ratio = sum(virtual.percent.values()) / len(virtual.percent) / 100
    if ratio > 1 + ROUNDING:
        problem = f"{HAMI_UTILIZATION} says {ratio * 100:.0f} percent of one card, which cannot be: it is not used"
        return GpuUse(ratio=None, memory_bytes=held, problem=problem)
    return GpuUse(ratio=min(1.0, ratio), memory_bytes=held, source=HAMI_UTILIZATION)
