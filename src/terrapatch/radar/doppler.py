# SPDX-License-Identifier: Apache-2.0
"""Range and Doppler: from places on the Earth to times and ranges of the radar, and back.

Laws:
1. Images of Sentinel-1 are focused to zero Doppler: a point appears at the moment when the line
   of sight is at right angles to the satellite's Earth-fixed velocity.
2. All functions take arrays of any shape that broadcast together, and are exact: iterations end
   below 0.01 mm. What is NaN, or cannot be reached, is NaN.
3. Lines and pixels count from 0 at the centre of the first line and pixel, as the geolocation
   grid of the annotation does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval
from numpy.typing import ArrayLike, NDArray

from .. import exact
from ..errors import SceneError
from .annotation import SPEED_OF_LIGHT, Annotation, GroundRange
from .orbit import Array, Orbit

SEMI_MAJOR_M = 6_378_137.0
"""Source: WGS 84, NGA.STND.0036."""
FLATTENING = 1 / 298.257223563

_E2 = FLATTENING * (2 - FLATTENING)
_SEMI_MINOR_M = SEMI_MAJOR_M * (1 - FLATTENING)

_CHUNK = 32_768
"""Points in one go: their state vectors stay in the processor's cache."""

_ITERATIONS = 20
_CLOSE_S = 1e-9
"""Newton ends when its last step was shorter: 7 µm of flight."""
_CLOSE_M = 1e-5

_RANGE_STEPS = 3
"""Newton steps in ground range: from 40 m, the worst start seen, two reach 1e-6 m."""


def ecef(longitude: ArrayLike, latitude: ArrayLike, height: ArrayLike) -> Array:
    """Earth-centred, Earth-fixed coordinates of places on WGS 84.

    Args:
        longitude: degrees.
        latitude: geodetic, degrees.
        height: above the ellipsoid, m.

    Returns:
        float64 array (…, 3): X, Y, Z in m.
    """
    lon, lat = (np.radians(np.asarray(angle, np.float64)) for angle in (longitude, latitude))
    above = np.asarray(height, np.float64)
    sin_lat, cos_lat = np.sin(lat), np.cos(lat)
    prime = SEMI_MAJOR_M / np.sqrt(1 - _E2 * sin_lat**2)
    across = (prime + above) * cos_lat
    x, y, z = np.broadcast_arrays(
        across * np.cos(lon), across * np.sin(lon), (prime * (1 - _E2) + above) * sin_lat
    )
    return np.stack([x, y, z], axis=-1)


def geodetic(xyz: Array) -> tuple[Array, Array, Array]:
    """Places on WGS 84 of Earth-fixed coordinates; the inverse of `ecef`.

    Args:
        xyz: (…, 3) in m, not the Earth's centre.

    Returns:
        Longitude and geodetic latitude in degrees, height above the ellipsoid in m; true to
        1e-9 m up to the height of satellites.

    Source: Bowring, B. R. (1976): Transformation from spatial to geographical coordinates.
    """
    x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    across = np.hypot(x, y)
    # Bowring's parametric latitude; a second turn makes it exact at any height
    sin_u, cos_u = z * SEMI_MAJOR_M, across * _SEMI_MINOR_M
    for _ in range(2):
        length = np.hypot(sin_u, cos_u)
        sine, cosine = sin_u / length, cos_u / length
        sin_lat = z + _E2 / (1 - _E2) * _SEMI_MINOR_M * (sine * sine * sine)
        cos_lat = across - _E2 * SEMI_MAJOR_M * (cosine * cosine * cosine)
        sin_u, cos_u = (1 - FLATTENING) * sin_lat, cos_lat
    length = np.hypot(sin_lat, cos_lat)
    sin_lat, cos_lat = sin_lat / length, cos_lat / length
    height = across * cos_lat + z * sin_lat - SEMI_MAJOR_M * np.sqrt(1 - _E2 * sin_lat**2)
    longitude, latitude = exact.arctan2(y, x), exact.arctan2(sin_lat, cos_lat)
    return np.degrees(longitude), np.degrees(latitude), height


