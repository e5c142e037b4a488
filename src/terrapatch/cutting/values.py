# SPDX-License-Identifier: Apache-2.0
"""From the numbers in a file to values: what is missing, what they are multiplied by.

Laws:
1. Values are made where numbers are decoded, before any kernel: what a mask, an alpha band or a
   nodata value excludes is missing for the kernel too, and nothing bleeds.
2. Numbers that need nothing stay what they are, in the file's own pixel type.
3. Power that is not above 0 was not measured: it has no decibel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import exact
from ..records import LockedAsset

if TYPE_CHECKING:
    from .layer import Layer


@dataclass(frozen=True)
class Decoding:
    """What is made of the numbers of assets of one group."""

    gain: float
    """What numbers are multiplied by: 1 where the file has the stack's own units."""
    dtype: str
    """Pixel type of the values."""
    missing_number: float
    """Number in the file that means missing; NaN where there is none."""
    power: bool

    @classmethod
    def of(cls, asset: LockedAsset, layer: Layer) -> Decoding:
        """What a layer wants of an asset."""
        gain = layer.full_scale / asset.quantification if layer.full_scale else asset.gain
        whole = not np.issubdtype(np.dtype(asset.dtype), np.floating)
        dtype = "float32" if whole and (layer.power or gain != 1) else asset.dtype
        return cls(gain, dtype, layer.nodata if asset.nodata is None else asset.nodata, layer.power)

    @classmethod
    def codes(cls, asset: LockedAsset) -> Decoding:
        """Codes stay what they are; 0 where they are missing."""
        return cls(1.0, asset.dtype, 0.0, power=False)

    @property
    def changed(self) -> bool:
        """Whether values are other numbers than those in the file."""
        return self.power or self.gain != 1

    @property
    def missing(self) -> float:
        """Value that means missing, beside NaN."""
        return np.nan if self.changed else self.missing_number

    def made(
        self,
        numbers: NDArray[Any],
        asset: LockedAsset,
        masked: NDArray[np.bool_] | None,
        out: NDArray[Any],
    ) -> None:
        """Values of decoded numbers, into `out` (which may be the numbers themselves).

        Args:
            numbers: (y, x) as the file has them.
            asset: where they are from.
            masked: (y, x) where the file's mask says that they are missing.
            out: (y, x) of `dtype`.
        """
        if self.changed:
            absent = numbers == self.missing_number
            if out is not numbers:
                out[:] = numbers
            if self.power and asset.add_offset:
                out += np.float32(asset.add_offset)
            if self.gain != 1:
                out *= np.float32(self.gain)
            out[absent] = np.nan
            if self.power:
                _power(out, decibel=asset.scale == "db")
        if masked is not None:
            out[masked] = self.missing


def _power(values: NDArray[Any], *, decibel: bool) -> None:
    """Linear power in place; NaN where it is not above 0, or endless."""
    if decibel:
        values[...] = exact.from_decibel(values)
    with np.errstate(invalid="ignore"):
        values[~((values > 0) & (values < np.inf))] = np.nan
