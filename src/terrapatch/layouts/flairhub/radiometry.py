# SPDX-License-Identifier: Apache-2.0
"""Radiometric statistics of a patch, an entry a date and a number a band."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean", "std", "min", "max")
"""Columns of the tables; `std` is that of the whole patch (divided by the number of pixels)."""


def statistics(
    pixels: NDArray[np.generic], counted: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """The statistics of the pixels that count.

    Args:
        pixels: (date, band, y, x).
        counted: (date, y, x) which of them count.

    Returns:
        By name, see `STATISTICS`: (date, band) float64; NaN where no pixel counts.
    """
    values = pixels.astype(np.float64)
    here = counted[:, None]
    number = counted.sum(axis=(1, 2))[:, None].astype(np.float64)
    number[number == 0] = np.nan
    mean = _over(values, here, 0.0).sum(axis=(2, 3)) / number
    apart = _over(values - mean[..., None, None], here, 0.0)
    low = _over(values, here, np.inf).min(axis=(2, 3))
    high = _over(values, here, -np.inf).max(axis=(2, 3))
    for extreme in (low, high):
        extreme[np.isinf(extreme)] = np.nan
    deviation = np.sqrt((apart * apart).sum(axis=(2, 3)) / number)
    return {"mean": mean, "std": deviation, "min": low, "max": high}


def _over(
    values: NDArray[np.float64], here: NDArray[np.bool_], other: float
) -> NDArray[np.float64]:
    """Values where they count, another number elsewhere."""
    return np.asarray(np.where(here, values, other))


def as_json(found: Mapping[str, NDArray[np.float64]]) -> tuple[str, ...]:
    """The statistics as texts, `{"1": [number a band], …}` by the place of the date; six digits.

    NaN stands as such, which Python's json reads.
    """
    return tuple(_text(found[name]) for name in STATISTICS)


def _text(values: NDArray[np.float64]) -> str:
    entries = (
        f'"{place}": [{", ".join("NaN" if isnan(v) else f"{v:.6g}" for v in bands)}]'
        for place, bands in enumerate(values.tolist(), start=1)
    )
    return "{" + ", ".join(entries) + "}"
