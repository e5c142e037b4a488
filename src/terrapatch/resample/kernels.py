# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of `resample`: coordinates, weights, sums, and the merging of scenes.

Laws:
1. No fast-math: sums keep their order, so that every machine and thread gives the same bits.
2. Loops over a row are short and touch few arrays. With many arrays in one loop the compiler
   cannot know that they do not overlap and vectorises nothing; cut up, the same work takes a
   quarter of the time (docs/benchmarks.md).

Arguments are the values of `resample.sample`; see there for their meaning.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel


class Limits(NamedTuple):
    """What becomes of a sampled value, as the kernels take it; see `resample.Radiometry`."""

    offsets: NDArray[np.float32]
    """One per band, added to the sampled value."""
    nodata: np.float32
    low: np.float32
    high: np.float32
    half: np.float32
    """0.5 where values are rounded to integers, halves upwards; else 0."""


class Target(NamedTuple):
    """The patches that are filled, and what is known of their pixels."""

    places: NDArray[np.int64]
    """(patch, 3): row and column of the patch's first pixel in the unit, and 1 where the patch is
    wanted (others are passed over)."""
    out: NDArray[Any]
    """(patch, band, y, x) all bands of the stack; written where `filled` is 0, with meaningless
    values where `valid` becomes 0."""
    bands: NDArray[np.int64]
    """For each band of the source, its place in `out`."""
    filled: NDArray[np.uint8]
    """(patch, y, x); 0 where a value is wanted."""
    valid: NDArray[np.uint8]
    """(patch, y, x); set to 0 where a neighbour is missing, else left alone."""


class Taps(NamedTuple):
    """Kernels of more than two neighbours along an axis."""

    outer: int
    """Code of the kernel."""
    inner: int
    """Code of the kernel that refines the band's grid first; 0 for none."""
    factor: int
    """How many times finer the refined grid is."""
    across: int
    """Pixels along an axis that may have weight."""


class Steps(NamedTuple):
    """Where the four neighbours of each pixel of a row lie in a plane, and their weights."""

    start: NDArray[np.int64]
    right: NDArray[np.int64]
    down: NDArray[np.int64]
    across: NDArray[np.float32]
    along: NDArray[np.float32]


class _Corners(NamedTuple):
    """Numbers of the four neighbours of each pixel of a row: rows down, columns to the right."""

    v00: NDArray[Any]
    v01: NDArray[Any]
    v10: NDArray[Any]
    v11: NDArray[Any]


@kernel
def row_coordinates(lattice, row, col, v, u):
    """Source coordinates of a run of pixels: `row`, `col` counted from the grid's origin.

    One formula for every pixel: first along the cell's left and right edge, then across. Written
    cell by cell so that the inner loop is a straight line that compilers vectorise.
    """
    nodes, cell = lattice.nodes, lattice.cell
    i = (row >> 6) - cell[0]
    down = (row & 63) * 0.015625
    x = 0
    while x < u.size:
        k = ((col + x) >> 6) - cell[1]
        t = (col + x) & 63
        stop = min(u.size, x + 64 - t)
        v_left = nodes[0, i, k] + (nodes[0, i + 1, k] - nodes[0, i, k]) * down
        v_right = nodes[0, i, k + 1] + (nodes[0, i + 1, k + 1] - nodes[0, i, k + 1]) * down
        u_left = nodes[1, i, k] + (nodes[1, i + 1, k] - nodes[1, i, k]) * down
        u_right = nodes[1, i, k + 1] + (nodes[1, i + 1, k + 1] - nodes[1, i, k + 1]) * down
        v_step, u_step = (v_right - v_left) * 0.015625, (u_right - u_left) * 0.015625
        for n in range(stop - x):
            v[x + n] = v_left + v_step * (t + n)
            u[x + n] = u_left + u_step * (t + n)
        x = stop


@kernel
def ranges(lattice, places, size, out):
    """Smallest and largest row and column that each patch meets, into `out` (patch, 4)."""
    origin = lattice.origin
    v, u = np.empty(1), np.empty(1)
    for p in range(places.shape[0]):
        low_v, high_v, low_u, high_u = np.inf, -np.inf, np.inf, -np.inf
        y = places[p, 0] + origin[0]
        last_y, last_x = y + size - 1, places[p, 1] + origin[1] + size - 1
        while True:
            x = places[p, 1] + origin[1]
            while True:
                row_coordinates(lattice, y, x, v, u)
                if np.isfinite(v[0]) and np.isfinite(u[0]):
                    low_v, high_v = min(low_v, v[0]), max(high_v, v[0])
                    low_u, high_u = min(low_u, u[0]), max(high_u, u[0])
                if x == last_x:
                    break
                x = min(last_x, ((x >> 6) + 1) << 6)
            if y == last_y:
                break
            y = min(last_y, ((y >> 6) + 1) << 6)
        out[p, 0], out[p, 1], out[p, 2], out[p, 3] = low_v, high_v, low_u, high_u


