# SPDX-License-Identifier: Apache-2.0
"""What a scene's numbers look like: a sample of what is decoded anyway, to hold against the lock.

Laws:
1. Nothing is decoded for the sample; what is sampled depends on the blocks that patches need, not
   on threads.
2. Numbers are sampled as the file has them, before anything is made of them, without the missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..records import LockedAsset, LockedItem

_ACROSS = 128
"""At least so many sampled pixels along the shorter side of a file …"""
_STEP = 16
"""… and one in so many, at most."""
_BLOCK = 8
"""Side of the blocks that are looked at for exact zeros."""
_ENOUGH = 256
"""Fewer pixels of a band tell nothing."""


@dataclass(frozen=True)
class Sample:
    """Numbers of one band of a scene."""

    asset: LockedAsset
    numbers: NDArray[np.float64]
    """Numbers in the file, none of them missing, in no order."""
    zero_blocks: float
    """Share of blocks of 8 x 8 pixels that are exactly 0 throughout, and not missing."""

    @property
    def measured(self) -> NDArray[np.float64]:
        """What the lock makes of the numbers: 10,000 × reflectance, backscatter in its own unit."""
        asset = self.asset
        return (self.numbers + asset.add_offset) * asset.gain


Check = Callable[[LockedItem, Mapping[str, Sample]], str | None]
"""Says what is wrong with a scene's numbers, from samples by band; None: nothing."""


class Sampler:
    """Gathers the sample of one band; blocks come from several threads."""

    def __init__(self, asset: LockedAsset, missing: float) -> None:
        self.asset, self._missing = asset, missing
        self._step = int(np.clip(min(asset.shape) // _ACROSS, 1, _STEP))
        self._parts: list[NDArray[np.float64]] = []
        self._zeros: list[tuple[int, int]] = []

    def look(
        self, numbers: NDArray[np.generic], masked: NDArray[np.bool_] | None,
        window: tuple[slice, slice],
    ) -> None:  # fmt: skip
        """Take what a decoded window (rows, cols inside the file) gives to the sample."""
        every = tuple(slice(-part.start % self._step, None, self._step) for part in window)
        part = numbers[every].astype(np.float64)
        good = np.isfinite(part) & (part != self._missing)
        if masked is not None:
            good &= ~masked[every]
        self._parts.append(part[good])
        if self._missing != 0:
            zero = numbers == 0
            if masked is not None:
                zero &= ~masked
            rows, cols = (n // _BLOCK for n in zero.shape)
            blocks = zero[: rows * _BLOCK, : cols * _BLOCK].reshape(rows, _BLOCK, cols, _BLOCK)
            self._zeros.append((int(blocks.all(axis=(1, 3)).sum()), rows * cols))

    @property
    def sample(self) -> Sample | None:
        """The sample; None where it is too small to tell anything."""
        numbers = np.concatenate(self._parts) if self._parts else np.zeros(0)
        if numbers.size < _ENOUGH:
            return None
        zeros, blocks = np.array(self._zeros or [(0, 1)]).sum(axis=0)
        return Sample(self.asset, numbers, float(zeros / max(1, blocks)))
