# SPDX-License-Identifier: Apache-2.0
"""From the grid of a unit straight to lines and pixels of a radar image.

Laws:
1. At the nodes of a lattice that belongs to the grid (every 32 pixels of 10 m), at heights that
   are multiples of 500 m, line and slant range are exact zero-Doppler solutions. Between, they
   are bilinear in place and quadratic in height: within 0.002 pixels of the exact ones. From
   slant range to pixel each pixel goes by itself: the polynomials of a product change their slope
   from record to record, and nodes on either side would cut that corner by 0.09 pixels.
2. Neither lattice nor heights depend on the unit: units of one grid agree where they overlap.
3. Coordinates count from 0 at the centre of the first line and pixel. They may lie outside the
   image; where nothing sensible can be said they are NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray

from .. import exact, resample
from ..errors import GridError, SceneError
from ..radar.annotation import SPEED_OF_LIGHT, Annotation
from ..radar.doppler import ecef, line_delay, locate
from ..radar.orbit import Orbit
from . import kernels

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from ..heights import Dem

Array = NDArray[np.float64]

STEP_M = 500.0
"""Distance between heights of exact solutions; three of them make a parabola."""
TABLE_PX = 8
"""Pixels between slant ranges in tables."""
_SHIFT = 5
_NODE_M = 320.0
"""Distance between nodes at most; grids of coarse pixels have nodes more often."""
_BEYOND_PX = 512
"""How far outside the image the polynomials of ground range are asked."""
_MARGIN = 2
"""Pixels around what nodes say, for parabolas that overshoot."""


class RangeTable(NamedTuple):
    """Slant ranges by line and pixel: what the polynomials of a product say, made quick.

    Compiled kernels take it as it is, as they do the next two classes.
    """

    lines: Array
    """(record,) lines at which the polynomials hold; linear between, constant beyond."""
    slant_m: Array
    """(record, step) slant ranges, growing along steps and linear between them; of no records
    where nodes have pixels already."""
    pixels: tuple[float, float]
    """Pixel of the first step and pixels between steps."""

    @classmethod
    def of(cls, annotation: Annotation) -> RangeTable:
        """Tabulate an annotation; linear interpolation between steps leaves 0.0002 pixels.

        Raises:
            SceneError: slant ranges that do not grow with the pixels.
        """
        pixels = np.arange(-_BEYOND_PX, annotation.samples + _BEYOND_PX + TABLE_PX, TABLE_PX)
        ground = pixels * annotation.range_spacing_m
        records = annotation.ground_range
        slant = np.stack([polyval(ground - r.gr0_m, r.grsr) for r in records])
        if not (np.diff(slant, axis=1) > 0).all():
            raise SceneError(
                f"{annotation.platform} {annotation.swath} of {annotation.epoch}: polynomials of "
                "ground range that do not grow; fetch the product again"
            )
        times = np.array([record.azimuth_s for record in records])
        lines = (times - annotation.first_line_s) / annotation.azimuth_interval_s
        return cls(lines, slant, (float(pixels[0]), float(TABLE_PX)))

    @classmethod
    def none(cls) -> RangeTable:
        """For nodes that have pixels."""
        return cls(np.zeros(0), np.zeros((0, 0)), (0.0, 1.0))

    def pixel(self, line: Array, slant_m: Array) -> Array:
        """Pixels at which slant ranges lie; those far outside the image are clamped."""
        found = np.empty(line.size)
        kernels.pixels_at(self, line.ravel(), slant_m.ravel(), found)
        return found.reshape(line.shape)


class ImageLattice(NamedTuple):
    """Lines and pixels at the nodes around a unit."""

    nodes: Array
    """(2, step, node row, node column): line, and slant range in m (or pixel, without table)."""
    extremes: Array
    """(2, 2, node row, node column): lowest and highest line and pixel over all heights."""
    table: RangeTable
    cell: tuple[int, int]
    """Row and column of the first node, in cells from the grid's origin."""
    shift: int
    """Cells have 1 << shift pixels."""
    ladder: tuple[float, float]
    """Height of the first step and distance between steps, in m."""
    origin: tuple[int, int]
    """Row and column of the unit's first pixel, counted from the grid's origin."""

    def needed(
        self, places: NDArray[np.int64], size: int, shape: tuple[int, int]
    ) -> NDArray[np.int64]:
        """Which lines and pixels of the image each patch may need, whatever its heights.

        Args:
            places: (patch, 2 or more) first row and column of each patch in the unit.
            size: side of a patch.
            shape: lines and pixels of the image.

        Returns:
            (patch, 4) half-open ranges within the image; all 0 for patches outside it.
        """
        low, high = self.extremes[:, 0], self.extremes[:, 1]
        result = np.zeros((len(places), 4), np.int64)
        for number, place in enumerate(places):
            part: list[slice] = []
            for axis in (0, 1):
                start = int(place[axis]) + self.origin[axis]
                first = (start >> self.shift) - self.cell[axis]
                last = ((start + size - 1) >> self.shift) - self.cell[axis] + 1
                part.append(slice(first, last + 1))
            lows, highs = low[:, part[0], part[1]], high[:, part[0], part[1]]
            if not (np.isfinite(lows).any(axis=(1, 2))).all():
                continue
            first_px = np.floor(np.nanmin(lows, axis=(1, 2))).astype(int) - _MARGIN
            last_px = np.ceil(np.nanmax(highs, axis=(1, 2))).astype(int) + _MARGIN
            if (last_px < 0).any() or (first_px >= np.array(shape)).any():
                continue
            result[number, ::2] = np.clip(first_px, 0, np.array(shape) - 1)
            result[number, 1::2] = np.clip(last_px, 0, np.array(shape) - 1) + 1
        return result


