# SPDX-License-Identifier: Apache-2.0
"""The ground along lines of a radar image: what flattening, layover and shadow are told from.

A profile is the cut of the height model with the zero-Doppler plane of one line. Along it the
ground has two numbers: the slant range, and the look angle (at the satellite, from straight down).
Where the slant range falls the ground lies over; what is below the highest look angle so far lies
in shadow; and look angle times range is the ground's extent across the line of sight.

Laws:
1. Profiles belong to the image: to lines, and to slant ranges on the ellipsoid that are multiples
   of `STEP_M`. Nothing depends on the unit, as long as the height model reaches far enough.
2. At the nodes of a lattice of 64 lines by 64 steps, and at heights that are multiples of 500 m,
   ranges and angles are exact zero-Doppler solutions; between, they are bilinear in place and
   quadratic in height. Nodes follow the line as heights grow: the vertical leaves the zero-Doppler
   plane by up to 3 m in 1000.
3. Rays are straight lines, as for all of Range-Doppler: the atmosphere bends them by less than a
   height model knows.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyproj
from numpy.typing import NDArray

from .. import exact
from ..compiled import kernel
from ..radar.annotation import SPEED_OF_LIGHT, Annotation
from ..radar.doppler import ecef, line_delay, locate, project
from ..radar.orbit import Orbit
from .geometry import STEP_M as LADDER_M
from .geometry import RangeTable

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from ..heights import Dem

Array = NDArray[np.float64]

STEP_M = 5.0
"""Slant range on the ellipsoid from sample to sample of a profile: 7 to 10 m on the ground."""
LINES = 2
"""Lines from profile to profile."""
PROFILES = 64
"""Profiles that are made together, a strip."""

_NODE = 64
_SHIFT = 6  # _NODE = 1 << _SHIFT
_BEYOND_M = 15_000.0
"""How far before and behind the image profiles go at most: what lies over from 9000 m height."""
_UNIT_M = 1000.0
"""Height at which the vertical's way out of the plane is measured."""