@kernel
def _free(filled, free):
    """Which pixels of a row are wanted; whether any is."""
    wanted = False
    for x in range(free.size):
        free[x] = filled[x] == 0
        wanted |= free[x]
    return wanted


@kernel
def _inside(v, u, shape, good):
    """Which points lie in the asset's area; the others are moved to its first pixel."""
    for x in range(v.size):
        good[x] = (
            (v[x] >= -0.500001) & (v[x] <= shape[0] - 0.499999)
            & (u[x] >= -0.500001) & (u[x] <= shape[1] - 0.499999)
        )  # fmt: skip
    for x in range(v.size):
        v[x] = v[x] if good[x] else 0.0
    for x in range(v.size):
        u[x] = u[x] if good[x] else 0.0


@kernel
def _pair(t, size, nearest, factor, near, far, weight):
    """The two neighbours along an axis and the second one's weight; both the same if it has none."""
    if factor > 1:
        for x in range(t.size):
            t[x] = (t[x] + 0.5) * factor - 0.5
    if nearest:
        for x in range(t.size):
            t[x] = math.floor(t[x] + 0.500001)
    end = size * factor - 1
    for x in range(t.size):
        low = math.floor(t[x] + 1e-6)
        rest = t[x] - low
        weight[x] = rest if rest >= 1e-6 else 0.0
        near[x] = np.int64(low)
    for x in range(t.size):
        first = near[x]
        second = first + (1 if weight[x] > 0.0 else 0)
        near[x], far[x] = min(max(first, 0), end), min(max(second, 0), end)
    if factor > 1:
        for x in range(t.size):
            near[x], far[x] = near[x] // factor, far[x] // factor


@kernel
def _places(top, left, first, width, good, steps):
    """From rows and columns of neighbours to steps in a plane, in place.

    `steps` comes with the columns to the right and the rows below. Points outside the asset stand
    for its first pixel, which need not be among the decoded ones: they read the first decoded
    pixel.
    """
    start, right, down = steps.start, steps.right, steps.down
    for x in range(start.size):
        start[x] = (top[x] - first[0]) * width + (left[x] - first[1]) if good[x] else 0
    for x in range(start.size):
        right[x] -= left[x]
    for x in range(start.size):
        down[x] = (down[x] - top[x]) * width


@kernel
def sample_pairs(source, limits, target, nearest, factor):
    """Kernels of at most two neighbours along an axis: bilinear, and nearest as its limit.

    Args:
        source: `resample.Decoded`.
        limits: what becomes of a value.
        target: patches to fill.
        nearest: take the nearest pixel instead of four.
        factor: how many times finer the grid is on which the band's pixels are repeated.
    """
    places, out, bands, filled, valid = target
    first, shape, origin = source.first, source.shape, source.lattice.origin
    planes = source.pixels.reshape(source.pixels.shape[0], -1)
    width = source.pixels.shape[2]
    size = out.shape[3]
    v, u = np.empty(size), np.empty(size)
    top, down = np.empty(size, np.int64), np.empty(size, np.int64)
    left, right = np.empty(size, np.int64), np.empty(size, np.int64)
    across, along = np.empty(size, np.float32), np.empty(size, np.float32)
    steps = Steps(np.empty(size, np.int64), right, down, across, along)
    corners = _Corners(
        np.empty(size, planes.dtype), np.empty(size, planes.dtype),
        np.empty(size, planes.dtype), np.empty(size, planes.dtype),
    )  # fmt: skip
    value = np.empty(size, np.float32)
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
            _pair(v, shape[0], nearest, factor, top, down, along)
            _pair(u, shape[1], nearest, factor, left, right, across)
            _places(top, left, first, width, good, steps)
            for n in range(planes.shape[0]):
                _gather(planes[n], steps, corners)
                _blend(corners, steps, limits, limits.offsets[n], value)
                _store(value, limits.half, free, good, out[p, bands[n], y])
            for x in range(size):
                if not good[x]:
                    valid[p, y, x] = 0