class Heights(NamedTuple):
    """The height model as the kernels take it."""

    values: NDArray[np.float32]
    """(y, x) metres above the ellipsoid; of no rows where everything lies at height 0."""
    lattice: resample.Lattice

    @classmethod
    def of(cls, dem: Dem, geobox: GeoBox) -> Heights:
        """Prepare a height model for the grid of a unit."""
        return cls(dem.heights, resample.nodes(geobox, dem.crs).lattice(dem.transform))

    @classmethod
    def none(cls) -> Heights:
        """Height 0 everywhere."""
        empty = resample.Lattice(np.zeros((2, 2, 2)), (0, 0), (0, 0))
        return cls(np.zeros((0, 0), np.float32), empty)


@dataclass(frozen=True, eq=False)
class GroundNodes:
    """The nodes of a unit at the heights of the ladder: the same for all scenes over it."""

    xyz: Array
    """(step, node row, node column, 3) Earth-fixed coordinates in m."""
    cell: tuple[int, int]
    """As in `ImageLattice`, as are the next three."""
    shift: int
    ladder: tuple[float, float]
    origin: tuple[int, int]

    @classmethod
    def of(cls, geobox: GeoBox, limits: tuple[float, float]) -> GroundNodes:
        """Place the nodes.

        Args:
            geobox: the unit.
            limits: lowest and highest height in the unit, metres above the ellipsoid.

        Raises:
            GridError: the grid is rotated, or far from the Earth.
        """
        lon, lat, cell, origin, shift = _nodes(geobox)
        first = math.floor(limits[0] / (2 * STEP_M)) * 2
        count = max(1, math.ceil(limits[1] / (2 * STEP_M) - first / 2)) * 2 + 1
        levels = (first + np.arange(count)) * STEP_M
        xyz = ecef(lon[None], lat[None], levels[:, None, None])
        return cls(xyz, cell, shift, (float(levels[0]), STEP_M), origin)


def terrain(ground: GroundNodes, annotation: Annotation, orbit: Orbit) -> ImageLattice:
    """Range-Doppler geometry of an image on the grid of a unit.

    Args:
        ground: nodes of the unit.
        annotation: of a GRD image.
        orbit: with the annotation's epoch.
    """
    time_s, slant_m = locate(orbit, ground.xyz)
    a, b = line_delay(annotation)
    line_s = time_s - a - b * (2 / SPEED_OF_LIGHT) * slant_m
    line = (line_s - annotation.first_line_s) / annotation.azimuth_interval_s
    table = RangeTable.of(annotation)
    return ImageLattice(
        np.stack([line, slant_m]), _extremes(line, table.pixel(line, slant_m)), table,
        ground.cell, ground.shift, ground.ladder, ground.origin,
    )  # fmt: skip


def _extremes(line: Array, pixel: Array) -> Array:
    return np.stack([np.stack([np.fmin.reduce(a), np.fmax.reduce(a)]) for a in (line, pixel)])


def ground_control(geobox: GeoBox, annotation: Annotation) -> ImageLattice:
    """Geometry from the product's own grid of ground control points, without relief.

    Cubic splines through the grid give longitude and latitude of every line and pixel; Newton's
    method turns them around at the nodes of the lattice.

    Args:
        geobox: the unit.
        annotation: of the image.

    Raises:
        SceneError: fewer than 4 by 4 points.
        GridError: see `GroundNodes.of`.
    """
    lon, lat, cell, origin, shift = _nodes(geobox)
    line, pixel = _invert(annotation, lon, lat)
    nodes = np.repeat(np.stack([line, pixel])[:, None], 3, axis=1)
    extremes = _extremes(nodes[0], nodes[1])
    return ImageLattice(nodes, extremes, RangeTable.none(), cell, shift, (-STEP_M, STEP_M), origin)


