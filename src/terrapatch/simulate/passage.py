# SPDX-License-Identifier: Apache-2.0
"""How a Sentinel-1 passes the area: a circular orbit, and the image frame of its datatake.

Laws:
1. The orbit is a closed formula (sun-synchronous, 175 revolutions in 12 days); state vectors are
   samples of it.
2. Nothing here is shared with the room that corrects terrain: where both agree, that is evidence.
3. Lines are counted along the whole datatake, line 0 being the first of the second slice, so that
   slices continue each other by construction.

Times are float64 seconds after `Passage.epoch`, places Earth-fixed (EPSG:4978) or longitude and
latitude in degrees, heights above the ellipsoid; metres throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import exact
from ..errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from .schedule import Pass1

Floats = NDArray[np.float64]

SEMI_MAJOR, SEMI_MINOR = 6_378_137.0, 6_356_752.314245
INCLINATION = math.radians(98.18)
RADIUS = 7_071_000.0
"""Of the orbit: 693 km above the equator. Source: ESA, Sentinel-1 orbit."""
MOTION = 2 * math.pi * 175 / (12 * 86_400)
"""rad/s: 175 revolutions in 12 days."""
TURN = 2 * math.pi / 86_400
"""rad/s of the Earth under a sun-synchronous orbit: once a day."""

SPACING = 10.0
INCIDENCE = {"descending": 36.4, "ascending": 41.6}
"""Degrees at the area's centre: where sub-swaths IW1 and IW2, and where IW2 and IW3, meet."""
SWATH_GROUND = (0.0, 88_900.0, 174_200.0, 254_000.0)
"""Ground range where the sub-swaths begin and the last one ends."""
SEAM_SHIFT = 400.0
"""How far the sub-swaths' seam lies before the area's centre."""
DEGREE = 8
"""Of the polynomials between slant and ground range."""
SLICE_SECONDS = 25.0
PAD = 64
"""Lines and samples that a crop reaches past its outline; borders (≤ 40) fall into them."""


@dataclass(frozen=True)
class CircularOrbit:
    """A circular orbit as seen from the turning Earth."""

    argument: float
    """Argument of latitude at time 0, rad."""
    node: float
    """Longitude of the ascending node at time 0, rad."""
    radius: float = RADIUS

    def state(self, t: Floats) -> tuple[Floats, Floats, Floats]:
        """Position, velocity and acceleration at times: (..., 3) each, m, m/s, m/s²."""
        t = np.asarray(t, float)
        u, turn = self.argument + MOTION * t, self.node - TURN * t
        ci, si = math.cos(INCLINATION), math.sin(INCLINATION)
        along = np.exp(1j * u)
        # The equatorial plane as complex numbers: both rotations are factors, derivatives easy.
        flat, rate = along.real + 1j * ci * along.imag, -along.imag + 1j * ci * along.real
        spin = np.exp(1j * turn)
        place = flat * spin
        speed = (MOTION * rate - 1j * TURN * flat) * spin
        change = (-(MOTION**2 + TURN**2) * flat - 2j * TURN * MOTION * rate) * spin
        height = si * along.imag, MOTION * si * along.real, -(MOTION**2) * si * along.imag
        return tuple(  # type: ignore[return-value]
            self.radius * np.stack([w.real, w.imag, z], axis=-1)
            for w, z in zip((place, speed, change), height, strict=True)
        )

    def project(self, t: Floats, slant: Floats, height: Floats | float) -> Floats:
        """The place right of the track at zero Doppler, slant range and height: (..., 3).

        Source: J. Curlander & R. McDonough, Synthetic Aperture Radar (1991), section 8.2: the
        range sphere, the zero-Doppler plane and the surface meet; here along the circle in which
        the first two meet, with one unknown.
        """
        t, slant, height = np.broadcast_arrays(np.asarray(t, float), slant, height)
        position, velocity, _ = self.state(t)
        forward = _unit(velocity)
        down = _unit(-position + _dot(position, forward) * forward)
        right = np.cross(forward, -down)
        far = exact.norm(position)
        ground = 6_371_000.0 + height
        look = exact.arccos((slant**2 + far**2 - ground**2) / (2 * slant * far))
        aim = np.array(height, float)
        for _ in range(3):
            for _ in range(5):
                ray = np.cos(look)[..., None] * down + np.sin(look)[..., None] * right
                turn = np.cos(look)[..., None] * right - np.sin(look)[..., None] * down
                place = position + slant[..., None] * ray
                axes = np.stack([SEMI_MAJOR + aim, SEMI_MAJOR + aim, SEMI_MINOR + aim], axis=-1)
                miss = ((place / axes) ** 2).sum(axis=-1) - 1
                slope = (2 * place / axes**2 * slant[..., None] * turn).sum(axis=-1)
                look = look - miss / slope
            # Surfaces of equal height are no ellipsoids: a millimetre that the next round mends.
            aim = aim + height - geodetic(place)[2]
        return np.asarray(place)

    def locate(self, place: Floats) -> tuple[Floats, Floats]:
        """Zero-Doppler time nearest to time 0, and slant range, of places (..., 3)."""
        t = np.zeros(np.shape(place)[:-1])
        for _ in range(8):
            position, velocity, change = self.state(t)
            ray = place - position
            rate = _dot(ray, change)[..., 0] - _dot(velocity, velocity)[..., 0]
            t = t - _dot(ray, velocity)[..., 0] / rate
        return t, exact.norm(place - self.state(t)[0])

    def angles(self, t: Floats, place: Floats) -> tuple[Floats, Floats]:
        """Incidence angle on the ellipsoid and elevation angle off nadir, in degrees."""
        position, _, _ = self.state(t)
        lon, lat, _ = (np.radians(a) for a in geodetic(place))
        normal = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)
        back = _unit(position - place)
        incidence = exact.arccos(_dot(back, normal)[..., 0])
        return np.degrees(incidence), np.degrees(exact.arccos(_dot(back, _unit(position))[..., 0]))


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.sum(a * b, axis=-1, keepdims=True))