@kernel
def _gather(plane, steps, corners):
    start, right, down = steps.start, steps.right, steps.down
    v00, v01, v10, v11 = corners
    for x in range(start.size):
        # Unsigned: signed indices cost a test for counting from the end.
        i, k = np.uint64(start[x]), np.uint64(right[x])
        j = i + np.uint64(down[x])
        v00[x], v01[x] = plane[i], plane[i + k]
        v10[x], v11[x] = plane[j], plane[j + k]


@kernel
def _blend(corners, steps, limits, offset, value):
    """Bilinear value of each pixel; NaN where a neighbour is missing."""
    v00, v01, v10, v11 = corners
    across, along = steps.across, steps.along
    nodata, low, high = limits.nodata, limits.low, limits.high
    for x in range(value.size):
        a, b = np.float32(v00[x]), np.float32(v01[x])
        c, d = np.float32(v10[x]), np.float32(v11[x])
        missing = (a == nodata) | (b == nodata) | (c == nodata) | (d == nodata)
        top = a + (b - a) * across[x]
        bottom = c + (d - c) * across[x]
        t = top + (bottom - top) * along[x] + offset
        t = low if t < low else t
        t = high if t > high else t
        value[x] = np.float32(np.nan) if missing else t


@kernel
def _store(value, half, free, good, target):
    for x in range(value.size):
        good[x] &= value[x] == value[x]
    if half > 0.0:
        for x in range(value.size):  # downwards: a cast alone would turn −0.7 into 0
            target[x] = np.floor(value[x] + half) if free[x] else target[x]
    else:
        for x in range(value.size):
            target[x] = value[x] if free[x] else target[x]


@kernel
def _keys(f):
    """Cubic convolution, a = −0.5: weights of the pixels at −1, 0, 1, 2 of a point at `f`.

    Source: Keys 1981, eq. 15.
    """
    return (
        ((-0.5 * f + 1.0) * f - 0.5) * f,
        (1.5 * f - 2.5) * f * f + 1.0,
        ((-1.5 * f + 2.0) * f + 0.5) * f,
        (0.5 * f - 0.5) * f * f,
    )


@kernel
def _cubic(t, size, at, w):
    """Pixels (clamped) and weights of cubic convolution at each point, both (tap, x).

    A tap without weight gets a pixel that has one: it may lie where nothing was decoded.
    """
    for x in range(t.size):
        low = math.floor(t[x] + 1e-6)
        rest = t[x] - low
        w[0, x], w[1, x], w[2, x], w[3, x] = _keys(rest if rest >= 1e-6 else 0.0)
        at[1, x] = np.int64(low)
    for n in (0, 2, 3):
        for x in range(t.size):
            pixel = at[1, x] + (n - 1 if w[n, x] != 0.0 else 0)
            at[n, x] = min(max(pixel, 0), size - 1)
    for x in range(t.size):
        at[1, x] = min(max(at[1, x], 0), size - 1)


@kernel
def _plain(t, taps, w):
    """Weights of a kernel at one point into `w`; returns its first pixel (not clamped)."""
    if taps == 1:
        w[0] = 1.0
        return np.int64(math.floor(t + 0.500001))
    low = math.floor(t + 1e-6)
    rest = t - low
    f = rest if rest >= 1e-6 else 0.0
    if taps == 2:
        w[0], w[1] = 1.0 - f, f
        return np.int64(low)
    w[0], w[1], w[2], w[3] = _keys(f)
    return np.int64(low) - 1


@kernel
def _composed(t, size, outer, inner, factor, at, w):
    """As `_cubic`, of a kernel on the virtual grid that another kernel makes, `factor` finer.

    Both are separable, so the two steps are one set of weights along each axis, and the finer
    image is never made.
    """
    fine, coarse = np.empty(4), np.empty(4)
    for x in range(t.size):
        for n in range(w.shape[0]):
            w[n, x] = 0.0
        base = _plain((t[x] + 0.5) * factor - 0.5, outer, fine)
        first = np.int64(0)
        for n in range(outer):
            pixel = min(max(base + n, 0), size * factor - 1)
            start = _plain((pixel + 0.5) / factor - 0.5, inner, coarse)
            if n == 0:
                first = start
            for m in range(inner):
                w[start - first + m, x] += fine[n] * coarse[m]
        used = 0
        for n in range(w.shape[0]):
            if w[n, x] != 0.0:
                used = n
        for n in range(w.shape[0]):
            pixel = first + (n if w[n, x] != 0.0 else used)
            at[n, x] = min(max(pixel, 0), size - 1)


