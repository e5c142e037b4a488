# SPDX-License-Identifier: Apache-2.0
"""GeoPackages whose bytes follow from their content alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StorageError

if TYPE_CHECKING:
    import geopandas as gpd

LAST_CHANGE = "2020-01-01T00:00:00.000Z"
"""What the file says of its last change; GDAL would write the present moment."""
ROWS_AT_ONCE = 2048
"""Rows of a table that are written together: a constant, for the pages of the file depend on it."""


def write_layers(path: Path, layers: Mapping[str, gpd.GeoDataFrame]) -> None:
    """Write a GeoPackage with some layers, features in the order given.

    Not under another name first: GDAL minds how such a file is called.

    Raises:
        StorageError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for number, (name, frame) in enumerate(layers.items()):
        _write(path, frame, layer=name, append=number > 0, geometry_type=_kind(frame))


@contextmanager
def rows_written(
    path: Path, layer: str, frame: Callable[[list[Any]], gpd.GeoDataFrame]
) -> Iterator[Callable[[list[Any]], None]]:
    """A GeoPackage of one layer, written some rows at a time: no table lies in memory whole.

    However the rows are handed over, the file has the same bytes.

    Args:
        path: where; its folder is there.
        layer: name.
        frame: rows → a table of them, of the same columns each time.

    Yields:
        A function that takes the next rows.

    Raises:
        StorageError: the file cannot be written.
    """
    waiting: list[Any] = []
    begun = False

    def flush(least: int) -> None:
        nonlocal begun
        while len(waiting) >= least:
            rows = waiting[:ROWS_AT_ONCE]
            del waiting[:ROWS_AT_ONCE]
            _write(path, frame(rows), layer=layer, append=begun, geometry_type="Polygon")
            begun = True

    def take(rows: list[Any]) -> None:
        waiting.extend(rows)
        flush(ROWS_AT_ONCE)

    yield take
    flush(1)


def _write(path: Path, frame: gpd.GeoDataFrame, **how: Any) -> None:
    import pyogrio

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": LAST_CHANGE})
    try:
        pyogrio.write_dataframe(frame, path, driver="GPKG", **how)
    except pyogrio.errors.DataSourceError as error:
        raise StorageError(f"{path}: cannot be written: {error}") from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _kind(frame: gpd.GeoDataFrame) -> str | None:
    """The layer's type; GDAL cannot tell that of a layer without features."""
    return None if len(frame) else "LineString Z"
