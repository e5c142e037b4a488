# SPDX-License-Identifier: Apache-2.0
"""What stands between ground and sensor: the sun's place, clouds, their shadows, cirrus.

Laws:
1. A sky belongs to a datatake: all tiles of it see the same clouds over the same ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel
from .noise import fractal, fractal_field

CLOUD_HEIGHT_M = 1_400.0
CLOUD_REFLECTANCE = (
    0.78, 0.80, 0.80, 0.81, 0.82, 0.83, 0.84, 0.84, 0.85, 0.62, 0.60, 0.50,
)  # fmt: skip
"""Of a thick cloud, in the order of `facts.FILE_BANDS`."""

_WAVELENGTH_M, _SOFT = 4_200.0, 0.16


@dataclass(frozen=True)
class Sky:
    """The clouds of one datatake."""

    seed: int
    threshold: float
    """Noise above this is cloud."""
    cirrus: float
    """Strength of thin cirrus, 0..0.2."""
    shadow: tuple[float, float]
    """Where a cloud's shadow falls, relative to the cloud, in metres."""


def sun_position(when: datetime, lon: float, lat: float) -> tuple[float, float]:
    """Zenith and azimuth (clockwise from north) of the sun in degrees.

    Source: low-precision formulae of the Astronomical Almanac (good to 0.01° for 1950 to 2050).
    """
    days = (when - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86_400
    mean = math.radians((280.460 + 0.9856474 * days) % 360)
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = mean + math.radians(1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439 - 4e-7 * days)
    ascension = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    sidereal = math.radians((280.46062 + 360.98564737 * days + lon) % 360)
    hour, phi = sidereal - ascension, math.radians(lat)
    height = math.sin(phi) * math.sin(declination)
    height += math.cos(phi) * math.cos(declination) * math.cos(hour)
    east = -math.cos(declination) * math.sin(hour)
    north = math.sin(declination) * math.cos(phi)
    north -= math.cos(declination) * math.cos(hour) * math.sin(phi)
    return math.degrees(math.acos(height)), math.degrees(math.atan2(east, north)) % 360


def earth_sun_correction(when: datetime) -> float:
    """The factor `U` of product metadata: (mean distance / distance)² of the sun.

    Source: Sentinel-2 Products Specification, Reflectance_Conversion; t in days from 1950, which
    drifts against the true distance by now, as it does in genuine products.
    """
    days = (when - datetime(1950, 1, 1, tzinfo=UTC)).total_seconds() / 86_400
    return (1 - 0.01673 * math.cos(0.0172 * (days - 2))) ** -2


def make_sky(
    seed: int, cover: float, cirrus: float, sun: tuple[float, float], reaches: tuple[float, ...]
) -> Sky:
    """Clouds over the landscape's origin.

    Args:
        seed: of the datatake.
        cover: share of cloud, 0..1: in each of the squares at most this.
        cirrus: strength of thin cirrus.
        sun: zenith and azimuth in degrees.
        reaches: half sides of squares around the origin, in metres.
    """
    threshold = 9.0
    if cover > 0:
        fields = []
        for reach in reaches:
            x, y = np.meshgrid(*[np.linspace(-reach, reach, 160)] * 2)
            fields.append(fractal_field(x, y, _WAVELENGTH_M, 6, seed, 0.62))
        # The rim of a cloud is soft: it counts as cloud from 0.3 of the softness inwards.
        threshold = max(float(np.quantile(f, 1 - cover)) for f in fields) - 0.3 * _SOFT
    far = CLOUD_HEIGHT_M * math.tan(math.radians(min(sun[0], 70.0)))
    away = math.radians(sun[1] + 180)
    return Sky(seed, threshold, cirrus, (far * math.sin(away), far * math.cos(away)))


@kernel
def _alpha(x: float, y: float, threshold: float, seed: int) -> float:
    # Three octaves tell where no cloud can be: the other three add at most 0.40 (see gain).
    if 0.9728 * fractal(x, y, _WAVELENGTH_M, 3, 0.62, seed) + 0.42 < threshold:
        return 0.0
    value = fractal(x, y, _WAVELENGTH_M, 6, 0.62, seed) - threshold
    t = min(max(value / _SOFT, 0.0), 1.0)
    return t * t * (3 - 2 * t)


@kernel
def _veil(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    threshold: float,
    cirrus: float,
    shadow: tuple[float, float],
    seed: int,
    out: NDArray[np.float32],
) -> None:
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            px, py = x[r, c], y[r, c]
            cloud, dark = 0.0, 0.0
            if threshold < 5:
                cloud = _alpha(px, py, threshold, seed)
                dark = _alpha(px - shadow[0], py - shadow[1], threshold, seed)
            thin = 0.0
            if cirrus > 0:
                thin = cirrus * max(fractal(0.3 * px, py, 5_000.0, 4, 0.5, seed + 5) + 0.1, 0.0)
            out[0, r, c], out[1, r, c], out[2, r, c] = cloud, dark * (1 - cloud), thin


def veil(sky: Sky, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cloud opacity, shadow depth and cirrus opacity at places: (3, y, x) float32 in 0..1."""
    out = np.empty((3, *x.shape), np.float32)
    _veil(x, y, sky.threshold, sky.cirrus, sky.shadow, sky.seed, out)
    return out


def through(reflectance: NDArray[np.float32], haze: NDArray[np.float32]) -> None:
    """Put shadow, clouds and cirrus of `veil` over (band, y, x) reflectance, in place."""
    if not haze.any():
        return
    cloud, dark, thin = haze
    for band, white in enumerate(CLOUD_REFLECTANCE):
        plane = reflectance[band]
        # Shadow is lit by the sky: blue keeps more than infrared.
        plane *= 1 - dark * (0.5 + 0.02 * band)
        plane += thin * (0.6 - plane)
        plane += cloud * (np.float32(white) - plane)
