# SPDX-License-Identifier: Apache-2.0
"""Compiled loops for grids coarser than the band: kernels as wide as a pixel of the grid.

Arguments are those of `kernels.sample_taps`; see laws 5 and 6 of the package.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

import math

import numpy as np

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
def _spread(t, width, size, code, inner, factor, at, w, total, good):
    """Pixels (within the asset) and weights along an axis, both (tap, x), and the weights' sum.

    Args:
        t: (x,) places in pixels of the asset.
        width: (x,) pixels of the asset that a pixel of the grid spans along this axis.
        size: pixels of the asset.
        code: 1 for the box, else the taps of the kernel that is stretched.
        inner: taps of the kernel of the grid refined by `factor`, 0 for none.
        factor: see `inner`.
        at: written.
        w: written.
        total: written.
        good: (x,) becomes false where a box reaches over the asset's edge.
    """
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
def sample_wide(
    planes, part, first, shape, nodes, cell, origin, offsets, nodata, low, high, half,
    places, out, bands, filled, valid, code, inner, factor, taps, scales,
):  # fmt: skip
    """Kernels as wide as the grid's pixels; `code`, `inner` and `factor` as in `_spread`.

    `taps` is the most pixels along an axis that have weight; `scales` (2, cell row, cell column) are
    the pixels of the asset to a pixel of the grid, along rows and columns of the asset.
    """
    size = out.shape[3]
    v, u = np.empty(size), np.empty(size)
    tall, broad = np.empty(size), np.empty(size)
    rows, cols = np.empty((taps, size), np.int64), np.empty((taps, size), np.int64)
    down, across = np.empty((taps, size)), np.empty((taps, size))
    sum_down, sum_across = np.empty(size), np.empty(size)
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
            row_coordinates(nodes, cell, row, col, v, u)
            _inside(v, u, shape, good)
            for x in range(size):
                cell_row, cell_col = (row >> 6) - cell[0], ((col + x) >> 6) - cell[1]
                tall[x] = scales[0, cell_row, cell_col]
                broad[x] = scales[1, cell_row, cell_col]
            _spread(v, tall, shape[0], code, inner, factor, rows, down, sum_down, good)
            _spread(u, broad, shape[1], code, inner, factor, cols, across, sum_across, good)
            for n in range(taps):
                for x in range(size):
                    at = (rows[n, x] - first[0]) * part[1]
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
                        _add(raw, across[k], nodata, line)
                    for x in range(size):
                        total[x] += line[x] * down[i, x]
                for x in range(size):
                    total[x] /= sum_down[x] * sum_across[x]
                _limit(total, offsets[n], low, high, value)
                _store(value, half, free, good, out[p, bands[n], y])
            for x in range(size):
                if not good[x]:
                    valid[p, y, x] = 0
