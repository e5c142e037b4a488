# SPDX-License-Identifier: Apache-2.0
"""What the terrain does to each map pixel: incidence angles, layover and shadow, as bands.

Laws:
1. Angles are those between the line of sight and a normal at the map pixel: of the ellipsoid, or
   of the height model's surface. Its slope is taken over two map pixels along each axis.
2. Vectors are linear in height and bilinear between the nodes of the image's lattice; slopes are
   taken in metres by the grid's own metric, so projections and degrees make no difference.
3. Layover and shadow are those of the nearest sample of the nearest profile, see `shadow`.
4. A pixel whose height is unknown is missing here as in the polarisations.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyproj
from numpy.typing import NDArray

from .. import exact, resample
from ..compiled import kernel
from ..radar.doppler import ecef, locate
from ..radar.orbit import Orbit
from ..rasters import BlockReader
from .geometry import Heights, ImageLattice, RangeTable
from .kernels import heights_of_window, image_window
from .profiles import LINES, PROFILES, STEP_M
from .shadow import Masks

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from ..heights import Dem

Array = NDArray[np.float64]

NAMES = ("local_incidence", "ellipsoid_incidence", "layover_shadow")
"""Bands in the order of their codes."""
_UP_M = 2000.0
"""Height at which the line of sight is taken a second time."""


class Sights(NamedTuple):
    """What angles need, around a unit."""

    values: Array
    """(9, node row, node column), see `sights`."""
    cell: tuple[int, int]
    """First node, in cells from the grid's origin."""
    shift: int
    """Cells have 1 << shift pixels."""


