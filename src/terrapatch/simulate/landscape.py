# SPDX-License-Identifier: Apache-2.0
"""One coherent, seeded landscape: what lies where, as polygons on a metric plane.

Laws:
1. The landscape is made once for an archive; every product looks at the same polygons and the
   same noise fields, so all agree on the ground whatever their grid.
2. A pixel shows what lies at its centre. Of features that overlap, the later one is seen.
3. A feature is an object: polygon, cover, TerraClass code and traits, not only pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel
from ..crs import GEOGRAPHIC, transformer
from .facts import covers
from .parcels import LandFeatures, Ways, blob, lay_out
from .relief import MainRiver, Relief, main_river, make_relief

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

NODE_PX = 32
"""Spacing of the nodes between which ground places are interpolated, in pixels."""

_RASTERIZE = Lock()
"""rasterio silences a warning of its own around this call, which two threads must not do at once."""

UNOBSERVED = 25
"""TerraClass code for ground that its makers could not see."""


@dataclass(frozen=True, eq=False)
class Landscape:
    """All that the ground is made of."""

    crs: str
    """PROJ text of the plane: equal-area azimuthal around the area's centre, metres."""
    seed: int
    size: float
    """Side of the area in metres (the longer one)."""
    reach: float
    """How far from the origin products show it, in metres."""
    relief: Relief
    river: MainRiver
    features: LandFeatures
    tracks: NDArray[np.object_]
    """Dirt tracks (polygons): seen by the optical sensor, in no map."""
    ways: Ways
    """Centre lines of roads and tracks."""
    unobserved: NDArray[np.object_]
    """Polygons that the reference map declares as not observed."""
    impulses: NDArray[np.float64]
    """(n, 2) places of point targets on the plane."""


def plane_of(area: BaseGeometry) -> str:
    """The landscape's plane for an area given in degrees."""
    left, bottom, right, top = area.bounds
    lon, lat = round((left + right) / 2, 3), round((bottom + top) / 2, 3)
    return f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m +no_defs"


def make_landscape(
    area: BaseGeometry,
    extent: BaseGeometry,
    seed: int,
    impulses: tuple[tuple[float, float], ...] = (),
) -> Landscape:
    """Make a landscape.

    Args:
        area: polygon of the dataset in EPSG:4326; its centre is the landscape's origin.
        extent: polygon in EPSG:4326 of all that products will show.
        seed: another seed, another landscape.
        impulses: (longitude, latitude) of point targets.
    """
    import shapely

    from ..grid import reprojected

    crs = plane_of(area)
    inner = reprojected(area, GEOGRAPHIC, crs).bounds
    size = max(inner[2] - inner[0], inner[3] - inner[1])
    bounds = shapely.bounds(reprojected(extent, GEOGRAPHIC, crs))
    wide = (bounds[0] - 1_500, bounds[1] - 1_500, bounds[2] + 1_500, bounds[3] + 1_500)
    river = main_river(seed, size)
    relief, courses = make_relief(wide, seed, river)
    targets = np.empty((0, 2))
    if impulses:
        targets = np.column_stack(transformer(GEOGRAPHIC, crs).transform(*np.array(impulses).T))
    features, tracks, ways = lay_out(wide, courses, river, seed, targets)
    corner = np.array([inner[2], inner[3]]) - 0.02 * size
    radius = float(np.clip(0.018 * size, 60.0, 220.0))
    return Landscape(
        crs, seed, size, float(np.abs(bounds).max()), relief, river, features, tracks, ways,
        _hidden(corner, radius, wide, seed), targets,
    )  # fmt: skip


def _hidden(
    corner: NDArray[np.float64],
    radius: float,
    bounds: tuple[float, float, float, float],
    seed: int,
) -> NDArray[np.object_]:
    """Ground that the map's makers could not see: one spot in the area, more far from it."""
    rng = np.random.default_rng((seed, 77))
    spots = [blob(corner, radius, rng)]
    step = 9_000.0
    for x in np.arange(bounds[0], bounds[2], step):
        for y in np.arange(bounds[1], bounds[3], step):
            place = np.array([x, y]) + rng.uniform(0, step, 2)
            if rng.random() < 0.3 and np.abs(place - corner).max() > 16_000:
                spots.append(blob(place, rng.uniform(150, 600), rng))
    return np.array(spots, object)


@lru_cache(maxsize=4)
def _projected(landscape: Landscape, crs: str) -> tuple[Any, ...]:
    """Features, tracks and unobserved spots in another CRS, each with a search tree."""
    import shapely

    there_from = transformer(landscape.crs, crs)

    def moved(geometry: NDArray[np.object_]) -> tuple[NDArray[np.object_], Any]:
        there = shapely.transform(geometry, lambda xy: np.column_stack(there_from.transform(*xy.T)))
        return there, shapely.STRtree(there)

    groups = (landscape.features.geometry, landscape.tracks, landscape.unobserved)
    return tuple(moved(group) for group in groups)


