# SPDX-License-Identifier: Apache-2.0
"""Plain rasters: from georeferenced files of a unit to its stack of patches.

Law: numbers are what the file says they measure (its scale and offset), sampled once onto the grid of the patches; missing
pixels are 0 in the stack and 0 in `source`, which alone tells them from a value of 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .layers import Values
from .settings import coarse_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .cutting import CutPlan
    from .records import Lock, LockedItem
    from .settings import RasterSettings


def plan(settings: RasterSettings, _lock: Lock, _items: Sequence[LockedItem]) -> CutPlan:
    """How the stack of a unit is made: `data` is (patch, 1, band, y, x) in what the file measures.

    Args:
        settings: of the layer; nothing else is asked for.
    """
    from .cutting import CutPlan, Layer

    whole = np.issubdtype(np.dtype(settings.dtype), np.integer)
    info = np.iinfo(settings.dtype) if whole else None
    layer = Layer(
        bands=settings.bands,
        kernel=settings.kernel,
        coarser=coarse_kernel(settings.kernel, settings.coarser),
        dtype=settings.dtype,
        add_offset=True,
        limits=(-np.inf, np.inf) if info is None else (float(info.min), float(info.max)),
    )
    return CutPlan("raster", layer, Values(settings.unit or "as delivered"))