def locate(orbit: Orbit, xyz: Array) -> tuple[Array, Array]:
    """When and how far away the radar sees points.

    Args:
        orbit: gives the epoch of the times.
        xyz: Earth-fixed coordinates, (…, 3) in m.

    Returns:
        Zero-Doppler azimuth time in s after the orbit's epoch and slant range in m, each (…,).

    Source: Curlander & McDonough (1991), Synthetic Aperture Radar, chapter 8 (range-Doppler
    equations with the velocity of the point zero in the Earth-fixed frame).
    """
    points = np.asarray(xyz, np.float64).reshape(-1, 3)
    times, ranges = np.empty(len(points)), np.empty(len(points))
    middle = float(orbit.time_s[0] + orbit.time_s[-1]) / 2
    for first in range(0, len(points), _CHUNK):
        part = slice(first, first + _CHUNK)
        times[part], ranges[part] = _locate(orbit, points[part], middle)
    return times.reshape(xyz.shape[:-1]), ranges.reshape(xyz.shape[:-1])


def _locate(orbit: Orbit, points: Array, start_s: float) -> tuple[Array, Array]:
    times = np.full(len(points), start_s)
    for _ in range(_ITERATIONS):
        position, velocity, acceleration = orbit.state(times)
        sight = points - position
        doppler = exact.dot(velocity, sight)
        slope = exact.dot(acceleration, sight)
        slope -= exact.dot(velocity, velocity)
        step = doppler / slope
        times -= step
        if not (np.abs(step) > _CLOSE_S).any():
            break
    # the last step was so short that the position it started from would do; yet be exact
    sight = points - orbit.state(times)[0]
    return times, exact.norm(sight)


def project(
    orbit: Orbit,
    azimuth_s: ArrayLike,
    slant_range_m: ArrayLike,
    height: ArrayLike,
    look: Literal["right", "left"] = "right",
) -> tuple[Array, Array]:
    """Where a point of given height lies that the radar sees at a time and a range.

    Args:
        orbit: gives the epoch of the times.
        azimuth_s: zero-Doppler time, s after the orbit's epoch.
        slant_range_m: distance from the satellite.
        height: above the WGS 84 ellipsoid, m.
        look: side of the track; Sentinel-1 looks to the right.

    Returns:
        Longitude and latitude in degrees; NaN where the range ends above the height, or beyond the
        horizon.
    """
    time, distance, level = np.broadcast_arrays(
        np.asarray(azimuth_s, np.float64),
        np.asarray(slant_range_m, np.float64),
        np.asarray(height, np.float64),
    )
    position, velocity, _ = orbit.state(time)
    along = velocity / exact.norm(velocity)[..., None]
    # two directions that span the plane of zero Doppler: down, and to the side of the look
    down = -(position - (position * along).sum(-1, keepdims=True) * along)
    down /= exact.norm(down)[..., None]
    aside = np.cross(down, along) * (1.0 if look == "right" else -1.0)
    angle = _first_angle(position, distance, level)
    for _ in range(_ITERATIONS):
        sine, cosine = np.sin(angle)[..., None], np.cos(angle)[..., None]
        point = position + distance[..., None] * (cosine * down + sine * aside)
        lon, lat, reached = geodetic(point)
        tangent = distance[..., None] * (cosine * aside - sine * down)
        climb = (tangent * _upward(lon, lat)).sum(-1)
        step = (reached - level) / climb
        angle = angle - step
        if not (np.abs(step * climb) > _CLOSE_M).any():
            break
    return lon, lat


def _first_angle(position: Array, distance: Array, level: Array) -> Array:
    """Angle at the satellite from down to the point, on a sphere of the local radius."""
    from_centre = exact.norm(position)
    latitude = exact.arcsin(position[..., 2] / from_centre)
    radius = SEMI_MAJOR_M * (1 - FLATTENING * np.sin(latitude) ** 2) + level
    cosine = (from_centre**2 + distance**2 - radius**2) / (2 * from_centre * distance)
    # beyond the horizon a ray would come up from below the ground
    reaches = (np.abs(cosine) <= 1) & (distance**2 <= from_centre**2 - radius**2)
    return exact.arccos(np.where(reaches, cosine, np.nan))


def _upward(longitude: Array, latitude: Array) -> Array:
    lon, lat = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def line_delay(annotation: Annotation) -> tuple[float, float]:
    """How far zero-Doppler times run off the times of the lines across the swath.

    The processor corrects the time of a line for the motion of the satellite between sending
    and receiving with one delay, that of mid-swath. What remains is half of the difference of
    the echo's own delay: up to ±0.27 ms in IW, 1.8 m along track, 0.18 lines. The geolocation
    grid has it; products that do not have it get zeros.

    Args:
        annotation: of a detected image.

    Returns:
        `a`, `b` of zero-Doppler time = time of the line + a + b · two-way delay, in s and s/s;
        b = 0.5 in real products.

    Source: Small & Schubert, Guide to Sentinel-1 Geocoding, UZH-S1-GC-AD (bistatic residual).
    """
    grid = annotation.grid
    off = grid.azimuth_s - annotation.first_line_s - grid.line * annotation.azimuth_interval_s
    delay = grid.slant_range_m * (2 / SPEED_OF_LIGHT)
    centre = float(delay.mean())
    slope = float(((delay - centre) * off).sum() / ((delay - centre) ** 2).sum())
    return float(off.mean()) - slope * centre, slope


