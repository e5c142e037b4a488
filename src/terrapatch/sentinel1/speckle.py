# SPDX-License-Identifier: Apache-2.0
"""Speckle filters for Sentinel-1 backscatter, each with the halo that it needs.

Laws:
1. A pixel depends on the pixels within `halo` of it and on nothing else, with sums in a fixed
   order: a window cut with its halo gives the bits of the whole image. Pixels outside of the image
   count as missing.
2. Missing pixels (NaN) stay missing and have no part in the means of others.
3. Filters act on linear power; on decibels they would be biased.

| method | window | keeps |
|---|---|---|
| none | – | all |
| boxcar | square | the mean |
| lee | square | points and edges, speckled as they were |
| refined_lee | 7×7, half of it at an edge | edges, smooth along them |
| multitemporal | square, over all dates | what does not change, at one pixel |

Source: Lee 1980, Digital image enhancement and noise filtering by use of local statistics, eq. 11
(multiplicative noise); Lee 1981, Refined filtering of image noise using local statistics;
Quegan and Yu 2001, Filtering of multichannel SAR images, eq. 22 for uncorrelated images.
"""

# mypy cannot see through the compiler's decorator.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel

Method = Literal["none", "boxcar", "lee", "refined_lee", "multitemporal"]

IW_GRDH_LOOKS = 4.4
"""Equivalent number of looks of IW GRD, high resolution. Source: Sentinel-1 Product Definition."""

_REFINED_RADIUS = 3


def halo(method: Method, radius: int = 1) -> int:
    """Pixels around a window that a filter must see for the window to equal the whole image.

    Args:
        method: name of the filter.
        radius: of its square window, (2 · radius + 1)²; the refined Lee filter's is always 3.
    """
    return {"none": 0, "refined_lee": _REFINED_RADIUS}.get(method, radius)


def despeckle(
    series: NDArray[np.float32],
    method: Method,
    *,
    radius: int = 1,
    looks: float = IW_GRDH_LOOKS,
) -> NDArray[np.float32]:
    """Filter a series of one polarisation.

    Args:
        series: (time, y, x) linear power, NaN where missing, cut with its `halo`. For
            `multitemporal` all dates of one direction of flight: S1Tiling keeps ascending and
            descending passes apart.
        method: name of the filter.
        radius: of the square window; of no effect on `none` and `refined_lee`.
        looks: equivalent number of looks of the input, for `lee` and `refined_lee`.

    Returns:
        (time, y, x) float32; pixels nearer than `halo` to the window's sides are to be cut off
        unless the window's sides are the image's.
    """
    if method == "none":
        return series
    if method == "multitemporal":
        return multitemporal(series, radius)
    if method == "boxcar":
        return np.stack([boxcar(image, radius) for image in series])
    if method == "lee":
        return np.stack([lee(image, radius, looks) for image in series])
    return np.stack([refined_lee(image, looks) for image in series])


