# SPDX-License-Identifier: Apache-2.0
"""Layers of other pixel sizes on the grid of the labels.

Laws:
1. A patch has one footprint: the same ground in as many pixels as a layer has.
2. A layer with coarser pixels gives each pixel of the labels the one that its centre lies in; one
   with finer pixels gives the mean, decibels as power, and only where all of them were observed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FLOOR = 1e-6
"""Smallest linear power that is turned into decibel (−60 dB, far below any radar's noise)."""


def power_to_decibel(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """10·log10 of a linear power, with a floor of −60 dB."""
    decibel: NDArray[np.float32] = np.log10(np.maximum(power, np.float32(_FLOOR)))
    return decibel * np.float32(10)


def onto(
    values: NDArray[np.float32], valid: NDArray[np.bool_], size: int, *, decibel: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bring patches to another number of pixels on the same ground.

    Args:
        values: (patch, band, y, x) float32.
        valid: (patch, y, x) whether a pixel was observed.
        size: side of the patches wanted, in pixels.
        decibel: whether values are 10·log10 of a power.

    Returns:
        (patch, band, size, size) float32, 0 where missing, and (patch, size, size) bool.
    """
    own = values.shape[-1]
    if own == size:
        return values, valid
    if own % size == 0:
        times = own // size
        blocks = (size, times, size, times)
        power = np.power(10, values / 10, dtype=np.float32) if decibel else values
        means = power.reshape(*values.shape[:2], *blocks).mean(axis=(3, 5), dtype=np.float32)
        whole = np.asarray(valid.reshape(len(valid), *blocks).all(axis=(2, 4)))
        found = power_to_decibel(means) if decibel else means
        return np.where(whole[:, None], found, np.float32(0)), whole
    nearest = (np.arange(size) * 2 + 1) * own // (2 * size)
    return values[:, :, nearest][..., nearest], valid[:, nearest][..., nearest]
