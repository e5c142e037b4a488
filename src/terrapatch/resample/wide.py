# SPDX-License-Identifier: Apache-2.0
"""Compiled loops for grids coarser than the band: kernels as wide as a pixel of the grid.

Values are those of `kernels.sample_taps`; see laws 5 and 6 of the package.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel
from .kernels import (
    _add,
    _any,
    _free,
    _inside,
    _keys,
    _limit,
    _pick,
    _plain,
    _store,
    row_coordinates,
)


class Wide(NamedTuple):
    """A kernel as wide as the grid's pixels."""

    code: int
    """1 for the box, else the taps of the kernel that is stretched."""
    inner: int
    """Taps of the kernel of the grid refined by `factor`; 0 for none."""
    factor: int
    across: int
    """Most pixels along an axis that have weight."""
    scales: NDArray[np.float64]
    """(2, cell row, cell column): pixels of the asset to a pixel of the grid, along its rows and
    columns."""


class _AxisTaps(NamedTuple):
    """Pixels that make the values of a row, along one axis of the asset."""

    at: NDArray[np.int64]
    """(tap, x) pixels, within the asset."""
    w: NDArray[np.float64]
    """(tap, x) their weights."""
    total: NDArray[np.float64]
    """(x,) the weights' sum."""


@kernel
def _settled(edge):
    """An edge of the box, on the pixel's edge where it is nearer than the rounding of places."""
    whole = math.floor(edge + 0.5)
    return whole if abs(edge - whole) < 1e-6 else edge


@kernel
def _tap(pixel, t, scale, low, high, code):
    """Weight of a pixel: its share of the box `low`..`high`, or the kernel stretched by `scale`."""
    if code == 1:
        return min(high, pixel + 1.0) - max(low, pixel + 0.0)
    far = abs(pixel - t) / scale
    if code == 2:
        return max(0.0, 1.0 - far)
    if far >= 2.0:
        return 0.0
    return _keys(far)[1] if far < 1.0 else _keys(far - 1.0)[0]


@kernel
def _spread(t, width, size, kernels, axis, good):
    """Pixels and weights along an axis.

    Args:
        t: (x,) places in pixels of the asset.
        width: (x,) pixels of the asset that a pixel of the grid spans along this axis.
        size: pixels of the asset.
        kernels: `Wide`.
        axis: `_AxisTaps`, written.
        good: (x,) becomes false where a box reaches over the asset's edge.
    """
    at, w, total = axis
    code, inner, factor = kernels.code, kernels.inner, kernels.factor
    coarse = np.empty(4)
    end = size * factor
    for x in range(t.size):
        w[:, x] = 0.0
        total[x] = 0.0
        middle = (t[x] + 0.5) * factor - 0.5
        scale = max(1.0, width[x] * factor)
        if code == 1:
            low, high = _settled(middle + 0.5 - 0.5 * scale), _settled(middle + 0.5 + 0.5 * scale)
            if scale > 1.0 and (low < 0.0 or high > end):
                good[x] = False
            begin, stop = math.floor(low), math.ceil(high)
        else:
            reach = scale if code == 2 else 2.0 * scale
            low, high = 0.0, 0.0
            begin, stop = math.ceil(middle - reach), math.floor(middle + reach) + 1
        first, used = -1, 0
        for pixel in range(begin, stop):
            weight = _tap(pixel, middle, scale, low, high, code)
            if abs(weight) < 1e-6:
                continue
            total[x] += weight
            place = min(max(pixel, 0), end - 1)
            if inner == 0:
                first = place if first < 0 else first
                used = place - first
                w[used, x] += weight
                continue
            start = _plain((place + 0.5) / factor - 0.5, inner, coarse) + 2  # never below 0
            first = start if first < 0 else first
            for m in range(inner):
                if coarse[m] != 0.0:
                    w[start - first + m, x] += weight * coarse[m]
                    used = max(used, start - first + m)
        shift = 0 if inner == 0 else 2
        for n in range(w.shape[0]):
            pixel = first - shift + (n if w[n, x] != 0.0 else used)
            at[n, x] = min(max(pixel, 0), size - 1)


@kernel
def sample_wide(source, limits, target, kernels):
    """Kernels as wide as the grid's pixels.

    Args:
        source: `resample.Decoded`.
        limits: what becomes of a value.
        target: patches to fill.
        kernels: `Wide`.
    """
    places, out, bands, filled, valid = target
    taps, scales, cell = kernels.across, kernels.scales, source.lattice.cell
    first, shape, origin = source.first, source.shape, source.lattice.origin
    planes = source.pixels.reshape(source.pixels.shape[0], -1)
    width = source.pixels.shape[2]
    size = out.shape[3]
    v, u = np.empty(size), np.empty(size)
    tall, broad = np.empty(size), np.empty(size)
    rows, cols = np.empty((taps, size), np.int64), np.empty((taps, size), np.int64)
    down, across = np.empty((taps, size)), np.empty((taps, size))
    sum_down, sum_across = np.empty(size), np.empty(size)
    vertical, horizontal = _AxisTaps(rows, down, sum_down), _AxisTaps(cols, across, sum_across)
    raw = np.empty(size, planes.dtype)
    line, total, value = np.empty(size), np.empty(size), np.empty(size, np.float32)
    good, free = np.empty(size, np.bool_), np.empty(size, np.bool_)
    for p in range(places.shape[0]):
        if places[p, 2] == 0:
            continue
        for y in range(out.shape[2]):
            if not _free(filled[p, y], free):
                continue
            row, col = places[p, 0] + origin[0] + y, places[p, 1] + origin[1]
            row_coordinates(source.lattice, row, col, v, u)
            _inside(v, u, shape, good)
            for x in range(size):
                cell_row, cell_col = (row >> 6) - cell[0], ((col + x) >> 6) - cell[1]
                tall[x] = scales[0, cell_row, cell_col]
                broad[x] = scales[1, cell_row, cell_col]
            _spread(v, tall, shape[0], kernels, vertical, good)
            _spread(u, broad, shape[1], kernels, horizontal, good)
            for n in range(taps):
                for x in range(size):
                    at = (rows[n, x] - first[0]) * width
                    # What is not good, or not wanted, need not be decoded.
                    rows[n, x] = at if good[x] and free[x] else 0
                    cols[n, x] = cols[n, x] - first[1] if good[x] and free[x] else 0
            for n in range(planes.shape[0]):
                total[:] = 0.0
                for i in range(taps):
                    if not _any(down[i]):
                        continue
                    line[:] = 0.0
                    for k in range(taps):
                        if not _any(across[k]):
                            continue
                        _pick(planes[n], rows[i], cols[k], raw)
                        _add(raw, across[k], limits.nodata, line)
                    for x in range(size):
                        total[x] += line[x] * down[i, x]
                for x in range(size):
                    total[x] /= sum_down[x] * sum_across[x]
                _limit(total, limits.offsets[n], limits.low, limits.high, value)
                _store(value, limits.half, free, good, out[p, bands[n], y])
            for x in range(size):
                if not good[x]:
                    valid[p, y, x] = 0
