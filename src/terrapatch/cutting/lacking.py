# SPDX-License-Identifier: Apache-2.0
"""Which bands lack the pixels that are missing: a pixel is valid only where all bands are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .. import resample
from .sources import BandGroup

_FIRST = np.zeros(1, np.int64)


def last_reaching(reaches: Sequence[NDArray[np.bool_]], count: int) -> NDArray[np.int64]:
    """(patch,) position of the last of the scenes that reaches each of `count` patches, or -1.

    Args:
        reaches: one a scene: (patch,) whether it may show the patch.
        count: number of patches.
    """
    found = np.full(count, -1, np.int64)
    for position, there in enumerate(reaches):
        found[there] = position
    return found


def count_missing(
    groups: Sequence[BandGroup], places: NDArray[np.int64], filled: NDArray[np.uint8],
    counts: NDArray[np.int64], dtype: str,
) -> None:  # fmt: skip
    """Count, band by band, the pixels not filled yet that the band has no value for.

    Args:
        groups: bands of one scene; the blocks that the patches need have been decoded.
        places: as in `resample.Target`.
        filled: (patch, y, x) uint8; where it is not 0 nothing is counted.
        counts: (patch, band of the stack), set where `places` wants the patch.
        dtype: pixel type of the stack.
    """
    wanted = places[:, 2] != 0
    scratch = np.empty((len(places), 1, *filled.shape[1:]), dtype)
    for group in groups:
        assert group.pixels is not None
        for number, band in enumerate(group.bands.tolist()):
            part = slice(number, number + 1)
            source = resample.Decoded(
                group.pixels[part], group.first, group.assets[0].shape, group.lattice
            )
            radiometry = replace(group.radiometry, offsets=group.radiometry.offsets[part])
            valid = np.ones(filled.shape, np.uint8)
            target = resample.Target(places, scratch, _FIRST, filled, valid)
            resample.sample(source, group.kernel, radiometry, target)
            lost = ((valid == 0) & (filled == 0)).sum(axis=(1, 2))
            counts[wanted, band] = lost[wanted]
