# SPDX-License-Identifier: Apache-2.0
"""Distances between patches in metres, and how much of a test split its train split gives away.

Laws:
1. Distances are between outlines, in an equal-area projection around the centre of the dataset:
   within 0.1 % of the true ones up to 500 km from it.
2. Patches touch where they share an edge or a corner, or overlap; a tenth of a pixel is
   tolerated, since outlines come from different grids and from rounded coordinates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

TOUCH_PX = 0.1
"""Tolerance in pixels."""


def metric_outlines(outlines: NDArray[Any]) -> NDArray[Any]:
    """Project outlines to metres.

    Args:
        outlines: (patch,) shapely polygons in EPSG:4326.

    Returns:
        (patch,) shapely polygons in Lambert's azimuthal equal-area projection (WGS 84), centred
        at the middle of their common extent, to 0.1 degrees.
    """
    from pyproj import Transformer

    west, south, east, north = shapely.total_bounds(outlines)
    centre = f"+lon_0={round((west + east) / 2, 1)} +lat_0={round((south + north) / 2, 1)}"
    to_metres = Transformer.from_crs(
        "EPSG:4326", f"+proj=laea {centre} +datum=WGS84 +units=m", always_xy=True
    )
    return np.asarray(shapely.transform(outlines, to_metres.transform, interleaved=False))


def tolerance_m(outlines: NDArray[Any], size_px: int) -> float:
    """A tenth of a pixel in metres, from the area of the median patch."""
    return float(TOUCH_PX * np.sqrt(np.median(shapely.area(outlines))) / size_px)


def pairs_within(outlines: NDArray[Any], distance_m: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Numbers of all patches at most `distance_m` apart, each pair in both directions."""
    left, right = shapely.STRtree(outlines).query(
        outlines, predicate="dwithin", distance=distance_m
    )
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    return left[left != right], right[left != right]


def leakage(
    outlines: NDArray[Any], split: NDArray[Any], *, buffer_m: float, touch_m: float
) -> dict[str, dict[str, Any]]:
    """How near the validation and test splits come to the train split.

    Args:
        outlines: (patch,) outlines in metres.
        split: (patch,) `train`, `val`, `test` or None.
        buffer_m: distance under which patches count as near, in metres.
        touch_m: distance up to which patches count as touching, and by which a patch may be
            nearer than `buffer_m`, in metres.

    Returns:
        For `test` and `val`: `patches` (count), `touching_train` and `nearer_than_buffer` (shares
        0..1 of these patches), `min_distance_m` (rounded to 0.1 m). Null without patches.
    """
    train = outlines[split == "train"]
    result: dict[str, dict[str, Any]] = {}
    for name in ("test", "val"):
        held = outlines[split == name]
        figures: dict[str, Any] = {"patches": len(held)}
        keys = ("touching_train", "nearer_than_buffer", "min_distance_m")
        if not len(held) or not len(train):
            result[name] = figures | dict.fromkeys(keys)
            continue
        tree = shapely.STRtree(train)
        near_m = max(buffer_m - touch_m, touch_m)
        for key, distance_m in zip(keys, (touch_m, near_m), strict=False):
            hits = tree.query(held, predicate="dwithin", distance=distance_m)[0]
            figures[key] = round(len(np.unique(hits)) / len(held), 6)
        nearest = tree.query_nearest(held, return_distance=True, all_matches=False)[1]
        figures["min_distance_m"] = round(float(nearest.min()), 1)
        result[name] = figures
    return result
