# SPDX-License-Identifier: Apache-2.0
"""Compiled loops of terrain correction: heights, image coordinates, and the sampling of power.

Laws:
1. No fast-math, one formula for every pixel: neither shards nor threads change a bit.
2. A pixel is missing where its height is unknown, where it lies outside the image, or where a
   neighbour that has weight is missing.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel
from ..resample.kernels import Steps, row_coordinates


class Part(NamedTuple):
    """Calibrated power of a part of an image."""

    planes: NDArray[np.float32]
    """(band, y, x); NaN where missing."""
    first: tuple[int, int]
    """Row and column of the part's first pixel in the image."""
    shape: tuple[int, int]
    """Rows and columns of the whole image."""


class _Pair(NamedTuple):
    """Two neighbouring records of a table, and the lines between which they hold."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    begin: float
    stop: float
    moment: float
    """Line of the first record."""
    pace: float
    """Share of the way to the second one for each line."""


class _Guess(NamedTuple):
    """Where neighbours of a pixel lie in a table."""

    step: int
    start: float
    """Slant range of the step."""
    slope: float
    """Steps for each metre."""


class _Spot(NamedTuple):
    """A run of pixels in a cell of a lattice."""

    row: int
    col: int
    """Node above and left of the run."""
    down: float
    across: float
    """Place of the first pixel in the cell, 0 to 1."""
    part: float
    """Distance from pixel to pixel there."""


class _Side(NamedTuple):
    """An axis of a part: its first pixel, pixels of the whole image, distance in memory."""

    first: int
    size: int
    stride: int


@kernel
def heights_of_row(heights, row, col, v, u, height):
    """Heights of a run of pixels, bilinear; NaN outside or beside a void.

    Args:
        heights: `geometry.Heights`.
        row: first pixel of the run, counted from the grid's origin.
        col: as `row`.
        v: (run,) float64, room to work in.
        u: as `v`.
        height: (run,) float64, written.
    """
    dem = heights.values
    if dem.shape[0] == 0:
        height[:] = 0.0
        return
    row_coordinates(heights.lattice, row, col, v, u)
    rows, cols = dem.shape
    flat = dem.reshape(-1)
    for x in range(height.size):
        good = v[x] > -1e-6 and v[x] < rows - 1 + 1e-6 and u[x] > -1e-6 and u[x] < cols - 1 + 1e-6
        if not good:
            height[x] = np.nan
            continue
        # Not below 0 here, so that cutting off is rounding down; unsigned: see `resample`.
        top, left = np.int64(v[x] + 1e-6), np.int64(u[x] + 1e-6)
        down, across = v[x] - top, u[x] - left
        down = 0.0 if down < 1e-6 else down
        across = 0.0 if across < 1e-6 else across
        i = np.uint64(top * cols + left)
        k = np.uint64(1 if across > 0.0 else 0)
        j = i + np.uint64(cols if down > 0.0 else 0)
        upper = flat[i] + (flat[i + k] - flat[i]) * across
        lower = flat[j] + (flat[j + k] - flat[j]) * across
        height[x] = upper + (lower - upper) * down


@kernel
def heights_of_window(heights, row, col, height):
    """`heights_of_row` for all rows of a window, into `height` (y, x)."""
    v, u = np.empty(height.shape[1]), np.empty(height.shape[1])
    for y in range(height.shape[0]):
        heights_of_row(heights, row + y, col, v, u, height[y])


@kernel
def pixels_at(table, line, slant, pixel):
    """Pixels at which slant ranges lie in lines, by a table; clamped to the table's ends.

    Neighbours are few steps of the table apart: a whole run is looked up at once around one of
    them, and one by one only where that fails. How a place is found does not change what is.

    Args:
        table: `geometry.RangeTable`.
        line: (n,) where to look; NaN where there is nothing to look for.
        slant: (n,) slant ranges in m.
        pixel: (n,) written; not `slant` itself.
    """
    moments, ranges = table.lines, table.slant_m
    last = moments.size - 1
    record = 0
    for begin in range(0, line.size, _RUN):
        stop = min(begin + _RUN, line.size)
        while record < last and moments[record + 1] <= line[begin]:
            record += 1
        while record > 0 and moments[record] > line[begin]:
            record -= 1
        after = min(record + 1, last)
        pace = 1.0 / (moments[after] - moments[record]) if after > record else 0.0
        share = min(max((line[begin] - moments[record]) * pace, 0.0), 1.0)
        low, high = ranges[record], ranges[after]
        step = _step(low, high, share, slant[begin])
        near = low[step] + (high[step] - low[step]) * share
        slope = 1.0 / (low[step + 1] + (high[step + 1] - low[step + 1]) * share - near)
        pair = _Pair(
            low, high, moments[record] if record > 0 else -np.inf,
            moments[after] if after > record else np.inf, moments[record], pace,
        )  # fmt: skip
        found = _around(
            pair, _Guess(step, near, slope), table.pixels, line[begin:stop], slant[begin:stop],
            pixel[begin:stop],
        )  # fmt: skip
        if not found:
            for x in range(begin, stop):
                pixel[x], record = _pixel(table, line[x], slant[x], record)


_RUN = 64
"""Pixels of the map that are looked up together."""


@kernel
def _around(pair, guessed, first, line, slant, pixel):
    """Pixels of a run between two records, from a guess that may be one step off; whether it was."""
    low, high, begin, stop, moment, pace = pair
    anchor, start, slope = guessed
    end = low.size - 2
    good = True
    for x in range(line.size):
        share = min(max((line[x] - moment) * pace, 0.0), 1.0)
        guess = anchor + (slant[x] - start) * slope
        guess = guess if guess > 0.0 else 0.0  # also where it is none
        n = np.int64(guess if guess < end else np.float64(end))
        i = np.uint64(n)
        near = low[i] + (high[i] - low[i]) * share
        far = low[i + np.uint64(1)] + (high[i + np.uint64(1)] - low[i + np.uint64(1)]) * share
        n += 1 if (slant[x] >= far) & (n < end) else 0
        n -= 1 if (slant[x] < near) & (n > 0) else 0
        i = np.uint64(n)
        near = low[i] + (high[i] - low[i]) * share
        far = low[i + np.uint64(1)] + (high[i + np.uint64(1)] - low[i + np.uint64(1)]) * share
        part = (slant[x] - near) / (far - near)
        good &= (line[x] >= begin) & (line[x] < stop)
        good &= (part >= 0.0) | (n == 0)
        good &= (slant[x] < far) | (n == end)
        pixel[x] = first[0] + (n + min(max(part, 0.0), 1.0)) * first[1]
    return good


@kernel
def _pixel(table, line, slant, record):
    """Pixel at which a slant range lies in a line, and the record before that line."""
    moments, first = table.lines, table.pixels
    if not math.isfinite(line):
        return np.nan, record
    last = moments.size - 1
    while record < last and moments[record + 1] <= line:
        record += 1
    while record > 0 and moments[record] > line:
        record -= 1
    after = min(record + 1, last)
    pace = 1.0 / (moments[after] - moments[record]) if after > record else 0.0
    share = min(max((line - moments[record]) * pace, 0.0), 1.0)
    low, high = table.slant_m[record], table.slant_m[after]
    n = _step(low, high, share, slant)
    near = low[n] + (high[n] - low[n]) * share
    far = low[n + 1] + (high[n + 1] - low[n + 1]) * share
    return first[0] + (n + min(max((slant - near) / (far - near), 0.0), 1.0)) * first[1], record


@kernel
def _step(low, high, share, slant):
    """Last step of a mixed table at or before a slant range, within the table."""
    n, beyond = 0, low.size - 1
    while beyond - n > 1:
        middle = (n + beyond) >> 1
        if low[middle] + (high[middle] - low[middle]) * share > slant:
            beyond = middle
        else:
            n = middle
    return n


@kernel
def image_row(image, row, col, height, line, pixel):
    """Line and pixel in the image of a run of pixels at given heights.

    Bilinear between the nodes of a cell, quadratic in height through three steps of the ladder.

    Args:
        image: `geometry.ImageLattice`.
        row: as in `heights_of_row`.
        col: as in `heights_of_row`.
        height: (run,) float64.
        line: (run,) float64, written; not finite where the height is not.
        pixel: as `line`.
    """
    nodes, cell, shift, ladder = image.nodes, image.cell, image.shift, image.ladder
    size = 1 << shift
    part = 1.0 / size
    i = (row >> shift) - cell[0]
    down = (row & (size - 1)) * part
    top = nodes.shape[1] - 3
    slant = np.empty(line.size) if image.table.lines.size > 0 else pixel
    x = 0
    while x < line.size:
        k = ((col + x) >> shift) - cell[1]
        t = (col + x) & (size - 1)
        stop = min(line.size, x + size - t)
        lowest, highest = np.inf, -np.inf
        for n in range(x, stop):
            lowest, highest = min(lowest, height[n]), max(highest, height[n])
        line[x:stop], slant[x:stop] = np.nan, np.nan
        first_base = _base((lowest - ladder[0]) / ladder[1], top) if lowest <= highest else 1
        last_base = _base((highest - ladder[0]) / ladder[1], top) if lowest <= highest else 0
        spot = _Spot(i, k, down, t * part, part)
        for base in range(first_base, last_base + 1, 2):
            _cell_row(nodes, ladder, spot, base, height[x:stop], line[x:stop], slant[x:stop])
        x = stop
    if image.table.lines.size > 0:
        pixels_at(image.table, line, slant, pixel)


@kernel
def image_window(image, row, col, height, line, pixel):
    """`image_row` for all rows of a window; arrays are (y, x)."""
    for y in range(height.shape[0]):
        image_row(image, row + y, col, height[y], line[y], pixel[y])


@kernel
def _base(t, top):
    """First of the three steps of the ladder whose parabola holds at a place on it."""
    return min(max(math.floor(t * 0.5) * 2, 0), top)


@kernel
def _cell_row(nodes, ladder, spot, base, height, line, pixel):
    """`image_row` within a cell, for the heights of one parabola."""
    top = nodes.shape[1] - 3
    i, k, down, across, part = spot
    left, step = np.empty(6), np.empty(6)
    for n in range(6):
        plane = nodes[n // 3, base + n % 3]
        left[n] = plane[i, k] + (plane[i + 1, k] - plane[i, k]) * down
        right = plane[i, k + 1] + (plane[i + 1, k + 1] - plane[i, k + 1]) * down
        step[n] = right - left[n]
    l0, l1, l2, s0, s1, s2 = left[0], left[1], left[2], left[3], left[4], left[5]
    dl0, dl1, dl2, ds0, ds1, ds2 = step[0], step[1], step[2], step[3], step[4], step[5]
    # Where the parabolas before and after take over; the outer ones hold beyond.
    begin = -np.inf if base == 0 else np.float64(base)
    stop = np.inf if base == top else base + 2.0
    for x in range(line.size):
        place = (height[x] - ladder[0]) / ladder[1]
        here = (place >= begin) & (place < stop)
        t = place - base
        w0, w1, w2 = 0.5 * (t - 1.0) * (t - 2.0), t * (2.0 - t), 0.5 * t * (t - 1.0)
        u = across + x * part
        a = w0 * (l0 + dl0 * u) + w1 * (l1 + dl1 * u) + w2 * (l2 + dl2 * u)
        b = w0 * (s0 + ds0 * u) + w1 * (s1 + ds1 * u) + w2 * (s2 + ds2 * u)
        line[x] = a if here else line[x]
        pixel[x] = b if here else pixel[x]


@kernel
def _inside(line, pixel, shape, last, nearest, good):
    """Which places the image answers for; the nearest pixel's place instead, if wanted."""
    for x in range(line.size):
        good[x] = (
            (line[x] >= -0.500001) & (line[x] <= last + 0.000001)
            & (pixel[x] >= -0.500001) & (pixel[x] <= shape[1] - 0.499999)
        )  # fmt: skip
    if nearest:
        for x in range(line.size):
            line[x] = math.floor(line[x] + 0.500001) if good[x] else line[x]
        for x in range(line.size):
            pixel[x] = math.floor(pixel[x] + 0.500001) if good[x] else pixel[x]


