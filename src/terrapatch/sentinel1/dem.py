# SPDX-License-Identifier: Apache-2.0
"""Height models: one or several files become heights above the ellipsoid around a unit.

Laws:
1. Heights leave this file above the WGS 84 ellipsoid, whatever they were counted from; where
   that is not known, it must be stated: 50 m of geoid are six pixels.
2. Files must lie on one common grid; they are put side by side, never resampled.
3. A unit that the files do not cover is refused. Voids are NaN: such pixels are missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from ..errors import GridError, InputError
from ..rasters import Header, read_header, read_window
from ..tables import LockedAsset

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Transform = tuple[float, float, float, float, float, float]
Undulation = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Height of the geoid above the ellipsoid in m, at longitudes and latitudes in degrees."""

_PROJ_GRIDS = {
    "egm96": ("us_nga_egm96_15.tif", "egm96_15.gtx"),
    "egm2008": ("us_nga_egm08_25.tif", "egm08_25.gtx"),
}
_VERTICAL = {5773: "egm96", 3855: "egm2008"}
"""EPSG codes of vertical systems."""
_GEOID_STEP = 16
"""Height pixels between points where the geoid is looked up; it is smooth over many minutes."""
_CHECKS = 65
"""Points along a side of the unit that are looked at for coverage."""


@dataclass(frozen=True, eq=False)
class Dem:
    """Heights around a unit."""

    heights: NDArray[np.float32]
    """(y, x) metres above the WGS 84 ellipsoid; NaN where unknown."""
    crs: str
    """Horizontal CRS."""
    transform: Transform
    """Pixel to map, in the order of `affine.Affine`."""

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest height.

        Raises:
            GridError: nothing but voids.
        """
        if not np.isfinite(self.heights).any():
            raise GridError(
                "the height model has no heights around the unit; give other files as sentinel1.dem"
            )
        return float(np.nanmin(self.heights)), float(np.nanmax(self.heights))


@dataclass(frozen=True)
class _File:
    path: str
    header: Header
    horizontal: pyproj.CRS
    vertical: str | None


def read_dem(
    paths: Sequence[str], geobox: GeoBox, *, vertical: str = "auto", geoid: str | None = None,
    sea: bool = False,
) -> Dem:  # fmt: skip
    """Read the heights that a unit needs.

    Args:
        paths: rasters of metres on one grid (GeoTIFF, SRTM .hgt, VRT …).
        geobox: the unit.
        vertical: `ellipsoid`, `egm96`, `egm2008`, or `auto` for what the files' CRS say.
        geoid: raster of geoid heights in metres; PROJ's own grid if absent.
        sea: take the geoid's height where no file has one (open sea), instead of refusing.

    Returns:
        Heights of a rectangle around the unit, two pixels wider on each side.

    Raises:
        InputError: no path is given.
        SceneError: a file cannot be read.
        GridError: files on several grids, an unknown vertical datum, a missing geoid grid, or a
            unit that is not covered.
    """
    if not paths:
        raise InputError("no height model; give its files as sentinel1.dem")
    files = [_open(path) for path in paths]
    datum = _datum(files, vertical)
    first = files[0]
    _check_common_grid(files)
    rows, cols = _reach(geobox, first)
    heights, covered = _merged(files, rows, cols)
    transform = Affine(*first.header.transform) * Affine.translation(cols.start, rows.start)
    if not sea:
        _check_cover(geobox, first, covered, (rows.start, cols.start), paths)
    else:
        heights[np.isnan(heights)] = 0.0
    if datum != "ellipsoid":
        lookup = geoid_raster(geoid) if geoid is not None else proj_geoid(datum)
        heights += _undulation(lookup, first.horizontal, transform, heights.shape)
    return Dem(heights, first.horizontal.to_string(), tuple(transform)[:6])


def _open(path: str) -> _File:
    header = read_header(path)
    if header.crs is None:
        raise GridError(f"{path}: the height model has no CRS; assign it (gdal_edit.py -a_srs)")
    crs = pyproj.CRS.from_user_input(header.crs)
    horizontal, known = crs, None
    if crs.is_compound:
        horizontal, height = crs.sub_crs_list[:2]
        known = _VERTICAL.get(height.to_epsg() or 0)
    elif len(crs.axis_info) == 3:
        horizontal, known = crs.to_2d(), "ellipsoid"
    elif path.lower().endswith((".hgt", ".hgt.zip")):
        known = "egm96"  # Source: SRTM User Guide (USGS): heights of .hgt files refer to EGM96.
    return _File(path, header, horizontal, known)


def _datum(files: Sequence[_File], stated: str) -> str:
    if stated != "auto":
        return stated
    for file in files:
        if file.vertical is None:
            raise GridError(
                f"{file.path}: its CRS does not say what its heights count from; set "
                "sentinel1.dem_vertical to ellipsoid, egm96 (SRTM) or egm2008 (Copernicus DEM)"
            )
    if len({file.vertical for file in files}) > 1:
        told = ", ".join(f"{file.path}: {file.vertical}" for file in files)
        raise GridError(
            f"height files of several vertical systems ({told}); give files of one system"
        )
    return str(files[0].vertical)


def _check_common_grid(files: Sequence[_File]) -> None:
    first = files[0]
    a, b, c, d, e, f = first.header.transform
    for file in files:
        other = file.header.transform
        shift = ((other[2] - c) / a, (other[5] - f) / e)
        steps = np.allclose((other[0], other[4]), (a, e), rtol=1e-7, atol=0)
        whole = all(abs(s - round(s)) < 0.01 for s in shift)
        if b or d or not (steps and whole and file.horizontal == first.horizontal):
            raise GridError(
                f"{file.path} and {first.path} lie on different pixel grids; bring the height "
                "files onto one (gdalwarp, or gdalbuildvrt where only offsets differ)"
            )


def _offset(file: _File, first: _File) -> tuple[int, int]:
    """Row and column of a file's first pixel on the grid of the first file."""
    a, _, c, _, e, f = first.header.transform
    return round((file.header.transform[5] - f) / e), round((file.header.transform[2] - c) / a)


