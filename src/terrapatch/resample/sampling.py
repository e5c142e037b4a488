# SPDX-License-Identifier: Apache-2.0
"""Sampling of patches from decoded pixels; see the laws of the package."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .lattice import Lattice

_CODES = {"nearest": 1, "bilinear": 2, "cubic": 4}  # a kernel's number of taps along an axis


@dataclass(frozen=True)
class Kernel:
    """How a value is made from its neighbours; see the module's head for the names."""

    name: str
    inner: str | None = None
    """Kernel that brings the asset to a virtual grid, `factor` times finer, which is sampled."""
    factor: int = 1

    @property
    def reach(self) -> int:
        """Pixels needed before the floor and after the ceiling of a coordinate."""
        plain = self.inner is None or self.factor == 1 or self.two_taps
        return _CODES[self.name] // 4 if plain else self.taps

    @property
    def taps(self) -> int:
        """Number of pixels along an axis that may have weight."""
        outer = _CODES[self.name]
        if self.inner is None or self.factor == 1:
            return outer
        return _CODES[self.inner] + math.ceil((outer - 1) / self.factor)

    @property
    def two_taps(self) -> bool:
        """Whether two neighbours along each axis suffice (the fast path)."""
        plain = self.inner is None or self.factor == 1 or self.inner == "nearest"
        return plain and _CODES[self.name] <= 2


@dataclass(frozen=True)
class Radiometry:
    """What becomes of a sampled value: plus offset, kept within limits, rounded if integer."""

    offsets: NDArray[np.float32]
    """One per band, added to the sampled value."""
    nodata: float
    """Source value of missing pixels; NaN where none is declared (NaN is always missing)."""
    low: float
    high: float

    def arguments(self, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """As the compiled kernels take it; halves round up."""
        half = 0.5 if np.issubdtype(dtype, np.integer) else 0.0
        numbers = (self.nodata, self.low, self.high, half)
        return (self.offsets, *(np.float32(number) for number in numbers))


@dataclass(frozen=True)
class Source:
    """A decoded part of an asset group: bands on one pixel grid."""

    pixels: NDArray[Any]
    """(band, y, x) of the part."""
    first: tuple[int, int]
    """Row and column of the part's first pixel in the asset."""
    shape: tuple[int, int]
    """Height and width of the whole asset."""
    lattice: Lattice


def sample(
    source: Source,
    kernel: Kernel,
    radiometry: Radiometry,
    places: NDArray[np.int64],
    out: NDArray[Any],
    bands: NDArray[np.int64],
    filled: NDArray[np.uint8],
    valid: NDArray[np.uint8],
) -> None:
    """Sample patches from one group of bands, in place.

    Args:
        source: decoded pixels; those that the patches need must be there.
        kernel: how to sample.
        radiometry: what becomes of a value.
        places: (patch, 3): row and column of the patch's first pixel in the unit, and 1 where the
            patch is wanted (others are passed over).
        out: (patch, band, y, x) all bands of the stack; written where `filled` is 0, with
            meaningless values where `valid` becomes 0.
        bands: for each band of the source, its place in `out`.
        filled: (patch, y, x) uint8; 0 where a value is wanted.
        valid: (patch, y, x) uint8; set to 0 where a neighbour is missing, else left alone.
    """
    lattice = source.lattice
    common = (
        source.pixels.reshape(source.pixels.shape[0], -1), source.pixels.shape[1:], source.first,
        source.shape, lattice.nodes, lattice.cell, lattice.origin, *radiometry.arguments(out.dtype),
        places, out, bands, filled, valid,
    )  # fmt: skip
    factor = kernel.factor if kernel.inner else 1
    if kernel.two_taps:
        kernels.sample_pairs(*common, kernel.name == "nearest", factor)
    else:
        inner = _CODES[kernel.inner] if kernel.inner and factor > 1 else 0
        kernels.sample_taps(*common, _CODES[kernel.name], inner, factor, kernel.taps)
