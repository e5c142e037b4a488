# SPDX-License-Identifier: Apache-2.0
"""Every pixel takes the class that is most frequent around it.

Laws:
1. Pixels with a class count; pixels without label are neither counted nor changed. A hole is not
   counted, but takes the winner.
2. A pixel keeps its class where no other is more frequent. Of several that are, the one wins that
   stands nearest (Euclidean, in metres; then the smallest row, then column).
3. A pass depends on pixels within the window's half side.
4. A second pass may change as much as the first: stripes of one pixel change places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...compiled import kernel
from ...legend import NODATA
from .filling import near_offsets
from .strips import by_strips


@kernel
def _vote(
    window: NDArray[np.uint8],
    counted: NDArray[np.bool_],
    fixed: NDArray[np.bool_],
    radius: tuple[int, int],
    offsets: NDArray[np.int32],
    rows: tuple[int, int],
    result: NDArray[np.uint8],
) -> int:
    height, width = window.shape
    changed = 0
    counts = np.empty(256, np.int32)
    for y in range(rows[0], rows[1]):
        top, bottom = max(0, y - radius[0]), min(height, y + radius[0] + 1)
        counts[:] = 0
        for column in range(min(radius[1], width)):
            for row in range(top, bottom):
                counts[window[row, column]] += 1
        for x in range(width):
            column = x + radius[1]
            if column < width:
                for row in range(top, bottom):
                    counts[window[row, column]] += 1
            column = x - radius[1] - 1
            if column >= 0:
                for row in range(top, bottom):
                    counts[window[row, column]] -= 1
            own = window[y, x]
            if fixed[own]:
                continue
            if counted[own] and 2 * counts[own] >= (2 * radius[0] + 1) * (2 * radius[1] + 1):
                continue
            most, number = counts[own] if counted[own] else 0, 0
            for code in range(256):
                if counted[code] and counts[code] > most:
                    most, number = counts[code], 1
                elif counted[code] and counts[code] == most:
                    number += 1
            if most == 0 or (counted[own] and counts[own] == most):
                continue
            for at in range(len(offsets)):
                row, column = y + offsets[at, 0], x + offsets[at, 1]
                if row < 0 or column < 0 or row >= height or column >= width:
                    continue
                code = window[row, column]
                if counted[code] and counts[code] == most:
                    result[y - rows[0], x] = code
                    changed += 1
                    break
    return changed


def radius_px(radius_m: float, pixel_m: tuple[float, float]) -> tuple[int, int]:
    """Rows and columns on each side of the middle."""
    return int(radius_m / pixel_m[0] + 1e-9), int(radius_m / pixel_m[1] + 1e-9)


def majority(
    labels: NDArray[np.uint8],
    counted: NDArray[np.bool_],
    fixed: NDArray[np.bool_],
    radius_m: float,
    pixel_m: tuple[float, float],
) -> int:
    """One pass of the majority filter, in place.

    Args:
        labels: (y, x) uint8 codes; 255 is nodata.
        counted: (256,) values that are classes.
        fixed: (256,) values whose pixels do not change, nodata among them.
        radius_m: half side of the square window.
        pixel_m: height and width of a pixel.

    Returns:
        Pixels changed.
    """
    assert fixed[NODATA], "nodata stays"
    radius = radius_px(radius_m, pixel_m)
    offsets, _ = near_offsets(float(np.hypot(*pixel_m)) * (max(radius) + 1), pixel_m)
    inside = (abs(offsets[:, 0]) <= radius[0]) & (abs(offsets[:, 1]) <= radius[1])
    offsets = offsets[inside]

    def change(window: NDArray[np.uint8], inner: slice) -> int:
        result = window[inner].copy()
        rows = (inner.start, inner.stop)
        changed: int = _vote(window, counted, fixed, radius, offsets, rows, result)
        window[inner] = result
        return changed

    return by_strips(labels, radius[0], change)
