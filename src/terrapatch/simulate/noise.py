# SPDX-License-Identifier: Apache-2.0
"""Seeded noise: hashes, gradient noise and its fractal sums.

Laws:
1. Every value is a pure function of a place and a seed: no state, no dependence on chunks.
2. Noise values lie in about −1..1 with mean 0, hashes in 0..1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel

_MASK = 0xFFFFFFFF

_TURNS = np.arange(64) * (2 * math.pi / 64)
_EAST, _NORTH = 1.5 * np.cos(_TURNS), 1.5 * np.sin(_TURNS)
"""Gradients of the noise lattice; their length brings the noise to about −1..1."""


@kernel
def hash32(ix: int, iy: int, seed: int) -> int:
    """32 random bits for a lattice point.

    Source: two-round 32 bit mixer with the constants of C. Wellons, "Prospecting for hash
    functions" (2018), here on a linear combination of the three inputs.
    """
    h = (ix * 374761393 + iy * 668265263 + seed * 974634053 + 144665) & _MASK
    h = ((h ^ (h >> 16)) * 0x21F0AAAD) & _MASK
    h = ((h ^ (h >> 15)) * 0x735A2D97) & _MASK
    return h ^ (h >> 15)


@kernel
def hash01(ix: int, iy: int, seed: int) -> float:
    """A number in 0..1 for a lattice point."""
    return hash32(ix, iy, seed) * 2.3283064365386963e-10


@kernel
def _corner(ix: int, iy: int, dx: float, dy: float, seed: int) -> float:
    k = hash32(ix, iy, seed) & 63
    return float(_EAST[k] * dx + _NORTH[k] * dy)


@kernel
def gradient_noise(x: float, y: float, seed: int) -> float:
    """Gradient noise on the unit lattice with quintic weights.

    Source: K. Perlin, "Improving noise", SIGGRAPH 2002 (weights 6t⁵ − 15t⁴ + 10t³).
    """
    i, j = math.floor(x), math.floor(y)
    dx, dy = x - i, y - j
    u = dx * dx * dx * (dx * (dx * 6 - 15) + 10)
    v = dy * dy * dy * (dy * (dy * 6 - 15) + 10)
    top = _corner(i, j, dx, dy, seed) * (1 - u) + _corner(i + 1, j, dx - 1, dy, seed) * u
    low = _corner(i, j + 1, dx, dy - 1, seed) * (1 - u)
    low += _corner(i + 1, j + 1, dx - 1, dy - 1, seed) * u
    return top * (1 - v) + low * v


@kernel
def fractal(x: float, y: float, wavelength: float, octaves: int, gain: float, seed: int) -> float:
    """Sum of octaves of gradient noise, each half as long and `gain` as strong as the last.

    Args:
        x: place in metres.
        y: place in metres.
        wavelength: of the first octave, in metres.
        octaves: how many.
        gain: weight of an octave relative to the one before.
        seed: of the field.
    """
    total, weight, norm = 0.0, 1.0, 0.0
    scale = 1.0 / wavelength
    for octave in range(octaves):
        # Octaves are turned and shifted so that their lattices do not coincide.
        xs = (0.8 * x - 0.6 * y) * scale + 17.3 * octave
        ys = (0.6 * x + 0.8 * y) * scale - 9.1 * octave
        total += weight * gradient_noise(xs, ys, seed + 101 * octave)
        norm += weight * weight
        weight *= gain
        scale *= 2.0
        x, y = 0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y
    return total / math.sqrt(norm)


@kernel
def _fractal_field(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    wavelength: float,
    octaves: int,
    gain: float,
    seed: int,
) -> NDArray[np.float64]:
    out = np.empty(x.size)
    for i in range(x.size):
        out[i] = fractal(x[i], y[i], wavelength, octaves, gain, seed)
    return out


def fractal_field(
    x: Any, y: Any, wavelength: float, octaves: int, seed: int, gain: float = 0.5
) -> NDArray[np.float64]:
    """`fractal` at many places.

    Args:
        x: places in metres, any shape.
        y: the same shape.
        wavelength: of the first octave, in metres.
        octaves: how many.
        seed: of the field.
        gain: weight of an octave relative to the one before.

    Returns:
        float64 of the shape of `x`.
    """
    xs, ys = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    flat = _fractal_field(xs.ravel(), ys.ravel(), float(wavelength), octaves, gain, seed)
    return flat.reshape(xs.shape)
