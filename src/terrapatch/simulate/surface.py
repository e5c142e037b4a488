# SPDX-License-Identifier: Apache-2.0
"""What the ground looks like on a day: greenness by calendar, reflectance, backscatter.

Laws:
1. Reflectance is a mixture of spectra; what varies (greenness, sandiness, wood) varies smoothly
   in place and by parcel, so that all bands and both sensors see the same ground.
2. Values are pure functions of a place on the landscape's plane and the day.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import exact
from ..compiled import kernel
from .facts import covers
from .landscape import Landscape
from .noise import fractal, hash01

IMPULSE_SIGMA_M = 40.0
"""Width of a point target (standard deviation of a Gaussian)."""


def greenness(landscape: Landscape, day: datetime, north: bool) -> NDArray[np.float32]:
    """Greenness of every feature on a day: (n,) float32 in 0..1.

    Args:
        landscape: its features' calendars and traits.
        day: of the year; the seasons of the southern tropics (wet from October to April).
        north: on the northern hemisphere all calendars are half a year later.
    """
    table, features = covers(), landscape.features
    number = (day.timetuple().tm_yday + (182 if north else 0)) % 365
    calendar = np.array(table.calendars)[features.cover]
    shift = features.traits[:, 3]
    level = 0.5 + 0.5 * np.cos(2 * np.pi * (number - 50) / 365) * np.ones(shift.size)
    crops = {"crop1": [(318, 118)], "crop2": [(300, 112), (52, 122)],
             "crop3": [(300, 112), (55, 105), (166, 112)]}  # fmt: skip
    for name, cycles in crops.items():
        grown = np.zeros(shift.size)
        for start, length in cycles:
            age = (number - start - 22 * (shift - 0.5)) % 365
            stage = np.clip(age / length, 0, 1)
            grown = np.maximum(
                grown, np.clip(1.25 * np.sin(np.pi * exact.power(stage, 0.85)), 0, 1)
            )
        level = np.where(calendar == name, grown, level)
    # Cane is cut once between April and October, each parcel on its own day.
    age = (number - (100 + 190 * shift)) % 365
    level = np.where(calendar == "cane", np.clip(age / 130, 0, 1) - 0.3 * (age > 300), level)
    dry, wet = table.dry[features.cover], table.wet[features.cover]
    green = dry + (wet - dry) * level + table.spread[features.cover] * features.traits[:, 0]
    return np.asarray(np.clip(green, 0, 1), np.float32)


@kernel
def _texture(x: float, y: float, seed: int) -> tuple[float, float]:
    """Fine (20 to 160 m) and middle (200 to 1600 m) texture of the ground, about −1..1."""
    fine = fractal(x, y, 160.0, 4, 0.95, seed + 11)
    middle = fractal(x, y, 1_600.0, 4, 0.6, seed + 12)
    return fine, middle


@kernel
def _wood(x: float, y: float, middle: float, lean: float, seed: int) -> float:
    """Share of the partner cover (savanna in forest, forest in savanna …)."""
    if lean < -2:
        return 0.0
    moist = 0.8 * fractal(x, y, 4_200.0, 3, 0.6, seed + 13) + 0.55 * middle + lean
    t = min(max(0.5 + moist, 0.0), 1.0)
    return 0.75 * t * t * (3 - 2 * t)


@kernel
def _cells(x: float, y: float, seed: int) -> float:
    """Houses and yards: contrast of cells of 25 m, streets every 100 m, about −1..1."""
    u, v = 0.92 * x - 0.39 * y, 0.39 * x + 0.92 * y
    street = min(u % 100.0, v % 100.0)
    if street < 12.0:
        return -0.6
    i, j = math.floor(u / 25.0), math.floor(v / 25.0)
    return 2 * hash01(i, j, seed + 14) - 1


@kernel
def _all_cells(
    x: NDArray[np.float64], y: NDArray[np.float64], seed: int, out: NDArray[np.float64]
) -> None:
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[r, c] = _cells(x[r, c], y[r, c], seed)


def houses(x: NDArray[np.float64], y: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Contrast of the cells that towns and yards are made of at places (y, x): −1..1; −0.6 is a street."""
    out = np.empty(np.shape(x))
    _all_cells(x, y, seed, out)
    return out


