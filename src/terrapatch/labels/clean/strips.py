# SPDX-License-Identifier: Apache-2.0
"""A raster handled in strips of rows, so that what a step needs beside it stays small.

Laws:
1. A step that depends on pixels within `reach` gives the same in strips as on the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

STRIP_PX = 2**24
"""Pixels of a strip."""


def strips_of(shape: tuple[int, int], reach: int) -> Iterable[range]:
    """Rows of each strip: about STRIP_PX pixels, and long beside their reach."""
    height, width = shape
    step = max(1, STRIP_PX // max(1, width), 2 * reach)
    return (range(start, min(start + step, height)) for start in range(0, height, step))


def by_strips(
    labels: NDArray[np.uint8],
    reach: int,
    change: Callable[[NDArray[np.uint8], slice], int],
    strips: Iterable[range] | None = None,
) -> int:
    """Change a raster in place, strip by strip.

    Args:
        labels: (y, x) uint8.
        reach: rows above and below that a pixel's new value depends on.
        change: is given the strip with its surroundings, as all steps before left them, and the
            rows of it that it may change; returns how many pixels it changed.
        strips: rows of each strip, downwards; by size if absent.

    Returns:
        The sum of what `change` returned.
    """
    height = labels.shape[0]
    above = labels[:0]
    changed = 0
    for rows in strips_of((height, labels.shape[1]), reach) if strips is None else strips:
        window = np.concatenate([above, labels[rows.start : min(height, rows.stop + reach)]])
        inner = slice(len(above), len(above) + len(rows))
        # The next strip must see these rows as they were.
        above = window[max(0, inner.stop - reach) : inner.stop].copy()
        changed += change(window, inner)
        labels[rows.start : rows.stop] = window[inner]
    return changed
