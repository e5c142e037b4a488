# SPDX-License-Identifier: Apache-2.0
"""Closing and opening of all classes at once: a bit of every pixel's word is a class's mask.

Laws:
1. Closing a class with an element E keeps a pixel out of the class only if some place of E that
   covers it holds no pixel of the class. It does not depend on E's origin, so that elements of an
   even number of pixels shift nothing.
2. A pixel goes to the strongest of the classes whose closing holds it, its own among them. The
   masks after that lie within the closings before it, so a second pass changes nothing.
3. Opening keeps a pixel in its class if some place of E covers it and lies in the class.
4. Pixels without label, and what lies outside of the raster, never change. To a closing they are
   of no class; to an opening they are of every class: nothing goes because of what is not seen.
5. A pixel depends on pixels within the element's size − 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiled import kernel
from ...legend import NODATA
from .strips import by_strips

_BITS = 16
"""Classes that are handled together."""
_ROWS = 256
"""Rows that are handled together: their words stay in the cache."""


def rectangle(size_m: tuple[float, float], pixel_m: tuple[float, float]) -> NDArray[np.int32]:
    """Spans of a rectangle: for each of its rows the first column and the one after the last."""
    height, width = (max(1, round(s / p)) for s, p in zip(size_m, pixel_m, strict=True))
    return np.tile(np.array([[0, width]], np.int32), (height, 1))


def disc(radius_m: float, pixel_m: tuple[float, float]) -> NDArray[np.int32]:
    """Spans of a disc, as `rectangle`: centres at most `radius_m` from the middle one."""
    rows = int(radius_m / pixel_m[0] * (1 + 1e-9))
    away = np.arange(-rows, rows + 1) * pixel_m[0]
    half = np.sqrt(np.maximum(radius_m**2 - away**2, 0)) / pixel_m[1]
    columns = np.floor(half * (1 + 1e-9) + 1e-9).astype(np.int32)
    middle = columns.max()
    return np.stack([middle - columns, middle + columns + 1], 1).astype(np.int32)


def element_reach(spans: NDArray[np.int32]) -> int:
    """Pixels around a pixel that a closing or opening depends on."""
    return max(len(spans), int(spans[:, 1].max())) - 1


@kernel
def _combine(
    source: NDArray[np.uint16],
    spans: NDArray[np.int32],
    forward: bool,
    both: bool,
    result: NDArray[np.uint16],
) -> None:
    """OR (or AND, with `both`) of `source` over the element: at p + e, or at p − e.

    `source` is longer and wider than `result` by the element's size − 1; with `forward`, pixel p
    of the result has its p + e at the same indices, else shifted by the size − 1.
    """
    rows, columns = result.shape
    high = len(spans)
    line = np.empty(source.shape[1], np.uint16)
    result[:] = 0xFFFF if both else 0
    wide = 0
    for k in range(high):
        wide = max(wide, spans[k, 1])
    for k in range(high):
        seen = False
        for before in range(k):
            seen |= spans[before, 0] == spans[k, 0] and spans[before, 1] == spans[k, 1]
        if seen:
            continue
        first = spans[k, 0] if forward else wide - spans[k, 1]
        count = spans[k, 1] - spans[k, 0]
        for at in range(rows + high - 1):
            # The row over the span, in steps that double what a word holds.
            row = source[at]
            for x in range(columns + count - 1):
                line[x] = row[first + x]
            done = 1
            while done < count:
                step = min(done, count - done)
                stop = columns + count - done - step
                if both:
                    for x in range(stop):
                        line[x] &= line[x + step]
                else:
                    for x in range(stop):
                        line[x] |= line[x + step]
                done += step
            for same in range(k, high):
                if spans[same, 0] != spans[k, 0] or spans[same, 1] != spans[k, 1]:
                    continue
                y = at - same if forward else at - (high - 1 - same)
                if not 0 <= y < rows:
                    continue
                target = result[y]
                if both:
                    for x in range(columns):
                        target[x] &= line[x]
                else:
                    for x in range(columns):
                        target[x] |= line[x]


@kernel
def _words(
    labels: NDArray[np.uint8],
    word: NDArray[np.uint16],
    top: int,
    left: int,
    outside: int,
    result: NDArray[np.uint16],
) -> None:
    """The words of a window of the raster that may reach over its outline."""
    height, width = labels.shape
    rows, columns = result.shape
    for y in range(rows):
        if not 0 <= y + top < height:
            result[y] = outside
            continue
        row = labels[y + top]
        for x in range(min(-left, columns)):
            result[y, x] = outside
        for x in range(-left, min(columns, width - left)):
            result[y, x] = word[row[x + left]]
        for x in range(max(width - left, 0), columns):
            result[y, x] = outside


@kernel
def _claim(
    labels: NDArray[np.uint8],
    closed: NDArray[np.uint16],
    word: NDArray[np.uint16],
    rank_of_bit: NDArray[np.uint8],
    best: NDArray[np.uint8],
) -> None:
    """Lower `best` to the rank of the strongest class whose closing holds a pixel.

    Pixels that only their own class holds are left out: they stay as they are.
    """
    rows, columns = best.shape
    for y in range(rows):
        for x in range(columns):
            bits = closed[y, x]
            if bits == word[labels[y, x]]:
                continue
            bit = 0
            while not bits & 1:
                bits >>= 1
                bit += 1
            best[y, x] = min(best[y, x], rank_of_bit[bit])


@kernel
def _take(
    labels: NDArray[np.uint8],
    best: NDArray[np.uint8],
    rank: NDArray[np.uint8],
    code: NDArray[np.uint8],
    fixed: NDArray[np.bool_],
) -> int:
    changed = 0
    rows, columns = best.shape
    for y in range(rows):
        for x in range(columns):
            own = labels[y, x]
            if best[y, x] < rank[own] and not fixed[own]:
                labels[y, x] = code[best[y, x]]
                changed += 1
    return changed


@kernel
def _lose(
    labels: NDArray[np.uint8], opened: NDArray[np.uint16], word: NDArray[np.uint16], hole: int
) -> int:
    changed = 0
    rows, columns = labels.shape
    for y in range(rows):
        for x in range(columns):
            own = word[labels[y, x]]
            if labels[y, x] != 255 and own and not own & opened[y, x]:
                labels[y, x] = hole
                changed += 1
    return changed


def _blocks(inner: slice) -> list[slice]:
    return [slice(y, min(y + _ROWS, inner.stop)) for y in range(inner.start, inner.stop, _ROWS)]


def _closed_or_opened(
    window: NDArray[np.uint8], rows: slice, spans: NDArray[np.int32], word: NDArray[np.uint16],
    *, closing: bool,
) -> NDArray[np.uint16]:  # fmt: skip
    """Words of some rows after a closing or an opening."""
    high, wide = len(spans) - 1, int(spans[:, 1].max()) - 1
    count, width = rows.stop - rows.start, window.shape[1]
    outside = int(word[NODATA])
    first = np.empty((count + 2 * high, width + 2 * wide), np.uint16)
    _words(window, word, rows.start - high, -wide, outside, first)
    middle = np.empty((count + high, width + wide), np.uint16)
    last = np.empty((count, width), np.uint16)
    # Closing: dilate (p − e), then erode (p + e). Opening: erode, then dilate.
    _combine(first, spans, not closing, not closing, middle)
    _combine(middle, spans, closing, closing, last)
    return last


def close_classes(
    labels: NDArray[np.uint8],
    spans: NDArray[np.int32],
    order: tuple[int, ...],
    classes: tuple[int, ...],
    fixed: NDArray[np.bool_],
    *,
    hole: int,
) -> int:
    """Close classes, in place.

    Args:
        labels: (y, x) uint8 codes; 255 is nodata.
        spans: the element, from `rectangle` or `disc`.
        order: all classes, the strongest first.
        classes: those to close.
        fixed: (256,) values whose pixels do not change.
        hole: value of holes; closing may fill them.

    Returns:
        Pixels changed.

    Source: bit planes, research/performance.md §7.
    """
    rank, code = np.full(256, NODATA, np.uint8), np.array(order, np.uint8)
    rank[code] = np.arange(len(code))
    active = [c for c in order if c in classes]
    groups = [active[k : k + _BITS] for k in range(0, len(active), _BITS)]

    def change(window: NDArray[np.uint8], inner: slice) -> int:
        new = window[inner].copy()
        changed = 0
        for rows in _blocks(inner):
            part = new[rows.start - inner.start : rows.stop - inner.start]
            best = np.full(part.shape, NODATA, np.uint8)
            for group in groups:
                word = np.zeros(256, np.uint16)
                word[group] = 1 << np.arange(len(group))
                closed = _closed_or_opened(window, rows, spans, word, closing=True)
                _claim(part, closed, word, rank[group], best)
            changed += _take(part, best, rank, code, fixed)
        window[inner] = new
        return changed

    assert rank[hole] == NODATA, "a hole is of no class"
    return by_strips(labels, element_reach(spans), change)


def open_classes(
    labels: NDArray[np.uint8],
    spans: NDArray[np.int32],
    classes: tuple[int, ...],
    *,
    hole: int,
) -> int:
    """Turn the parts of classes that the element does not fit into into holes, in place.

    Args:
        labels: (y, x) uint8 codes; 255 is nodata.
        spans: the element, from `rectangle` or `disc`.
        classes: those to open.
        hole: value of holes.

    Returns:
        Pixels changed.
    """
    groups = [classes[k : k + _BITS] for k in range(0, len(classes), _BITS)]

    def change(window: NDArray[np.uint8], inner: slice) -> int:
        new = window[inner].copy()
        changed = 0
        for rows in _blocks(inner):
            part = new[rows.start - inner.start : rows.stop - inner.start]
            for group in groups:
                word = np.zeros(256, np.uint16)
                word[list(group)] = 1 << np.arange(len(group))
                word[NODATA] = 2**16 - 1
                opened = _closed_or_opened(window, rows, spans, word, closing=False)
                changed += _lose(part, opened, word, hole)
        window[inner] = new
        return changed

    return by_strips(labels, element_reach(spans), change)


def close_grey(labels: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[Any]:
    """Grey-scale closing of the codes with a rectangle, as the published maps were closed.

    Greater codes win, so the result depends on the numbering of the legend; the borders repeat
    what lies inside (reflected). Nodata counts as less than all codes and stays where it was.

    Args:
        labels: (y, x) uint8 codes; 255 is nodata.
        size_px: height and width of the rectangle.

    Returns:
        (y, x) uint8, a new array.

    Source: scikit-image's `closing` with an even-sized rectangle: it is lengthened by a first
    row or column of zeros, and turned for the erosion.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    shifted = labels + np.uint8(1)  # 255 becomes 0
    for size, axis in zip(size_px, (0, 1), strict=True):
        # scipy's window of an even size reaches one pixel more to the left; skimage's to the right.
        shifted = maximum_filter1d(shifted, size, axis=axis, origin=-1 if size % 2 == 0 else 0)
    for size, axis in zip(size_px, (0, 1), strict=True):
        shifted = minimum_filter1d(shifted, size, axis=axis)
    result = shifted - np.uint8(1)
    result[labels == NODATA] = NODATA
    return result
