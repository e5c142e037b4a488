# SPDX-License-Identifier: Apache-2.0
"""Where the satellite was: Hermite interpolation of state vectors, precise and restituted orbits.

Laws:
1. Positions and velocities are Earth-fixed; the velocity is the derivative of the position, so
   both tell of one motion.
2. Between vectors a polynomial of degree 7 runs through the positions and velocities of the four
   nearest. Beyond the first and the last vector the motion goes on with constant acceleration:
   smooth and monotone, good for solvers that look past the end of an image, true to 2 mm after
   1 s and 2 m after 10 s.
3. An orbit file of another mission, or of another time, is refused.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval
from numpy.typing import ArrayLike, NDArray

from .. import exact
from ..access import bytes_of
from ..compiled import kernel
from ..errors import SceneError, remedy

Array = NDArray[np.float64]

MARGIN_S = 60.0
"""Vectors are taken this long before and after an image, as ESA's own annotations do."""

_VECTORS = 4
"""Vectors that one polynomial goes through: the two on either side."""

_LONGEST_GAP_S = 30.0
"""Vectors further apart than this are a hole: annotations have 1 s or 10 s, files 10 s."""

_NANO = np.timedelta64(1, "ns")


def seconds(times: ArrayLike, epoch: np.datetime64) -> Array:
    """Seconds after an epoch, to the nanosecond.

    Args:
        times: datetime64 of any unit and shape.
        epoch: datetime64.

    Returns:
        float64 array of the shape of `times`.
    """
    # through nanoseconds: the difference is a whole number, the division its only rounding
    passed = np.asarray(times, "datetime64[ns]") - epoch.astype("datetime64[ns]")
    return np.asarray(passed / _NANO * 1e-9, np.float64)


def utc(text: str) -> np.datetime64:
    """A moment as Sentinel-1 files write it: `2015-02-22T17:07:48.055` or `UTC=…`."""
    moment = np.datetime64(text.strip().removeprefix("UTC=").removesuffix("Z"), "ns")
    if np.isnat(moment):
        raise ValueError(f"{text!r} is no time")
    return moment


@dataclass(frozen=True, eq=False)
class Orbit:
    """State vectors of one satellite, oldest first, and the curve through them.

    Raises:
        ValueError: fewer than two vectors, times that do not grow, or shapes that do not fit.
    """

    epoch: np.datetime64
    """What seconds count from, datetime64[ns]."""
    time_s: Array
    """Seconds after the epoch, (n,), growing."""
    position: Array
    """Earth-fixed X, Y, Z in m, (n, 3)."""
    velocity: Array
    """Earth-fixed velocity in m/s, (n, 3)."""
    _curves: Array = field(init=False, repr=False)
    """Per piece (n + 1: before the first vector … after the last) 8 coefficients of X, Y, Z."""
    _origins: Array = field(init=False, repr=False)
    """Per piece the moment that its polynomial is zeroed on, (n + 1,)."""

    def __post_init__(self) -> None:
        n = self.time_s.size
        if n < 2 or self.position.shape != (n, 3) or self.velocity.shape != (n, 3):
            raise ValueError("an orbit needs two or more state vectors, with X, Y and Z each")
        if not (np.diff(self.time_s) > 0).all():
            raise ValueError("state vectors must follow each other in time")
        origins = np.concatenate([self.time_s[:1], self.time_s])
        object.__setattr__(self, "_curves", _curves(self.time_s, self.position, self.velocity))
        object.__setattr__(self, "_origins", origins)

    def state(self, time_s: ArrayLike) -> tuple[Array, Array, Array]:
        """Position, velocity and acceleration at given moments.

        Args:
            time_s: seconds after the epoch, any shape.

        Returns:
            Three float64 arrays (…, 3) in m, m/s and m/s², Earth-fixed.
        """
        moments = np.asarray(time_s, np.float64)
        found = np.empty((3, moments.size, 3))
        _states(self.time_s, self._origins, self._curves, moments.ravel(), found)
        position, velocity, acceleration = found.reshape(3, *moments.shape, 3)
        return position, velocity, acceleration

    def since(self, epoch: np.datetime64) -> Orbit:
        """The same orbit with its seconds counted from another epoch."""
        shift = float(seconds(self.epoch, epoch))
        return Orbit(
            epoch.astype("datetime64[ns]"), self.time_s + shift, self.position, self.velocity
        )

    def covers(self, start_s: float, stop_s: float) -> bool:
        """Whether state vectors stand on both sides of a stretch of time, without a hole."""
        first = int(np.searchsorted(self.time_s, start_s, side="right")) - 1
        last = int(np.searchsorted(self.time_s, stop_s, side="left"))
        if first < 0 or last >= self.time_s.size:
            return False
        return bool(np.diff(self.time_s[first : last + 1]).max(initial=0.0) <= _LONGEST_GAP_S)