def _powers(base: float) -> Floats:
    """Powers 0 to DEGREE of a number."""
    return np.asarray(np.vander([base], DEGREE + 1, increasing=True)[0], float)


def _unit(a: Floats) -> Floats:
    return np.asarray(a / exact.norm(a)[..., None])


def geodetic(place: Floats) -> tuple[Floats, Floats, Floats]:
    """Longitude, latitude (degrees) and height of Earth-fixed places (..., 3)."""
    from ..crs import transformer

    return transformer("EPSG:4978", "EPSG:4979").transform(*np.moveaxis(place, -1, 0))


def earth_fixed(lon: Floats, lat: Floats, height: Floats) -> Floats:
    """Earth-fixed places (..., 3) of longitudes, latitudes (degrees) and heights."""
    from ..crs import transformer

    return np.stack(transformer("EPSG:4979", "EPSG:4978").transform(lon, lat, height), axis=-1)


def orbit_over(
    lon: float, lat: float, height: float, direction: str, shift: float
) -> CircularOrbit:
    """The orbit that sees a place at time 0, to its right.

    Args:
        lon: of the place, degrees.
        lat: likewise.
        height: above the ellipsoid.
        direction: ascending or descending.
        shift: by how much this pass is off the nominal track, m (the orbital tube).

    Raises:
        InputError: no such orbit: the place is too near a pole.
    """
    place = earth_fixed(np.array(lon), np.array(lat), np.array(height))
    incidence = math.radians(INCIDENCE[direction])
    ground, up = float(exact.norm(place)), direction == "ascending"
    look = math.asin(ground * math.sin(incidence) / RADIUS)
    slant = RADIUS * math.cos(look) - ground * math.cos(incidence)
    ratio = math.sin(math.radians(lat)) / math.sin(INCLINATION)
    u = math.asin(float(np.clip(ratio, -0.999, 0.999)))
    u = u if up else math.pi - u
    arc = (incidence - look) / max(math.cos(math.radians(lat)), 0.1) * (1 if up else -1)
    east = math.atan2(math.cos(INCLINATION) * math.sin(u), math.cos(u))
    guess = np.array([u, math.radians(lon) - east - arc])

    def miss(at: Floats) -> Floats:
        position, velocity, _ = (s for s in CircularOrbit(*at).state(np.array(0.0)))
        ray = place - position
        doppler = exact.dot(ray, velocity) / exact.norm(velocity)
        return np.array([float(doppler), float(exact.norm(ray)) - slant])

    for _ in range(20):
        now = miss(guess)
        steps = np.eye(2) * 1e-7
        slope = np.column_stack([(miss(guess + s) - miss(guess - s)) / 2e-7 for s in steps])
        guess = guess - np.clip(exact.solve(slope, now[:, None])[:, 0], -0.2, 0.2)
    orbit = CircularOrbit(float(guess[0]), float(guess[1]) + shift / RADIUS)
    position, velocity, _ = orbit.state(np.array(0.0))
    right = exact.dot(place - position, np.cross(velocity, position)) > 0
    climbs = velocity[2] > 0
    if np.abs(miss(guess)).max() > 1e-3 or not right or climbs != up:
        raise InputError(
            f"no {direction} Sentinel-1 pass sees {lat:.2f} degrees of latitude to its right; "
            "choose an area farther from the pole, or simulate.s1_format: rtc"
        )
    return orbit


