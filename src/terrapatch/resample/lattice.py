# SPDX-License-Identifier: Apache-2.0
"""Source coordinates: exact at nodes of a lattice that belongs to the grid, and what they ask for.

See the laws of the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import GridError
from . import kernels

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

CELL = 64
"""Pixels between nodes of the lattice; a power of two, so that fractions in a cell are exact."""
COARSER = 1.01
"""A grid whose pixels span more pixels of a band than this is coarser than the band. Grids of one
pixel size in different projections stay within 1 %: their scales differ by less than 0.4 %."""
SNAP = 1e-6
"""Pixels below which a distance from a pixel centre is rounding."""
_SHIFT = 6  # CELL = 1 << _SHIFT


class Lattice(NamedTuple):
    """Source coordinates at the nodes around a unit; compiled kernels take it as it is."""

    nodes: NDArray[np.float64]
    """(2, node row, node column): row and column in pixels of the asset, see law 2; not finite
    where the asset's CRS does not reach."""
    cell: tuple[int, int]
    """Row and column of the first node, in cells of `CELL` pixels from the grid's origin."""
    origin: tuple[int, int]
    """Row and column of the unit's first pixel, counted from the grid's origin."""

    def scales(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """How many pixels of the asset a pixel of the grid spans, along its rows and columns.

        One number for all pixels of a cell, so it depends on the place in the grid alone.

        Args:
            shape: height and width of the asset.

        Returns:
            (2, cell row, cell column); NaN in cells that do not meet the asset.
        """
        n = self.nodes
        corners = np.stack([n[:, :-1, :-1], n[:, :-1, 1:], n[:, 1:, :-1], n[:, 1:, 1:]])
        down = (corners[2] - corners[0] + (corners[3] - corners[1])) * (0.5 / CELL)
        along = (corners[1] - corners[0] + (corners[3] - corners[2])) * (0.5 / CELL)
        last = np.array(shape, float)[:, None, None]
        # A not finite corner fails both comparisons.
        meets = ((corners.min(axis=0) <= last) & (corners.max(axis=0) >= -1.0)).all(axis=0)
        return np.where(meets, np.sqrt(down * down + along * along), np.nan)


@dataclass(frozen=True)
class Nodes:
    """The same nodes in map coordinates of a CRS."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cell: tuple[int, int]
    origin: tuple[int, int]

    def lattice(self, transform: tuple[float, ...]) -> Lattice:
        """The nodes in pixels of a raster with that transform (order of `affine.Affine`)."""
        a, b, c, d, e, f = transform
        dx, dy = self.x - c, self.y - f
        if b == 0 and d == 0:
            col, row = dx / a, dy / e
        else:
            area = a * e - b * d
            col, row = (e * dx - b * dy) / area, (a * dy - d * dx) / area
        return Lattice(np.stack([row - 0.5, col - 0.5]), self.cell, self.origin)


def nodes(geobox: GeoBox, crs: str, shift: int = _SHIFT) -> Nodes:
    """Nodes of the lattice around a unit, as PROJ places them in the CRS of an asset.

    The lattice belongs to the grid, not to the unit: nodes are pixel centres whose row and column,
    counted from the origin of the CRS, are multiples of `CELL`. An offset of the grid against that
    origin is kept to a millionth of a pixel, so that units of one grid agree.

    Args:
        geobox: the unit; north-up or at least unrotated.
        crs: CRS of the asset.
        shift: cells of 1 << shift pixels instead of `CELL`.

    Raises:
        GridError: a rotated geobox, one without CRS, or no transformation between the two.
    """
    import pyproj

    a, b, c, d, e, f = tuple(geobox.affine)[:6]
    if b or d or geobox.crs is None:
        raise GridError(
            f"the grid {geobox!r} is rotated or has no CRS; patches need an upright one"
        )
    xs, col_cell, col = _axis_nodes(c, a, geobox.shape[1], shift)
    ys, row_cell, row = _axis_nodes(f, e, geobox.shape[0], shift)
    x, y = (np.ascontiguousarray(part) for part in np.broadcast_arrays(xs[None], ys[:, None]))
    try:
        here = pyproj.CRS.from_user_input(str(geobox.crs))
        there = pyproj.CRS.from_user_input(crs)
        if here != there:
            x, y = pyproj.Transformer.from_crs(here, there, always_xy=True).transform(x, y)
    except pyproj.exceptions.ProjError as error:
        raise GridError(f"no transformation from {geobox.crs} to {crs!r}: {error}") from error
    return Nodes(x, y, (row_cell, col_cell), (row, col))


def _axis_nodes(
    start: float, step: float, count: int, shift: int
) -> tuple[NDArray[np.float64], int, int]:
    """Map coordinates of the nodes along an axis, the first node's cell, the first pixel's number."""
    first = round(start / step)
    phase = round(start / step - first, 6)
    cell = first >> shift
    last = ((first + count - 1) >> shift) + 1
    pixels = np.arange(cell, last + 1, dtype=np.float64) * (1 << shift)
    return (pixels + (0.5 + phase)) * step, cell, first


def needed(
    lattice: Lattice, reach: int, shape: tuple[int, int], places: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """Which pixels of an asset each patch needs.

    A function that is bilinear in each cell takes its extremes at corners of the patch and of the
    cells within it: those are looked at, and no others.

    Args:
        lattice: source coordinates around the unit.
        reach: `Kernel.reach` of the kernel.
        shape: height and width of the asset.
        places: (patch, 3) corners in the unit, see `sample`.
        size: side of a patch in pixels.

    Returns:
        (patch, 4): first row, row after the last, first column, column after the last, within the
        asset; all 0 for patches outside it.
    """
    ranges = np.empty((len(places), 4))
    kernels.ranges(lattice, places, size, ranges)
    result = np.zeros((len(places), 4), np.int64)
    inside = np.isfinite(ranges).all(axis=1)
    for axis, length in enumerate(shape):
        low, high = ranges[:, 2 * axis], ranges[:, 2 * axis + 1]
        inside &= (high >= -0.5 - SNAP) & (low <= length - 0.5 + SNAP)
    for axis, length in enumerate(shape):
        low, high = ranges[inside, 2 * axis], ranges[inside, 2 * axis + 1]
        first = np.floor(low + SNAP / 2).astype(np.int64) - reach
        last = np.ceil(high - SNAP / 2).astype(np.int64) + reach
        result[inside, 2 * axis] = np.clip(first, 0, length - 1)
        result[inside, 2 * axis + 1] = np.clip(last, 0, length - 1) + 1
    return result
