"""Which kinds of accelerator a workload may run on, from the labels of the nodes and from its pods. Prices nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frugal.api.accelerators import product_label
from frugal.api.inference_deployment import InferenceDeploymentSpec, RuntimeName
from frugal.api.status import Size
from frugal.decisions.snapshot import Manifest
from frugal.resources.inference import accelerator_in_pod, node_selector
from frugal.sizing.accelerators import CPU_KIND, Kind, kind_of, kind_on, offered
from frugal.sizing.samples import Observation

Labels = Mapping[str, str]


def labels_for(size: Size, nodes: Mapping[str, Labels], node_labels: Labels) -> Labels:
    """Return the labels of a node that carries `size`: of its own, else of the first by name that offers its kind."""
    if not size.count or _carries(node_labels, size):
        return node_labels
    return next((labels for _, labels in sorted(nodes.items()) if _carries(labels, size)), node_labels)


def present_kind(size: Size, nodes: Mapping[str, Labels], node_labels: Labels) -> Kind:
    """Return the kind on which a size runs."""
    return kind_of(size, labels_for(size, nodes, node_labels))


def kinds_for(spec: InferenceDeploymentSpec, present: Size, nodes: Mapping[str, Labels]) -> tuple[Kind, ...]:
    """Return the kinds that the workload may run on, each once; none where only the present one is possible.

    Our own server computes on the CPU. A server of another's that was asked for on the CPU gets an accelerator only
    where the spec lists one, because nobody can know whether its image has a use for it. Several pieces for a replica
    are an argument of the server's (such as its tensor parallelism), so their number stays, and slices stay single.
    """
    listed = frozenset(spec.accelerators)
    if spec.runtime.name is RuntimeName.ONNXRUNTIME or (not present.count and not listed - {CPU_KIND.accelerator}):
        return ()
    count = max(1, present.count)
    wanted = node_selector(spec).items()
    found = {}
    for _, labels in sorted(nodes.items()):
        for accelerator in offered(labels) if wanted <= dict(labels).items() else ():
            is_slice = "/mig-" in accelerator
            if (not listed or accelerator in listed) and (count == 1 or not is_slice):
                kind = kind_on(labels, accelerator, count)
                found[kind.key] = kind
    if CPU_KIND.accelerator in listed:
        found[CPU_KIND.key] = CPU_KIND
    return tuple(found[key] for key in sorted(found))


def of_its_kind(observation: Observation, pods: Iterable[Manifest], nodes: Mapping[str, Labels]) -> Observation:
    """Return the observation with the kind on which every pod ran, or without what a mixture of kinds cannot tell."""
    keys = {_kind_of_pod(pod, nodes).key for pod in pods}
    if len(keys) > 1:
        return observation.of_mixed_kinds()
    return observation.on_kind(keys.pop()) if keys else observation


def _kind_of_pod(pod: Manifest, nodes: Mapping[str, Labels]) -> Kind:
    accelerator, count = accelerator_in_pod(pod)
    labels = nodes.get(str((pod.get("spec") or {}).get("nodeName")), {})
    return kind_on(labels, accelerator, count)


def _carries(labels: Labels, size: Size) -> bool:
    is_product = not size.product or labels.get(product_label(size.accelerator)) == size.product
    return is_product and size.accelerator in offered(labels)