@kernel
def _neighbours(t, good, axis, begin, step, weight):
    """Along an axis: where the neighbour before lies in a plane, the step to the one after, its weight.

    Both are the same where the one after has no weight. Places outside the image stand for the
    plane's first pixel.
    """
    first, size, stride = axis
    for x in range(t.size):
        place = t[x] if good[x] else np.float64(first)
        place = min(max(place, 0.0), size - 1.0)
        low = np.int64(place)
        rest = np.float32(place - low)
        weight[x] = rest
        begin[x] += (low - first) * stride
        step[x] = stride if rest > 0.0 else 0


@kernel
def _blend(plane, steps, value):
    """Bilinear values; not finite where a neighbour is missing."""
    begin, right, down, across, along = steps
    for x in range(value.size):
        # Unsigned: signed indices cost a test for counting from the end.
        i, k = np.uint64(begin[x]), np.uint64(right[x])
        j = i + np.uint64(down[x])
        upper, lower = plane[i], plane[j]
        upper += (plane[i + k] - upper) * across[x]
        lower += (plane[j + k] - lower) * across[x]
        value[x] = upper + (lower - upper) * along[x]


@kernel
def sample(part, image, heights, target, nearest, last):
    """Sample patches from calibrated power, in place; all bands at the same coordinates.

    Args:
        part: `Part`.
        image: `geometry.ImageLattice`.
        heights: `geometry.Heights`.
        target: `resample.Target`; `out` is float32.
        nearest: take the nearest pixel instead of four.
        last: largest line coordinate that the image answers for.
    """
    planes, first, shape = part
    places, out, bands, filled, valid = target
    size = out.shape[3]
    v, u, height = np.empty(size), np.empty(size), np.empty(size)
    line, pixel = np.empty(size), np.empty(size)
    steps = Steps(
        np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64),
        np.empty(size, np.float32), np.empty(size, np.float32),
    )  # fmt: skip
    rows, cols = _Side(first[0], shape[0], planes.shape[2]), _Side(first[1], shape[1], 1)
    value = np.empty(size, np.float32)
    good = np.empty(size, np.bool_)
    flat = planes.reshape(planes.shape[0], -1)
    for p in range(places.shape[0]):
        if places[p, 2] == 0:
            continue
        for y in range(out.shape[2]):
            free = filled[p, y]
            wanted = False
            for x in range(size):
                wanted |= free[x] == 0
            if not wanted:
                continue
            row, col = places[p, 0] + image.origin[0] + y, places[p, 1] + image.origin[1]
            heights_of_row(heights, row, col, v, u, height)
            image_row(image, row, col, height, line, pixel)
            _inside(line, pixel, shape, last, nearest, good)
            for x in range(size):
                steps.start[x] = 0
            _neighbours(line, good, rows, steps.start, steps.down, steps.along)
            _neighbours(pixel, good, cols, steps.start, steps.right, steps.across)
            for n in range(planes.shape[0]):
                _blend(flat[n], steps, value)
                band = out[p, bands[n], y]
                for x in range(size):
                    band[x] = value[x] if (free[x] == 0) & good[x] else band[x]
                for x in range(size):
                    good[x] &= math.isfinite(value[x])
            for x in range(size):
                valid[p, y, x] = valid[p, y, x] if good[x] else 0


@kernel
def coordinates(image, heights, place, line, pixel, height):
    """Line, pixel and height of every pixel of a window, into (y, x) arrays.

    Args:
        image: `geometry.ImageLattice`.
        heights: `geometry.Heights`.
        place: row and column of the window's first pixel in the unit.
        line: (y, x) float64, written, as are the next two.
        pixel: …
        height: …
    """
    size = line.shape[1]
    v, u = np.empty(size), np.empty(size)
    for y in range(line.shape[0]):
        row, col = place[0] + image.origin[0] + y, place[1] + image.origin[1]
        heights_of_row(heights, row, col, v, u, height[y])
        image_row(image, row, col, height[y], line[y], pixel[y])
