# SPDX-License-Identifier: Apache-2.0
"""Metres as a raster of heights says them: its voids, masks, scale and offset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..rasters import Header, read_masked
from ..records import LockedAsset


def read_metres(path: str, header: Header, rows: slice, cols: slice) -> NDArray[np.float32]:
    """A window (inside the file) of its first band as (y, x); NaN where there is no height.

    Raises:
        SceneError: missing, truncated or shorter than the window.
    """
    asset = LockedAsset(
        href=path, crs=header.crs or "", transform=header.transform, shape=header.shape,
        dtype=header.dtype, mask=header.masks[0],
    )  # fmt: skip
    numbers, masked = read_masked(asset, (rows, cols))
    # -32768 marks voids in SRTM files, also where conversions have lost the statement.
    void = numbers <= -32767
    if header.nodata is not None:
        void |= numbers == header.nodata
    if masked is not None:
        void |= masked
    metres = numbers.astype(np.float32)
    if (header.scales[0], header.offsets[0]) != (1.0, 0.0):
        metres = (numbers * header.scales[0] + header.offsets[0]).astype(np.float32)
    metres[void] = np.nan
    return metres
