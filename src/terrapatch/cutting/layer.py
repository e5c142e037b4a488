# SPDX-License-Identifier: Apache-2.0
"""What is cut: the layer that a stack holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .evidence import Check


@dataclass(frozen=True)
class Layer:
    """What is to be made of the scenes of one sensor."""

    bands: tuple[str, ...]
    """Asset names in the order of the stack."""
    kernel: str
    dtype: str
    coarser: str = "average"
    """Kernel where the grid is coarser than the band, see `resample.Kernel`."""
    upsample_first: str | None = None
    """Bring bands coarser than 10 m to 10 m with this kernel before the warp."""
    add_offset: bool = False
    """Add each asset's `add_offset` to its sampled values."""
    limits: tuple[float, float] = (-np.inf, np.inf)
    """Valid values are kept within these."""
    nodata: float = np.nan
    """Missing pixels in files where the lock names no value."""
    full_scale: float | None = None
    """What the stack has for a reflectance of 1; absent: assets say their gain."""
    power: bool = False
    """Values are power, linear or in decibel in the files: what is not above 0 is missing."""
    masks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Values that count as missing in further masks (uint8), by asset; scenes that lack one are
    taken without it."""
    decibel: bool = False
    """Turn the sampled linear power into 10·log10 of it."""
    classes: str | None = None
    """Asset of scene classes (uint8), sampled by the nearest neighbour."""
    masked: tuple[int, ...] = ()
    """Classes that count as missing."""
    check: Check | None = None
    """Holds a sample of each scene's numbers against what the lock says about them."""
    plain: tuple[str, ...] = ()
    """Bands behind `bands` that scenes make themselves: no assets, no power, never in decibel."""

    @property
    def names(self) -> tuple[str, ...]:
        """All bands of the stack."""
        return (*self.bands, *self.plain)
