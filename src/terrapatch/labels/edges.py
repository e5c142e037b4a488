# SPDX-License-Identifier: Apache-2.0
"""Edge layers: where the class changes from pixel to pixel.

Laws:
1. Neighbours are the four that share a side; a neighbour without label makes no edge.
2. An edge depends on pixels within `HALO[kind]` alone: labels cut with that halo have the edges
   of the whole.
3. Pixels without label are 255 in every edge layer.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..legend import NODATA

EdgeKind = Literal["thin", "inner", "outer", "thick", "distance"]

DISTANCE_MAX = 254
"""Greatest value of the layer `distance`, in pixels; 255 is nodata."""

HALO = {"none": 0, "thin": 1, "inner": 1, "outer": 1, "thick": 1, "distance": DISTANCE_MAX + 1}
"""Pixels around a window that its edges depend on."""


def edges(codes: NDArray[np.uint8], kind: EdgeKind) -> NDArray[np.uint8]:
    """Edges of a label array.

    Where two pixels share a side and have different codes, the kinds mark:
        thin:   the left one of a horizontal pair, the upper one of a vertical pair (a pixel that
                differs from its right or lower neighbour): lines of one pixel;
        inner:  the one with the greater code;
        outer:  the one with the smaller code (with a background of code 0 and objects above it,
                inner lies in the objects and outer in the background);
        thick:  both: lines of two pixels.
    `distance` is no mark: it is the Euclidean distance in pixels from each pixel's centre to the
    centre of the nearest `thin` pixel, rounded, at most 254 (also where there is no edge at all).

    Args:
        codes: (y, x) uint8 class codes; 255 is nodata.
        kind: see above.

    Returns:
        (y, x) uint8: 0 or 1 (pixels for `distance`); 255 where `codes` is 255. Pixels nearer
        than `HALO[kind]` to the array's outline see only what lies inside it.

    Source: one-pixel, 4-neighbour boundaries as the default for edge masks, RECIPES §1.5.
    """
    if kind == "distance":
        return _distance(codes)
    result = np.zeros(codes.shape, np.uint8)
    # The same rule for pairs beside each other (columns) and above each other (rows).
    for before, after in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        first, second = codes[before], codes[after]
        change = (first != second) & (first != NODATA) & (second != NODATA)
        if kind == "thin":
            result[before] |= change
        elif kind == "thick":
            result[before] |= change
            result[after] |= change
        else:
            first_is_greater = first > second
            mark_first = first_is_greater if kind == "inner" else ~first_is_greater
            result[before] |= change & mark_first
            result[after] |= change & ~mark_first
    result[codes == NODATA] = NODATA
    return result


def _distance(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from scipy.ndimage import distance_transform_edt

    marked = edges(codes, "thin") == 1
    result = np.full(codes.shape, DISTANCE_MAX, np.uint8)
    if marked.any():
        exact: NDArray[Any] = distance_transform_edt(~marked)
        result[:] = np.minimum(np.rint(exact), DISTANCE_MAX)
    result[codes == NODATA] = NODATA
    return result
