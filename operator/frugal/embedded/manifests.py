"""What people wrote: YAML files read strictly, each fault told with its file, document and field. Applies nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from frugal.api.base import API_VERSION
from frugal.api.validation import parse_compression_job, parse_inference_deployment
from frugal.decisions.snapshot import Manifest
from frugal.errors import FrugalError, InvalidObject
from frugal.loop.ports import COMPRESSION_JOB, INFERENCE_DEPLOYMENT

SUFFIXES = (".yaml", ".yml", ".json")
SOURCE_ANNOTATION = "frugal.dev/source"  # the file that an object came from: when it leaves the file, it is deleted
PATH_ANNOTATION = "frugal.dev/path"  # of a claim: the folder behind it, relative to its file

_API_VERSIONS = {
    COMPRESSION_JOB: API_VERSION,
    INFERENCE_DEPLOYMENT: API_VERSION,
    "ConfigMap": "v1",
    "Secret": "v1",
    "PersistentVolumeClaim": "v1",
    "Namespace": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
}
_FIELDS = {
    "ConfigMap": ("data", "binaryData", "immutable"),
    "Secret": ("data", "stringData", "type", "immutable"),
}
_HEAD = ("apiVersion", "kind", "metadata")
_SERVER_METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
_METADATA = ("name", "namespace", "labels", "annotations", *_SERVER_METADATA)


class NoManifests(FrugalError):
    """A path that was given holds nothing to run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path}: expected a YAML file, or a folder with files named *.yaml, *.yml or *.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something in a file that cannot be used as it is. `where` names the document and, where known, the field."""

    file: Path
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What some files hold.

    manifests: objects to apply; those of ours that break a rule too, so that their status can say so.
    unreadable: files whose later documents are unknown, so that nothing of theirs may be deleted.
    """

    manifests: tuple[Manifest, ...]
    faults: tuple[Fault, ...]
    unreadable: frozenset[Path]


def files_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files that are read, folders not entered further; raises NoManifests for a path that is none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file.absolute() for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        elif path.is_file():
            found.append(path.absolute())
        else:
            raise NoManifests(path)
    return tuple(dict.fromkeys(found))


def load(files: Sequence[Path]) -> Loaded:
    """Return what the files hold; one bad document stops no other."""
    manifests: dict[tuple[str, str, str], Manifest] = {}
    faults: list[Fault] = []
    unreadable: set[Path] = set()
    for file in files:
        for number, document in _documents(file, faults, unreadable):
            fault, manifest = _checked(file, number, document)
            faults += fault
            if manifest is None:
                continue
            identity = (manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
            if identity in manifests:
                other = manifests[identity]["metadata"]["annotations"][SOURCE_ANNOTATION]
                message = f"{identity[0]} {identity[2]} stands in {other} already; this one is not used"
                faults.append(Fault(file=file, where=f"document {number}", message=message))
            elif manifest["kind"] != "Namespace":  # namespaces need no making here
                manifests[identity] = manifest
    return Loaded(manifests=tuple(manifests.values()), faults=tuple(faults), unreadable=frozenset(unreadable))


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one map: one of the two would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice in one map (line {line})")
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _documents(file: Path, faults: list[Fault], unreadable: set[Path]) -> Iterator[tuple[int, object]]:
    """Yield (number from 1, document); a fault of the YAML itself ends the file."""
    number = 0
    try:
        for number, document in enumerate(yaml.load_all(file.read_text(), _StrictLoader), start=1):
            if document is not None:
                yield number, document
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        message = f"cannot be read as YAML: {' '.join(str(error).split())}"
        faults.append(Fault(file=file, where=f"document {number + 1}", message=message))
        unreadable.add(file)


def _checked(file: Path, number: int, document: object) -> tuple[list[Fault], Manifest | None]:
    """Return the faults of one document and, if it can be stored at all, its manifest."""
    where = f"document {number}"
    if not isinstance(document, Mapping):
        return [Fault(file=file, where=where, message="expected an object with apiVersion, kind and metadata")], None
    kind = document.get("kind")
    expected = _API_VERSIONS.get(str(kind))
    if expected is None:
        known = ", ".join(sorted(_API_VERSIONS))
        message = f"unknown kind; embedded mode has {known} (found {kind!r})"
        return [Fault(file=file, where=f"{where}, field kind", message=message)], None
    if document.get("apiVersion") != expected:
        message = f"expected {expected} for a {kind} (found {document.get('apiVersion')!r})"
        return [Fault(file=file, where=f"{where}, field apiVersion", message=message)], None
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        return [Fault(file=file, where=f"{where} ({kind}), field metadata.name", message="required")], None
    where = f"{where} ({kind} {metadata['name']})"
    unknown = [f"metadata.{name}" for name in metadata if name not in _METADATA]
    unknown += [name for name in document if name not in (*_HEAD, *_FIELDS.get(str(kind), ("spec",)), "status")]
    if unknown:
        message = "unknown field; check its spelling and place against the reference"
        return [Fault(file=file, where=f"{where}, field {name}", message=message) for name in unknown], None
    manifest = _manifest(file, document, metadata)
    return [Fault(file=file, where=where, message=text) for text in _rule_faults(manifest)], manifest


def _manifest(file: Path, document: Mapping[str, Any], metadata: Mapping[str, Any]) -> Manifest:
    """Return the object as it is applied: without what a server writes, with its file."""
    kept = {name: value for name, value in metadata.items() if name not in _SERVER_METADATA}
    annotations = {**(metadata.get("annotations") or {}), SOURCE_ANNOTATION: str(file)}
    head = {"namespace": "default", **kept, "annotations": annotations}
    return {**{name: value for name, value in document.items() if name != "status"}, "metadata": head}


def _rule_faults(manifest: Manifest) -> list[str]:
    """Return what an object of ours breaks; the loop says the same in its condition Valid."""
    parse = {COMPRESSION_JOB: parse_compression_job, INFERENCE_DEPLOYMENT: parse_inference_deployment}
    try:
        if manifest["kind"] in parse:
            parse[manifest["kind"]](manifest)
    except InvalidObject as error:
        return [f"field {fault}" for fault in error.errors]
    return []