def join_orbits(first: Orbit, second: Orbit) -> Orbit:
    """One orbit of two that follow each other or overlap, as slices of one datatake do.

    Where both have vectors within half a second, those of `first` stay.

    Args:
        first: gives the epoch.
        second: an orbit of the same satellite.

    Returns:
        Orbit with the vectors of both.
    """
    other = second.since(first.epoch)
    apart = np.abs(other.time_s[:, None] - first.time_s[None, :]).min(axis=1)
    new = apart > 0.5
    time_s = np.concatenate([first.time_s, other.time_s[new]])
    order = np.argsort(time_s)
    return Orbit(
        first.epoch,
        time_s[order],
        np.concatenate([first.position, other.position[new]])[order],
        np.concatenate([first.velocity, other.velocity[new]])[order],
    )


def read_eof(
    source: Path | bytes,
    start: np.datetime64,
    stop: np.datetime64,
    platform: str,
    name: str | None = None,
) -> Orbit:
    """The orbit during an image, from a precise (POEORB) or restituted (RESORB) orbit file.

    Args:
        source: the `.EOF` file, or its bytes.
        start: first moment of the image, UTC.
        stop: last moment of the image, UTC.
        platform: `S1A`, `S1B`, `S1C`, …
        name: how messages call the file; its path if left out.

    Returns:
        Orbit with the vectors from one minute before to one minute after the image; its epoch is
        `start` rounded down to whole seconds.

    Raises:
        SceneError: the file is damaged, no orbit file in Earth-fixed UTC, of another mission, or
            of another time.

    Source: Earth Explorer orbit files, Copernicus POD Service File Format Specification.
    """
    where = name or (str(source) if isinstance(source, Path) else "orbit file")
    try:
        root = ET.fromstring(source if isinstance(source, bytes) else bytes_of(source))  # noqa: S314
        _check_header(root, where, platform)
        epoch = start.astype("datetime64[s]").astype("datetime64[ns]")
        orbit = _vectors(root, epoch, float(seconds(start, epoch)), float(seconds(stop, epoch)))
    except SceneError:
        raise
    except (ET.ParseError, OSError, ValueError) as error:
        advice = remedy(where, error, "fetch it again, or take the annotated orbit")
        raise SceneError(f"{where}: broken orbit file ({error}); {advice}") from error
    if orbit is None or not orbit.covers(
        float(seconds(start, orbit.epoch)), float(seconds(stop, orbit.epoch))
    ):
        raise SceneError(
            f"{where}: no unbroken state vectors from {start} to {stop}; valid from "
            f"{_header(root, 'Validity_Start')} to {_header(root, 'Validity_Stop')}; give the "
            "orbit file of the image's own time, or take the annotated orbit"
        )
    return orbit


def _header(root: ET.Element, tag: str) -> str:
    return (root.findtext(f".//Earth_Explorer_Header//{tag}") or "?").strip().removeprefix("UTC=")


