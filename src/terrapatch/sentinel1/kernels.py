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

import numpy as np

from ..compiled import kernel
from ..resample.kernels import row_coordinates


@kernel
def heights_of_row(dem, nodes, cell, row, col, v, u, height):
    """Heights of a run of pixels, bilinear; NaN outside or beside a void.

    Args:
        dem: (y, x) float32, or of no rows where everything lies at height 0.
        nodes: `resample.Lattice.nodes` of the height model.
        cell: its first cell.
        row: first pixel of the run, counted from the grid's origin.
        col: as `row`.
        v: (run,) float64, room to work in.
        u: as `v`.
        height: (run,) float64, written.
    """
    if dem.shape[0] == 0:
        height[:] = 0.0
        return
    row_coordinates(nodes, cell, row, col, v, u)
    rows, cols = dem.shape
    for x in range(height.size):
        height[x] = np.nan
        if not (v[x] > -1e-6 and v[x] < rows - 1 + 1e-6):
            continue
        if not (u[x] > -1e-6 and u[x] < cols - 1 + 1e-6):
            continue
        top, left = math.floor(v[x] + 1e-6), math.floor(u[x] + 1e-6)
        down, across = v[x] - top, u[x] - left
        down = 0.0 if down < 1e-6 else down
        across = 0.0 if across < 1e-6 else across
        below = top + (1 if down > 0.0 else 0)
        right = left + (1 if across > 0.0 else 0)
        upper = dem[top, left] + (dem[top, right] - dem[top, left]) * across
        lower = dem[below, left] + (dem[below, right] - dem[below, left]) * across
        height[x] = upper + (lower - upper) * down


@kernel
def pixel_at(moments, table, first, line, slant, record, step):
    """Pixel at which a slant range lies in a line, by a table; clamped to the table's ends.

    The search starts where the last one ended: neighbours are a step away. Where it starts does
    not change what it finds.

    Args:
        moments: (record,) lines of the table's records.
        table: (record, step) slant ranges in m, growing along steps; linear between records and
            between steps.
        first: pixel of the first step, and pixels between steps.
        line: where to look.
        slant: slant range in m.
        record: where to begin.
        step: where to begin.

    Returns:
        Pixel, record, step.
    """
    last = moments.size - 1
    while record < last and moments[record + 1] <= line:
        record += 1
    while record > 0 and moments[record] > line:
        record -= 1
    after = min(record + 1, last)
    share = 0.0
    if after > record:
        share = (line - moments[record]) / (moments[after] - moments[record])
        share = min(max(share, 0.0), 1.0)
    low, high = table[record], table[after]
    while step < table.shape[1] - 2:
        if low[step + 1] + (high[step + 1] - low[step + 1]) * share > slant:
            break
        step += 1
    while step > 0:
        if low[step] + (high[step] - low[step]) * share <= slant:
            break
        step -= 1
    near = low[step] + (high[step] - low[step]) * share
    far = low[step + 1] + (high[step + 1] - low[step + 1]) * share
    part = min(max((slant - near) / (far - near), 0.0), 1.0)
    return first[0] + (step + part) * first[1], record, step


@kernel
def pixels_at(moments, table, first, line, slant, pixel):
    """`pixel_at` for many places, all (n,)."""
    record, step = 0, 0
    for n in range(line.size):
        pixel[n], record, step = pixel_at(moments, table, first, line[n], slant[n], record, step)


@kernel
def image_row(
    nodes, moments, table, first, cell, shift, ladder, row, col, height, line, pixel
):  # fmt: skip
    """Line and pixel in the image of a run of pixels at given heights.

    Bilinear between the nodes of a cell, quadratic in height through three steps of the ladder.

    Args:
        nodes: (2, step, node row, node column) float64: line and slant range at the nodes.
        moments: see `pixel_at`; without records, nodes hold pixels.
        table: see `pixel_at`.
        first: see `pixel_at`.
        cell: first cell, counted from the grid's origin.
        shift: cells have 1 << shift pixels.
        ladder: height of the first step and distance between steps, in m.
        row: as in `heights_of_row`.
        col: as in `heights_of_row`.
        height: (run,) float64.
        line: (run,) float64, written; not finite where the height is not.
        pixel: as `line`.
    """
    size = 1 << shift
    part = 1.0 / size
    i = (row >> shift) - cell[0]
    down = (row & (size - 1)) * part
    steps = nodes.shape[1]
    record, step = 0, table.shape[1] // 2
    for x in range(line.size):
        h = height[x]
        if not math.isfinite(h):
            line[x], pixel[x] = np.nan, np.nan
            continue
        k = ((col + x) >> shift) - cell[1]
        across = ((col + x) & (size - 1)) * part
        t = (h - ladder[0]) / ladder[1]
        base = min(max(math.floor(t * 0.5) * 2, 0), steps - 3)
        t -= base
        weights = (0.5 * (t - 1.0) * (t - 2.0), t * (2.0 - t), 0.5 * t * (t - 1.0))
        a, b = 0.0, 0.0
        for n in range(3):
            s = base + n
            upper = nodes[0, s, i, k] + (nodes[0, s, i, k + 1] - nodes[0, s, i, k]) * across
            lower = (
                nodes[0, s, i + 1, k] + (nodes[0, s, i + 1, k + 1] - nodes[0, s, i + 1, k]) * across
            )
            a += weights[n] * (upper + (lower - upper) * down)
            upper = nodes[1, s, i, k] + (nodes[1, s, i, k + 1] - nodes[1, s, i, k]) * across
            lower = (
                nodes[1, s, i + 1, k] + (nodes[1, s, i + 1, k + 1] - nodes[1, s, i + 1, k]) * across
            )
            b += weights[n] * (upper + (lower - upper) * down)
        if moments.size > 0:
            b, record, step = pixel_at(moments, table, first, a, b, record, step)
        line[x], pixel[x] = a, b


