"""Arrays from IDX files (the format of MNIST), plain or gzipped: `...-images-idx3-ubyte` and `...-labels-idx1-ubyte`.

Format: http://yann.lecun.com/exdb/mnist - two zero bytes, the element type, the rank, the sizes, then the elements.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from frugal_jobs.datasets.faults import UnreadableFile

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_RANK = 8
FETCH_AGAIN = "fetch the file again from its origin"


def labels_name(images_name: str) -> str:
    """Return the name of the labels that belong to a file of images; raises UnreadableFile when it has none."""
    if "-images-idx3-" not in images_name:
        fault = f"{images_name!r} is not named like ...-images-idx3-ubyte[.gz], so its labels cannot be found"
        raise UnreadableFile(fault=fault, remedy="name the file of images")
    return images_name.replace("-images-idx3-", "-labels-idx1-")


def read_idx(path: Path, *, max_bytes: int) -> NDArray[Any]:
    """Return the array of the file, in native byte order; raises UnreadableFile."""
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not is_packed:
                return _read(raw, max_bytes)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read(cast("IO[bytes]", unpacked), max_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(fault=f"is a damaged gzip file ({error})", remedy=FETCH_AGAIN) from error


def _read(stream: IO[bytes], max_bytes: int) -> NDArray[Any]:
    dtype, shape = _header(stream)
    expected_bytes = math.prod(shape) * dtype.itemsize
    if expected_bytes > max_bytes:
        fault = f"claims {expected_bytes} bytes, and at most {max_bytes} are allowed"
        raise UnreadableFile(fault=fault, remedy="use fewer samples")
    content = stream.read(expected_bytes + 1)
    if len(content) != expected_bytes:
        fault = f"holds {'more' if len(content) > expected_bytes else len(content)} bytes where its header says"
        raise UnreadableFile(fault=f"{fault} {expected_bytes}", remedy=FETCH_AGAIN)
    return np.frombuffer(bytearray(content), dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _header(stream: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not 1 <= head[3] <= MAX_RANK:
        raise UnreadableFile(fault=f"is no IDX file (it begins with {head.hex()})", remedy=FETCH_AGAIN)
    sizes = stream.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise UnreadableFile(fault="ends within its header", remedy=FETCH_AGAIN)
    return np.dtype(TYPES[head[2]]), struct.unpack(f">{head[3]}I", sizes)
