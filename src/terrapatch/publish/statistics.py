# SPDX-License-Identifier: Apache-2.0
"""Statistics of bands and classes, from the train split alone where models will use them.

Laws:
1. Only observed pixels (`source` > 0) of published images of train patches count for bands; those
   of val and test, and dates that are left out, never do.
2. Counts are whole numbers and sums are joined in the order of the batches, so nothing depends on
   the number of threads.
3. Whole numbers (uint8, uint16, int16) are counted value by value: everything about them is exact,
   percentiles as `numpy.percentile` gives them. Floats have exact mean, std, min, max; their
   percentiles come from bins 0.2 % wide (the leading 18 bits of the number) and are that exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import exact
from ..compiled import kernel
from ..errors import IncompleteError
from ..legend import Legend
from ..paths import SPLITS
from ..samples import Batch, batches, read_patches
from ..stacks import open_stack

if TYPE_CHECKING:
    import geopandas as gpd

PERCENTILES = (1, 2, 5, 25, 50, 75, 95, 98, 99)

_FLOOR = 1e-6
"""Smallest value whose logarithm is taken. Source: loaders of CerraData-4MM, option `1to1`."""
_BITS = 18
"""Leading bits of a float that name its bin: sign, exponent and nine of the mantissa."""
_MOMENTS = 7
"""Of floats: n, Σx, Σx², min, max, Σln, Σln²."""


@dataclass(frozen=True)
class Tally:
    """Counts of one batch, or of many: one row a band."""

    bins: NDArray[np.int64]
    """(band, bin) pixels; a bin is a value of a whole number, or a range of floats."""
    moments: NDArray[np.float64] | None
    """(band, 7) sums over floats; None for whole numbers, whose bins say all."""
    first: int = 0
    """Value of the first bin of whole numbers: −32768 for int16."""


@dataclass(frozen=True)
class BandStatistics:
    """Figures of one band."""

    pixels: int
    mean: float
    std: float
    """Population standard deviation."""
    min: float
    max: float
    percentiles: tuple[float, ...]
    """In the order of `PERCENTILES`."""
    log_mean: float
    """Mean of ln x, x clipped from below to 1e-6."""
    log_std: float


@kernel
def _count(data, source, bins):  # type: ignore[no-untyped-def]
    """Count whole numbers: data (n, band, y·x), source (n, y·x), bins (band, value) added to."""
    for patch in range(data.shape[0]):
        for band in range(data.shape[1]):
            row, seen, into = data[patch, band], source[patch], bins[band]
            for pixel in range(row.size):
                if seen[pixel]:
                    into[row[pixel]] += 1


@kernel
def _sum(data, source, bins, moments, logarithms):  # type: ignore[no-untyped-def]
    """Sum and bin floats: data (n, band, y·x) float32; NaN counts as missing.

    A logarithm is that of the middle of the value's bin and two terms of the series around it,
    which is exact to 1e-9 and five times faster than the function.
    """
    drop = np.uint32(32 - _BITS)
    top, ones = np.uint32(1 << 31), np.uint32(0xFFFFFFFF)
    keys = data.view(np.uint32)
    for patch in range(data.shape[0]):
        for band in range(data.shape[1]):
            row, key, seen, into = data[patch, band], keys[patch, band], source[patch], bins[band]
            # Sums of one patch first: fewer roundings than one long sum.
            part = np.zeros(_MOMENTS)
            low, high = moments[band, 3], moments[band, 4]
            for pixel in range(row.size):
                value = np.float64(row[pixel])
                if seen[pixel] and not math.isnan(value):
                    # Bits of a float, turned so that they ascend with its value.
                    bits = key[pixel]
                    place = (bits ^ (ones if bits & top else top)) >> drop
                    into[place] += 1
                    step = value * logarithms[place, 1] - logarithms[place, 2]
                    logarithm = logarithms[place, 0] + step - step * step / 2
                    part[0] += 1
                    part[1] += value
                    part[2] += value * value
                    part[5] += logarithm
                    part[6] += logarithm * logarithm
                    low, high = min(low, value), max(high, value)
            moments[band] += part
            moments[band, 3], moments[band, 4] = low, high


@cache
def _logarithms() -> NDArray[np.float64]:
    """Per bin: ln of its middle m, 1/m, and 1; for values up to 1e-6: ln 1e-6, 0, 0."""
    bins = np.arange(1 << _BITS)
    with np.errstate(invalid="ignore"):
        middle = (_edges(bins) + _edges(bins + 1)) / 2
    table = np.zeros((1 << _BITS, 3))
    table[:, 0] = math.log(_FLOOR)
    high = np.isfinite(middle) & (middle > _FLOOR)
    table[high] = np.column_stack([exact.log(middle[high]), 1 / middle[high], np.ones(high.sum())])
    return table


def tally(data: NDArray[Any], source: NDArray[np.uint8]) -> Tally:
    """Count one batch.

    Args:
        data: (patch, time, band, y, x) uint8, uint16, int16 or float32.
        source: (patch, time, y, x) uint8; 0 where missing.
    """
    bands, (height, width) = data.shape[2], data.shape[-2:]
    flat = np.ascontiguousarray(data).reshape(-1, bands, height * width)
    seen = np.ascontiguousarray(source).reshape(-1, height * width)
    if data.dtype.kind == "u":
        bins = np.zeros((bands, 1 << 8 * data.itemsize), np.int64)
        _count(flat, seen, bins)
        return Tally(bins, None)
    if data.dtype == np.int16:
        counted = tally(data.view(np.uint16), source).bins
        return Tally(np.roll(counted, 1 << 15, axis=1), None, -(1 << 15))
    bins = np.zeros((bands, 1 << _BITS), np.int64)
    moments = np.zeros((bands, _MOMENTS))
    moments[:, 3], moments[:, 4] = np.inf, -np.inf
    _sum(flat.astype(np.float32, copy=False), seen, bins, moments, _logarithms())
    return Tally(bins, moments)


def joined(first: Tally, second: Tally) -> Tally:
    """Both together."""
    moments = None
    if first.moments is not None and second.moments is not None:
        moments = first.moments + second.moments
        moments[:, 3] = np.minimum(first.moments[:, 3], second.moments[:, 3])
        moments[:, 4] = np.maximum(first.moments[:, 4], second.moments[:, 4])
    return Tally(first.bins + second.bins, moments, first.first)


def summarise(counted: Tally) -> list[BandStatistics]:
    """Figures of each band.

    Raises:
        IncompleteError: a band has no observed pixel.
    """
    if not counted.bins.any(axis=1).all():
        raise IncompleteError(
            "a band has no observed pixel in the train split, so it has no statistics; look at "
            "valid_… in the manifest and raise patches.require"
        )
    if counted.moments is None:
        return [_of_values(row, counted.first) for row in counted.bins]
    return [_of_floats(*row) for row in zip(counted.bins, counted.moments, strict=True)]


def _of_values(counts: NDArray[np.int64], start: int) -> BandStatistics:
    """Exact figures from the number of pixels of each value from `start` on."""
    places = np.flatnonzero(counts)
    values, weights = places + start, counts[places]
    n = int(weights.sum())
    # Whole numbers as Python has them: no overflow, no rounding before the division.
    first = sum(int(v) * int(w) for v, w in zip(values, weights, strict=True))
    second = sum(int(v) ** 2 * int(w) for v, w in zip(values, weights, strict=True))
    logs = exact.log(np.maximum(values, _FLOOR))
    log_mean = float((logs * weights).sum()) / n
    ends = np.cumsum(weights)

    def value_at(rank: int) -> float:
        return float(values[np.searchsorted(ends, rank, side="right")])

    return BandStatistics(
        pixels=n, mean=first / n, std=math.sqrt(n * second - first * first) / n,
        min=float(values[0]), max=float(values[-1]),
        percentiles=tuple(_percentile(value_at, n, q) for q in PERCENTILES),
        log_mean=log_mean, log_std=math.sqrt(float(((logs - log_mean) ** 2 * weights).sum()) / n),
    )  # fmt: skip


def _of_floats(counts: NDArray[np.int64], moments: NDArray[np.float64]) -> BandStatistics:
    count, first, second, low, high, log_first, log_second = (float(m) for m in moments)
    mean, log_mean = first / count, log_first / count
    used = np.flatnonzero(counts)
    ends = np.cumsum(counts[used])
    starts = ends - counts[used]
    lower, upper = _edges(used), _edges(used + 1)

    def value_at(rank: int) -> float:
        k = int(np.searchsorted(ends, rank, side="right"))
        share = (rank - starts[k] + 0.5) / (ends[k] - starts[k])
        value = lower[k] + (upper[k] - lower[k]) * share
        return float(min(max(value, low), high))

    return BandStatistics(
        pixels=int(count), mean=mean, std=math.sqrt(max(0.0, second / count - mean * mean)),
        min=low, max=high, percentiles=tuple(_percentile(value_at, int(count), q) for q in PERCENTILES),
        log_mean=log_mean, log_std=math.sqrt(max(0.0, log_second / count - log_mean**2)),
    )  # fmt: skip


def _percentile(value_at: Callable[[int], float], count: int, q: float) -> float:
    """Linear between the two nearest of `count` sorted values, as `numpy.percentile` does it."""
    place = q / 100 * (count - 1)
    below = math.floor(place)
    low, high = value_at(below), value_at(min(below + 1, count - 1))
    return low + (high - low) * (place - below)


def _edges(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Smallest float of each bin: the inverse of what `_sum` does to its bits."""
    keys = (bins << (32 - _BITS)).clip(0, 0xFFFFFFFF).astype(np.uint32)
    top = np.uint32(1 << 31)
    bits = np.where(keys & top, keys ^ top, ~keys)
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def over_batches(
    parts: Sequence[Batch], stacks: Path, layer: str, shown: NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> Tally:  # fmt: skip
    """Count all batches of one layer.

    Args:
        parts: batches of a table.
        stacks: folder with UNIT/LAYER.zarr.
        layer: of images.
        shown: (row of the table, step) which images count; all if absent.
        threads: batches counted at a time.
    """

    def one(batch: Batch) -> Tally | None:
        stack = open_stack(stacks / batch.unit / f"{layer}.zarr")
        total: Tally | None = None
        for step in range(len(stack.info.times)):
            there = batch if shown is None else batch.where(shown[batch.rows, step])
            for piece in there.pieces(64):
                data, source = (
                    read_patches(stack, piece, name, step)[:, None] for name in ("data", "source")
                )
                part = tally(data, source)
                total = part if total is None else joined(total, part)
        return total

    total: Tally | None = None
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for part in pool.map(one, parts):  # in order, whichever ends first
            if part is not None:
                total = part if total is None else joined(total, part)
    assert total is not None, "every published patch has an image"
    return total


def band_statistics(
    table: gpd.GeoDataFrame, stacks: Path, layer: str, threads: int = 1,
    shown: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Figures of all bands of a layer over the train split, as `statistics.json` has them.

    Args:
        table: rows of the manifest; those of other splits are left out.
        stacks: folder with UNIT/LAYER.zarr.
        layer: of images.
        threads: batches counted at a time.
        shown: (row, step) which images are published, see `batches.published`; all if absent.

    Raises:
        IncompleteError: no patch, or no observed pixel, in the train split.
    """
    chosen = (table["split"] == "train").to_numpy()
    train = table[chosen].reset_index(drop=True)
    if train.empty:
        raise IncompleteError(
            "no patch is in the train split, so there are no statistics; change splits.fractions "
            "or splits.buffer_m"
        )
    parts = batches(train, stacks, layer)
    info = open_stack(stacks / parts[0].unit / f"{layer}.zarr").info
    mine = None if shown is None else shown[chosen]
    found = summarise(over_batches(parts, stacks, layer, mine, threads))
    figures: dict[str, Any] = {
        "bands": list(info.bands), "values": asdict(info.values), "dtype": info.dtype,
        "pixels": [band.pixels for band in found],
    }  # fmt: skip
    for key in ("mean", "std", "min", "max", "log_mean", "log_std"):
        # Decibels are logarithms already and have none of their own.
        hidden = info.values.decibel and key.startswith("log")
        figures[key] = None if hidden else [significant(getattr(band, key)) for band in found]
    figures["percentiles"] = {
        str(q): [significant(band.percentiles[k]) for band in found]
        for k, q in enumerate(PERCENTILES)
    }
    return figures


def significant(value: float) -> float:
    """Rounded to nine significant digits: more than any use needs, and no noise of summation."""
    return float(f"{value:.9g}")


def class_statistics(table: gpd.GeoDataFrame, layer: str, legend: Legend) -> dict[str, Any]:
    """Pixels per class, split and level of a layer of labels, and weights from the train split.

    A weight is the inverse of the class's share of train pixels, divided by the largest, as in
    the published training scripts; a class without train pixels has weight 0.

    Args:
        table: kept rows of the manifest, with counts_<layer>_<level>.
        layer: of labels.
        legend: its levels are counted.
    """
    split_of = table["split"].to_numpy(object)
    found: dict[str, Any] = {}
    for level in legend.levels:
        counts = np.array(table[f"counts_{layer}_{level.name}"].tolist(), np.int64)
        counts = counts.reshape(len(table), len(level.codes))
        pixels = {split: counts[split_of == split].sum(axis=0).tolist() for split in SPLITS}
        found[level.name] = {
            "codes": list(level.codes),
            "names": [entry.name for entry in level.classes],
            "pixels": pixels | {"kept": counts.sum(axis=0).tolist()},
            "weights": class_weights(pixels["train"]),
        }
    return found


def class_weights(pixels: Sequence[int]) -> list[float]:
    """Inverse frequencies divided by the largest of them; 0 where there is no pixel."""
    present = [count for count in pixels if count]
    rarest = min(present, default=0)
    return [significant(rarest / count) if count else 0.0 for count in pixels]