def _burn(landscape: Landscape, geobox: GeoBox, group: int, numbered: bool) -> NDArray[np.int32]:
    from rasterio.features import rasterize

    geometry, tree = _projected(landscape, str(geobox.crs))[group]
    found = np.sort(tree.query(geobox.extent.geom))
    out = np.zeros(geobox.shape, np.int32)
    if found.size:
        shapes = [(geometry[i], int(i) if numbered else 1) for i in found]
        with _RASTERIZE:
            rasterize(shapes, out=out, transform=geobox.affine)
    return out


def feature_numbers(landscape: Landscape, geobox: GeoBox) -> NDArray[np.int32]:
    """Which feature lies at each pixel's centre: (y, x) int32, indices into `LandFeatures`."""
    return _burn(landscape, geobox, 0, numbered=True)


def track_mask(landscape: Landscape, geobox: GeoBox) -> NDArray[np.bool_]:
    """Where dirt tracks run: (y, x) bool."""
    return _burn(landscape, geobox, 1, numbered=False) > 0


def map_codes(landscape: Landscape, geobox: GeoBox) -> NDArray[np.uint8]:
    """TerraClass codes as a map of the landscape has them: (y, x) uint8."""
    codes = covers().codes[landscape.features.cover][feature_numbers(landscape, geobox)]
    codes[_burn(landscape, geobox, 2, numbered=False) > 0] = UNOBSERVED
    return codes


def ground_places(
    landscape: Landscape, geobox: GeoBox
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the pixel centres of a north-up geobox lie on the landscape's plane.

    Exact at nodes every 32 px of a lattice anchored to the CRS, bilinear in between (error
    < 1 mm for pixels of 10 m), so that crops and strips of a grid give the same places.

    Returns:
        x, y: (y, x) float64 in metres.
    """
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    height, width = geobox.shape
    col, row = round(c / a), round(f / e)
    col0, row0 = col // NODE_PX, row // NODE_PX
    cols = np.arange(col0, (col + width) // NODE_PX + 2)
    rows = np.arange(row0, (row + height) // NODE_PX + 2)
    # Sub-pixel shift of this grid against the CRS's lattice of pixel corners.
    shift_x, shift_y = c - col * a, f - row * e
    east, north = np.meshgrid(cols * NODE_PX * a + shift_x, rows * NODE_PX * e + shift_y)
    x, y = transformer(str(geobox.crs), landscape.crs).transform(east, north)
    first = (row - row0 * NODE_PX, col - col0 * NODE_PX)
    return _between(x, *first, height, width), _between(y, *first, height, width)


@kernel
def _between(
    nodes: NDArray[np.float64], row: int, col: int, height: int, width: int
) -> NDArray[np.float64]:
    out = np.empty((height, width))
    for r in range(height):
        p = (row + r + 0.5) / NODE_PX
        i = math.floor(p)
        v = p - i
        for c in range(width):
            q = (col + c + 0.5) / NODE_PX
            j = math.floor(q)
            u = q - j
            top = nodes[i, j] * (1 - u) + nodes[i, j + 1] * u
            low = nodes[i + 1, j] * (1 - u) + nodes[i + 1, j + 1] * u
            out[r, c] = top * (1 - v) + low * v
    return out


SWATH_LEAN = 0.22
"""How far the eastern edge of a swath moves west per metre north (a descending orbit)."""


def in_swath(
    landscape: Landscape, edge: float | None, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether places lie west of a swath's eastern edge.

    Args:
        landscape: its size gives `edge` its scale.
        edge: where the edge crosses the x axis, in half sides of the area; None: beyond all.
        x: places on the plane, metres.
        y: likewise.
    """
    if edge is None:
        return np.ones(np.shape(x), bool)
    return np.asarray(x + SWATH_LEAN * y < edge * landscape.size / 2)


def swath_part(landscape: Landscape, edge: float | None, geobox: GeoBox) -> BaseGeometry | None:
    """Outline in EPSG:4326 of the part of a geobox that lies in the swath; None if there is none.

    A convex polygon without points on its straight sides, longitudes −180..180.
    """
    import shapely

    from ..grid import reprojected

    outline = geobox.extent.geom
    crs = str(geobox.crs)
    if edge is not None:
        limit, far = edge * landscape.size / 2, 400_000.0
        west = shapely.Polygon(
            [(limit - SWATH_LEAN * -far, -far), (limit - SWATH_LEAN * far, far),
             (-4 * far, far), (-4 * far, -far)]
        )  # fmt: skip
        outline = outline.intersection(reprojected(west, landscape.crs, crs))
        if outline.is_empty or outline.geom_type != "Polygon":
            return None
    corners = shapely.simplify(outline, 1.0)
    there = transformer(crs, GEOGRAPHIC)
    return shapely.transform(corners, lambda xy: np.column_stack(there.transform(*xy.T)))