def _points(geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map coordinates of pixel centres spread over the unit, its rim among them."""
    cols, rows = (
        np.linspace(0.5, n - 0.5, min(n, _CHECKS)) for n in (geobox.shape[1], geobox.shape[0])
    )
    x, y = geobox.affine * np.meshgrid(cols, rows)
    return x, y


def _pixels(geobox: GeoBox, file: _File) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns in a file of points of the unit; first pixel's centre at (0, 0)."""
    there = pyproj.Transformer.from_crs(str(geobox.crs), file.horizontal, always_xy=True)
    col, row = ~Affine(*file.header.transform) * there.transform(*_points(geobox))
    if not (np.isfinite(col).all() and np.isfinite(row).all()):
        raise GridError(
            f"{file.path}: its CRS does not reach the unit's grid in {geobox.crs}; give heights "
            "around the area as sentinel1.dem"
        )
    return row - 0.5, col - 0.5


def _reach(geobox: GeoBox, file: _File) -> tuple[slice, slice]:
    """Rows and columns around the unit, on the grid of the first file; may lie outside it."""
    rows, cols = (
        slice(math.floor(axis.min()) - 2, math.ceil(axis.max()) + 3)
        for axis in _pixels(geobox, file)
    )
    return rows, cols


def _merged(
    files: Sequence[_File], rows: slice, cols: slice
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Heights of a rectangle (NaN: void or outside), and which pixels a file has."""
    heights = np.full((rows.stop - rows.start, cols.stop - cols.start), np.nan, np.float32)
    covered = np.zeros(heights.shape, bool)
    for file in files:
        top, left = _offset(file, files[0])
        height, width = file.header.shape
        y0, y1 = max(rows.start, top), min(rows.stop, top + height)
        x0, x1 = max(cols.start, left), min(cols.stop, left + width)
        if y0 >= y1 or x0 >= x1:
            continue
        part = _read(file, slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        here = (slice(y0 - rows.start, y1 - rows.start), slice(x0 - cols.start, x1 - cols.start))
        # A shared edge of two files: the first that knows the height gives it.
        heights[here] = np.where(np.isnan(heights[here]), part, heights[here])
        covered[here] = True
    return heights, covered


def _read(file: _File, rows: slice, cols: slice) -> NDArray[np.float32]:
    header = file.header
    asset = LockedAsset(
        href=file.path, crs=header.crs or "", transform=header.transform, shape=header.shape,
        dtype=header.dtype,
    )  # fmt: skip
    part = read_window(asset, (rows, cols)).astype(np.float32)
    if header.nodata is not None and not math.isnan(header.nodata):
        part[part == np.float32(header.nodata)] = np.nan
    # -32768 marks voids in SRTM files, also where conversions have lost the statement.
    part[part <= -32767.0] = np.nan
    return part


def _check_cover(
    geobox: GeoBox, first: _File, covered: NDArray[np.bool_], origin: tuple[int, int],
    paths: Sequence[str],
) -> None:  # fmt: skip
    row, col = _pixels(geobox, first)
    lacking = np.zeros(row.shape, bool)
    for dy in (0, 1):
        for dx in (0, 1):
            y = np.floor(row + 1e-6).astype(int) + dy - origin[0]
            x = np.floor(col + 1e-6).astype(int) + dx - origin[1]
            weight = np.abs(1 - dy - (row % 1)) * np.abs(1 - dx - (col % 1))
            lacking |= ~covered[y, x] & (weight > 1e-6)
    if lacking.any():
        raise GridError(
            f"{', '.join(paths)}: the height model does not cover the unit "
            f"({lacking.mean():.0%} of it lie outside); add the files around it to "
            "sentinel1.dem, or set sentinel1.dem_sea where that is open sea"
        )


def _undulation(
    lookup: Undulation, crs: pyproj.CRS, transform: Affine, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Geoid heights at the pixels of a height model, linear between every 16th."""
    axes = [np.append(np.arange(0, n - 1, _GEOID_STEP), n - 1).astype(float) for n in shape]
    x, y = transform * np.meshgrid(axes[1] + 0.5, axes[0] + 0.5)
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    nodes = lookup(*to_degrees.transform(x, y))
    down, across = (_weights(axis, n) for axis, n in zip(axes, shape, strict=True))
    return (down @ nodes @ across.T).astype(np.float32)


def _weights(nodes: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count, node) weights of linear interpolation at whole numbers."""
    return np.stack(
        [np.interp(np.arange(count), nodes, unit) for unit in np.eye(nodes.size)], axis=1
    )


def geoid_raster(path: str) -> Undulation:
    """Geoid heights from a raster in degrees (PROJ's GeoTIFF grids, GTX, NGA's GeoTIFFs).

    Raises:
        SceneError: it cannot be read.
        GridError: it is no raster in degrees.
    """
    header = read_header(path)
    if header.crs is None or not pyproj.CRS.from_user_input(header.crs).is_geographic:
        raise GridError(f"{path}: a geoid raster in degrees is needed, its CRS is {header.crs}")
    asset = LockedAsset(
        href=path, crs=header.crs, transform=header.transform, shape=header.shape,
        dtype=header.dtype,
    )  # fmt: skip
    grid = read_window(asset, (slice(0, header.shape[0]), slice(0, header.shape[1])))
    a, _, c, _, e, f = header.transform
    turn = round(360 / a)
    whole_world = grid.shape[1] >= turn

    def lookup(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        row, col = (lat - f) / e - 0.5, (lon - c) / a - 0.5
        if whole_world:
            col %= turn
        y0, x0 = np.floor(row + 1e-9).astype(int), np.floor(col + 1e-9).astype(int)
        inside = (y0 >= -1) & (y0 < grid.shape[0])
        inside &= whole_world | ((x0 >= 0) & (x0 < grid.shape[1]))
        if not inside.all():
            raise GridError(
                f"{path}: the geoid raster does not cover the area; give one that does as "
                "sentinel1.geoid"
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
            f"(`projsync --file {name}`), or give a geoid raster as sentinel1.geoid"
        )

    def lookup(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        height = np.asarray(transformer.transform(lon, lat, np.zeros(lon.shape))[2], float)
        if not np.isfinite(height).all():
            raise GridError(f"PROJ's grid of {datum.upper()} does not cover the area")
        return height

    return lookup
