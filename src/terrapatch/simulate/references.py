# SPDX-License-Identifier: Apache-2.0
"""What is known of the ground: the reference map (codes of TerraClass) and the height model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import grid, rasters
from ..crs import GEOGRAPHIC, transformer
from .landscape import Landscape, ground_places, map_codes

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

CRS = "EPSG:4674"
"""SIRGAS 2000, in which TerraClass is distributed."""

ELLIPSOID = "EPSG:4979"
"""WGS 84 with heights above the ellipsoid."""

PIXEL_DEGREES = 8.983152841195215e-05
"""10 m at the equator."""

STRIP_PX = 512


def map_geobox(outline: BaseGeometry) -> GeoBox:
    """Grid of the map around an outline given in EPSG:4326 (both systems agree within 1 m)."""
    return grid.snapped_geobox(outline.bounds, CRS, PIXEL_DEGREES)


def write_map(path: Path, landscape: Landscape, outline: BaseGeometry) -> GeoBox:
    """Write the map: uint8 codes, 0 outside the outline.

    Args:
        path: GeoTIFF.
        landscape: what is mapped.
        outline: polygon in EPSG:4326 that the map covers.

    Returns:
        the map's grid.
    """
    from rasterio.features import geometry_mask

    geobox = map_geobox(outline)
    codes = np.zeros(geobox.shape, np.uint8)
    for top in range(0, geobox.shape[0], STRIP_PX):
        strip = geobox[top : min(top + STRIP_PX, geobox.shape[0]), :]
        part = map_codes(landscape, strip)
        part[geometry_mask([outline], strip.shape, strip.affine)] = 0
        codes[top : top + strip.shape[0]] = part
    rasters.write_geotiff(path, codes, geobox, nodata=0, tile=256, colormap=_colours())
    return geobox


def write_heights(path: Path, landscape: Landscape) -> None:
    """Write the relief: float32 metres above the WGS 84 ellipsoid, pixels of about a quarter of its lattice.

    Args:
        path: GeoTIFF; its CRS says what heights count from.
        landscape: whose relief, from rim to rim.
    """
    from odc.geo.geobox import GeoBox

    relief = landscape.relief
    far = np.array(relief.z.shape[::-1]) - 1
    x, y = np.meshgrid(
        relief.x0 + np.linspace(0, far[0], 33) * relief.step,
        relief.y0 + np.linspace(0, far[1], 33) * relief.step,
    )
    lon, lat = transformer(landscape.crs, GEOGRAPHIC).transform(x, y)
    geobox = grid.snapped_geobox(
        (lon.min(), lat.min(), lon.max(), lat.max()), GEOGRAPHIC, relief.step / 432_000
    )
    heights = np.empty(geobox.shape, np.float32)
    for top in range(0, geobox.shape[0], STRIP_PX):
        strip = geobox[top : min(top + STRIP_PX, geobox.shape[0]), :]
        heights[top : top + strip.shape[0]] = relief.heights(*ground_places(landscape, strip))
    solid = GeoBox(geobox.shape, geobox.affine, ELLIPSOID)
    rasters.write_geotiff(path, heights, solid, nodata=float("nan"), predictor=3, tile=256)


def _colours() -> dict[int, tuple[int, int, int]]:
    """Colours of the packaged crosswalk, by code."""
    import csv
    from importlib import resources

    table = resources.files("terrapatch") / "data" / "crosswalks" / "terraclass_cerrado.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    found = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        if colour := row["source_color"].removeprefix("#"):
            red, green, blue = (int(colour[k : k + 2], 16) for k in (0, 2, 4))
            found[int(row["source_code"])] = (red, green, blue)
    return found
