# SPDX-License-Identifier: Apache-2.0
"""GeoPackages whose bytes follow from their content alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StorageError

if TYPE_CHECKING:
    import geopandas as gpd

LAST_CHANGE = "2020-01-01T00:00:00.000Z"
"""What the file says of its last change; GDAL would write the present moment."""


def write_layers(path: Path, layers: Mapping[str, gpd.GeoDataFrame]) -> None:
    """Write a GeoPackage with some layers, features in the order given.

    Not under another name first: GDAL minds how such a file is called.

    Raises:
        StorageError: the file cannot be written.
    """
    import pyogrio

    path.parent.mkdir(parents=True, exist_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": LAST_CHANGE})
    try:
        for number, (name, frame) in enumerate(layers.items()):
            pyogrio.write_dataframe(
                frame, path, layer=name, driver="GPKG", append=number > 0,
                geometry_type=_kind(frame),
            )  # fmt: skip
    except pyogrio.errors.DataSourceError as error:
        raise StorageError(f"{path}: cannot be written: {error}") from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _kind(frame: gpd.GeoDataFrame) -> str | None:
    """The layer's type; GDAL cannot tell that of a layer without features."""
    return None if len(frame) else "LineString Z"