def image_coordinates(
    annotation: Annotation, azimuth_s: ArrayLike, slant_range_m: ArrayLike
) -> tuple[Array, Array]:
    """Line and pixel of a detected image where a time and a range lie.

    The polynomials from ground to slant range are the ones that processors make images with;
    they are undone by Newton's method. The annotated inverse of processor 2.36 is up to 4 pixels
    off in mid-swath, and only starts the search. Between two records ranges are interpolated
    linearly, so that lines join on; before the first and after the last one, that one holds.

    Args:
        annotation: of a GRD image.
        azimuth_s: zero-Doppler time, s after the annotation's epoch.
        slant_range_m: distance from the satellite.

    Returns:
        Line and pixel, float64, possibly outside the image.

    Raises:
        SceneError: the image is not in ground range (SLC).
    """
    time, distance = np.broadcast_arrays(
        np.asarray(azimuth_s, np.float64), np.asarray(slant_range_m, np.float64)
    )
    a, b = line_delay(annotation)
    line_s = time - a - b * (2 / SPEED_OF_LIGHT) * distance
    line = (line_s - annotation.first_line_s) / annotation.azimuth_interval_s
    ground = np.full(distance.shape, np.nan)
    for here, mixed in _records(annotation, line_s):
        slant = distance[here]
        found = mixed(_ground, slant)
        for _ in range(_RANGE_STEPS):
            found = found - (mixed(_slant, found) - slant) / mixed(_slant_slope, found)
        ground[here] = found
    return line, ground / annotation.range_spacing_m


def sensing_coordinates(
    annotation: Annotation, line: ArrayLike, pixel: ArrayLike
) -> tuple[Array, Array]:
    """Time and range of places in a detected image; the inverse of `image_coordinates`.

    Args:
        annotation: of a GRD image.
        line: from 0, may have fractions.
        pixel: from 0, may have fractions.

    Returns:
        Zero-Doppler time in s after the annotation's epoch, and slant range in m.

    Raises:
        SceneError: the image is not in ground range (SLC).
    """
    rows, columns = np.broadcast_arrays(np.asarray(line, np.float64), np.asarray(pixel, np.float64))
    line_s = annotation.first_line_s + rows * annotation.azimuth_interval_s
    distance = np.full(columns.shape, np.nan)
    for here, mixed in _records(annotation, line_s):
        distance[here] = mixed(_slant, columns[here] * annotation.range_spacing_m)
    a, b = line_delay(annotation)
    return line_s + a + b * (2 / SPEED_OF_LIGHT) * distance, distance


_Convert = Callable[[GroundRange, Array], Array]


def _ground(record: GroundRange, slant: Array) -> Array:
    return np.asarray(polyval(slant - record.sr0_m, record.srgr) + record.gr0_m)


def _slant(record: GroundRange, ground: Array) -> Array:
    return np.asarray(polyval(ground - record.gr0_m, record.grsr))


def _slant_slope(record: GroundRange, ground: Array) -> Array:
    return np.asarray(polyval(ground - record.gr0_m, polyder(record.grsr)))


def _records(
    annotation: Annotation, line_s: Array
) -> Iterator[tuple[NDArray[np.bool_], Callable[[_Convert, Array], Array]]]:
    """Where each record is the last one before a line, and a mixer with the one after it."""
    records = annotation.ground_range
    if not records:
        raise SceneError(
            f"{annotation.platform} {annotation.swath} {annotation.product_type} of "
            f"{annotation.epoch}: not in ground range; give a GRD product"
        )
    place = np.interp(line_s, [record.azimuth_s for record in records], np.arange(len(records)))
    before = np.where(np.isnan(place), -1, place).astype(int)
    for i in np.unique(before[before >= 0]):
        here = before == i
        share = place[here] - i
        low, high = records[i], records[min(i + 1, len(records) - 1)]

        def mixed(
            convert: _Convert,
            values: Array,
            low: GroundRange = low,
            high: GroundRange = high,
            share: Array = share,
        ) -> Array:
            start = convert(low, values)
            return start + share * (convert(high, values) - start)

        yield here, mixed
