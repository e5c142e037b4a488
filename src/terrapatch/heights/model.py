# SPDX-License-Identifier: Apache-2.0
"""Height models: one or several files become heights above the ellipsoid around a unit.

Laws:
1. Heights leave this file above the WGS 84 ellipsoid, whatever they were counted from; where
   that is not known, it must be stated: 50 m of geoid are six pixels.
2. Files must lie on one common grid; they are put side by side, never resampled.
3. A unit that the files do not cover is refused. Voids are NaN: such pixels are missing.
4. Longitudes near the antimeridian count on to the east (179, 180, 181): files on either side lie
   side by side, and a file from −180 to 180 stands on both.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from ..errors import GridError, InputError
from ..rasters import Header, check_one_band, read_header
from .geoid import Undulation, geoid_raster, proj_geoid, undulation
from .metres import read_metres

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Transform = tuple[float, float, float, float, float, float]

_VERTICAL = {5773: "egm96", 3855: "egm2008"}
"""EPSG codes of vertical systems."""
_CHECKS = 65
"""Points along a side of the unit that are looked at for coverage."""
_NEAR_EDGE = 174.0
"""Longitudes beyond this, east or west, count on across the antimeridian: the UTM zones there."""


@dataclass(frozen=True, eq=False)
class Dem:
    """Heights around a unit."""

    heights: NDArray[np.float32]
    """(y, x) metres above the WGS 84 ellipsoid; NaN where unknown."""
    crs: str
    """Horizontal CRS."""
    transform: Transform
    """Pixel to map, in the order of `affine.Affine`."""
    name: str = "the height model"
    """The files, for messages."""

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest height.

        Raises:
            GridError: nothing but voids.
        """
        if not np.isfinite(self.heights).any():
            raise GridError(
                f"{self.name}: nothing but voids around the unit; give other files as "
                "dem, or set dem_sea where that is open sea"
            )
        return float(np.nanmin(self.heights)), float(np.nanmax(self.heights))


@dataclass(frozen=True)
class _File:
    path: str
    header: Header
    horizontal: pyproj.CRS
    vertical: str | None


class HeightModel:
    """Height files, opened and held against each other; no heights are read yet."""

    def __init__(
        self, paths: Sequence[str], vertical: str = "auto", geoid: str | None = None
    ) -> None:
        """Open the files.

        Args:
            paths: rasters of metres on one grid (GeoTIFF, SRTM .hgt, VRT …).
            vertical: `ellipsoid`, `egm96`, `egm2008`, or `auto` for what the files' CRS say.
            geoid: raster of geoid heights in metres; PROJ's own grid if absent.

        Raises:
            InputError: no path is given.
            SceneError: a file cannot be read.
            GridError: files on several grids, an unknown vertical datum, a missing geoid grid.
        """
        if not paths:
            raise InputError("no height model; give its files as dem")
        self.files = [_open(path) for path in paths]
        self.name = ", ".join(paths[:3]) + (f" … ({len(paths)} files)" if len(paths) > 3 else "")
        datum = _datum(self.files, vertical)
        _check_common_grid(self.files)
        self.lookup: Undulation | None = None
        if datum != "ellipsoid":
            self.lookup = geoid_raster(geoid) if geoid is not None else proj_geoid(datum)

    def check(self, geobox: GeoBox, *, sea: bool = False) -> None:
        """Refuse a unit that the files do not cover.

        Args:
            geobox: the unit.
            sea: whether places without a file are open sea.

        Raises:
            GridError: part of the unit lies outside all files.
        """
        files = _turned(self.files, geobox)
        lacking = _lacking(geobox, files)
        if lacking and not sea:
            raise GridError(
                f"{self.name}: the height model does not cover the unit ({lacking:.0%} of it lie "
                "outside); add the files around it to dem, or set dem_sea "
                "where that is open sea"
            )

    def read(self, geobox: GeoBox, *, sea: bool = False) -> Dem:
        """Heights around a unit; see `read_dem`."""
        self.check(geobox, sea=sea)
        files = _turned(self.files, geobox)
        first = files[0]
        rows, cols = _reach(geobox, first)
        heights = _merged(files, rows, cols)
        transform = Affine(*first.header.transform) * Affine.translation(cols.start, rows.start)
        if sea:
            heights[np.isnan(heights)] = 0.0
        if self.lookup is not None:
            heights += undulation(self.lookup, first.horizontal, transform, heights.shape)
        return Dem(heights, first.horizontal.to_string(), tuple(transform)[:6], self.name)


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
        Heights of a rectangle around the unit, two pixels wider on each side. Near the
        antimeridian its CRS counts longitudes from 0 to 360.

    Raises:
        InputError: no path is given.
        SceneError: a file cannot be read.
        GridError: files on several grids, an unknown vertical datum, a missing geoid grid, or a
            unit that is not covered.
    """
    return HeightModel(paths, vertical, geoid).read(geobox, sea=sea)


def _turned(files: Sequence[_File], geobox: GeoBox) -> Sequence[_File]:
    """The files as they lie around a unit: near the antimeridian whole turns are added."""
    horizontal = files[0].horizontal
    if not horizontal.is_geographic:
        return files
    lon = _transformed(geobox, horizontal.to_string())[0]
    if not (np.abs(lon[np.isfinite(lon)]) > _NEAR_EDGE).any():
        return files
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a PROJ string drops names, none of its use
        wide = pyproj.CRS.from_user_input(f"{horizontal.to_proj4()} +lon_wrap=180")
    there = _transformed(geobox, wide.to_string())[0]
    margin = 3 * abs(files[0].header.transform[0])
    low, high = float(np.nanmin(there)) - margin, float(np.nanmax(there)) + margin
    found: list[_File] = []
    others: list[_File] = []
    for file in files:
        a, b, c, d, e, f = file.header.transform
        for turn in (-360.0, 0.0, 360.0):
            west, east = sorted((c + turn, c + turn + a * file.header.shape[1]))
            header = replace(file.header, transform=(a, b, c + turn, d, e, f))
            turned = replace(file, header=header, horizontal=wide)
            (found if west < high and east > low else others).append(turned)
    if found:
        _check_common_grid(found)
    return found or others


def _open(path: str) -> _File:
    header = read_header(path)
    check_one_band(path, header, "heights")
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
                "dem_vertical to ellipsoid, egm96 (SRTM) or egm2008 (Copernicus DEM)"
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


def _transformed(geobox: GeoBox, crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points in another CRS."""
    x, y = _transformer(str(geobox.crs), crs).transform(*_points(geobox))
    return np.asarray(x), np.asarray(y)


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _pixels(geobox: GeoBox, file: _File) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns in a file of points of the unit; first pixel's centre at (0, 0)."""
    there = _transformed(geobox, file.horizontal.to_string())
    col, row = ~Affine(*file.header.transform) * there
    if not (np.isfinite(col).all() and np.isfinite(row).all()):
        raise GridError(
            f"{file.path}: its CRS does not reach the unit's grid in {geobox.crs}; give heights "
            "around the area as dem"
        )
    return row - 0.5, col - 0.5


