# SPDX-License-Identifier: Apache-2.0
"""Polygons burnt into a pixel grid, exactly.

Laws:
1. A pixel belongs to a polygon that contains its centre. A centre exactly on a border belongs to
   the polygon on its left, on a border along a row to the polygon below: GDAL's rule, so that
   polygons which share a border share no pixel and leave none between them. (GDAL also burns
   some borders along rows a second time, into the polygon above; here they count once.)
2. Coordinates are whole numbers of 1/65536 pixel, counted from the origin of the grid's CRS: all
   comparisons are exact, so a pixel does not depend on the window, the strip or the unit that it
   is burnt in.
3. Of features that overlap the one with the greatest sort key wins. Keys are made of the features
   themselves, never of their order in a file.
4. Cost is linear in the number of vertices, of rows that edges cross, and of pixels burnt.

Source of the rule: GDAL, `gdal_rasterize` without ALL_TOUCHED (scan lines through pixel centres).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel
from ..errors import GridError

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

SUBPIXEL_BITS = 16
"""A coordinate counts 1/65536 pixels: 0.15 mm at 10 m."""
_SIDE_PX = 2**14
"""Longest edge in pixels: products of two differences must fit into 63 bits."""


@dataclass(frozen=True)
class Anchor:
    """How map coordinates become whole subpixels of a grid, the same for all its windows."""

    step: tuple[float, float]
    """Pixel width and height in units of the CRS (height negative for north-up grids)."""
    phase: tuple[float, float]
    """Offset of the grid against the origin of the CRS, in pixels, to a millionth."""
    first: tuple[int, int]
    """Column and row of the window's first pixel, counted from that origin."""
    shape: tuple[int, int]
    """Height and width of the window in pixels."""

    @classmethod
    def of(cls, geobox: GeoBox) -> Anchor:
        """Anchor of a geobox.

        Raises:
            GridError: the geobox is rotated or has no CRS.
        """
        a, b, c, d, e, f = tuple(geobox.affine)[:6]
        if b or d or geobox.crs is None:
            raise GridError(
                f"the grid {geobox!r} is rotated or has no CRS; labels need an upright one"
            )
        first = round(c / a), round(f / e)
        phase = round(c / a - first[0], 6), round(f / e - first[1], 6)
        return cls((a, e), phase, first, (geobox.shape[0], geobox.shape[1]))

    def rows(self, rows: range) -> Anchor:
        """The same grid, a strip of the window's rows."""
        first = (self.first[0], self.first[1] + rows.start)
        return Anchor(self.step, self.phase, first, (len(rows), self.shape[1]))

    def subpixels(self, xy: NDArray[np.float64]) -> NDArray[np.int64]:
        """Whole subpixels from the window's upper left corner.

        Args:
            xy: (n, 2) map coordinates, finite.

        Returns:
            (n, 2) int64: to the right, and down.
        """
        # Rounded before the window's corner is taken off: law 2.
        scaled = np.rint((xy / self.step - self.phase) * (1 << SUBPIXEL_BITS)).astype(np.int64)
        scaled -= np.array(self.first, np.int64) << SUBPIXEL_BITS
        return scaled


@dataclass(frozen=True)
class Shapes:
    """Polygon features in subpixels, flat."""

    xy: NDArray[np.int64]
    """(vertex, 2); each ring closed, its first vertex repeated."""
    rings: NDArray[np.int64]
    """(ring + 1,) first vertex of each ring, and the number of vertices."""
    features: NDArray[np.int64]
    """(feature + 1,) first ring of each feature, and the number of rings."""
    area: NDArray[np.int64]
    """(feature,) twice the area in 2^-24 pixels, exact: outer rings less their holes."""

    @classmethod
    def of(cls, geometries: NDArray[Any], anchor: Anchor) -> Shapes:
        """Features from shapely (multi)polygons in the CRS of the anchor's grid.

        Raises:
            GridError: coordinates that are not finite, as PROJ gives them far outside of a CRS.
        """
        import shapely

        if not len(geometries):
            none = np.zeros(1, np.int64)
            return cls(np.empty((0, 2), np.int64), none, none, none[:0])
        multi = _multipolygons(geometries)
        kind, xy, offsets = shapely.to_ragged_array(multi)
        assert kind == shapely.GeometryType.MULTIPOLYGON
        rings, polygons, features = (np.asarray(part, np.int64) for part in offsets)
        if not np.isfinite(xy).all():
            raise GridError(
                "polygons reach to where the grid's CRS has no coordinates; cut the file to the "
                "area first"
            )
        points = anchor.subpixels(np.asarray(xy[:, :2], np.float64))
        if len(points) > 1 and np.abs(np.diff(points, axis=0)).max() > _SIDE_PX << SUBPIXEL_BITS:
            # Rare (edges of 160 km at 10 m): divided in map coordinates, so alike in all windows.
            limit = _SIDE_PX / 2 * min(abs(step) for step in anchor.step)
            longest = np.abs(np.diff(xy[:, :2], axis=0))
            inner = np.ones(len(longest), bool)
            inner[rings[1:-1] - 1] = False
            if (longest[inner] > limit).any():
                return cls.of(shapely.segmentize(multi, limit), anchor)
        area = np.zeros(len(geometries), np.int64)
        _areas(points, rings, polygons, features, area)
        return cls(points, rings, polygons[features], area)

    def __len__(self) -> int:
        return len(self.area)


def _multipolygons(geometries: NDArray[Any]) -> NDArray[Any]:
    """The same polygons, all as multipolygons, in one array without missing ones."""
    import shapely

    result = np.asarray(geometries, dtype=object).copy()
    single = shapely.get_type_id(result) == shapely.GeometryType.POLYGON
    if single.any():
        where = np.flatnonzero(single)
        result[where] = shapely.multipolygons(result[where], indices=np.arange(len(where)))
    return result


