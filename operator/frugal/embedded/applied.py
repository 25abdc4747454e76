"""Files that are followed: what appears or changes in them is applied, what leaves them is deleted."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from watchfiles import Change, awatch

from frugal.decisions.snapshot import Manifest
from frugal.embedded.manifests import PATH_ANNOTATION, SOURCE_ANNOTATION, SUFFIXES, Fault, NoManifests, files_of, load
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Store, key_of
from frugal.errors import Rejected

DEBOUNCE_MILLISECONDS = 200  # an editor writes a file in several steps

_log = logging.getLogger(__name__)


class AppliedFiles:
    """The files given by `-f`, and the store that follows them."""

    def __init__(self, paths: Sequence[Path], store: Store) -> None:
        self._paths = [path.absolute() for path in paths]
        self._store = store
        self.faults: tuple[Fault, ...] = ()

    def sync(self) -> None:
        """Apply what the files hold now, and delete what they do not hold any more; faults are kept and logged."""
        try:
            files = files_of(self._paths)
        except NoManifests as gone:
            _log.warning("%s; its objects stay until it is there again", gone)
            return
        loaded = load(files)
        refused = [fault for manifest in loaded.manifests if (fault := self._apply(manifest)) is not None]
        kept = {key_of(manifest) for manifest in loaded.manifests}
        for one in self._store.all():
            source = (one["metadata"].get("annotations") or {}).get(SOURCE_ANNOTATION)
            if source and key_of(one) not in kept and self._may_delete(Path(source), loaded.unreadable):
                self._store.delete(key_of(one))
                _log.info("%s left %s: deleted", key_of(one), source)
        faults = (*loaded.faults, *refused)
        for fault in faults:
            if fault not in self.faults:
                _log.error("%s", fault)
        self.faults = faults

    async def follow(self, stop: asyncio.Event) -> None:
        """Apply again whenever one of the files changes, until `stop`."""
        folders = {path if path.is_dir() else path.parent for path in self._paths}
        async for changes in awatch(*folders, stop_event=stop, recursive=False, debounce=DEBOUNCE_MILLISECONDS):
            if any(Path(changed).suffix in SUFFIXES for _, changed in changes):
                self.sync()

    def _may_delete(self, source: Path, unreadable: frozenset[Path]) -> bool:
        is_followed = any(source == path or source.parent == path for path in self._paths)
        return is_followed and source not in unreadable

    def _apply(self, manifest: Manifest) -> Fault | None:
        key = key_of(manifest)
        try:
            self._store.apply(json.loads(json.dumps(manifest, default=str)))
        except Rejected as error:
            source = Path(manifest["metadata"]["annotations"][SOURCE_ANNOTATION])
            return Fault(file=source, where=str(key), message=str(error))
        return None


async def follow_deletions(store: Store, folder: StateFolder, stop: asyncio.Event) -> None:
    """Delete an object when its file in the state folder is removed from outside, until `stop`."""

    def is_removed_object(change: Change, path: str) -> bool:
        return change is Change.deleted and not Path(path).name.startswith(".")

    async for _ in awatch(
        folder.objects,
        stop_event=stop,
        watch_filter=is_removed_object,
        debounce=DEBOUNCE_MILLISECONDS,
    ):
        for key in store.missing_files():
            _log.info("the file of %s was removed: deleting it", key)
            store.delete(key)


def claim_folders(store: Store, folder: StateFolder, given: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folder behind each claim: as given by `--volume`, as its annotation says, or one of the state's."""
    found = {claim: path.absolute() for claim, path in given.items()}
    for claim in store.all("PersistentVolumeClaim"):
        metadata = claim["metadata"]
        if metadata["name"] in found:
            continue
        annotations = metadata.get("annotations") or {}
        source = Path(annotations.get(SOURCE_ANNOTATION, "."))
        path = annotations.get(PATH_ANNOTATION)
        found[metadata["name"]] = source.parent / path if path else folder.volumes / metadata["name"]
    for path in found.values():
        path.mkdir(parents=True, exist_ok=True)
    return found