def boxcar(image: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Mean of the square window.

    Args:
        image: (y, x) linear power, NaN where missing.
        radius: of the window.

    Returns:
        (y, x) float32.
    """
    out = np.empty(image.shape, np.float32)
    _boxcar(image, radius, out)
    return out


def lee(
    image: NDArray[np.float32], radius: int, looks: float = IW_GRDH_LOOKS
) -> NDArray[np.float32]:
    """Lee's filter: between the window's mean and the pixel, by how far variance exceeds speckle's.

    Args:
        image: (y, x) linear power, NaN where missing.
        radius: of the window.
        looks: equivalent number of looks; speckle has variance mean² / looks.

    Returns:
        (y, x) float32.
    """
    out = np.empty(image.shape, np.float32)
    _lee(image, radius, 1.0 / looks, out, np.empty(image.shape, np.float64))
    return out


def refined_lee(image: NDArray[np.float32], looks: float = IW_GRDH_LOOKS) -> NDArray[np.float32]:
    """Lee's refined filter: at an edge, statistics of the half of a 7×7 window on the pixel's side.

    Where the window's variance is not above that of speckle there is no edge, and the result is
    the window's mean. Elsewhere the direction of an edge is that of the greatest difference among
    nine means of 3×3 pixels, and its near side that whose mean is nearest to the middle one. Where
    one of the nine lacks a pixel the whole window serves.

    Args:
        image: (y, x) linear power, NaN where missing.
        looks: equivalent number of looks.

    Returns:
        (y, x) float32.
    """
    out = np.empty(image.shape, np.float32)
    gain = np.empty(image.shape, np.float64)
    _lee(image, _REFINED_RADIUS, 1.0 / looks, out, gain)
    means = np.empty(image.shape, np.float64)
    _complete_means(image, means)
    _at_edges(image, means, 1.0 / looks, gain, out)
    return out


def multitemporal(series: NDArray[np.float32], radius: int = 1) -> NDArray[np.float32]:
    """Filter of Quegan and Yu as S1Tiling has it: J_k = m_k / N · Σ_i I_i / m_i.

    m is the mean of the square window, the sum runs over the N dates on which the pixel was
    observed. Of L looks, n pixels and N independent dates of the same speckle statistics become
    L · n · N / (n + N − 1) looks.

    Args:
        series: (time, y, x) linear power, NaN where missing.
        radius: of the window; MultiSenGE has 1, so 3×3.

    Returns:
        (time, y, x) float32.
    """
    total, count = np.zeros(series.shape[1:]), np.zeros(series.shape[1:], np.int32)
    for image in series:
        add_ratio(image, radius, total, count)
    out = np.empty(series.shape, np.float32)
    for image, filtered in zip(series, out, strict=True):
        apply_ratio(image, radius, total, count, filtered)
    return out


def add_ratio(
    image: NDArray[np.float32],
    radius: int,
    total: NDArray[np.float64],
    count: NDArray[np.int32],
) -> None:
    """Add one date to the sum of the multitemporal filter, so that a series need not fit memory.

    Args:
        image: (y, x) linear power, NaN where missing.
        radius: of the window.
        total: (y, x) sum of ratios, changed. Dates must be added in the same order each time for
            the same bits.
        count: (y, x) dates in the sum, changed. A date whose window has no positive mean (valid
            zeros) has no ratio and is not counted.
    """
    _add_ratio(image, radius, total, count)


def apply_ratio(
    image: NDArray[np.float32],
    radius: int,
    total: NDArray[np.float64],
    count: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Filter one date with the sum over all.

    Args:
        image: (y, x) linear power, NaN where missing.
        radius: of the window.
        total: (y, x) sum of ratios.
        count: (y, x) dates in the sum; where 0, the window's mean is the result.
        out: (y, x) float32, written.
    """
    _apply_ratio(image, radius, total, count, out)


def equivalent_looks(image: NDArray[np.floating[Any]]) -> float:
    """Equivalent number of looks of homogeneous pixels: mean² / variance; NaN are left out."""
    values = image[np.isfinite(image)].astype(np.float64)
    return float(values.mean() ** 2 / values.var())


@kernel
def _add(source, target):  # type: ignore[no-untyped-def]
    for x in range(target.size):
        target[x] += source[x]


@kernel
def _add_known(values, count, total):  # type: ignore[no-untyped-def]
    for x in range(values.size):
        known = values[x] == values[x]
        count[x] += 1.0 if known else 0.0
        total[x] += np.float64(values[x]) if known else 0.0


@kernel
def _add_squares(values, squares):  # type: ignore[no-untyped-def]
    for x in range(values.size):
        value = np.float64(values[x])
        squares[x] += value * value if value == value else 0.0  # noqa: PLR0124


@kernel
def _sums(image, y, radius, columns, out):  # type: ignore[no-untyped-def]
    """Count, sum and, if there is a third row, sum of squares of the windows of a row's pixels.

    First down the columns, then across, always from the first pixel to the last: missing pixels
    and those outside add nothing, so that the sums are the same wherever the array was cut.
    """
    height, width = image.shape
    columns[:] = 0.0
    for k in range(max(y - radius, 0), min(y + radius + 1, height)):
        _add_known(image[k], columns[0], columns[1])
        if out.shape[0] > 2:
            _add_squares(image[k], columns[2])
    out[:] = 0.0
    for step in range(-radius, radius + 1):
        first, stop = max(0, -step), min(width, width - step)
        for j in range(out.shape[0]):
            if first < stop:
                _add(columns[j, first + step : stop + step], out[j, first:stop])


@kernel
def _complete_means(image, out):  # type: ignore[no-untyped-def]
    """Means of 3×3 pixels; NaN where one is missing or outside."""
    columns, sums = np.empty((2, image.shape[1])), np.empty((2, image.shape[1]))
    for y in range(image.shape[0]):
        _sums(image, y, 1, columns, sums)
        for x in range(image.shape[1]):
            out[y, x] = sums[1, x] / 9.0 if sums[0, x] == 9.0 else np.nan


@kernel
def _boxcar(image, radius, out):  # type: ignore[no-untyped-def]
    columns, sums = np.empty((2, image.shape[1])), np.empty((2, image.shape[1]))
    for y in range(image.shape[0]):
        _sums(image, y, radius, columns, sums)
        for x in range(image.shape[1]):
            mean = np.float32(sums[1, x] / sums[0, x])
            out[y, x] = np.float32(np.nan) if np.isnan(image[y, x]) else mean


@kernel
def _gain(count, total, squares, speckle):  # type: ignore[no-untyped-def]
    """Share of the pixel's departure from the mean that is not speckle."""
    mean = total / count
    variance = (squares - total * mean) / (count - 1.0) if count > 1.0 else 0.0
    if variance <= 0.0:
        return 0.0
    return max(0.0, (1.0 - speckle * mean * mean / variance) / (1.0 + speckle))


@kernel
def _lee(image, radius, speckle, out, gain):  # type: ignore[no-untyped-def]
    columns, sums = np.empty((3, image.shape[1])), np.empty((3, image.shape[1]))
    for y in range(image.shape[0]):
        _sums(image, y, radius, columns, sums)
        for x in range(image.shape[1]):
            gain[y, x] = 0.0
            out[y, x] = np.float32(np.nan)
            if not np.isnan(image[y, x]):
                mean = sums[1, x] / sums[0, x]
                gain[y, x] = _gain(sums[0, x], sums[1, x], sums[2, x], speckle)
                out[y, x] = np.float32(mean + gain[y, x] * (image[y, x] - mean))


@kernel
def _normal(means, y, x):  # type: ignore[no-untyped-def]
    """Direction (down, right) from an edge to the pixel's own side; (0, 0) where one is unknown."""
    best, down, right = -1.0, 0, 0
    middle = means[y, x]
    for a, b in ((0, 1), (1, 0), (1, 1), (1, -1)):
        # The three means on either side of a line through the middle.
        one, other = 0.0, 0.0
        for i in range(-1, 2):
            for j in range(-1, 2):
                side = a * i + b * j
                if side > 0:
                    one += means[y + 2 * i, x + 2 * j]
                elif side < 0:
                    other += means[y + 2 * i, x + 2 * j]
        difference = abs(one - other)
        if np.isnan(difference):
            return 0, 0
        if difference > best:
            best = difference
            near = abs(means[y + 2 * a, x + 2 * b] - middle)
            far = abs(means[y - 2 * a, x - 2 * b] - middle)
            sign = 1 if near < far else -1
            down, right = sign * a, sign * b
    return down, right


@kernel
def _at_edges(image, means, speckle, gain, out):  # type: ignore[no-untyped-def]
    height, width = image.shape
    for y in range(3, height - 3):
        for x in range(3, width - 3):
            if gain[y, x] == 0.0 or np.isnan(image[y, x]):
                continue
            down, right = _normal(means, y, x)
            if down == 0 and right == 0:
                continue
            count, total, squares = 0.0, 0.0, 0.0
            for i in range(-3, 4):
                for j in range(-3, 4):
                    value = np.float64(image[y + i, x + j])
                    if down * i + right * j >= 0 and not np.isnan(value):
                        count += 1.0
                        total += value
                        squares += value * value
            mean = total / count
            near = _gain(count, total, squares, speckle)
            out[y, x] = np.float32(mean + near * (image[y, x] - mean))


@kernel
def _add_ratio(image, radius, total, count):  # type: ignore[no-untyped-def]
    columns, sums = np.empty((2, image.shape[1])), np.empty((2, image.shape[1]))
    for y in range(image.shape[0]):
        _sums(image, y, radius, columns, sums)
        for x in range(image.shape[1]):
            value = np.float64(image[y, x])
            if not np.isnan(value) and sums[1, x] > 0.0:
                total[y, x] += value * sums[0, x] / sums[1, x]
                count[y, x] += 1


@kernel
def _apply_ratio(image, radius, total, count, out):  # type: ignore[no-untyped-def]
    columns, sums = np.empty((2, image.shape[1])), np.empty((2, image.shape[1]))
    for y in range(image.shape[0]):
        _sums(image, y, radius, columns, sums)
        for x in range(image.shape[1]):
            mean = sums[1, x] / sums[0, x]
            if count[y, x] > 0:
                mean *= total[y, x] / count[y, x]
            out[y, x] = np.float32(np.nan) if np.isnan(image[y, x]) else np.float32(mean)
