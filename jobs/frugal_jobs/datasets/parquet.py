"""Arrays from Parquet files: a column of numbers or of equally long lists of numbers becomes one array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal_jobs.datasets.faults import UnreadableFile

PLAIN_COLUMNS = "store numbers, or lists of numbers that are all equally long"


def read_parquet(path: Path, *, max_bytes: int) -> dict[str, NDArray[Any]]:
    """Return the columns of the file by name; raises UnreadableFile."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _check_size(file.metadata, max_bytes)
            table = file.read()
        return {name: _array(name, table.column(name)) for name in table.column_names}
    except (pyarrow.ArrowException, OSError) as error:
        fault = f"is no Parquet file or a damaged one ({str(error).splitlines()[0]})"
        raise UnreadableFile(fault=fault, remedy="write it again with pyarrow or pandas") from error


def _check_size(metadata: Any, max_bytes: int) -> None:
    unpacked_bytes = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if unpacked_bytes > max_bytes:
        fault = f"unpacks to {unpacked_bytes} bytes, and at most {max_bytes} are allowed"
        raise UnreadableFile(fault=fault, remedy="use fewer samples")


def _array(name: str, column: Any) -> NDArray[Any]:
    import pyarrow

    if column.null_count:
        raise UnreadableFile(fault=f"column {name!r} has {column.null_count} empty cells", remedy="fill or drop them")
    values, sizes, chunk = column.combine_chunks(), [len(column)], None
    while pyarrow.types.is_nested(values.type):
        chunk = values
        values, width = _flattened(name, chunk)
        sizes.append(width)
    try:
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(sizes)
    except ValueError as error:
        raise UnreadableFile(fault=f"column {name!r}: {error}", remedy=PLAIN_COLUMNS) from error


def _flattened(name: str, nested: Any) -> tuple[Any, int]:
    """Return the elements of a column of lists, and how long each list is."""
    import pyarrow

    if not (pyarrow.types.is_list(nested.type) or pyarrow.types.is_large_list(nested.type) or
            pyarrow.types.is_fixed_size_list(nested.type)):  # fmt: skip
        raise UnreadableFile(fault=f"column {name!r} has the type {nested.type}", remedy=PLAIN_COLUMNS)
    values = nested.flatten()
    lengths = {nested.type.list_size} if pyarrow.types.is_fixed_size_list(nested.type) else set(
        np.diff(nested.offsets.to_numpy()).tolist()
    )  # fmt: skip
    if len(lengths) > 1:
        raise UnreadableFile(fault=f"column {name!r} has lists of {len(lengths)} lengths", remedy=PLAIN_COLUMNS)
    return values, lengths.pop() if lengths else 0
