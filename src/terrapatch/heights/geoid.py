# SPDX-License-Identifier: Apache-2.0
"""Heights of the geoid above the ellipsoid: from PROJ's grids, or from a raster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from ..errors import GridError
from ..rasters import check_one_band, read_header
from .metres import read_metres

Undulation = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Height of the geoid above the ellipsoid in m, at longitudes and latitudes in degrees."""

_PROJ_GRIDS = {
    "egm96": ("us_nga_egm96_15.tif", "egm96_15.gtx"),
    "egm2008": ("us_nga_egm08_25.tif", "egm08_25.gtx"),
}
_GEOID_STEP = 16
"""Height pixels between points where the geoid is looked up; it is smooth over many minutes."""


def undulation(
    lookup: Undulation, crs: pyproj.CRS, transform: Affine, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Geoid heights at the pixels of a height model, linear between every 16th.

    Args:
        lookup: see `geoid_raster` and `proj_geoid`.
        crs: horizontal CRS of the height model.
        transform: of the height model.
        shape: of the height model.

    Returns:
        (y, x) float32 metres above the ellipsoid.
    """
    axes = [np.append(np.arange(0, n - 1, _GEOID_STEP), n - 1).astype(float) for n in shape]
    x, y = transform * np.meshgrid(axes[1] + 0.5, axes[0] + 0.5)
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    nodes = lookup(*to_degrees.transform(x, y))
    (row, below, down), (col, after, across) = (
        _between(axis, n) for axis, n in zip(axes, shape, strict=True)
    )
    lines = nodes[row] + (nodes[below] - nodes[row]) * down[:, None]
    result = np.empty(shape, np.float32)
    for start in range(0, shape[0], 256):  # whole height models are read at once: bounds memory
        part = lines[start : start + 256]
        left, right = part[:, col], part[:, after]
        result[start : start + 256] = left + (right - left) * across
    return result


def _between(
    nodes: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The nodes before and after each whole number, and how far that lies towards the second."""
    numbers = np.arange(count)
    before = np.searchsorted(nodes, numbers, side="right") - 1
    after = np.minimum(before + 1, nodes.size - 1)
    length = np.maximum(nodes[after] - nodes[before], 1.0)
    return before, after, (numbers - nodes[before]) / length


def geoid_raster(path: str) -> Undulation:
    """Geoid heights from a raster in degrees (PROJ's GeoTIFF grids, GTX, NGA's GeoTIFFs).

    Raises:
        SceneError: it cannot be read.
        GridError: it is no raster in degrees.
    """
    header = read_header(path)
    check_one_band(path, header, "geoid heights")
    if header.crs is None or not pyproj.CRS.from_user_input(header.crs).is_geographic:
        raise GridError(f"{path}: a geoid raster in degrees is needed, its CRS is {header.crs}")
    grid = read_metres(path, header, *(slice(0, length) for length in header.shape))
    a, _, c, _, e, f = header.transform
    turn = round(360 / a)
    whole_world = grid.shape[1] >= turn

    def lookup(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        row, col = (lat - f) / e - 0.5, (lon - c) / a - 0.5
        # Longitudes of the raster may count from 0 to 360, or on across the antimeridian.
        col = col % turn if whole_world else (col + 0.5) % turn - 0.5
        y0, x0 = np.floor(row + 1e-9).astype(int), np.floor(col + 1e-9).astype(int)
        inside = (y0 >= -1) & (y0 < grid.shape[0])
        inside &= whole_world | ((x0 >= 0) & (x0 < grid.shape[1]))
        if not inside.all():
            raise GridError(
                f"{path}: the geoid raster does not cover the area; give one that does as geoid"
            )
        total = np.zeros(row.shape)
        for dy in (0, 1):
            for dx in (0, 1):
                y = np.clip(y0 + dy, 0, grid.shape[0] - 1)
                x = (x0 + dx) % turn if whole_world else np.minimum(x0 + dx, grid.shape[1] - 1)
                weight = np.abs(1 - dy - (row - y0)) * np.abs(1 - dx - (col - x0))
                total += weight * grid[y, x]
        return total

    return lookup


def proj_geoid(datum: str) -> Undulation:
    """Geoid heights from the grid that PROJ has installed.

    Args:
        datum: `egm96` or `egm2008`.

    Raises:
        GridError: the grid is not installed.
    """
    transformer: Any = None
    for grid in _PROJ_GRIDS[datum]:
        try:
            transformer = pyproj.Transformer.from_pipeline(
                "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad "
                f"+step +proj=vgridshift +grids={grid} +multiplier=1 "
                "+step +proj=unitconvert +xy_in=rad +xy_out=deg"
            )
            break
        except pyproj.exceptions.ProjError:
            continue
    if transformer is None:
        name = _PROJ_GRIDS[datum][0]
        raise GridError(
            f"heights above {datum.upper()} need its geoid, and PROJ has no {name}: fetch it once "
            f"(`projsync --file {name}`), or give a geoid raster as geoid"
        )

    def lookup(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        height = np.asarray(transformer.transform(lon, lat, np.zeros(lon.shape))[2], float)
        if not np.isfinite(height).all():
            raise GridError(f"PROJ's grid of {datum.upper()} does not cover the area")
        return height

    return lookup
