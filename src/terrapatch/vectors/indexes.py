# SPDX-License-Identifier: Apache-2.0
"""Tile indexes: polygons that say where the rasters of a mosaic lie, so that few of them are opened."""

from __future__ import annotations

import tempfile
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from ..crs import GEOGRAPHIC
from ..errors import InputError, SceneError
from ..grid import reprojected
from .layers import open_layer
from .reading import read_portions
from .schema import schema_of


def indexed_paths(index: Path, column: str, area: BaseGeometry, setting: str) -> list[str]:
    """Files of a tile index whose polygon meets an area, in the order of their names.

    Args:
        index: vector file; names in it are relative to its folder.
        column: where the names stand.
        area: in EPSG:4326.
        setting: the layer's place in the recipe, for messages.

    Raises:
        InputError: no such file or column, or a row names no file.
        GridError: the index has no CRS.
    """
    if not index.is_file():
        raise InputError(f"{setting}.index: {index}: no such file; correct the recipe")
    with tempfile.TemporaryDirectory() as folder:
        try:
            layer = open_layer(
                str(index), schema_of("custom"), unpack_to=Path(folder), any_kind=True
            )
            if column not in layer.fields:
                raise InputError(
                    f"{setting}.column: {index} has no column {column!r}; it has "
                    f"{', '.join(layer.fields[:20])}"
                )
            found: set[str] = set()
            for portion in read_portions(layer, {column: column}, None):
                names = portion.columns[column].to_pylist()
                for name, shape in zip(names, portion.geometries, strict=True):
                    if shape is None or shape.is_empty:
                        continue
                    outline = reprojected(shapely.make_valid(shape), layer.crs, GEOGRAPHIC)
                    if not shapely.intersects(outline, area):
                        continue
                    if not isinstance(name, str) or not name.strip():
                        raise InputError(
                            f"{setting}.column: a row of {index} names no file in {column!r}; mend "
                            "the index (gdaltindex)"
                        )
                    found.add(str(index.parent / name.strip()))
        except SceneError as error:
            raise InputError(f"{setting}.index: {error}") from error
    return sorted(found)