class _Spots(NamedTuple):
    """Places that are looked at, and what lies there."""

    x: NDArray[np.float64]
    """(y, x) metres on the plane, as `y`."""
    y: NDArray[np.float64]
    number: NDArray[np.int32]
    """(y, x) feature."""
    cover: NDArray[np.int64]
    """(feature,) cover, as the next two."""
    traits: NDArray[np.float32]
    green: NDArray[np.float32]
    seed: int


class _CoverTraits(NamedTuple):
    """What each cover is like."""

    look: NDArray[np.float32]
    """Spectra, or backscatter in dB."""
    grain: NDArray[np.float32]
    cells: NDArray[np.float32]
    partner: NDArray[np.int64]
    lean: NDArray[np.float32]


class _Light(NamedTuple):
    """Slopes of the ground and the sun on them."""

    lattice: tuple[float, float, float]
    """First x and y, and the distance between nodes."""
    slope_x: NDArray[np.float32]
    slope_y: NDArray[np.float32]
    sun: tuple[float, float]
    """Tangent of the zenith angle, east and north."""


@kernel
def _lit(px: float, py: float, light: _Light) -> float:
    """Brightness of a slope. Source: cosine law, weakened as C-correction is."""
    (x0, y0, step), slope_x, slope_y, sun = light
    u = min(max((px - x0) / step, 0.0), slope_x.shape[1] - 1.001)
    v = min(max((py - y0) / step, 0.0), slope_x.shape[0] - 1.001)
    i, j = int(v), int(u)
    v -= i
    u -= j
    sx = (slope_x[i, j] * (1 - u) + slope_x[i, j + 1] * u) * (1 - v)
    sx += (slope_x[i + 1, j] * (1 - u) + slope_x[i + 1, j + 1] * u) * v
    sy = (slope_y[i, j] * (1 - u) + slope_y[i, j + 1] * u) * (1 - v)
    sy += (slope_y[i + 1, j] * (1 - u) + slope_y[i + 1, j + 1] * u) * v
    return min(max(1.0 - 0.8 * (sx * sun[0] + sy * sun[1]), 0.5), 1.5)


@kernel
def _optical(
    seen: _Spots,
    track: NDArray[np.bool_],
    covers: _CoverTraits,
    light: _Light,
    out: NDArray[np.float32],
) -> None:
    bands = out.shape[0]
    x, y, number, cover, traits, green, seed = seen
    spectra, grain, cells, partner, lean = covers
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            px, py = x[r, c], y[r, c]
            k = number[r, c]
            kind = cover[k]
            fine, middle = _texture(px, py, seed)
            wood = _wood(px, py, middle, lean[kind], seed)
            other = partner[kind]
            g = green[k] + grain[kind] * (fine + 0.8 * middle)
            tone = 1.0 + 0.045 * traits[k, 1] + (0.09 + 0.35 * grain[kind]) * fine
            if cells[kind] > 0:
                spot = _cells(px, py, seed)
                g -= 0.35 * cells[kind] * spot
                tone += 0.55 * cells[kind] * spot
            g = min(max(g, 0.0), 1.0)
            pale = min(max(traits[k, 2] + 0.35 * middle, 0.0), 1.0)
            if track[r, c]:
                wood *= 0.3
                g *= 0.35
            lit = _lit(px, py, light)
            for b in range(bands):
                own = g * spectra[kind, 0, b]
                own += (1 - g) * ((1 - pale) * spectra[kind, 1, b] + pale * spectra[kind, 2, b])
                if wood > 0:
                    h = 0.5 * (g + 0.8)
                    mixed = h * spectra[other, 0, b] + (1 - h) * spectra[other, 1, b]
                    own = (1 - wood) * own + wood * mixed
                out[b, r, c] = own * tone * lit


