# SPDX-License-Identifier: Apache-2.0
"""Patches of neighbouring tiles that show the same ground: which of them stays.

Laws:
1. Only patches of different units are compared, and only kept ones: what is incomplete takes no
   ground from others.
2. `polygons`: tiles stand in one order; a patch gives way to kept patches of tiles before its own,
   and to nothing else. So no two kept patches overlap, no patch goes without need, and neither the
   order of rows nor that of units matters.
3. `published`: of a listed pair of tiles the first loses each patch whose box touches one of the
   second, whether that one stays or not; other pairs of tiles are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from ..crs import GEOGRAPHIC, transformer
from ..grid import one_name
from .distance import metric_outlines

if TYPE_CHECKING:
    import geopandas as gpd

PUBLISHED_PAIRS = (
    ("31UER", "31UFR"), ("31UEQ", "31UFQ"), ("31UFQ", "31UGQ"), ("31UGQ", "32ULV"),
    ("32ULV", "32UMV"), ("31UEP", "31UFP"), ("31UFP", "31UGP"), ("31UGP", "32ULU"),
    ("32ULU", "32UMU"), ("31UER", "31UEQ"), ("31UEQ", "31UEP"), ("31UFR", "31UFQ"),
    ("31UFQ", "31UFP"), ("31UFP", "31TFN"), ("31UGQ", "31UGP"), ("32ULV", "32ULU"),
    ("32ULU", "32TLT"), ("32UMV", "32UMU"), ("31UGQ", "32ULU"), ("31UGP", "32ULV"),
    ("31UGP", "32TLT"),
)  # fmt: skip
"""Pairs of tiles of MultiSenGE; the first loses. Source: RECIPES §2.1, step 17."""

_SIDE_POINTS = 16
"""Points a side of an outline: straight sides are curved in other projections, from one UTM zone
to the next by 9 mm for 2.56 km and by 0.6 m for 20 km; between these points by 1/256 of that."""


def drop_overlaps(table: gpd.GeoDataFrame, rule: str, priority: Sequence[str]) -> None:
    """Mark patches that give way to one of another unit as not kept, with the reason.

    Args:
        table: patches of all units; `kept` and `dropped_reason` are changed in place.
        rule: `none`, `polygons` or `published`.
        priority: tiles before all others, the first wins (`polygons`), by any of their names; the
            rest follow by name.
    """
    if rule == "none":
        return
    kept = np.flatnonzero(table["kept"].to_numpy(bool))
    part = table.iloc[kept]
    as_published = rule == "published"
    winner = published_winners(part) if as_published else polygon_winners(part, priority)
    ids = part["patch_id"].to_numpy(object)
    reasons = table["dropped_reason"].to_numpy(object).copy()
    still = table["kept"].to_numpy(bool).copy()
    for loser in np.flatnonzero(winner >= 0).tolist():
        reasons[kept[loser]] = f"overlap: shows ground of {ids[winner[loser]]}"
        still[kept[loser]] = False
    table["kept"], table["dropped_reason"] = still, reasons


def polygon_winners(table: gpd.GeoDataFrame, priority: Sequence[str]) -> NDArray[np.int64]:
    """To which patch each one gives way, by the ground that they share.

    Outlines lie in one equal-area projection. Patches overlap where they share more than the area
    of a pixel: sides that only touch share a sliver of rounding.

    Args:
        table: patches with unit, row, col, crs, transform and size_px.
        priority: units before all others, the first wins; the rest follow by name.

    Returns:
        (patch,) position of the winner, of several the first in the order of tiles, row and
        column; −1 for patches that stay.
    """
    order = _order(table, priority)
    shapes = metric_outlines(dense_outlines(table))[order]
    pixel_m2 = float(np.median(shapely.area(shapes) / table["size_px"].to_numpy(float) ** 2))
    unit = table["unit"].to_numpy(object)[order]
    late, early = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    before = (early < late) & (unit[early] != unit[late])
    late, early = late[before], early[before]
    shared = shapely.area(shapely.intersection(shapes[late], shapes[early])) > pixel_m2
    late, early = late[shared], early[shared]
    # Earliest first: whoever a patch meets is then decided already.
    turns = np.lexsort((early, late))
    winner = np.full(len(table), -1)
    for loser, other in zip(late[turns].tolist(), early[turns].tolist(), strict=True):
        if winner[loser] < 0 and winner[other] < 0:
            winner[loser] = other
    found = np.full(len(table), -1)
    found[order] = np.where(winner >= 0, order[winner], -1)
    return found


def published_winners(table: gpd.GeoDataFrame) -> NDArray[np.int64]:
    """The same, as the authors of MultiSenGE did it: boxes in degrees that touch or overlap.

    A box has its upper left and lower right corner from the patch, both taken to EPSG:4326; it is
    neither the patch's outline nor its bounds.
    """
    boxes = np.empty(len(table), object)
    crs = table["crs"].to_numpy(object)
    a, b, c, d, e, f = np.array(table["transform"].tolist(), float).T
    size = table["size_px"].to_numpy(float)
    right, bottom = c + (a + b) * size, f + (d + e) * size
    for name in dict.fromkeys(crs):
        here = crs == name
        to = transformer(str(name), GEOGRAPHIC)
        west, north = to.transform(c[here], f[here])
        east, south = to.transform(right[here], bottom[here])
        boxes[here] = shapely.box(west, south, east, north)
    unit = table["unit"].to_numpy(object)
    winner = np.full(len(table), -1)
    order = _order(table, ())
    for first, second in PUBLISHED_PAIRS:
        losers, others = (order[unit[order] == tile] for tile in (first, second))
        loser, other = shapely.STRtree(boxes[others]).query(boxes[losers], predicate="intersects")
        for number, by in sorted(zip(loser.tolist(), other.tolist(), strict=True)):
            if winner[losers[number]] < 0:
                winner[losers[number]] = others[by]
    return winner


def dense_outlines(table: gpd.GeoDataFrame) -> NDArray[Any]:
    """Outlines of patches in EPSG:4326 with points along their sides, from grid and CRS.

    Args:
        table: patches with crs, transform and size_px.

    Returns:
        (patch,) shapely polygons.
    """
    steps = np.linspace(0, 1, _SIDE_POINTS, endpoint=False)
    zeros, ones = np.zeros(_SIDE_POINTS), np.ones(_SIDE_POINTS)
    x = np.concatenate([steps, ones, 1 - steps, zeros])
    y = np.concatenate([zeros, steps, ones, 1 - steps])
    crs = table["crs"].to_numpy(object)
    outlines = np.empty(len(table), object)
    for name in dict.fromkeys(crs):
        rows = np.flatnonzero(crs == name)
        rings = np.empty((len(rows), x.size, 2))
        for number, row in enumerate(rows.tolist()):
            pixel, size = Affine(*table["transform"].iloc[row]), int(table["size_px"].iloc[row])
            rings[number] = np.column_stack(pixel * (x * size, y * size))
        lon, lat = transformer(str(name), GEOGRAPHIC).transform(rings[..., 0], rings[..., 1])
        outlines[rows] = shapely.polygons(np.stack([lon, lat], axis=-1))
    return outlines


def _order(table: gpd.GeoDataFrame, priority: Sequence[str]) -> NDArray[np.int64]:
    """Positions in the order of tiles, row and column."""
    unit = table["unit"].to_numpy(object)
    named = list(dict.fromkeys(one_name(tile) for tile in priority))
    units = [u for u in named if u in set(unit)] + sorted(set(unit) - set(named))
    rank = np.array([units.index(u) for u in unit], np.int64)
    places = [table[name].to_numpy(np.int64) for name in ("col", "row")]
    return np.lexsort((*places, rank))
