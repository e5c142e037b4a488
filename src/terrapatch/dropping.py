# SPDX-License-Identifier: Apache-2.0
"""Why patches are dropped, in words: `LAYER: what it has < what it needs (whose fault)`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .settings import PatchesSettings

if TYPE_CHECKING:
    from .stacks import StackInfo


def lacking_bands(
    lacking: NDArray[np.uint32], shares: NDArray[np.float64], info: StackInfo
) -> list[str]:
    """What each patch lacks in some bands while others have it, on its best date; or nothing.

    For example `B10 lacks 96.9 %`; at most three bands, those that lack most.

    Args:
        lacking: (patch, time, band) pixels, see `Stack.lacking`.
        shares: (patch, time) share of observed pixels, 0..1.
        info: of the stack.
    """
    found: list[str] = []
    pixels = info.size_px**2
    best = shares.argmax(axis=1) if shares.size else np.zeros(len(shares), np.int64)
    for counts in lacking[np.arange(len(best)), best].astype(np.int64):
        more = counts - counts.min()
        bands = [n for n in np.argsort(-more, kind="stable")[:3].tolist() if more[n] > 0]
        # Where a filter needs pixels around the patch, those are counted, too.
        lost = {info.bands[n]: min(100.0, 100 * counts[n] / pixels) for n in bands}
        found.append(", ".join(f"{band} lacks {share:.3g} %" for band, share in lost.items()))
    return found


def drop_reasons(
    shares: Mapping[str, NDArray[np.float64]], settings: PatchesSettings,
    lacking: Mapping[str, Sequence[str]] | None = None,
) -> list[str | None]:  # fmt: skip
    """Why each patch is dropped; None for those that are kept.

    Args:
        shares: layer → (patch, date) or (patch,) observed (of labels: labelled) share, 0..1.
        settings: what is required of each layer.
        lacking: layer → a patch's bands that lack more than others, see `lacking_bands`.
    """
    reasons: list[list[str]] = []
    for layer, share in shares.items():
        by_date = share if share.ndim > 1 else share[:, None]
        required = settings.of(layer)
        least, dates = required.valid, required.dates
        best = by_date.max(axis=1, initial=0.0)
        enough = (by_date >= least).sum(axis=1)
        found = np.full(len(by_date), "", object)
        few = enough < dates
        found[few] = [
            f"{layer}: {n} of {by_date.shape[1]} dates complete < {dates}" for n in enough[few]
        ]
        none = few & (enough == 0)
        found[none] = [
            f"{layer}: {_percent(share)} observed < {_percent(least)}" for share in best[none]
        ]
        for patch, bands in enumerate((lacking or {}).get(layer, ())):
            if bands and few[patch]:
                found[patch] += f" ({bands})"
        reasons.append(found.tolist())
    return ["; ".join(filter(None, patch)) or None for patch in zip(*reasons, strict=True)]


def _percent(share: float) -> str:
    # Rounded down: 99.99 % must not read as 100.0 %.
    return "100 %" if share >= 1 else f"{math.floor(share * 1000 + 1e-9) / 10:.1f} %"
