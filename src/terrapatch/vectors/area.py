# SPDX-License-Identifier: Apache-2.0
"""The area of a recipe: a box, or the polygons of a file."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..crs import GEOGRAPHIC
from ..errors import GridError, InputError, SceneError
from .geometry import joined, parts_of
from .layers import open_layer
from .reading import UnreadableError, VectorLayer, read_portions
from .schema import schema_of

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from ..settings import AreaSettings


def read_area(area: AreaSettings, notes: list[str] | None = None) -> tuple[BaseGeometry, str]:
    """The recipe's area: a shapely (multi)polygon and its CRS.

    All polygons of the layer count, those in collections too; outlines that cross themselves are
    repaired, each for itself (what it encloses an odd number of times remains).

    Args:
        area: the recipe's section.
        notes: what is repaired and what is left out is added to it, a sentence each.

    Raises:
        InputError: the file is missing or cannot be read, several of its layers could be meant, it
            has no CRS or holds no polygon.
    """
    if area.file is None:
        import shapely

        assert area.bbox is not None
        west, south, east, north = area.bbox
        if west > east:  # across the antimeridian: a box on either side
            sides = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
            return shapely.MultiPolygon([s for s in sides if s.area > 0]), GEOGRAPHIC
        return shapely.box(*area.bbox), GEOGRAPHIC
    with tempfile.TemporaryDirectory() as folder:
        try:
            layer = open_layer(
                area.file, schema_of("custom"), layer=area.layer, unpack_to=Path(folder),
                any_kind=True,
            )  # fmt: skip
            whole = _polygons(_shapes(layer, area.file), area.file, [] if notes is None else notes)
        except GridError as error:
            raise InputError(
                f"{area.file}: area.file must say its CRS, and it does not (a GeoJSON without one "
                "is in degrees; where latitudes are beyond 90 it is in metres, or latitude and "
                "longitude are swapped in the file); assign it in QGIS or with ogr2ogr -a_srs"
            ) from error
        except UnreadableError as error:
            raise InputError(
                f"{area.file}: cannot be read as a polygon file ({error.why}); give area.file a "
                "GeoJSON, GeoPackage or Shapefile, relative to where you run"
            ) from error
        except SceneError as error:
            raise InputError(f"area.file: {error}") from error
    return whole, layer.crs


def _shapes(layer: VectorLayer, file: str) -> NDArray[Any]:
    shapes = [np.empty(0, object)]
    for portion in read_portions(layer, {}, None):
        if portion.closed.any():
            raise InputError(
                f"{file}: the ring of feature {portion.ids[portion.closed][0]} is not closed (or has "
                "less than 4 positions): its last position must repeat the first; correct the file"
            )
        shapes.append(portion.geometries)
    return np.concatenate(shapes)


def _polygons(shapes: NDArray[Any], file: str, notes: list[str]) -> BaseGeometry:
    others: Counter[str] = Counter()
    found: list[Any] = []
    for shape in shapes:
        polygons, rest = parts_of(shape, 2)
        found += polygons
        others += rest
    area, repaired = joined(found, file)
    listed = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
    if area.area == 0:
        raise InputError(f"{file}: area.file must hold polygons; it holds {listed or 'none'}")
    if repaired:
        notes.append(f"{file}: {repaired} polygon(s) of the area cross themselves, repaired")
    if others:
        notes.append(f"{file}: beside polygons the area's file holds {listed}, not used")
    return area
