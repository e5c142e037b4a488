# SPDX-License-Identifier: Apache-2.0
"""Sampling of patches from decoded pixels; see the laws of the package."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .kernels import Limits, Taps, Target
from .lattice import CELL, COARSER, Lattice
from .wide import Wide, sample_wide

_CODES = {"nearest": 1, "bilinear": 2, "average": 2, "cubic": 4}
"""A kernel's number of taps along an axis, where the grid is not coarser than the band."""
_WIDE = {"average": 1, "bilinear": 2, "cubic": 4}
"""Kernels that widen with the grid's pixels, as `wide.sample_wide` counts them."""
_HALF = {"average": 0.5, "bilinear": 1.0, "cubic": 2.0}
"""Pixels of the grid that they reach to either side."""


@dataclass(frozen=True)
class Kernel:
    """How a value is made from its neighbours; see the module's head for the names."""

    name: str
    inner: str | None = None
    """Kernel that brings the asset to a virtual grid, `factor` times finer, which is sampled."""
    factor: int = 1
    coarser: str = ""
    """Kernel where the grid is coarser than the band, `name` itself if empty; `nearest` takes one
    pixel there, too, the others widen."""

    @property
    def wide(self) -> str | None:
        """The kernel that widens on coarser grids, if one does."""
        found = self.coarser or self.name
        return found if found in _WIDE else None

    def widths(self, lattice: Lattice, shape: tuple[int, int]) -> NDArray[np.float64] | None:
        """`Lattice.scales` for this kernel, or None where it widens nowhere.

        Args:
            lattice: source coordinates around the unit.
            shape: height and width of the asset.
        """
        if self.wide is None:
            return None
        scales = lattice.scales(shape)
        return scales if (scales * self._finer > COARSER).any() else None

    def reach_over(self, lattice: Lattice, shape: tuple[int, int]) -> int:
        """As `reach`, also where the kernel widens over the unit."""
        widths = self.widths(lattice, shape)
        return self.reach if widths is None else max(self.reach, self._wide_taps(widths))

    @property
    def _finer(self) -> int:
        return self.factor if self.inner else 1

    def _wide_taps(self, widths: NDArray[np.float64]) -> int:
        """Most pixels along an axis that may have weight where the kernel widens."""
        assert self.wide is not None
        most = max(1.0, float(np.nanmax(widths)) * self._finer)
        virtual = math.ceil(2 * _HALF[self.wide] * most) + 2
        inner = _CODES[self.inner] if self.inner else 1
        return math.ceil(virtual / self._finer) + inner

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

    def limits(self, dtype: np.dtype[Any]) -> Limits:
        """As the compiled kernels take it, for values of that type."""
        half = 0.5 if np.issubdtype(dtype, np.integer) else 0.0
        numbers = (self.nodata, self.low, self.high, half)
        return Limits(self.offsets, *(np.float32(number) for number in numbers))


class Decoded(NamedTuple):
    """A decoded part of an asset group: bands on one pixel grid. Kernels take it as it is."""

    pixels: NDArray[Any]
    """(band, y, x) of the part."""
    first: tuple[int, int]
    """Row and column of the part's first pixel in the asset."""
    shape: tuple[int, int]
    """Height and width of the whole asset."""
    lattice: Lattice


def sample(source: Decoded, kernel: Kernel, radiometry: Radiometry, target: Target) -> None:
    """Sample patches from one group of bands, in place.

    Args:
        source: decoded pixels; those that the patches need must be there.
        kernel: how to sample.
        radiometry: what becomes of a value.
        target: the patches.
    """
    source = source._replace(pixels=np.ascontiguousarray(source.pixels))
    lattice, limits = source.lattice, radiometry.limits(target.out.dtype)
    widths = kernel.widths(lattice, source.shape)
    if widths is None:
        _sample_narrow(source, kernel, limits, target)
        return
    coarser: NDArray[np.bool_] = np.any(widths * kernel._finer > COARSER, axis=0)
    if coarser[np.isfinite(widths).all(axis=0)].all():
        _sample_wide(source, kernel, limits, target, widths)
        return
    # A unit in which the grid is coarser than the band in places: each pixel by its own cell.
    filled, valid = target.filled, target.valid
    here = _by_pixel(coarser, lattice, target.places, target.out.shape[-1])
    narrow, wide = valid.copy(), valid.copy()
    away = np.where(here, np.uint8(1), filled)
    _sample_narrow(source, kernel, limits, target._replace(filled=away, valid=narrow))
    away = np.where(here, filled, np.uint8(1))
    _sample_wide(source, kernel, limits, target._replace(filled=away, valid=wide), widths)
    np.copyto(valid, np.where(here, wide, narrow))


def _sample_narrow(source: Decoded, kernel: Kernel, limits: Limits, target: Target) -> None:
    """Where the grid is as fine as the band, or finer."""
    factor = kernel.factor if kernel.inner else 1
    if kernel.two_taps:
        kernels.sample_pairs(source, limits, target, kernel.name == "nearest", factor)
    else:
        inner = _CODES[kernel.inner] if kernel.inner and factor > 1 else 0
        taps = Taps(_CODES[kernel.name], inner, factor, kernel.taps)
        kernels.sample_taps(source, limits, target, taps)


def _sample_wide(
    source: Decoded, kernel: Kernel, limits: Limits, target: Target, widths: NDArray[np.float64]
) -> None:
    """Where the grid is coarser than the band."""
    assert kernel.wide is not None
    inner = _CODES[kernel.inner] if kernel.inner and kernel.factor > 1 else 0
    scales = np.nan_to_num(widths, nan=0.0)  # no pixel of such a cell lies in the asset
    taps = kernel._wide_taps(widths)
    wide = Wide(_WIDE[kernel.wide], inner, kernel._finer, taps, scales)
    sample_wide(source, limits, target, wide)


def _by_pixel(
    cells: NDArray[np.bool_], lattice: Lattice, places: NDArray[np.int64], size: int
) -> NDArray[np.bool_]:
    """(patch, y, x): what is true of each pixel's cell."""
    rows, cols = (
        (places[:, axis, None] + lattice.origin[axis] + np.arange(size)) // CELL
        - lattice.cell[axis]
        for axis in (0, 1)
    )
    return np.asarray(cells[rows[:, :, None], cols[:, None, :]])