class TerrainBands:
    """Bands of terrain of one scene, as the engine takes a group of bands."""

    resident = 0

    def __init__(
        self, names: Sequence[str], first: int, geobox: GeoBox, image: ImageLattice, orbit: Orbit,
        dem: Dem, masks: Masks,
    ) -> None:  # fmt: skip
        """Plan only.

        Args:
            names: bands wanted, of `NAMES`.
            first: place of the first one in the stack.
            geobox: the unit.
            image: geometry of the image.
            orbit: with the annotation's epoch.
            dem: heights that cover the unit and two of its pixels more.
            masks: of the same image.
        """
        self.image, self.masks = image, masks
        self.heights = Heights.of(dem, geobox.pad(2))
        self.sights = Sights(sights(geobox, orbit, image.shift), image.cell, image.shift)
        self.bands = np.full(len(NAMES), -1, np.int64)
        for place, name in enumerate(names):
            self.bands[NAMES.index(name)] = first + place

    def decode(
        self, patches: NDArray[np.int64], reader: BlockReader, pool: Executor
    ) -> set[Future[None]]:  # fmt: skip
        """Nothing is read."""
        del patches, reader, pool
        return set()

    def plan_release(self, shards: Sequence[slice]) -> None:
        """Nothing is held."""

    def release(self, unfinished: Sequence[int]) -> None:
        """Nothing is held."""

    def sample(
        self, places: NDArray[np.int64], out: NDArray[Any], filled: NDArray[np.uint8],
        valid: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Write the bands of patches; arguments as in `resample.Target`."""
        size = out.shape[-1]
        line, ground = np.empty((2, size, size))
        height = np.empty((size + 2, size + 2))
        for number in np.flatnonzero(places[:, 2]):
            row, col = (int(places[number, k]) + self.image.origin[k] for k in (0, 1))
            heights_of_window(self.heights, row - 1, col - 1, height)
            if self.bands[:2].max() >= 0:
                angles(
                    height, self.sights, (row, col), self.bands,
                    out[number], filled[number], valid[number],
                )  # fmt: skip
            if self.bands[2] >= 0:
                inner = np.ascontiguousarray(height[1:-1, 1:-1])
                self._places(row, col, inner, line, ground)
                self._mark(line, ground, out[number, self.bands[2]], filled[number])

    def _places(self, row: int, col: int, height: Array, line: Array, ground: Array) -> None:
        """Line, and slant range on the ellipsoid, by which profiles are found."""
        image = self.image._replace(table=RangeTable.none())  # slant ranges stay slant ranges
        unused = np.empty(height.shape)
        image_window(image, row, col, height, line, unused)
        image_window(image, row, col, 0.0 * height, unused, ground)

    def _mark(
        self, line: Array, ground: Array, out: NDArray[Any], filled: NDArray[np.uint8]
    ) -> None:
        if not np.isfinite(line).any():
            return
        profiles = self.masks.profiles
        number = np.rint((line - (LINES - 1) / 2) / LINES)
        low, high = (int(f(number)) // PROFILES for f in (np.nanmin, np.nanmax))
        codes = self.masks.window(range(low, high + 1))
        known = np.isfinite(line)
        rows = np.where(known, number, low * PROFILES).astype(np.int64) - low * PROFILES
        cols = np.where(known, np.rint(ground / STEP_M), 0).astype(np.int64) - profiles.start
        found = codes[rows, np.clip(cols, 0, profiles.count - 1)]
        np.copyto(out, found, where=filled == 0, casting="unsafe")


def sights(geobox: GeoBox, orbit: Orbit, shift: int) -> Array:
    """What angles need, at the nodes of the lattice of 1 << shift pixels around a unit.

    Args:
        geobox: the unit.
        orbit: gives where the satellite is.
        shift: see `geometry.ImageLattice`.

    Returns:
        (9, node row, node column) float64: the inverse metric of the grid (column-column,
        column-row, row-row, in px²/m²); the unit vector to the satellite at height 0, times one
        pixel along columns and along rows (m) and times the ellipsoid's normal; the growth of
        these three with each metre of height.
    """
    nodes = resample.nodes(geobox, str(geobox.crs), shift)
    there = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    a, e = geobox.affine.a, geobox.affine.e

    def place(dx: float, dy: float) -> Array:
        lon, lat = there.transform(nodes.x + dx * a, nodes.y + dy * e)
        return ecef(lon, lat, 0.0)

    across, down = place(8, 0) - place(-8, 0), place(0, 8) - place(0, -8)
    across, down = across / 16, down / 16
    lon, lat = there.transform(nodes.x, nodes.y)
    up = (ecef(lon, lat, 1000.0) - ecef(lon, lat, 0.0)) / 1000.0

    dot = exact.dot
    gxx, gxy, gyy = dot(across, across), dot(across, down), dot(down, down)
    area = gxx * gyy - gxy * gxy
    seen = []
    for height in (0.0, _UP_M):
        point = ecef(lon, lat, height)
        time_s, slant_m = locate(orbit, point)
        sight = (orbit.state(time_s)[0] - point) / slant_m[..., None]
        seen.append(np.stack([dot(sight, across), dot(sight, down), dot(sight, up)]))
    growth = (seen[1] - seen[0]) / _UP_M
    return np.concatenate([np.stack([gyy, -gxy, gxx]) / area, seen[0], growth])


@kernel
def angles(height, sights, place, bands, out, filled, valid):
    """Incidence angles of a patch in degrees, in place.

    Args:
        height: (y + 2, x + 2) heights of the patch and one pixel around it, NaN where unknown.
        sights: `Sights`.
        place: first row and column of the patch, counted from the grid's origin.
        bands: place of the local and of the ellipsoid's angle in `out`; -1 for not wanted.
        out: (band, y, x) float32.
        filled: (y, x) uint8, see `resample.Target`.
        valid: (y, x) uint8.
    """
    near, cell, shift = sights
    row, col = place
    size = 1 << shift
    part = 1.0 / size
    at = np.empty(9)
    for y in range(filled.shape[0]):
        i = ((row + y) >> shift) - cell[0]
        down = ((row + y) & (size - 1)) * part
        for x in range(filled.shape[1]):
            if filled[y, x] != 0:
                continue
            here = height[y + 1, x + 1]
            right = _slope(height[y + 1, x], here, height[y + 1, x + 2])
            below = _slope(height[y, x + 1], here, height[y + 2, x + 1])
            if not (math.isfinite(right) and math.isfinite(below)):
                valid[y, x] = 0
                continue
            k = ((col + x) >> shift) - cell[1]
            across = ((col + x) & (size - 1)) * part
            for n in range(9):
                upper = near[n, i, k] + (near[n, i, k + 1] - near[n, i, k]) * across
                lower = near[n, i + 1, k] + (near[n, i + 1, k + 1] - near[n, i + 1, k]) * across
                at[n] = upper + (lower - upper) * down
            up = at[5] + here * at[8]
            if bands[1] >= 0:
                out[bands[1], y, x] = math.degrees(math.acos(min(max(up, -1.0), 1.0)))
            if bands[0] >= 0:
                # The gradient along the surface of the ellipsoid, by columns and rows.
                a, b = at[0] * right + at[1] * below, at[1] * right + at[2] * below
                cosine = up - a * (at[3] + here * at[6]) - b * (at[4] + here * at[7])
                cosine /= math.sqrt(1.0 + a * right + b * below)
                out[bands[0], y, x] = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))


@kernel
def _slope(before, here, after):
    """Growth of the height from pixel to pixel, from those neighbours that are known."""
    if not math.isfinite(before):
        return after - here
    if not math.isfinite(after):
        return here - before
    return 0.5 * (after - before)