def _invert(annotation: Annotation, lon: Array, lat: Array) -> tuple[Array, Array]:
    from scipy.interpolate import RectBivariateSpline

    grid = annotation.grid
    if min(grid.line.shape) < 4:
        raise SceneError(
            f"{annotation.platform} {annotation.swath}: a geolocation grid of {grid.line.shape} "
            "points is too small; set geometry: terrain"
        )
    middle = float(grid.longitude.flat[0])
    lines, pixels = _widened(grid.line[:, 0]), _widened(grid.pixel[0])
    east = _around(grid.longitude, middle)
    planes = [_widened(_widened(plane, 0), 1) for plane in (east, grid.latitude)]
    splines = [RectBivariateSpline(lines, pixels, plane, s=0) for plane in planes]
    wanted = np.stack([_around(lon, middle).ravel(), lat.ravel()])
    scale = np.cos(np.radians(float(grid.latitude.mean())))
    found = _first_guess(grid.line, grid.pixel, np.stack([east, grid.latitude]), wanted)
    limits = np.array([[lines[0], lines[-1]], [pixels[0], pixels[-1]]])
    for _ in range(12):
        found = np.clip(found, limits[:, :1], limits[:, 1:])
        off = [s.ev(*found) - w for s, w in zip(splines, wanted, strict=True)]
        (a, b), (c, d) = ([s.ev(*found, dx=1), s.ev(*found, dy=1)] for s in splines)
        area = a * d - b * c
        found = found - np.stack([d * off[0] - b * off[1], a * off[1] - c * off[0]]) / area
    miss = np.hypot(off[0] * scale, off[1]) * 111_000
    found[:, miss > 1.0] = np.nan  # beyond the widened grid
    return found[0].reshape(lon.shape), found[1].reshape(lon.shape)


def _first_guess(line: Array, pixel: Array, places: Array, wanted: Array) -> Array:
    """Line and pixel by a polynomial of degree 2 through the grid."""
    centre = places.reshape(2, -1).mean(axis=1)[:, None]

    def terms(p: Array) -> Array:
        x, y = p - centre
        return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)

    targets = np.stack([line.ravel(), pixel.ravel()], axis=1)
    matrix = exact.fit(terms(places.reshape(2, -1)), targets)
    asked = terms(wanted)
    return np.stack([exact.dot(asked, row) for row in matrix.T])


def _widened(values: Array, axis: int = 0) -> Array:
    """One more row on either side, by the line through the last two."""
    v = np.moveaxis(values, axis, 0)
    wide = np.concatenate([[2 * v[0] - v[1]], v, [2 * v[-1] - v[-2]]])
    return np.moveaxis(wide, 0, axis)


def _around(longitude: Array, middle: float) -> Array:
    """Longitudes within half a turn of `middle`."""
    return (longitude - middle + 180) % 360 - 180 + middle


def _nodes(
    geobox: GeoBox,
) -> tuple[Array, Array, tuple[int, int], tuple[int, int], int]:
    """Longitude and latitude of the nodes, first cell, origin, shift."""
    size = abs(geobox.affine.a)
    if geobox.crs is not None and geobox.crs.geographic:
        size *= 111_320.0
    shift = max(0, min(_SHIFT, math.floor(math.log2(1.01 * _NODE_M / size))))
    nodes = resample.nodes(geobox, "EPSG:4326", shift)
    if not (np.isfinite(nodes.x).all() and np.isfinite(nodes.y).all()):
        raise GridError(f"the grid {geobox!r} reaches beyond where its CRS is valid")
    return nodes.x, nodes.y, nodes.cell, nodes.origin, shift


def coordinates(
    image: ImageLattice, heights: Heights, place: tuple[int, int], shape: tuple[int, int]
) -> tuple[Array, Array, Array]:
    """Line, pixel and height of all pixels of a window, as sampling takes them.

    Args:
        image: geometry of the image.
        heights: height model.
        place: row and column of the window's first pixel in the unit.
        shape: rows and columns of the window.
    """
    line, pixel, height = (np.empty(shape) for _ in range(3))
    kernels.coordinates(image, heights, place, line, pixel, height)
    return line, pixel, height
