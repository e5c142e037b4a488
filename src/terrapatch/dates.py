# SPDX-License-Identifier: Apache-2.0
"""The table of dates: one row a patch, modality and time step, beside the manifest.

`time` is the step's label in the stack. `direction`, `relative_orbit` and `platform` are null for
mosaics of several passes, `incidence_deg` (degrees at the patch's centre) where no annotation says
it. `cloud_percent` is that of the scenes that gave pixels, as their metadata have it for the whole
scene: their mean, null where one does not say it, and for Sentinel-1. `valid` is the share of observed pixels, `kept` whether that is enough for the recipe, `scenes`
names those that gave pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import StorageError
from .tables import atomic

if TYPE_CHECKING:
    import pyarrow as pa

DATES: dict[str, str] = {
    "patch_id": "string", "unit": "string", "modality": "string", "step": "int64",
    "time": "string", "direction": "string", "relative_orbit": "int64", "platform": "string",
    "incidence_deg": "float32", "cloud_percent": "float64", "valid": "float64", "kept": "bool", "scenes": "strings",
}  # fmt: skip
"""Columns of the table of dates and their types; one row a patch, modality and date."""


def write_dates(columns: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a table of dates whole, rows in the order given.

    Args:
        columns: those of `DATES`, arrays of one length; None and NaN are null.
        path: where.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"strings": pa.list_(pa.string())}
    arrays = {
        name: pa.array(columns[name], types.get(kind) or pa.type_for_alias(kind), from_pandas=True)
        for name, kind in DATES.items()
    }
    with atomic(path) as temporary:
        pq.write_table(pa.table(arrays), temporary, compression="zstd")


def join_dates(
    parts: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str],
    only: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Put tables of dates one below the other.

    Args:
        parts: files in the order wanted.
        path: where.
        only: patch ids whose rows are taken; all if absent.

    Raises:
        StorageError: a part is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [read_dates(part, only) for part in parts]
    with atomic(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")


def read_dates(
    path: str | os.PathLike[str], only: Sequence[str] | None = None, *, kept: bool = False
) -> pa.Table:
    """A table of dates with the columns of `DATES`, rows in the file's order.

    Args:
        path: where.
        only: patch ids whose rows are taken; all if absent.
        kept: leave out the rows that are not kept.

    Raises:
        StorageError: missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = None if only is None else pa.array(only, pa.string())
    parts = []
    try:
        file = pq.ParquetFile(path)
        # Group by group: rows that are not wanted never lie in memory together.
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(DATES))
            if wanted is not None:
                table = table.filter(pc.is_in(table.column("patch_id"), wanted))
            parts.append(table.filter(table.column("kept")) if kept else table)
        return pa.concat_tables(parts) if parts else file.read(columns=list(DATES))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise StorageError(
            f"{path}: no readable table of dates; build it again: {error}"
        ) from error
