# SPDX-License-Identifier: Apache-2.0
"""Regular windows on the grid of a unit, and which of them an area lets stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import GridError
from ..grid import Unit, Window, mgrs_tile_geobox, one_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry


class Points(Protocol):
    """What a table says of its points."""

    @property
    def path(self) -> str:
        """The table."""

    @property
    def ids(self) -> tuple[str, ...]:
        """In their order."""

    @property
    def xy(self) -> NDArray[np.float64]:
        """(place, 2) longitude and latitude in degrees (EPSG:4326), NaN without a position."""


@dataclass(frozen=True)
class Ground:
    """What a sampling is laid over."""

    area: BaseGeometry
    """The recipe's area."""
    crs: str
    """Of the area."""
    tiles: Callable[[], Sequence[str]]
    """Gives the MGRS tiles that there are scenes of, with or without leading T."""
    table: Points | None = None
    """Points, for samplings that have them."""


def tile_units(tiles: Sequence[str]) -> list[Unit]:
    """One unit per MGRS tile, on the tile's own 10 m grid; ids without leading T, see `one_name`."""
    names = sorted({one_name(tile.removeprefix("T")) for tile in tiles})
    return [Unit(name, mgrs_tile_geobox(name), 0, 0) for name in names]


def patches_along(length_px: int, size_px: int, stride_px: int) -> int:
    """How many whole patches fit along a side."""
    return 0 if length_px < size_px else (length_px - size_px) // stride_px + 1


def patch_windows(unit: Unit, *, size_px: int, stride_px: int) -> list[Window]:
    """All patch windows of a unit, row by row."""
    rows, cols = (patches_along(length, size_px, stride_px) for length in unit.geobox.shape)
    return [
        Window(unit.first_row + r, unit.first_col + c, r * stride_px, c * stride_px, size_px)
        for r in range(rows)
        for c in range(cols)
    ]


def occupied(geobox: GeoBox, corners: Sequence[tuple[int, int]], size_px: int) -> GeoBox:
    """The smallest part of a unit that holds its patches.

    Args:
        geobox: the unit.
        corners: first row and column of each patch; without any, it is the whole unit.
        size_px: side of a patch.
    """
    if not corners:
        return geobox
    rows, cols = zip(*corners, strict=True)
    return geobox[
        int(min(rows)) : int(max(rows)) + size_px, int(min(cols)) : int(max(cols)) + size_px
    ]


def windows_in_area(
    windows: Sequence[Window], geobox: GeoBox, area: BaseGeometry, rule: str
) -> list[Window]:
    """Patch windows that the area rule lets stand, in the order given.

    Args:
        windows: windows of one unit.
        geobox: north-up geobox of that unit.
        area: shapely geometry in the CRS of `geobox`.
        rule: `within`: the patch lies in the area, but for a rim of one pixel, because a mosaic
            grid is snapped outwards by up to a pixel; `intersects`: the patch shares some
            surface with the area (a common edge is not enough).

    Raises:
        GridError: no such rule.
    """
    import numpy as np
    import shapely

    if rule not in ("within", "intersects"):
        raise GridError(f"no area rule {rule!r}; give 'within' or 'intersects'")
    if not windows:
        return []
    rim = 1.0 if rule == "within" else 1e-6
    first = np.array([(w.x_px, w.y_px) for w in windows], float)
    low, high = first + rim, first + np.array([[w.size_px] for w in windows]) - rim
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    boxes = shapely.box(
        c + a * low[:, 0], f + e * high[:, 1], c + a * high[:, 0], f + e * low[:, 1]
    )
    shapely.prepare(area)
    test = shapely.covers if rule == "within" else shapely.intersects
    return [w for w, kept in zip(windows, test(area, boxes), strict=True) if kept]
