# SPDX-License-Identifier: Apache-2.0
"""Tables on disk (GeoParquet): footprints, manifests, and what else has a row a patch.

Law: no times of day and no order of a file system; the same content gives the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import StorageError
from .files import atomic
from .paths import remedy

if TYPE_CHECKING:
    import geopandas as gpd


def write_geoparquet(
    table: gpd.GeoDataFrame,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a GeoParquet file whole, rows in the order given, without an index column.

    Columns with a name of the house (docs/plan.md, Tables) get their fixed type, so that a
    column without values in one unit has the same type as in the others.

    Args:
        table: rows with a geometry column.
        path: where.
        metadata: recorded as JSON under `terrapatch` in the file's own metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic(path) as temporary:
        table.reset_index(drop=True).to_parquet(temporary, index=False)
        plain = pq.read_table(temporary, memory_map=False)
        for position, name in enumerate(plain.column_names):
            if wanted := _column_type(name):
                column = plain.column(position)
                without = column.null_count == len(column)  # then its type says nothing
                column = pa.nulls(len(column), wanted) if without else column.cast(wanted)
                plain = plain.set_column(position, plain.field(position).with_type(wanted), column)
        if metadata is not None:
            text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
            plain = plain.replace_schema_metadata(
                {**(plain.schema.metadata or {}), b"terrapatch": text.encode()}
            )
        pq.write_table(plain, temporary, compression="zstd")


def _column_type(name: str) -> Any:
    """The Arrow type of a column of the house, or None for others."""
    import pyarrow as pa

    text = {"patch_id", "unit", "crs", "dropped_reason", "split", "block", "split_reason"}
    if name in text or name.startswith("hash_"):
        return pa.string()
    if name in {"row", "col", "y_px", "x_px", "size_px"}:
        return pa.int64()
    if name.startswith("valid_"):
        return pa.float64()
    if name.startswith(("dates_", "sources_")):
        return pa.list_(pa.string())
    if name.startswith("counts_"):
        return pa.list_(pa.int64())
    return pa.list_(pa.float64()) if name == "transform" else None


def read_table_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_geoparquet` recorded as `metadata`; empty where nothing was.

    Raises:
        StorageError: missing or damaged.
    """
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(path).metadata or {}).get(b"terrapatch", b"{}")
        return dict(json.loads(found))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: no readable GeoParquet file; {remedy(path)} ({error})"
        ) from error


def read_geoparquet(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Read a GeoParquet file.

    Raises:
        StorageError: missing or damaged.
    """
    import geopandas as gpd

    try:
        return gpd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: no readable GeoParquet file; {remedy(path)} ({error})"
        ) from error


def read_columns(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, list[Any]]:
    """Read some columns of a (Geo)Parquet file as plain lists, without loading geopandas.

    Raises:
        StorageError: missing, damaged, or without one of the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not `read_table`: that loads pandas, a quarter of a second.
        table = pq.ParquetFile(path).read(columns=list(names))
        return {name: table.column(name).to_pylist() for name in names}
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise StorageError(
            f"{path}: no readable table with columns {list(names)}; {remedy(path)} ({error})"
        ) from error
