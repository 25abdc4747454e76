"""Arrays from `.npz` files of anybody: no pickles, and never more bytes than allowed, whatever the archive claims."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from frugal_jobs.datasets.faults import UnreadableFile

KEEP_ARRAYS = "save plain numeric arrays with numpy.savez"


def read_npz(path: Path, *, max_bytes: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file by name; raises UnreadableFile."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive, max_bytes)
            return {
                member.filename.removesuffix(".npy"): _read_member(archive, member) for member in archive.infolist()
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnreadableFile(fault=f"is no .npz archive or a damaged one ({error})", remedy=KEEP_ARRAYS) from error


def _check_sizes(archive: zipfile.ZipFile, max_bytes: int) -> None:
    """Object to an archive that unpacks to more than allowed; zipfile reads no more than a member claims."""
    claimed_bytes = sum(member.file_size for member in archive.infolist())
    if claimed_bytes > max_bytes:
        fault = f"unpacks to {claimed_bytes} bytes, and at most {max_bytes} are allowed"
        raise UnreadableFile(fault=fault, remedy="use fewer samples")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as stream:
        shape, dtype = _header(stream, member.filename)
    if dtype.hasobject:
        fault = f"array {member.filename!r} holds Python objects (a pickle), which could run code"
        raise UnreadableFile(fault=fault, remedy=KEEP_ARRAYS)
    claimed_bytes = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    if claimed_bytes > member.file_size:
        fault = f"array {member.filename!r} claims {claimed_bytes} bytes and holds {member.file_size}"
        raise UnreadableFile(fault=fault, remedy=KEEP_ARRAYS)
    try:
        with archive.open(member) as stream:
            return np.asarray(npy.read_array(stream, allow_pickle=False))
    except ValueError as error:
        raise UnreadableFile(fault=f"array {member.filename!r}: {error}", remedy=KEEP_ARRAYS) from error


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    except ValueError as error:
        raise UnreadableFile(fault=f"{name!r} is no array ({error})", remedy=KEEP_ARRAYS) from error
    return shape, dtype