@kernel
def sample(
    planes, first, shape, nodes, moments, table, start, cell, shift, ladder, origin,
    dem, dem_nodes, dem_cell,
    places, out, bands, filled, valid, nearest, last,
):  # fmt: skip
    """Sample patches from calibrated power, in place; all bands at the same coordinates.

    Args:
        planes: (band, y, x) float32 of a part of the image; NaN where missing.
        first: row and column of the part's first pixel in the image.
        shape: rows and columns of the whole image.
        nodes: of the image, see `image_row`.
        moments: see `image_row`.
        table: see `image_row`.
        start: `first` there.
        cell: see `image_row`.
        shift: see `image_row`.
        ladder: see `image_row`.
        origin: row and column of the unit's first pixel, counted from the grid's origin.
        dem: see `heights_of_row`.
        dem_nodes: `nodes` there.
        dem_cell: `cell` there.
        places: as in `resample.sample`, as are the next four.
        out: (patch, band, y, x) float32.
        bands: place of each plane in `out`.
        filled: (patch, y, x) uint8.
        valid: (patch, y, x) uint8.
        nearest: take the nearest pixel instead of four.
        last: largest line coordinate that the image answers for.
    """
    size = out.shape[3]
    v, u, height = np.empty(size), np.empty(size), np.empty(size)
    line, pixel = np.empty(size), np.empty(size)
    for p in range(places.shape[0]):
        if places[p, 2] == 0:
            continue
        for y in range(out.shape[2]):
            wanted = False
            for x in range(size):
                wanted |= filled[p, y, x] == 0
            if not wanted:
                continue
            row, col = places[p, 0] + origin[0] + y, places[p, 1] + origin[1]
            heights_of_row(dem, dem_nodes, dem_cell, row, col, v, u, height)
            image_row(
                nodes, moments, table, start, cell, shift, ladder, row, col, height, line, pixel
            )
            for x in range(size):
                a, b = line[x], pixel[x]
                inside = (
                    a >= -0.500001 and a <= last + 0.000001
                    and b >= -0.500001 and b <= shape[1] - 0.499999
                )  # fmt: skip
                if not inside:
                    valid[p, y, x] = 0
                    continue
                if nearest:
                    a, b = math.floor(a + 0.500001), math.floor(b + 0.500001)
                a = min(max(a, 0.0), shape[0] - 1.0)
                b = min(max(b, 0.0), shape[1] - 1.0)
                top, left = math.floor(a), math.floor(b)
                down, across = np.float32(a - top), np.float32(b - left)
                below = top + (1 if down > 0.0 else 0) - first[0]
                right = left + (1 if across > 0.0 else 0) - first[1]
                top, left = top - first[0], left - first[1]
                for n in range(planes.shape[0]):
                    upper, lower = planes[n, top, left], planes[n, below, left]
                    upper += (planes[n, top, right] - upper) * across
                    lower += (planes[n, below, right] - lower) * across
                    value = upper + (lower - upper) * down
                    if filled[p, y, x] == 0:
                        out[p, bands[n], y, x] = value
                    if not math.isfinite(value):
                        valid[p, y, x] = 0


@kernel
def coordinates(
    nodes, moments, table, start, cell, shift, ladder, origin, dem, dem_nodes, dem_cell,
    place, line, pixel, heights,
):  # fmt: skip
    """Line, pixel and height of every pixel of a window, into (y, x) arrays.

    Args:
        nodes: see `sample`, as are the next ten.
        moments: …
        table: …
        start: …
        cell: …
        shift: …
        ladder: …
        origin: …
        dem: …
        dem_nodes: …
        dem_cell: …
        place: row and column of the window's first pixel in the unit.
        line: (y, x) float64, written, as are the next two.
        pixel: …
        heights: …
    """
    size = line.shape[1]
    v, u = np.empty(size), np.empty(size)
    for y in range(line.shape[0]):
        row, col = place[0] + origin[0] + y, place[1] + origin[1]
        heights_of_row(dem, dem_nodes, dem_cell, row, col, v, u, heights[y])
        image_row(
            nodes, moments, table, start, cell, shift, ladder, row, col, heights[y], line[y],
            pixel[y],
        )  # fmt: skip
