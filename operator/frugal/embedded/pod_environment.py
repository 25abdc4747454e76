"""A container's command and environment on this machine, as a kubelet would work them out. Starts nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugal.decisions.snapshot import Manifest
from frugal.embedded.pod_files import TERMINATION_LOG, Find, NotYet, Paths, content_of
from frugal.units import Quantity

ADDRESS = "127.0.0.1"
NODE_NAME = "localhost"
INHERITED = (
    "PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "SSL_CERT_FILE",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
)  # fmt: skip
"""What a container gets of this machine's environment, in place of an image's."""

_VARIABLE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything that starts a container's process."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    message_file: Path  # its termination message


def launch_of(
    pod: Manifest,
    container: Mapping[str, Any],
    paths: Paths,
    *,
    find: Find,
    machine: Mapping[str, str],
) -> Launch:
    """Return how to start the container; raises NotYet when something that it names is missing.

    machine: the environment of this machine, of which only INHERITED is passed on.
    """
    variables = _variables(pod, container, find)
    command = [
        _expanded(word, variables) for word in [*(container.get("command") or ()), *(container.get("args") or ())]
    ]
    if not container.get("command"):
        raise NotYet(
            "CreateContainerConfigError",
            f"container {container['name']!r} has no command: embedded mode runs commands, not images",
        )
    if command[0] in ("python", "python3"):
        command[0] = sys.executable
    inherited = {name: machine[name] for name in INHERITED if name in machine}
    given = {name: paths.here(value) for name, value in variables.items()}
    working = container.get("workingDir")
    return Launch(
        command=tuple(paths.here(word) for word in command),
        environment={**inherited, "HOSTNAME": pod["metadata"]["name"], **given},
        folder=Path(paths.here(working)) if working else paths.place("/"),
        message_file=paths.place(container.get("terminationMessagePath", TERMINATION_LOG)),
    )


def _variables(pod: Manifest, container: Mapping[str, Any], find: Find) -> dict[str, str]:
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for kind, part in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if part in source:
                reference = source[part]
                content = content_of(pod, kind, reference["name"], find, is_optional=bool(reference.get("optional")))
                prefix = source.get("prefix", "")
                variables |= {f"{prefix}{name}": value.decode() for name, value in content.items()}
    for variable in container.get("env") or []:
        value = _value(pod, container, variable, find)
        if value is not None:
            variables[variable["name"]] = _expanded(value, variables)
    ports = container.get("ports") or []
    if ports:
        variables["FRUGAL_PORT"] = str(ports[0]["containerPort"])
    return variables


def _value(pod: Manifest, container: Mapping[str, Any], variable: Mapping[str, Any], find: Find) -> str | None:
    """Return one variable's value; None for an optional one that is missing."""
    source = variable.get("valueFrom")
    if source is None:
        return str(variable.get("value", ""))
    for kind, part in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if part in source:
            return _key_value(pod, kind, source[part], find)
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return _resource(container, source["resourceFieldRef"])
    raise NotYet("CreateContainerConfigError", f"variable {variable['name']!r} has an unknown source: {list(source)}")


def _key_value(pod: Manifest, kind: str, reference: Mapping[str, Any], find: Find) -> str | None:
    is_optional = bool(reference.get("optional"))
    content = content_of(pod, kind, reference["name"], find, is_optional=is_optional)
    if reference["key"] in content:
        return content[reference["key"]].decode()
    if is_optional:
        return None
    where = f"{pod['metadata']['namespace']}/{reference['name']}"
    raise NotYet("CreateContainerConfigError", f"couldn't find key {reference['key']} in {kind} {where}")


def _field(pod: Manifest, path: str) -> str:
    metadata = pod["metadata"]
    fixed = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": NODE_NAME,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.podIP": ADDRESS,
        "status.podIPs": ADDRESS,
        "status.hostIP": ADDRESS,
    }
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
    if keyed:
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in fixed:
        return str(fixed[path])
    raise NotYet("CreateContainerConfigError", f"fieldPath {path!r} is none of {', '.join(fixed)}")


def _resource(container: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """Return requests.X or limits.X of the container in units of the divisor, rounded up as Kubernetes does."""
    side, _, name = reference["resource"].partition(".")
    amount = ((container.get("resources") or {}).get(side) or {}).get(name, "0")
    divisor = Quantity(reference.get("divisor", "1")).value or 1
    return str(int(-(-Quantity(amount).value // divisor)))


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with each $(NAME) that is known replaced, and $$ as a dollar."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return _VARIABLE.sub(value, text)