@kernel
def sample_taps(source, limits, target, kernels):
    """Kernels of more than two neighbours.

    Args:
        source: `resample.Decoded`.
        limits: what becomes of a value.
        target: patches to fill.
        kernels: `Taps`.
    """
    places, out, bands, filled, valid = target
    outer, inner, factor, taps = kernels
    first, shape, origin = source.first, source.shape, source.lattice.origin
    planes = source.pixels.reshape(source.pixels.shape[0], -1)
    width = source.pixels.shape[2]
    size = out.shape[3]
    v, u = np.empty(size), np.empty(size)
    rows, cols = np.empty((taps, size), np.int64), np.empty((taps, size), np.int64)
    down, across = np.empty((taps, size)), np.empty((taps, size))
    raw = np.empty(size, planes.dtype)
    line, total, value = np.empty(size), np.empty(size), np.empty(size, np.float32)
    good, free = np.empty(size, np.bool_), np.empty(size, np.bool_)
    for p in range(places.shape[0]):
        if places[p, 2] == 0:
            continue
        for y in range(out.shape[2]):
            if not _free(filled[p, y], free):
                continue
            at_row, at_col = places[p, 0] + origin[0] + y, places[p, 1] + origin[1]
            row_coordinates(source.lattice, at_row, at_col, v, u)
            _inside(v, u, shape, good)
            if inner == 0:
                _cubic(v, shape[0], rows, down)
                _cubic(u, shape[1], cols, across)
            else:
                _composed(v, shape[0], outer, inner, factor, rows, down)
                _composed(u, shape[1], outer, inner, factor, cols, across)
            for n in range(taps):
                for x in range(size):
                    row = (rows[n, x] - first[0]) * width
                    rows[n, x] = row if good[x] else 0
                    cols[n, x] = cols[n, x] - first[1] if good[x] else 0
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
                _limit(total, limits.offsets[n], limits.low, limits.high, value)
                _store(value, limits.half, free, good, out[p, bands[n], y])
            for x in range(size):
                if not good[x]:
                    valid[p, y, x] = 0


@kernel
def _any(weights):
    found = False
    for x in range(weights.size):
        found |= weights[x] != 0.0
    return found


@kernel
def _pick(plane, row, col, raw):
    for x in range(raw.size):
        raw[x] = plane[np.uint64(row[x] + col[x])]


@kernel
def _add(raw, weight, nodata, line):
    """Add the pixels of one tap; a missing one makes the sum NaN."""
    for x in range(line.size):
        a = np.float32(raw[x])
        term = weight[x] * a
        line[x] += np.nan if a == nodata else term


@kernel
def _limit(total, offset, low, high, value):
    for x in range(value.size):
        t = np.float32(total[x] + offset)  # rounded once: an offset changes no pixel
        t = low if t < low else t
        value[x] = high if t > high else t


@kernel
def merge(places, number, valid, classes, masked, filled, missing):
    """Take a scene's valid pixels where none was taken before, in place.

    Args:
        places: as in `sample`; patches with 0 in the third column are passed over.
        number: uint8 number of the scene, from 1, written into `filled`.
        valid: (patch, y, x) uint8; 0 where a band is missing.
        classes: (patch, y, x) uint8 scene classes of this scene, or an empty array.
        masked: (256,) bool; classes that count as missing.
        filled: (patch, y, x) uint8; 0 where no scene has given a pixel yet.
        missing: (patch,) int64; becomes the number of pixels still missing.
    """
    for p in range(places.shape[0]):
        if places[p, 2] == 0:
            continue
        count = 0
        for y in range(filled.shape[1]):
            for x in range(filled.shape[2]):
                if filled[p, y, x] == 0:
                    good = valid[p, y, x] != 0
                    if good and classes.shape[0] > 0:
                        good = not masked[classes[p, y, x]]
                    if good:
                        filled[p, y, x] = number
                    else:
                        count += 1
        missing[p] = count


@kernel
def seal(out, filled):
    """Set the pixels that no scene has given to 0 in all bands, in place.

    Args:
        out: (patch, band, y, x).
        filled: (patch, y, x) uint8; 0 where missing.
    """
    for p in range(out.shape[0]):
        for y in range(out.shape[2]):
            gap = False
            for x in range(out.shape[3]):
                gap |= filled[p, y, x] == 0
            if not gap:
                continue
            for x in range(out.shape[3]):
                if filled[p, y, x] == 0:
                    out[p, :, y, x] = 0
