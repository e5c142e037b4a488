# SPDX-License-Identifier: Apache-2.0
"""Whether a scene's numbers can be what product or recipe say: one line of what was seen, and the remedy.

Laws:
1. Only what cannot be true, or hardly ever, is refused: bright deserts, snow, dark water and radar
   amplitudes pass (docs/concepts.md, The value gate, has the limits).
2. A finding says what was seen, what was taken for granted, and which setting mends it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..records import LockedItem, since_offset
from .evidence import Sample

_UNTESTED = ("B09", "B10")
"""Bands that water vapour keeps dark."""
_VISIBLE = ("B01", "B02", "B03", "B04", "B05")
_SURE = ("B01", "B02", "B03")
"""Bands in which most land and all water keep some light, well above the errors of correction."""
_DARK = {"L2A": _VISIBLE, "L1C": ("B04", "B05")}
"""Bands in which something is dark in nearly every scene: air keeps L1C bright in blue and green, and
dry ground is bright beyond the visible."""
_OFFSET = 1000.0
_FIRST_DAY_WITH_OFFSET = "2022-01-25"

_OFF = "(if the numbers are right: {section}.check_values: false)"


def reflectance(item: LockedItem, samples: Mapping[str, Sample], *, offset: bool) -> str | None:
    """What is wrong with a Sentinel-2 scene.

    Args:
        item: the scene.
        samples: by band.
        offset: whether offsets are added (`harmonise`).
    """
    told = {band: sample for band, sample in samples.items() if band not in _UNTESTED}
    if not told:
        return None
    finding = _zeros(told) or _scale(told)
    if finding is None and offset:
        finding = _offset_twice(told) or _offset_missing(item, told)
    return finding and f"{_where(item, told)}: {finding} {_OFF.format(section=item.sensor)}"


def backscatter(item: LockedItem, samples: Mapping[str, Sample]) -> str | None:
    """What is wrong with a Sentinel-1 scene of geocoded backscatter."""
    for band, sample in samples.items():
        numbers = sample.numbers if sample.asset.scale == "linear" else sample.measured
        low, middle, high = np.percentile(numbers, (1, 50, 99))
        seen = f"{band}: numbers from {low:g} to {high:g}, half of them below {middle:g}"
        finding = None
        if sample.asset.scale == "linear":
            if middle < 0:
                finding = (
                    f"{seen}, taken for linear power, which is never negative: are they decibel? "
                    "Set unit: db (the item's unit: dB)"
                )
        elif low >= 0 and middle < 3:
            finding = (
                f"{seen}, taken for decibel, and none is negative: are they linear power? Set "
                "unit: linear"
            )
        elif middle < -60 or middle > 100:
            finding = (
                f"{seen}, taken for decibel, which backscatter never has: are they tenths or "
                "hundredths? Set scale: 0.1 or 0.01"
            )
        elif sample.zero_blocks > 0.01:
            finding = _zeros({band: sample})
        if finding:
            return f"{_where(item, samples)}: {finding} {_OFF.format(section=item.sensor)}"
    return None


def _where(item: LockedItem, samples: Mapping[str, Sample]) -> str:
    return f"{item.id} ({next(iter(samples.values())).asset.href})"


def _zeros(samples: Mapping[str, Sample]) -> str | None:
    """Blocks of exact zeros in all bands, where 0 is a value."""
    share = min(sample.zero_blocks for sample in samples.values())
    if share <= 0.01:
        return None
    stated = next(iter(samples.values())).asset.nodata
    return (
        f"{share:.0%} of the image are blocks of exact 0 in all bands, and nodata is "
        f"{'not stated' if stated is None else f'{stated:g}'}: was nothing measured there? Set "
        "nodata: 0, and take another nodata value off a copy of the file (gdal_edit.py -a_nodata 0)"
    )


def _scale(samples: Mapping[str, Sample]) -> str | None:
    """Numbers that are reflectance, percent or bytes, or far too large."""
    full = {band: s.numbers * 10_000 / s.asset.quantification for band, s in samples.items()}
    high = {band: float(np.percentile(np.abs(v), 99)) for band, v in full.items()}
    band, largest = max(high.items(), key=lambda pair: pair[1])
    sample = samples[band]
    seen = (
        f"{band} is the brightest band, and 99 of 100 numbers are below "
        f"{float(np.percentile(np.abs(sample.numbers), 99)):g}"
    )
    stated = f"with a scale of {1 / sample.asset.quantification:g}"
    floating = sample.asset.dtype.startswith("float")
    light = max((high[b] for b in _SURE if b in high), default=np.inf)
    if largest < 30 or (floating and largest <= 100) or light < 100:
        guess = 1 if largest <= 2.5 else 0.01 if largest <= 100 and floating else None
        remedy = "set scale" + (f": {guess}" if guess else " to what one number means")
        return f"{seen}; {stated} that is hardly any light: {remedy} (catalog.rasters, or the item)"
    if sample.asset.dtype in ("uint8", "int8") and sample.asset.quantification == 10_000:
        return (
            f"{seen}: numbers of 8 bits, as in a picture for the eye, are no reflectance; take the "
            "band files, or set scale to what one number means"
        )
    dimmest = min(float(np.percentile(v, 50)) for v in full.values())
    if dimmest > 20_000:
        return (
            f"{seen}; {stated} more than half of the image is twice as bright as a perfect mirror "
            "of the sun: correct scale (0.0001 for DN)"
        )
    return None


def _offset_twice(samples: Mapping[str, Sample]) -> str | None:
    """An offset that the numbers held already: what is dark falls below 0."""
    added = [s for s in samples.values() if s.asset.add_offset < 0]
    if len(added) < len(samples):
        return None
    below = {b: float((s.numbers + s.asset.add_offset < 1).mean()) for b, s in samples.items()}
    visible = {band: share for band, share in below.items() if band in _VISIBLE}
    share = max([0.0, *(share for band, share in below.items() if band in _SURE)])
    if share < 0.5:
        share = min((visible or below).values())
        if share < (0.9 if not visible else 0.5 if len(visible) == 1 else 0.2):
            return None
    low, high = (min(np.percentile(s.numbers, q) for s in samples.values()) for q in (1, 99))
    return (
        f"with the offset of {added[0].asset.add_offset:g} {share:.0%} of the pixels of a band would "
        f"have no reflectance above 0 (numbers from {low:g} to {high:g}): do they hold it already? "
        "Describe the files under catalog.rasters with add_offset: 0"
    )


def _offset_missing(item: LockedItem, samples: Mapping[str, Sample]) -> str | None:
    """An offset that the numbers have and nobody told: nothing is dark, and much is nearly so."""
    known = since_offset(item.processing_baseline)
    if item.processor == "theia" or known is False:
        return None
    plain = [s for s in samples.values() if s.asset.add_offset != 0]
    dark = [s for band, s in samples.items() if band in _DARK.get(item.level, ())]
    if plain or not dark:
        return None
    since = known or item.datetime >= _FIRST_DAY_WITH_OFFSET
    walls, lows = [], []
    for sample in dark:
        wall, low = np.percentile(sample.numbers, (0.1, 1)) * 10_000 / sample.asset.quantification
        walls.append(float(wall))
        lows.append(float(low))
    limit = _OFFSET * ((1.5 if item.level == "L1C" else 1.3) if known else 1.2 if since else 1.1)
    if min(walls) < 0.98 * _OFFSET or min(lows) > limit:
        return None
    return (
        f"nothing is darker than {min(walls):g}, and one pixel of 100 is below {min(lows):g}: the "
        f"numbers seem to hold the offset of {_OFFSET:g} that products have since baseline 04.00, "
        "and nothing is taken off; set add_offset: -1000 (catalog.rasters)"
    )