@dataclass(frozen=True)
class ProductSlice:
    """One product of a datatake: lines [first, last) of it, all samples."""

    number: int
    first: int
    last: int

    @property
    def lines(self) -> int:
        """How many."""
        return self.last - self.first


@dataclass(frozen=True, eq=False)
class Passage:
    """One pass over the area, and the image frame of its datatake."""

    item: Pass1
    orbit: CircularOrbit
    interval: float
    """Seconds between lines: whole hundredths of microseconds."""
    first: int
    """First line of the first slice (negative)."""
    last: int
    """End of the lines of the second slice."""
    near: float
    """Slant range of sample 0."""
    samples: int
    bounds: tuple[tuple[str, int, int], ...]
    """Sub-swath, its first and last sample, of those that the frame holds."""
    height: float
    """Mean height of the ground, on which ground range is measured."""

    @property
    def epoch(self) -> datetime:
        """Time 0: the first line of the second slice."""
        return self.item.start + timedelta(seconds=SLICE_SECONDS)

    @property
    def slices(self) -> tuple[ProductSlice, ProductSlice]:
        """The two products."""
        return ProductSlice(1, self.first, 0), ProductSlice(2, 0, self.last)

    @cached_property
    def conversions(self) -> tuple[Floats, Floats, Floats]:
        """Times (n,), ground-to-slant and slant-to-ground coefficients (n, 9), once a second.

        Slant range is Σ c·g^k, ground range Σ c·(slant − near)^k. Source: Sentinel-1 Product
        Specification, coordinateConversion.
        """
        begin = math.floor(self.first * self.interval) - 2
        times = np.arange(begin, math.ceil(self.last * self.interval) + 3.0)
        end = self.slant_end
        ranges = np.linspace(self.near, end, 1025)
        forth, back = [], []
        for t in times:
            ground = self.ground_along(float(t), ranges)
            scale, span = ground[-1], ranges[-1] - ranges[0]
            x = ground / scale
            powers = np.vander(x, DEGREE + 1, increasing=True)[:, 1:]
            fit = exact.fit(powers, ranges - self.near)
            forth.append([self.near, *(fit / _powers(scale)[1:])])
            slant = exact.dot(powers, fit) / span
            fit = exact.fit(np.vander(slant, DEGREE + 1, increasing=True), ground)
            back.append(fit / _powers(span))
        return times, np.array(forth), np.array(back)

    @cached_property
    def slant_end(self) -> float:
        """Slant range a little past the last sample."""
        ranges = np.linspace(self.near, self.near + 0.75 * self.samples * SPACING + 2_000, 2049)
        ground = self.ground_along(0.0, ranges)
        return float(np.interp(self.samples * SPACING + 200, ground, ranges))

    def ground_along(self, t: float, ranges: Floats) -> Floats:
        """Length of the way over the ground from `ranges[0]` to each of the rising ranges."""
        places = self.orbit.project(np.full(ranges.shape, t), ranges, self.height)
        return np.concatenate([[0], np.cumsum(exact.norm(np.diff(places, axis=0)))])

    def time(self, line: ArrayLike) -> Floats:
        """Time of lines."""
        return np.asarray(line, float) * self.interval

    def slant(self, t: ArrayLike, sample: ArrayLike) -> Floats:
        """Slant range of samples at times (broadcast): polynomials, linear between records."""
        times, forth, _ = self.conversions
        t, ground = np.broadcast_arrays(np.asarray(t, float), np.asarray(sample, float) * SPACING)
        k = np.clip(np.floor(t - times[0]).astype(int), 0, times.size - 2)
        part = t - times[k]
        low = np.zeros(t.shape)
        high = np.zeros(t.shape)
        for power in range(DEGREE, -1, -1):
            low = low * ground + forth[k, power]
            high = high * ground + forth[k + 1, power]
        return np.asarray(low * (1 - part) + high * part)

    def image_place(self, place: Floats) -> tuple[Floats, Floats]:
        """Line (of the datatake) and sample of Earth-fixed places (n, 3), as real numbers."""
        t, slant = self.orbit.locate(place)
        low, high = np.full(t.shape, -1_000.0), np.full(t.shape, self.samples + 1_000.0)
        for _ in range(60):  # bisection: the inverse of `slant` itself, not of a second fit
            middle = (low + high) / 2
            under = self.slant(t, middle) < slant
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return t / self.interval, (low + high) / 2


