# SPDX-License-Identifier: Apache-2.0
"""Regular windows over an area on one grid, cut into blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from odc.geo import CRS
from odc.geo.geobox import GeoBox

from ..errors import GridError, RecipeError
from ..grid import Unit, Window, reprojected, snapped_geobox
from ..settings import SamplingSettings
from .windows import Ground, patches_along

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_MOST_UNITS = 100_000
"""More than any area needs (the box around Brazil has 11,000 at 10 m): a mistake in the resolution."""


def units(sampling: SamplingSettings, ground: Ground) -> list[Unit]:
    """Blocks of the grid over the area.

    Raises:
        RecipeError: a setting that no grid can be made of.
        GridError: the area does not fit onto the grid, or holds no patch.
    """
    try:
        CRS(sampling.crs)
    except RuntimeError as error:  # pyproj's
        raise RecipeError(f"sampling.crs: {sampling.crs!r} is no CRS: {error}") from error
    there = reprojected(ground.area, ground.crs, sampling.crs)
    bounds = there.bounds
    if CRS(sampling.crs).geographic and _crosses_antimeridian(there):
        raise GridError(
            f"sampling.crs: the area crosses the antimeridian, where a grid in {sampling.crs} "
            "ends; set a projected one, for example the UTM zone of the area"
        )
    if not all(math.isfinite(edge) for edge in bounds):
        raise GridError(
            f"the area cannot be drawn in {sampling.crs}, it reaches too far from where that CRS "
            "is valid; choose another sampling.crs"
        )
    geobox = snapped_geobox(bounds, sampling.crs, sampling.resolution)
    side = sampling.step_px * sampling.unit_patches
    count = math.ceil(geobox.shape[0] / side) * math.ceil(geobox.shape[1] / side)
    if count > _MOST_UNITS:
        raise RecipeError(
            f"sampling.resolution: {sampling.resolution:g} cuts the area into {count} units; it "
            f"counts in units of {sampling.crs}: is it degrees where metres are meant?"
        )
    return mosaic_units(
        geobox, size_px=sampling.size_px, stride_px=sampling.step_px,
        unit_patches=sampling.unit_patches,
    )  # fmt: skip


def patch_id(_: Unit, window: Window) -> str:
    """Name of a patch: row and column over the whole area, `r00012_c00042`."""
    return f"r{window.row:05d}_c{window.col:05d}"


def mosaic_units(area: GeoBox, *, size_px: int, stride_px: int, unit_patches: int) -> list[Unit]:
    """Cut an area into blocks of at most `unit_patches` × `unit_patches` patches.

    Patches are numbered over the whole area from its upper left corner, so their names do not
    depend on how the area is cut into units. Pixels right and below the last whole patch belong
    to no unit.

    Raises:
        GridError: the area holds no whole patch.
    """
    rows, cols = (patches_along(length, size_px, stride_px) for length in area.shape)
    if rows == 0 or cols == 0:
        raise GridError(
            f"the area of {area.shape[1]} x {area.shape[0]} px holds no patch of {size_px} px; "
            "enlarge the area or take smaller patches"
        )
    units = []
    for block_row, row in enumerate(range(0, rows, unit_patches)):
        for block_col, col in enumerate(range(0, cols, unit_patches)):
            last_row = min(row + unit_patches, rows) - 1
            last_col = min(col + unit_patches, cols) - 1
            geobox = area[
                row * stride_px : last_row * stride_px + size_px,
                col * stride_px : last_col * stride_px + size_px,
            ]
            units.append(Unit(f"b{block_row:03d}_{block_col:03d}", geobox, row, col))
    return units


def _crosses_antimeridian(area: BaseGeometry) -> bool:
    """Whether an area in degrees lies on both sides of ±180, and not all around the Earth."""
    import shapely

    west, _, east, _ = area.bounds
    other_side = shapely.box(-90, -90, 90, 90)
    return west <= -180 + 1e-9 and east >= 180 - 1e-9 and not area.intersects(other_side)
