"""What the pods of both kinds have in common: security, scratch space, claims, credentials. No container's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from frugal.api.common import Credentials
from frugal.resources.identity import Manifest, Owner, labels_of
from frugal.resources.merge import merge

USER = 65532  # "nonroot" of distroless images; any id above 0 would do
VOLUMES_PATH = "/mnt/frugal/volumes"
WORK_PATH = "/tmp/frugal"  # noqa: S108 (an emptyDir of the pod's own, not the node's /tmp)
TERMINATION_LOG_PATH = "/dev/termination-log"

_CLAIM_SCHEME = "pvc://"


def claim_of(uri: str) -> str | None:
    """Return the claim that a `pvc://CLAIM/PATH` names, or None for any other URI."""
    if not uri.startswith(_CLAIM_SCHEME):
        return None
    return uri.removeprefix(_CLAIM_SCHEME).split("/", 1)[0]


def claims(*, read: Iterable[str], written: Iterable[str] = ()) -> dict[str, bool]:
    """Return every claim among the URIs, in order of name, with whether it may be mounted read-only."""
    to_write = {claim for uri in written if (claim := claim_of(uri))}
    to_read = {claim for uri in read if (claim := claim_of(uri))}
    return {claim: claim not in to_write for claim in sorted(to_write | to_read)}


def claim_volumes(claims: Mapping[str, bool]) -> list[Manifest]:
    """Return the volumes of `claims`; named by number, because a claim's name may be too long for a volume's."""
    return [
        {"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": claim}}
        for number, claim in enumerate(claims)
    ]


def claim_mounts(claims: Mapping[str, bool]) -> list[Manifest]:
    """Return the mounts of `claims`, each at a folder of its own name."""
    return [
        {"name": f"claim-{number}", "mountPath": f"{VOLUMES_PATH}/{claim}", "readOnly": is_read_only}
        for number, (claim, is_read_only) in enumerate(claims.items())
    ]


WORK_VOLUME: Manifest = {"name": "work", "emptyDir": {}}
WORK_MOUNT: Manifest = {"name": "work", "mountPath": WORK_PATH}


def environment(variables: Mapping[str, str]) -> list[Manifest]:
    """Return `variables` and those of every pod of ours, as a container's env."""
    common = {
        "FRUGAL_VOLUMES": VOLUMES_PATH,
        "FRUGAL_WORK": WORK_PATH,
        "FRUGAL_TERMINATION_LOG": TERMINATION_LOG_PATH,
        "HOME": WORK_PATH,
        "TMPDIR": WORK_PATH,
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait must not burn a neighbour's CPU
    }
    return [{"name": name, "value": value} for name, value in {**common, **variables}.items()]


def credentials_environment(credentials: Credentials) -> Manifest:
    """Return the part of a container that turns the keys of the Secret into variables; empty without a Secret."""
    if credentials.secret_ref is None:
        return {}
    return {"envFrom": [{"secretRef": {"name": credentials.secret_ref.name}}]}


def restricted_container() -> Manifest:
    """Return the security context of a container by the restricted Pod Security Standard."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def restricted_pod(credentials: Credentials) -> Manifest:
    """Return the part of a pod spec that gives it no rights: no root, no API token unless an identity is asked for."""
    account = credentials.service_account_name
    return {
        "automountServiceAccountToken": account is not None,
        **({"serviceAccountName": account} if account else {}),
        "enableServiceLinks": False,  # a Service called frugal-port would set FRUGAL_PORT
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def pod_template(owner: Owner, spec: Manifest, theirs: Mapping[str, Any], *, labels: Mapping[str, str]) -> Manifest:
    """Return a pod template with `theirs` merged over `spec`; the labels by which we find the pod always win."""
    merged = merge({"metadata": {}, "spec": spec}, theirs)
    metadata = merged.get("metadata") or {}
    metadata = {**metadata, "labels": {**(metadata.get("labels") or {}), **labels_of(owner), **labels}}
    return {**merged, "metadata": metadata}