def _check_header(root: ET.Element, where: str, platform: str) -> None:
    kind = _header(root, "File_Type")
    frame, clock = _header(root, "Ref_Frame"), _header(root, "Time_Reference")
    if kind not in ("AUX_POEORB", "AUX_RESORB") or (frame, clock) != ("EARTH_FIXED", "UTC"):
        raise SceneError(
            f"{where}: File_Type {kind}, Ref_Frame {frame}, Time_Reference {clock}; expected "
            "AUX_POEORB or AUX_RESORB, EARTH_FIXED, UTC; give an orbit file of Sentinel-1"
        )
    mission = _header(root, "Mission").replace("Sentinel-", "S")
    if mission != platform:
        raise SceneError(
            f"{where}: orbit of {mission}, the image is of {platform}; "
            f"give the orbit file of {platform}, or take the annotated orbit"
        )


def _vectors(root: ET.Element, epoch: np.datetime64, start_s: float, stop_s: float) -> Orbit | None:
    """Vectors around a stretch of time; None if fewer than two are there."""
    nodes = root.findall("./Data_Block/List_of_OSVs/OSV")
    times = seconds([utc(node.findtext("UTC", "")) for node in nodes], epoch)
    near = np.flatnonzero((times >= start_s - MARGIN_S) & (times <= stop_s + MARGIN_S))
    if near.size < 2:
        return None
    tags = ("X", "Y", "Z", "VX", "VY", "VZ")
    numbers = np.array([[float(nodes[i].findtext(t, "")) for t in tags] for i in near])
    return Orbit(epoch, times[near], numbers[:, :3].copy(), numbers[:, 3:].copy())


@kernel
def _states(time_s, origins, curves, moments, out):
    """Position, velocity and acceleration (3, moment, 3) of moments (n,); NaN of NaN."""
    degree = curves.shape[1] - 1
    for i in range(moments.size):
        piece, end = 0, time_s.size  # the piece after the last vector that is not later
        while piece < end:
            middle = (piece + end) // 2
            if moments[i] < time_s[middle]:
                end = middle
            else:
                piece = middle + 1
        since = moments[i] - origins[piece]
        for axis in range(3):
            # Horner's scheme for the value and its first two derivatives at once
            position = curves[piece, degree, axis]
            velocity = half_acceleration = 0.0
            for power in range(degree - 1, -1, -1):
                half_acceleration = half_acceleration * since + velocity
                velocity = velocity * since + position
                position = position * since + curves[piece, power, axis]
            out[0, i, axis] = position
            out[1, i, axis] = velocity
            out[2, i, axis] = 2.0 * half_acceleration


def _curves(time_s: Array, position: Array, velocity: Array) -> Array:
    """Coefficients of the pieces, lowest power first: (n + 1, 8, 3) for four or more vectors."""
    n = time_s.size
    width = min(_VECTORS, n)
    size = 2 * width
    curves = np.zeros((n + 1, size, 3))
    for i in range(n - 1):
        first = min(max(i - (width // 2 - 1), 0), n - width)
        chosen = slice(first, first + width)
        scale = time_s[i + 1] - time_s[i]
        u = (time_s[chosen] - time_s[i]) / scale
        powers = _powers(u, size)
        slopes = np.zeros_like(powers)
        slopes[:, 1:] = powers[:, :-1] * np.arange(1, size)
        # relative to the piece's own start, so that the solution keeps its digits
        values = np.concatenate([position[chosen] - position[i], velocity[chosen] * scale])
        piece = exact.solve(np.concatenate([powers, slopes]), values)
        piece /= _powers(np.array([scale]), size).T
        piece[0] += position[i]
        curves[i + 1] = piece
    curves[0, :3] = _end(curves[1], 0.0)
    curves[n, :3] = _end(curves[n - 1], float(time_s[-1] - time_s[-2]))
    return curves


def _powers(base: Array, count: int) -> Array:
    """(n, count): powers 0, 1, … of each number, one multiplication after the other."""
    ones = np.ones((base.size, 1))
    factors = np.repeat(base[:, None], count - 1, axis=1)
    return np.cumprod(np.concatenate([ones, factors], axis=1), axis=1)


def _end(piece: Array, since: float) -> Array:
    """Position, velocity and half the acceleration at a moment of a piece, (3, 3)."""
    derivatives = (piece, polyder(piece), polyder(piece, 2) / 2)
    return np.stack([polyval(since, coefficients) for coefficients in derivatives])