def burn(
    shapes: Shapes, values: NDArray[np.uint8], order: NDArray[np.intp], out: NDArray[np.uint8]
) -> None:
    """Burn features one after the other.

    Args:
        shapes: polygons in subpixels of the window `out`.
        values: (feature,) value of each.
        order: features in the order of burning: later ones lie over earlier ones.
        out: (y, x), changed in place where a feature contains a pixel's centre.
    """
    _burn(shapes.xy, shapes.rings, shapes.features, values, order.astype(np.int64), out)


class _Rows(NamedTuple):
    """The rows of the raster that a feature may meet."""

    top: int
    bottom: int
    """The one after the last."""


@kernel
def _meets(xy, first, last, shape):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Rows between the vertices `first` and `last`; none where columns do not meet either."""
    half = 1 << 15
    low = xy[first, 1]
    high = low
    left = xy[first, 0]
    right = left
    for vertex in range(first, last):
        y = xy[vertex, 1]
        x = xy[vertex, 0]
        low, high = min(low, y), max(high, y)
        left, right = min(left, x), max(right, x)
    # Row r lies in [y1, y2) where its centre (r + 1/2) does.
    top = max(0, (low + half - 1) >> 16)
    bottom = min(shape[0], (high + half - 1) >> 16)
    if right < half or left > shape[1] << 16:
        bottom = top
    return _Rows(top, bottom)


@kernel
def _count(xy, ends, rows, starts):  # type: ignore[no-untyped-def]  # pragma: no cover
    """How many edges cross each row of rings with those ends, one place further on in `starts`."""
    half = 1 << 15
    for ring in range(len(ends) - 1):
        for vertex in range(ends[ring], ends[ring + 1] - 1):
            y1, y2 = xy[vertex, 1], xy[vertex + 1, 1]
            if y1 > y2:
                y1, y2 = y2, y1
            begin = max(rows.top, (y1 + half - 1) >> 16)
            end = min(rows.bottom, (y2 + half - 1) >> 16)
            for row in range(begin, end):
                starts[row - rows.top + 1] += 1


@kernel
def _cross(xy, rings, rows, starts, ends, crossings):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Columns where edges cross each row, in order; `ends` of the rows move on from `starts`."""
    half = 1 << 15
    top = rows.top
    for ring in range(len(rings) - 1):
        for vertex in range(rings[ring], rings[ring + 1] - 1):
            x1, y1 = xy[vertex, 0], xy[vertex, 1]
            x2, y2 = xy[vertex + 1, 0], xy[vertex + 1, 1]
            if y1 > y2:
                x1, x2 = x2, x1
                y1, y2 = y2, y1
            begin = max(top, (y1 + half - 1) >> 16)
            end = min(rows.bottom, (y2 + half - 1) >> 16)
            for row in range(begin, end):
                # First column whose centre lies to the right of the crossing, exactly: the
                # fraction that // leaves out never reaches the next whole subpixel.
                run = ((row << 16) + half - y1) * (x2 - x1) // (y2 - y1)
                column = (x1 + run + half) >> 16
                # Sorted into the row as it comes: rows mostly have two crossings.
                place = ends[row - top]
                ends[row - top] = place + 1
                while place > starts[row - top] and crossings[place - 1] > column:
                    crossings[place] = crossings[place - 1]
                    place -= 1
                crossings[place] = column


@kernel
def _burn(xy, rings, features, values, order, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    width = out.shape[1]
    starts = np.empty(64, np.int64)
    ends = np.empty(64, np.int64)
    crossings = np.empty(256, np.int64)
    for number in order:
        first_ring, last_ring = features[number], features[number + 1]
        if first_ring == last_ring:
            continue
        first, last = rings[first_ring], rings[last_ring]
        if last == first:
            continue
        met = _meets(xy, first, last, out.shape)
        if met.bottom <= met.top:
            continue
        # How many crossings each row has, then where they lie, then the spans between them.
        count = met.bottom - met.top
        if count + 1 > len(starts):
            starts = np.empty(2 * (count + 1), np.int64)
            ends = np.empty(2 * (count + 1), np.int64)
        starts[: count + 1] = 0
        own = rings[first_ring : last_ring + 1]
        _count(xy, own, met, starts)
        for row in range(count):
            starts[row + 1] += starts[row]
            ends[row] = starts[row]
        if starts[count] > len(crossings):
            crossings = np.empty(2 * starts[count], np.int64)
        _cross(xy, own, met, starts, ends, crossings)
        value = values[number]
        for row in range(count):
            for place in range(starts[row], ends[row], 2):
                begin_px = max(0, crossings[place])
                end_px = min(width, crossings[place + 1])
                for column in range(begin_px, end_px):
                    out[met.top + row, column] = value


@kernel
def _areas(xy, rings, polygons, features, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    for number in range(len(out)):
        total = 0
        for polygon in range(features[number], features[number + 1]):
            for ring in range(polygons[polygon], polygons[polygon + 1]):
                # 64-bit numbers wrap around and come back: the sum is right whenever it fits.
                twice = 0
                x0, y0 = xy[rings[ring], 0] >> 4, xy[rings[ring], 1] >> 4
                for vertex in range(rings[ring], rings[ring + 1] - 1):
                    x1, y1 = (xy[vertex, 0] >> 4) - x0, (xy[vertex, 1] >> 4) - y0
                    x2, y2 = (xy[vertex + 1, 0] >> 4) - x0, (xy[vertex + 1, 1] >> 4) - y0
                    twice += x1 * y2 - x2 * y1
                total += abs(twice) if ring == polygons[polygon] else -abs(twice)
        out[number] = total