class Cuts(NamedTuple):
    """Exact solutions at the nodes of an image, between which profiles are interpolated."""

    ground: Array
    """(4, node row, node column): row and column in the height model of the ellipsoid's point,
    and what is to be added to them for each metre of height to stay on the line."""
    seen: Array
    """(2, step of heights, node row, node column): slant range in m, look angle in radians."""
    cell: tuple[int, int]
    """First node, in nodes from line 0 and from slant range 0."""
    ladder: tuple[float, float]
    """First height of `seen` and the distance between heights, in m."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """All profiles of an image over the surroundings of a unit."""

    name: str
    """What tells them from those of other images of the unit."""
    cuts: Cuts
    heights: NDArray[np.float32]
    """(y, x) metres above the ellipsoid, NaN where unknown."""
    table: RangeTable
    cols: tuple[int, int]
    """First pixel of the image that will be asked for, and the one after the last."""
    start: int
    """First sample of the profiles, in steps from slant range 0."""
    count: int
    """Samples of a profile."""

    def line(self, number: int) -> float:
        """The line of a profile: in the middle of the `LINES` lines that it stands for."""
        return number * LINES + (LINES - 1) / 2

    def trace(self, number: int) -> tuple[Array, Array] | None:
        """Slant range in m and look angle in radians along a profile, NaN beside a void.

        Nothing for lines that were not asked for when this was made.
        """
        row = self.line(number) / _NODE - self.cuts.cell[0]
        if not 0 <= row < self.cuts.ground.shape[1] - 1:
            return None
        slant, angle = np.empty(self.count), np.empty(self.count)
        trace(self.cuts, self.heights, self.line(number), self.start, slant, angle)
        return slant, angle


def profiles(
    name: str, annotation: Annotation, orbit: Orbit, dem: Dem, around: GeoBox,
    rows: tuple[int, int], cols: tuple[int, int],
) -> Profiles:  # fmt: skip
    """Prepare the profiles of an image.

    Args:
        name: of the image; no other of the unit has it.
        annotation: of a GRD image.
        orbit: with the annotation's epoch.
        dem: heights that cover `around`.
        around: the unit and as much around it as shall take part.
        rows: first line and line after the last that will be asked for.
        cols: the same of pixels.

    Raises:
        GridError: the height model is void.
    """
    low, high = _ranges(annotation, orbit, around)
    cell = (rows[0] - LINES) >> _SHIFT, math.floor(low / STEP_M) >> _SHIFT
    ends = (rows[1] + LINES) >> _SHIFT, math.ceil(high / STEP_M) >> _SHIFT
    lines, steps = (np.arange(a, max(a, b) + 2) * _NODE for a, b in zip(cell, ends, strict=True))
    line, slant = np.broadcast_arrays(lines[:, None].astype(float), steps[None] * STEP_M)
    a, b = line_delay(annotation)
    delay = a + b * (2 / SPEED_OF_LIGHT) * slant
    begin, interval = annotation.first_line_s, annotation.azimuth_interval_s
    lon, lat = project(orbit, begin + line * interval + delay, slant, 0.0)

    def lines_at(time_s: Array, slant_m: Array) -> Array:
        return (time_s - a - b * (2 / SPEED_OF_LIGHT) * slant_m - begin) / interval

    # The ground of a line: places and their change from line to line, and along the vertical.
    middle = float(np.nanmean(lon))
    east = (lon - middle + 180) % 360 - 180
    off = (lines_at(*locate(orbit, ecef(lon, lat, _UNIT_M))) - line) / _UNIT_M
    east_line, lat_line = (np.gradient(plane, _NODE, axis=0) for plane in (east, lat))
    to_dem = pyproj.Transformer.from_crs("EPSG:4326", dem.crs, always_xy=True)
    x, y = to_dem.transform(east + middle, lat)
    t = dem.transform
    row, col = (y - t[5]) / t[4] - 0.5, (x - t[2]) / t[0] - 0.5
    row_line, col_line = (np.gradient(plane, _NODE, axis=0) for plane in (row, col))

    limits = dem.limits
    first = math.floor(limits[0] / (2 * LADDER_M)) * 2
    count = max(1, math.ceil(limits[1] / (2 * LADDER_M) - first / 2)) * 2 + 1
    levels = (first + np.arange(count)) * LADDER_M
    seen = np.empty((2, count, *line.shape))
    for k, height in enumerate(levels):
        place = ecef(
            east + middle - off * height * east_line, lat - off * height * lat_line, height
        )
        time_s, seen[0, k] = locate(orbit, place)
        seen[1, k] = _look_angle(orbit, time_s, seen[0, k], place)
    ground = np.stack([row, col, -off * row_line, -off * col_line])
    return Profiles(
        name, Cuts(ground, seen, cell, (float(levels[0]), LADDER_M)), dem.heights,
        RangeTable.of(annotation), cols, int(steps[0]), int(steps[-1] - steps[0]),
    )  # fmt: skip


def _look_angle(orbit: Orbit, time_s: Array, slant_m: Array, place: Array) -> Array:
    """Angle at the satellite between the Earth's centre and a place."""
    position = orbit.state(time_s)[0]
    down = exact.dot(position - place, position)
    return exact.arccos(down / (slant_m * exact.norm(position)))


def _ranges(annotation: Annotation, orbit: Orbit, around: GeoBox) -> tuple[float, float]:
    """Least and largest slant range on the ellipsoid that matter."""
    rows, cols = (np.linspace(0, n, 33) for n in around.shape)
    x, y = around.affine * np.meshgrid(cols, rows)
    there = pyproj.Transformer.from_crs(str(around.crs), "EPSG:4326", always_xy=True)
    lon, lat = there.transform(x, y)
    slant = locate(orbit, ecef(lon, lat, 0.0))[1]
    grid = annotation.grid.slant_range_m
    near, far = float(grid.min()) - _BEYOND_M, float(grid.max()) + _BEYOND_M
    return max(float(np.nanmin(slant)), near), min(float(np.nanmax(slant)), far)


