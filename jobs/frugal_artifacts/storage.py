"""Whole files by URI: read, fetch, write, list, delete, on this machine's paths and on every store that fsspec reaches.

A reader never sees half of a file. What stands in a file is none of this module's business.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec

from frugal_artifacts.digest import compare_sha256, sha256_of, verify_sha256
from frugal_artifacts.errors import (
    ArtifactError,
    ArtifactMissing,
    ArtifactTooLarge,
    InvalidUri,
    StorageDenied,
    StorageUnavailable,
)
from frugal_artifacts.location import Location, locate

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["Location", "Storage", "compare_sha256", "sha256_of", "verify_sha256"]

CONNECT_SECONDS = 10  # a store in the same region answers in milliseconds; a wrong address must not hang a pod
READ_SECONDS = 60  # without one byte; not the whole transfer
CHUNK_BYTES = 4 * 1024 * 1024
READ_ONLY_SCHEMES = frozenset({"https"})
REFUSALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "ClientAuthenticationError"})  # botocore, azure
HALF_WRITTEN = ".half-written"


class Storage:
    """Files by URI; `volumes` is the folder under which claims are mounted (`pvc://CLAIM/PATH`).

    Every method raises an ArtifactError: InvalidUri, ArtifactMissing, StorageDenied, StorageUnavailable.
    """

    def __init__(self, volumes: Path | None) -> None:
        self._volumes = volumes
        self._stores: dict[str, AbstractFileSystem] = {}

    def resolve(self, uri: str) -> Location:
        """Return where `uri` leads; raises InvalidUri, also for a URI with credentials."""
        return locate(uri, volumes=self._volumes)

    def read_bytes(self, uri: str, max_bytes: int | None = None) -> bytes:
        """Return the whole file; raises ArtifactTooLarge once more than `max_bytes` have come."""
        location = self.resolve(uri)
        with _translated(uri):
            if location.path is None:
                return b"".join(self._chunks(location, max_bytes))
            _check_size(uri, location.path.stat().st_size, max_bytes)
            payload = location.path.read_bytes()  # allocates once, where joining would hold the file twice
        _check_size(uri, len(payload), max_bytes)
        return payload

    def fetch(self, uri: str, folder: Path, max_bytes: int | None = None) -> Path:
        """Return a path of the whole file: the file itself when it is local, otherwise a copy in `folder`."""
        location = self.resolve(uri)
        if not location.name or (location.path is not None and location.path.is_dir()):
            raise InvalidUri(uri=uri, fault="is a folder", remedy="name the file in it")
        with _translated(uri):
            if location.path is not None:
                _check_size(uri, location.path.stat().st_size, max_bytes)
                return location.path
            return _write_atomically(folder / location.name, self._chunks(location, max_bytes))

    def write_bytes(self, uri: str, payload: bytes) -> None:
        """Make `payload` the file at `uri`, whole or not at all."""
        location = self._writable(uri)
        with _translated(uri):
            if location.path is not None:
                _write_atomically(location.path, iter((payload,)))
            else:
                self._store(location).pipe_file(uri, payload)

    def write_file(self, uri: str, path: Path) -> None:
        """Make the bytes of `path` the file at `uri`, whole or not at all, in constant memory."""
        location = self._writable(uri)
        with _translated(uri):
            if location.path is not None:
                _write_atomically(location.path, _chunks_of(path))
            else:
                self._store(location).put_file(str(path), uri)

    def exists(self, uri: str) -> bool:
        """Return whether a file or folder is at `uri`."""
        location = self.resolve(uri)
        with _translated(uri):
            return location.path.exists() if location.path is not None else bool(self._store(location).exists(uri))

    def list(self, uri: str) -> tuple[str, ...]:
        """Return the URIs of all files under the folder or prefix `uri`, at any depth, sorted; none when nothing is."""
        location = self.resolve(uri)
        prefix = uri.rstrip("/")
        with _translated(uri):
            return tuple(sorted(f"{prefix}/{name}" for name in self._names_under(location)))

    def delete(self, uri: str) -> None:
        """Remove the file at `uri`, or all that is under it; nothing there is success."""
        location = self._writable(uri)
        _refuse_root(location, self._volumes)
        with _translated(uri):
            if location.path is not None:
                _remove(location.path)
            elif self._store(location).exists(uri):
                self._store(location).rm(uri, recursive=True)

    def _writable(self, uri: str) -> Location:
        location = self.resolve(uri)
        if location.scheme in READ_ONLY_SCHEMES:
            raise InvalidUri(uri=uri, fault="cannot be written to", remedy="write to file:, pvc:, s3:, gs: or az:")
        return location

    def _store(self, location: Location) -> AbstractFileSystem:
        """Return the scheme's client, made once; credentials come from the environment or the workload's identity."""
        if location.scheme not in self._stores:
            self._stores[location.scheme] = _connect(location)
        return self._stores[location.scheme]

    def _chunks(self, location: Location, max_bytes: int | None) -> Iterator[bytes]:
        if location.path is not None:
            return _bounded(location.uri, _chunks_of(location.path), max_bytes)
        return _bounded(location.uri, _stream(self._store(location), location.uri), max_bytes)

    def _names_under(self, location: Location) -> Iterator[str]:
        """Yield the paths of all files under `location`, relative to it."""
        if location.path is not None:
            files = (path for path in location.path.rglob("*") if path.is_file() and path.suffix != HALF_WRITTEN)
            return (path.relative_to(location.path).as_posix() for path in files)
        store = self._store(location)
        base = str(store._strip_protocol(location.uri)).rstrip("/")
        return (str(path)[len(base) + 1 :] for path in store.find(base) if str(path) != base)


def _connect(location: Location) -> AbstractFileSystem:
    try:
        return fsspec.filesystem(
            location.scheme, skip_instance_cache=True, use_listings_cache=False, **_options(location)
        )
    except (ImportError, ValueError) as error:
        raise InvalidUri(
            uri=location.uri,
            fault=f"this image has no client for {location.scheme}: ({error})",
            remedy="copy the file to a store that it has, such as pvc:, s3:, gs:, az: or https:",
        ) from error


def _options(location: Location) -> dict[str, object]:
    """Return the time limits in the words of each client."""
    if location.scheme == "s3":
        retries = {"max_attempts": 4, "mode": "standard"}
        return {"config_kwargs": {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retries": retries}}
    if location.scheme == "az":
        return {"connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    if location.scheme == "https":
        from aiohttp import ClientTimeout  # only this client needs it

        return {"client_kwargs": {"timeout": ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)}}
    return {}  # gcsfs has limits of its own


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """Turn what file systems and clients raise into our errors."""
    try:
        yield
    except ArtifactError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactMissing(uri=uri) from error
    except IsADirectoryError as error:
        raise InvalidUri(uri=uri, fault="is a folder", remedy="name the file in it") from error
    except PermissionError as error:
        raise StorageDenied(uri=uri, reason=str(error)) from error
    except Exception as error:  # each client has a tree of its own, without a common root
        if type(error).__name__ in REFUSALS or getattr(error, "errno", None) == errno.EROFS:
            raise StorageDenied(uri=uri, reason=str(error)) from error
        raise StorageUnavailable(uri=uri, reason=f"{type(error).__name__}: {error}") from error


def _chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from iter(lambda: stream.read(CHUNK_BYTES), b"")


def _stream(store: AbstractFileSystem, uri: str) -> Iterator[bytes]:
    with store.open(uri, "rb", block_size=CHUNK_BYTES, cache_type="readahead") as stream:
        details = getattr(stream, "details", None) or {}  # a stream of unknown length has none
        if details.get("type") == "directory":
            raise IsADirectoryError(uri)  # s3fs reads a prefix as an empty file
        yield from iter(lambda: stream.read(CHUNK_BYTES), b"")


def _bounded(uri: str, chunks: Iterator[bytes], max_bytes: int | None) -> Iterator[bytes]:
    total_bytes = 0
    for chunk in chunks:
        total_bytes += len(chunk)
        _check_size(uri, total_bytes, max_bytes)
        yield chunk


def _check_size(uri: str, found_bytes: int, max_bytes: int | None) -> None:
    if max_bytes is not None and found_bytes > max_bytes:
        raise ArtifactTooLarge(uri=uri, found_bytes=found_bytes, allowed_bytes=max_bytes)


def _write_atomically(path: Path, chunks: Iterator[bytes]) -> Path:
    """Write beside `path`, flush to disk, then rename: a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=HALF_WRITTEN)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(chunks)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)  # mkstemp's 0600 would lock out another pod's user
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    _flush_folder(path.parent)
    return path


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refuse_root(location: Location, volumes: Path | None) -> None:
    """Object to deleting a whole claim, bucket or disk."""
    if location.path is None:
        is_whole = location.uri.strip("/").count("/") < 3  # scheme://bucket has two
    else:
        claims = volumes.resolve() if volumes is not None else None
        is_whole = location.path.parent in {location.path, claims}
    if is_whole:
        raise InvalidUri(uri=location.uri, fault="is a whole claim, bucket or disk", remedy="name a folder in it")