def make_passage(
    item: Pass1, centre: tuple[float, float], height: float, outline: Floats | None, shift: float
) -> Passage:
    """Lay a datatake of two slices over the area, the slices' joint through its centre.

    Args:
        item: the pass.
        centre: longitude and latitude of the area's centre.
        height: mean height of the ground above the ellipsoid.
        outline: (n, 3) Earth-fixed places that a crop must show; None: full slices.
        shift: see `orbit_over`.

    Raises:
        InputError: no orbit sees the area.
    """
    orbit = orbit_over(*centre, height, item.direction, shift)
    place = earth_fixed(*(np.array(float(v)) for v in (*centre, height)))
    _, slant = orbit.locate(place)
    ends = orbit.project(np.array([-0.5, 0.5]), np.full(2, slant), height)
    speed = float(exact.norm(ends[1] - ends[0]))
    interval = round(SPACING / speed * 1e8) / 1e8
    # The seam of two sub-swaths lies near the centre: ground range is counted from there.
    seam = SWATH_GROUND[1 if item.direction == "descending" else 2] + SEAM_SHIFT
    ranges = float(slant) + np.linspace(-120_000, 150_000, 4097)
    bare = Passage(item, orbit, interval, 0, 0, float(ranges[0]), 0, (), height)
    ground = bare.ground_along(0.0, ranges)
    ground += seam - np.interp(slant, ranges, ground)
    if outline is None:
        begin, end = SWATH_GROUND[0], SWATH_GROUND[-1]
        lines = round(SLICE_SECONDS / interval / 100) * 100
        first, last = -lines, lines
    else:
        t, far = orbit.locate(outline)
        there = np.interp(far, ranges, ground)
        begin = float(there.min()) - PAD * SPACING
        end = float(there.max()) + PAD * SPACING
        first = math.floor((t.min() / interval - PAD) / 100) * 100
        last = math.ceil((t.max() / interval + PAD) / 100) * 100
    samples = round((end - begin) / SPACING)
    near = float(np.interp(begin, ground, ranges))
    starts = [min(max(round((g - begin) / SPACING), 0), samples) for g in SWATH_GROUND]
    starts[0], starts[-1] = 0, samples  # a wide crop lets its outer sub-swaths grow
    bounds = tuple(
        (f"IW{k + 1}", starts[k], starts[k + 1] - 1) for k in range(3) if starts[k + 1] > starts[k]
    )
    return Passage(item, orbit, interval, first, last, near, samples, bounds, height)
