# SPDX-License-Identifier: Apache-2.0
"""Calibration and noise of simulated GRD products.

Law: what is written as text is what the pixels are made with: tables are rounded first, then used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import exact
from .passage import Passage, ProductSlice

Floats = NDArray[np.float64]

AMPLITUDE = 474.0
"""A of β⁰ = (DN² − noise) / A²."""
LUT_SAMPLES, LUT_LINES = 40, 10
"""Spacing of table entries along range, and of the noise's along azimuth."""
BURST_SECONDS = 2.758
"""Period of the noise's scalloping."""
NOISE_DN2 = (1_300.0, 900.0, 550.0)
"""Noise power in the middle of IW1, IW2 and IW3; about −26 to −30 dB of σ⁰."""


def _rounded(values: Floats) -> Floats:
    """As the files have them: seven digits."""
    return np.array([float(f"{v:.6e}") for v in values.ravel()]).reshape(values.shape)


@dataclass(frozen=True, eq=False)
class Luts:
    """Calibration and noise of a slice, as written; lines are the slice's own."""

    samples: NDArray[np.int64]
    """(m,) where calibration is given."""
    lines: NDArray[np.int64]
    """(n,) likewise; the last ones lie past the image."""
    sigma: Floats
    """(n, m)."""
    gamma: Floats
    """(n, m)."""
    noise_samples: NDArray[np.int64]
    noise_lines: NDArray[np.int64]
    noise: Floats
    """Range vectors, DN²."""
    azimuth_lines: NDArray[np.int64]
    azimuth: Floats
    """(sub-swath, lines) factors."""
    bounds: tuple[tuple[str, int, int], ...]


def luts(passage: Passage, part: ProductSlice) -> Luts:
    """The tables of a slice."""
    samples = np.append(np.arange(0, passage.samples - 1, LUT_SAMPLES), passage.samples - 1)
    seconds = np.arange(math.ceil(part.lines * passage.interval) + 2.0)
    lines = np.rint(seconds / passage.interval).astype(int)
    t = passage.time(lines + part.first)[:, None]
    slant = passage.slant(t, samples)
    place = passage.orbit.project(t, slant, passage.height)
    theta = np.radians(passage.orbit.angles(np.broadcast_to(t, slant.shape), place)[0])
    inside = lines[lines < part.lines - 1]
    noise_lines = np.append(inside, part.lines - 1)
    seams = [s for _, first, last in passage.bounds for s in (first, last)]
    noise_samples = np.unique(np.append(samples, seams))
    azimuth_lines = np.append(np.arange(0, part.lines - 1, LUT_LINES), part.lines - 1)
    phase = passage.time(azimuth_lines + part.first) / BURST_SECONDS
    azimuth = []
    for number in range(len(passage.bounds)):
        turn = phase + 0.33 * number
        azimuth.append(1 + 0.13 * (2 * (turn - np.floor(turn)) - 1) ** 2)
    return Luts(
        samples, lines, _rounded(AMPLITUDE / np.sqrt(np.sin(theta))),
        _rounded(AMPLITUDE / np.sqrt(exact.tan(theta))),
        noise_samples, noise_lines,
        _rounded(_noise(passage, passage.time(noise_lines + part.first), noise_samples)),
        azimuth_lines, _rounded(np.array(azimuth)), passage.bounds,
    )  # fmt: skip


def _noise(passage: Passage, t: Floats, samples: NDArray[np.int64]) -> Floats:
    """Range noise in DN²: high where a sub-swath's antenna pattern falls off."""
    out = np.empty((t.size, samples.size))
    for name, first, last in passage.bounds:
        own = (samples >= first) & (samples <= last)
        off = (2 * samples[own] - first - last) / max(last - first, 1)
        out[:, own] = NOISE_DN2[int(name[-1]) - 1] * (1 + 0.9 * off**2)
    return out * (1 + 0.02 * np.sin(2 * np.pi * t / 17))[:, None]


def noise_plane(
    tables: Luts, part: ProductSlice, line0: int, sample0: int, rows: int, cols: int
) -> NDArray[np.float32]:
    """Noise power of a block in DN²: (rows, cols) float32.

    Range vectors times azimuth factors, each linear between its entries.

    Args:
        tables: of the slice.
        part: the slice.
        line0: first line, counted in the datatake.
        sample0: first sample.
        rows: how many lines.
        cols: how many samples.
    """
    lines = np.arange(line0 - part.first, line0 - part.first + rows, dtype=float)
    samples = np.arange(sample0, sample0 + cols)
    vectors = np.array([np.interp(samples, tables.noise_samples, v) for v in tables.noise])
    at = np.interp(lines, tables.noise_lines, np.arange(tables.noise_lines.size))
    k = np.minimum(at.astype(int), max(tables.noise_lines.size - 2, 0))
    out = vectors[k] + (at - k)[:, None] * (vectors[k + 1] - vectors[k])
    for (_, first, last), factors in zip(tables.bounds, tables.azimuth, strict=True):
        own = (samples >= first) & (samples <= last)
        out[:, own] *= np.interp(lines, tables.azimuth_lines, factors)[:, None]
    return np.asarray(out, np.float32)