def optical_ground(
    landscape: Landscape,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    number: NDArray[np.int32],
    track: NDArray[np.bool_],
    green: NDArray[np.float32],
    sun: tuple[float, float],
) -> NDArray[np.float32]:
    """Reflectance of the ground at places, without atmosphere.

    Args:
        landscape: what lies there.
        x: (y, x) places on the plane, metres.
        y: likewise.
        number: (y, x) feature at each place.
        track: (y, x) where a dirt track runs.
        green: greenness of the features on that day.
        sun: zenith and azimuth (from north, clockwise) in degrees.

    Returns:
        (band, y, x) float32 reflectance in the order of `facts.FILE_BANDS`.
    """
    table, relief = covers(), landscape.relief
    out = np.empty((table.spectra.shape[2], *x.shape), np.float32)
    zenith, azimuth = math.radians(min(sun[0], 75.0)), math.radians(sun[1])
    tilt = (math.tan(zenith) * math.sin(azimuth), math.tan(zenith) * math.cos(azimuth))
    features = landscape.features
    _optical(
        _Spots(x, y, number, features.cover, features.traits, green, landscape.seed), track,
        _CoverTraits(table.spectra, table.grain, table.cells, table.partner, table.lean),
        _Light((relief.x0, relief.y0, relief.step), relief.slope_x, relief.slope_y, tilt), out,
    )  # fmt: skip
    bright = impulse_response(landscape, x, y)
    if bright is not None:
        out += (0.9 - out) * bright
    return out


def impulse_response(
    landscape: Landscape, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """Weight of the point targets at places: (y, x) float32 in 0..1; None where there are none."""
    total: Any = None
    for px, py in landscape.impulses:
        square = (x - px) ** 2 + (y - py) ** 2
        if square.size and square.min() < (6 * IMPULSE_SIGMA_M) ** 2:
            weight = exact.exp(-square / (2 * IMPULSE_SIGMA_M**2)).astype(np.float32)
            total = weight if total is None else np.maximum(total, weight)
    return total


@kernel
def _radar(seen: _Spots, covers: _CoverTraits, wet: float, out: NDArray[np.float32]) -> None:
    x, y, number, cover, traits, green, seed = seen
    levels, grain, cells, partner, lean = covers
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            px, py = x[r, c], y[r, c]
            k = number[r, c]
            kind = cover[k]
            fine, middle = _texture(px, py, seed)
            wood = _wood(px, py, middle, lean[kind], seed)
            g = green[k]
            vary = grain[kind] * (0.6 * fine + 0.5 * middle) + 0.35 * traits[k, 1]
            if cells[kind] > 0:
                vary += 5.0 * cells[kind] * _cells(px, py, seed)
            for p in range(2):
                own = g * levels[kind, p] + (1 - g) * (levels[kind, 2 + p] + wet) + vary
                power = math.exp(0.2302585 * own)
                if wood > 0:
                    mixed = math.exp(0.2302585 * (levels[partner[kind], p] + 0.5 * vary))
                    power = (1 - wood) * power + wood * mixed
                out[p, r, c] = power


def radar_ground(
    landscape: Landscape,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    number: NDArray[np.int32],
    green: NDArray[np.float32],
    wet_db: float,
) -> NDArray[np.float32]:
    """Backscatter of the ground without speckle: (2, y, x) float32, VV and VH, linear γ⁰.

    Args:
        landscape: what lies there.
        x: (y, x) places on the plane, metres.
        y: likewise.
        number: (y, x) feature at each place.
        green: greenness of the features on that day.
        wet_db: by how much rain has brightened bare ground, in dB.
    """
    table = covers()
    out = np.empty((2, *x.shape), np.float32)
    features = landscape.features
    _radar(
        _Spots(x, y, number, features.cover, features.traits, green, landscape.seed),
        _CoverTraits(table.backscatter, table.sar_grain, table.cells, table.partner, table.lean),
        wet_db, out,
    )  # fmt: skip
    return out