@kernel
def trace(cuts, dem, line, start, slant, angle):  # type: ignore[no-untyped-def]
    """Follow the ground along a line, into `slant` and `angle`.

    Args:
        cuts: `Cuts`.
        dem: (y, x) float32 heights, NaN where unknown.
        line: of the image, may have a fraction.
        start: first sample, in steps from slant range 0.
        slant: (sample,) float64, written: m; NaN beside a void and outside the height model.
        angle: (sample,) float64, written: radians.
    """
    ground, seen, cell, ladder = cuts
    levels, columns = seen.shape[1], seen.shape[3]
    place = line / 64.0
    i = math.floor(place)
    down, i = place - i, i - cell[0]
    flat = np.empty((4, columns))
    bent = np.empty((2, levels, columns))
    for k in range(columns):
        for n in range(4):
            flat[n, k] = ground[n, i, k] + (ground[n, i + 1, k] - ground[n, i, k]) * down
        for s in range(levels):
            for n in range(2):
                upper, lower = seen[n, s, i, k], seen[n, s, i + 1, k]
                bent[n, s, k] = upper + (lower - upper) * down
    height = np.nan
    for x in range(slant.size):
        k = ((start + x) >> 6) - cell[1]
        across = ((start + x) & 63) * 0.015625
        v = flat[0, k] + (flat[0, k + 1] - flat[0, k]) * across
        u = flat[1, k] + (flat[1, k + 1] - flat[1, k]) * across
        v_up = flat[2, k] + (flat[2, k + 1] - flat[2, k]) * across
        u_up = flat[3, k] + (flat[3, k + 1] - flat[3, k]) * across
        # The height that moves the place is that of the sample before: it moves by centimetres.
        if not math.isfinite(height):
            height = _height(dem, v, u)
            if math.isfinite(height):
                height = _height(dem, v + v_up * height, u + u_up * height)
        if math.isfinite(height):
            height = _height(dem, v + v_up * height, u + u_up * height)
        if not math.isfinite(height):
            slant[x], angle[x] = np.nan, np.nan
            continue
        t = (height - ladder[0]) / ladder[1]
        base = min(max(math.floor(t * 0.5) * 2, 0), levels - 3)
        t -= base
        a, b, c = 0.5 * (t - 1.0) * (t - 2.0), t * (2.0 - t), 0.5 * t * (t - 1.0)
        left = a * bent[0, base, k] + b * bent[0, base + 1, k] + c * bent[0, base + 2, k]
        right = (
            a * bent[0, base, k + 1] + b * bent[0, base + 1, k + 1] + c * bent[0, base + 2, k + 1]
        )
        slant[x] = left + (right - left) * across
        left = a * bent[1, base, k] + b * bent[1, base + 1, k] + c * bent[1, base + 2, k]
        right = (
            a * bent[1, base, k + 1] + b * bent[1, base + 1, k + 1] + c * bent[1, base + 2, k + 1]
        )
        angle[x] = left + (right - left) * across


@kernel
def _height(dem, v, u):  # type: ignore[no-untyped-def]
    """Bilinear height at a row and column; NaN outside and beside a void."""
    if not (v >= 0.0 and u >= 0.0 and v < dem.shape[0] - 1 and u < dem.shape[1] - 1):
        return np.nan
    top, left = math.floor(v), math.floor(u)
    down, across = v - top, u - left
    upper = dem[top, left] + (dem[top, left + 1] - dem[top, left]) * across
    lower = dem[top + 1, left] + (dem[top + 1, left + 1] - dem[top + 1, left]) * across
    return upper + (lower - upper) * down


class Strips:
    """Results of strips of profiles, kept while they may be asked for again.

    Several threads may ask at once: the first one works, the others wait for it. What is dropped
    is made again when asked for, so the limit changes no pixel.
    """

    def __init__(self, limit_bytes: int = 192 * 2**20) -> None:
        self.limit_bytes = limit_bytes
        self._lock = Lock()
        self._known: OrderedDict[tuple[Any, ...], Future[NDArray[Any]]] = OrderedDict()

    def get(self, key: tuple[Any, ...], make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The result of that name, made if it is not known."""
        with self._lock:
            found = self._known.get(key)
            mine = found is None
            if found is None:
                found = self._known[key] = Future()
            self._known.move_to_end(key)
        if mine:
            try:
                found.set_result(make())
            except BaseException as error:
                found.set_exception(error)
            self._drop()
        return found.result()

    def _drop(self) -> None:
        with self._lock:
            done = [(k, f.result().nbytes) for k, f in self._known.items()
                    if f.done() and f.exception() is None]  # fmt: skip
            total = sum(size for _, size in done)
            for key, size in done[:-1]:
                if total <= self.limit_bytes:
                    return
                del self._known[key]
                total -= size