def _reach(geobox: GeoBox, file: _File) -> tuple[slice, slice]:
    """Rows and columns around the unit, on the grid of the first file; may lie outside it."""
    rows, cols = (
        slice(math.floor(axis.min()) - 2, math.ceil(axis.max()) + 3)
        for axis in _pixels(geobox, file)
    )
    return rows, cols


def _merged(files: Sequence[_File], rows: slice, cols: slice) -> NDArray[np.float32]:
    """Heights of a rectangle; NaN: void or outside."""
    heights = np.full((rows.stop - rows.start, cols.stop - cols.start), np.nan, np.float32)
    for file in files:
        top, left = _offset(file, files[0])
        height, width = file.header.shape
        y0, y1 = max(rows.start, top), min(rows.stop, top + height)
        x0, x1 = max(cols.start, left), min(cols.stop, left + width)
        if y0 >= y1 or x0 >= x1:
            continue
        part = read_metres(
            file.path, file.header, slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        )
        here = (slice(y0 - rows.start, y1 - rows.start), slice(x0 - cols.start, x1 - cols.start))
        # A shared edge of two files: the first that knows the height gives it.
        heights[here] = np.where(np.isnan(heights[here]), part, heights[here])
    return heights


def _lacking(geobox: GeoBox, files: Sequence[_File]) -> float:
    """Share of the unit's points that have not all of their four height pixels."""
    row, col = _pixels(geobox, files[0])
    boxes = []
    for file in files:
        top, left = _offset(file, files[0])
        bottom, right = top + file.header.shape[0], left + file.header.shape[1]
        near = top <= row.max() + 2 and bottom >= row.min() - 1
        if near and left <= col.max() + 2 and right >= col.min() - 1:
            boxes.append((top, bottom, left, right))
    lacking = np.zeros(row.shape, bool)
    for dy in (0, 1):
        for dx in (0, 1):
            y = np.floor(row + 1e-6).astype(int) + dy
            x = np.floor(col + 1e-6).astype(int) + dx
            weight = np.abs(1 - dy - (row % 1)) * np.abs(1 - dx - (col % 1))
            covered = np.zeros(row.shape, bool)
            for top, bottom, left, right in boxes:
                covered |= (y >= top) & (y < bottom) & (x >= left) & (x < right)
            lacking |= ~covered & (weight > 1e-6)
    return float(lacking.mean())
