"""A pod's volumes as real folders, and paths inside a container as paths of this machine. Starts nothing."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from frugal.decisions.snapshot import Manifest
from frugal.errors import FrugalError
from frugal.loop.ports import ObjectKey

TERMINATION_LOG = "/dev/termination-log"  # Kubernetes' default

Find = Callable[[ObjectKey], Manifest | None]


class NotYet(FrugalError):
    """A container cannot be made now; the words are those of Kubernetes.

    is_unschedulable: no node would take the pod, so that it has no container yet.
    """

    def __init__(self, reason: str, message: str, *, is_unschedulable: bool = False) -> None:
        self.reason, self.message, self.is_unschedulable = reason, message, is_unschedulable
        super().__init__(f"{reason}: {message}")


class Paths:
    """Where the paths that a container knows are on this machine."""

    def __init__(self, root: Path, mount_paths: Iterable[str]) -> None:
        self._root = root
        self._mounts = sorted({path.rstrip("/") for path in mount_paths}, key=len)

    def here(self, text: str) -> str:
        """Return `text` with a path at its begin moved to this machine, if a mount is there, above or below it."""
        trimmed = text.rstrip("/")
        if not trimmed.startswith("/"):
            return text
        for mount in self._mounts:
            is_inside = trimmed == mount or text.startswith(f"{mount}/")
            if is_inside or mount.startswith(f"{trimmed}/"):
                return f"{self._root}{text}"
        return text

    def place(self, path: str) -> Path:
        """Return the place of an absolute path of the container."""
        return self._root / path.lstrip("/")


def make_container_files(
    pod: Manifest, container: Mapping[str, Any], folder: Path, *, find: Find, volumes: Mapping[str, Path]
) -> Paths:
    """Mount the container's volumes below `folder`; safe to repeat. Raises NotYet.

    volumes: the folder behind each claim.
    """
    root = folder / container["name"]
    root.mkdir(parents=True, exist_ok=True)
    mounts = container.get("volumeMounts") or []
    message_path = container.get("terminationMessagePath", TERMINATION_LOG)
    paths = Paths(root, [*(mount["mountPath"] for mount in mounts), message_path])
    declared = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    for mount in sorted(mounts, key=lambda one: len(one["mountPath"])):
        if mount["name"] not in declared:
            raise NotYet("CreateContainerConfigError", f"volume {mount['name']!r} of a mount is not declared")
        source = _volume_folder(pod, declared[mount["name"]], folder / ".volumes", find=find, claims=volumes)
        _link(paths.place(mount["mountPath"]), source / mount.get("subPath", ""))
    message = paths.place(message_path)
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_text("")
    return paths


def secret_content(secret: Manifest) -> dict[str, bytes]:
    """Return a Secret's values, decoded."""
    encoded = {name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()}
    return encoded | {name: str(value).encode() for name, value in (secret.get("stringData") or {}).items()}


def config_content(config_map: Manifest) -> dict[str, bytes]:
    """Return a ConfigMap's values."""
    plain = {name: str(value).encode() for name, value in (config_map.get("data") or {}).items()}
    return plain | {name: base64.b64decode(value) for name, value in (config_map.get("binaryData") or {}).items()}


def content_of(pod: Manifest, kind: str, name: str, find: Find, *, is_optional: bool) -> dict[str, bytes]:
    """Return the values of a ConfigMap or Secret in the pod's namespace; raises NotYet when it is missing."""
    found = find(ObjectKey(kind, pod["metadata"]["namespace"], name))
    if found is None:
        if is_optional:
            return {}
        raise NotYet("CreateContainerConfigError", f'{kind.lower()} "{name}" not found')
    return secret_content(found) if kind == "Secret" else config_content(found)


def check_claims(pod: Manifest, volumes: Mapping[str, Path]) -> None:
    """Raise NotYet when a claim of the pod has no folder."""
    for volume in pod["spec"].get("volumes") or []:
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim is not None and claim not in volumes:
            message = f'0/1 nodes are available: persistentvolumeclaim "{claim}" not found.'
            raise NotYet("Unschedulable", message, is_unschedulable=True)


def _volume_folder(
    pod: Manifest, volume: Mapping[str, Any], folder: Path, *, find: Find, claims: Mapping[str, Path]
) -> Path:
    place = folder / str(volume["name"])
    if "persistentVolumeClaim" in volume:
        check_claims(pod, claims)
        claim: str = volume["persistentVolumeClaim"]["claimName"]
        return claims[claim]
    if "emptyDir" in volume:
        place.mkdir(parents=True, exist_ok=True)
        return place
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    for kind, part, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
        if part in volume:
            source = volume[part]
            content = content_of(pod, kind, source[name], find, is_optional=bool(source.get("optional")))
            _write_files(place, content, source)
            return place
    kinds = ", ".join(key for key in volume if key != "name") or "nothing"
    allowed = "persistentVolumeClaim, emptyDir, configMap, secret or hostPath"
    raise NotYet("CreateContainerConfigError", f"volume {volume['name']!r} is {kinds}: embedded mode has {allowed}")


def _write_files(place: Path, content: Mapping[str, bytes], source: Mapping[str, Any]) -> None:
    """Write the values as files, by the source's items where it lists some; raises NotYet for a missing key."""
    items = source.get("items") or [{"key": key, "path": key} for key in content]
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for item in items:
        if item["key"] not in content:
            raise NotYet("CreateContainerConfigError", f"references non-existent config key: {item['key']}")
        file = place / item["path"]
        if not file.resolve().is_relative_to(place.resolve()):
            raise NotYet("CreateContainerConfigError", f"path {item['path']!r} of a volume's item leaves the volume")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content[item["key"]])
        file.chmod(0o600 if "secretName" in source else 0o644)


def _link(place: Path, source: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    elif place.is_dir():
        place.rmdir()  # a folder that a mount below it needed first, still empty
    place.symlink_to(source, target_is_directory=True)
