# SPDX-License-Identifier: Apache-2.0
"""A window around each point of a table, on the grid of the MGRS tile that holds it whole.

Laws:
1. The point lies in pixel (size / 2, size / 2) of its window; a point on an edge belongs to the pixel
   right of it and below.
2. A window that lies whole in several tiles is cut from the tile in which it lies farthest from the
   edge (of equals, the first by name), or from each of them (`overlap: all`).
3. Only tiles that there are scenes of are asked; the order of the table plays no part.

Source: RECIPES §3.1: theoretical position, 64 x 64 px; pixel (32, 32) is the centre of the crop that
readers take of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from ..crs import GEOGRAPHIC, transformer
from ..errors import GridError, InputError
from ..grid import TILE_PIXEL_M, TILE_SIZE_M, Unit, Window, reprojected
from ..settings import SamplingSettings
from .windows import Ground, Points, tile_units

_REACH_DEG = 12.0
"""Degrees of longitude from a zone's middle in which its tiles can lie."""
_SIDE_PX = TILE_SIZE_M // TILE_PIXEL_M


@dataclass(frozen=True)
class _Fits:
    """Windows that lie whole in tiles, in no order."""

    point: NDArray[np.int64]
    tile: NDArray[np.int64]
    y_px: NDArray[np.int64]
    x_px: NDArray[np.int64]
    margin: NDArray[np.int64]
    """Pixels from the window to the nearest edge of the tile."""


def units(sampling: SamplingSettings, ground: Ground) -> list[Unit]:
    """One unit a tile that holds windows, with its windows in the order of their ids.

    Raises:
        InputError: no point of the table lies in the area.
        GridError: patches are larger than tiles.
    """
    table = ground.table
    if table is None:
        raise InputError("sampling.path: kind: points needs a table of points")
    if sampling.size_px > _SIDE_PX:
        raise GridError(f"sampling.size_px: a tile has {_SIDE_PX} px a side")
    inside = np.flatnonzero(in_area(table.xy, ground))
    if not inside.size:
        raise InputError(_none_inside(table, ground))
    tiles = tile_units(ground.tiles())
    fits = _fits(table.xy[inside], tiles, sampling.size_px)
    if sampling.overlap == "first":
        # Last of equals is the first by name: tiles are in the order of their names.
        order = np.lexsort((-fits.tile, fits.margin, fits.point))
        last = np.flatnonzero(np.append(np.diff(fits.point[order]) != 0, True))
        chosen = order[last] if order.size else order
    else:
        chosen = np.lexsort((fits.tile, fits.point))
    found: list[Unit] = []
    for number, unit in enumerate(tiles):
        mine = chosen[fits.tile[chosen] == number]
        if not mine.size:
            continue
        behind = f"_{unit.id}" if sampling.overlap == "all" else ""
        windows = tuple(
            Window(n, 0, y, x, sampling.size_px, f"{table.ids[point]}{behind}")
            for n, (point, y, x) in enumerate(
                zip(inside[fits.point[mine]].tolist(), fits.y_px[mine].tolist(),
                    fits.x_px[mine].tolist(), strict=True)
            )
        )  # fmt: skip
        found.append(Unit(unit.id, unit.geobox, 0, 0, windows))
    return found


def patch_id(_: Unit, window: Window) -> str:
    """Name of a patch: the id of its point, `38863060`; with `overlap: all` and the tile behind it."""
    return window.id


def in_area(xy: NDArray[np.float64], ground: Ground) -> NDArray[np.bool_]:
    """(place,) whether points in degrees lie in the area or on its edge; no without a position."""
    area = reprojected(ground.area, ground.crs, GEOGRAPHIC)
    shapely.prepare(area)
    return np.asarray(shapely.intersects_xy(area, xy[:, 0], xy[:, 1]), bool)


def _fits(xy: NDArray[np.float64], tiles: list[Unit], size_px: int) -> _Fits:
    """All windows of all points that lie whole in a tile."""
    parts: list[tuple[NDArray[np.int64], ...]] = [(np.empty(0, np.int64),) * 5]
    by_crs: dict[str, list[int]] = {}
    for number, unit in enumerate(tiles):
        by_crs.setdefault(str(unit.geobox.crs), []).append(number)
    for crs, numbers in by_crs.items():
        middle = 6 * (int(crs[-2:]) % 100) - 183
        near = np.flatnonzero(np.abs((xy[:, 0] - middle + 180) % 360 - 180) < _REACH_DEG)
        x, y = transformer(GEOGRAPHIC, crs).transform(xy[near, 0], xy[near, 1])
        order = np.argsort(x, kind="stable")
        near, x, y = near[order], x[order], y[order]
        for number in numbers:
            a, _, left, _, e, top = tuple(tiles[number].geobox.affine)[:6]
            first, last = np.searchsorted(x, [left, left + a * _SIDE_PX])
            # A billionth of a pixel is rounding of the projection, and no pixel.
            col = np.floor((x[first:last] - left) / a + 1e-9).astype(np.int64) - size_px // 2
            row = np.floor((y[first:last] - top) / e + 1e-9).astype(np.int64) - size_px // 2
            most = _SIDE_PX - size_px
            margin = np.minimum.reduce([col, row, most - col, most - row])
            whole = margin >= 0
            parts.append((
                near[first:last][whole], np.full(int(whole.sum()), number), row[whole], col[whole],
                margin[whole],
            ))  # fmt: skip
    return _Fits(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _none_inside(table: Points, ground: Ground) -> str:
    """Why no point lies in the area."""
    count = int(in_area(table.xy[:, ::-1], ground).sum())
    hint = (
        f"; {count} of them would with longitude and latitude exchanged: correct sampling.x and "
        "sampling.y"
        if count
        else "; correct the area, or give sampling.table_crs if coordinates are no degrees"
    )
    return f"{table.path}: none of its {len(table.ids)} points lies in the area{hint}"
