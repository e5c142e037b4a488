# SPDX-License-Identifier: Apache-2.0
"""Faults that genuine vector maps have: slivers, scraps, specks, rings that cross themselves.

Law: faults follow the place of the polygon that has them; another seed has others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from .parcels import blob

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

SLIVER_SHARE, SLIVER_M = 0.4, (1.0, 16.0)
"""Share of polygons with a sliver along one of their sides, and its width."""
SCRAPS_KM2, SCRAP_M = 12.0, (7.0, 45.0)
"""Scraps a square kilometre, and their radius: below the 2.5 ha that MultiSenGE keeps."""
SPECKS_KM2, SPECK_M = 12.0, (2.0, 7.0)
"""Specks a square kilometre, and the sides of one: at most 49 m²."""
BOW_TIE_SHARE, BOW_TIE_M = 0.02, 1.0
"""Share of polygons with a ring that crosses itself, and how far it strays."""
LONG_M = 40.0
"""Sides shorter than this have no fault."""


def lay_faults(
    geometry: NDArray[np.object_], code: NDArray[np.int64], area: BaseGeometry, seed: int
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Slivers, scraps and specks to be laid over a map, and their codes.

    Args:
        geometry: (n,) polygons of the map, in metres.
        code: (n,) their codes; faults have codes of other polygons.
        area: polygon that the map covers.
        seed: of the landscape.
    """
    known = np.unique(code)
    shapes: list[BaseGeometry] = []
    codes: list[int] = []
    for polygon, own in zip(geometry, code.tolist(), strict=True):
        rng = place_rng(polygon, seed, 33)
        side = _long_side(polygon, rng)
        if rng.random() > SLIVER_SHARE or side is None:
            continue
        start, end = side
        first, last = np.sort(rng.uniform(0.05, 0.95, 2))
        along = end - start
        across = np.array([-along[1], along[0]]) / np.hypot(*along)
        width = rng.uniform(*SLIVER_M)
        shapes.append(
            shapely.Polygon(
                [start + first * along, start + last * along,
                 start + (first + last) / 2 * along + width * across]
            )
        )  # fmt: skip
        codes.append(int(rng.choice(known[known != own])))
    left, bottom, right, top = area.bounds
    rng = np.random.default_rng((seed, 34))
    for _ in range(round(SCRAPS_KM2 * (right - left) * (top - bottom) / 1e6)):
        place = np.array([rng.uniform(left, right), rng.uniform(bottom, top)])
        shapes.append(blob(place, rng.uniform(*SCRAP_M), rng))
        codes.append(int(rng.choice(known)))
    for _ in range(round(SPECKS_KM2 * (right - left) * (top - bottom) / 1e6)):
        x, y = rng.uniform(left, right), rng.uniform(bottom, top)
        wide, high = rng.uniform(*SPECK_M, 2)
        shapes.append(shapely.box(x, y, x + wide, y + high))
        codes.append(int(rng.choice(known)))
    return np.array(shapes, object), np.array(codes, np.int64)


def with_bow_ties(polygons: NDArray[np.object_], seed: int) -> NDArray[np.object_]:
    """Polygons in metres, the outer rings of some crossing themselves, as slips of a hand make them.

    In the middle of a long side two points, six metres apart and one beside it, stand in the wrong
    order: the ring makes a small loop, of some 10 m².
    """
    found = polygons.copy()
    for number, polygon in enumerate(polygons):
        rng = place_rng(polygon, seed, 35)
        if rng.random() > BOW_TIE_SHARE:
            continue
        ring = shapely.get_coordinates(polygon.exterior)
        lengths = np.hypot(*np.diff(ring, axis=0).T)
        at = int(lengths.argmax())
        if lengths[at] < LONG_M:
            continue
        along = (ring[at + 1] - ring[at]) / lengths[at]
        across = BOW_TIE_M * np.array([-along[1], along[0]])
        middle = (ring[at] + ring[at + 1]) / 2
        loop = [middle - 10 * along, middle + 3 * along + across,
                middle - 3 * along + across, middle + 10 * along]  # fmt: skip
        crossed = np.vstack([ring[: at + 1], np.round(loop, 2), ring[at + 1 :]])
        found[number] = shapely.Polygon(crossed, [i.coords for i in polygon.interiors])
    return found


def _long_side(
    polygon: BaseGeometry, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    ring = shapely.get_coordinates(polygon.exterior)
    long = np.flatnonzero(np.hypot(*np.diff(ring, axis=0).T) > LONG_M)
    if not long.size:
        return None
    at = int(rng.choice(long))
    return ring[at], ring[at + 1]


def place_rng(geometry: BaseGeometry, seed: int, kind: int) -> np.random.Generator:
    """Random numbers that follow a polygon's place, not its number."""
    x, y = shapely.get_coordinates(shapely.centroid(geometry))[0].round(1)
    return np.random.default_rng((seed, kind, abs(int(x * 10)), abs(int(y * 10)), int(x > 0)))
