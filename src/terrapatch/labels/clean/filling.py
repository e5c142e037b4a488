# SPDX-License-Identifier: Apache-2.0
"""Holes take a class that stands beside them.

Laws:
1. `nearest`: a hole pixel is proposed the class of its nearest pixel (Euclidean; of several, the
   one in the smallest row, then column). It takes it if pixels of that proposal lead to a pixel of
   that class side by side; the few others take, ring by ring, the class of the neighbour above,
   left, right or below.
2. So a filled pixel hangs together, side by side, with a pixel of its class that was there before:
   filling makes no component, it only lets them grow.
3. `vote`: of the k nearest pixels (in the order of law 1) each votes with 1 / distance for its
   class; of equal sums the class wins that stands first in that order.
4. A filled pixel depends on pixels within `reach_px` alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compiled import kernel
from ...errors import RecipeError
from .strips import by_strips

_FAR = 2**14
"""Rows to the next source where there is none; more than any reach."""


class Voters(NamedTuple):
    """Pixels around a hole that may vote."""

    offsets: NDArray[np.int32]
    """(n, 2) rows and columns to them, nearest first."""
    weights: NDArray[np.float64]
    """(n,) what a vote counts."""
    most: int
    """How many of them vote."""


@kernel
def _rows_up(window: NDArray[np.uint8], source: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Rows from each pixel up to the next source, 0 on a source."""
    height, width = window.shape
    up = np.empty((height, width), np.int16)
    for y in range(height):
        for x in range(width):
            above = up[y - 1, x] if y else _FAR
            up[y, x] = 0 if source[window[y, x]] else min(above + 1, _FAR)
    return up


@kernel
def _next_columns(
    up: NDArray[np.int16],
    down: NDArray[np.int16],
    weight: float,
    limit: float,
    beyond: int,
    following: NDArray[np.int32],
) -> None:
    """The next column, itself included, with a source in reach of each pixel of a row."""
    after = following.size + beyond
    for x in range(following.size - 1, -1, -1):
        near = min(up[x], down[x])
        if weight * near * near <= limit:
            after = x
        following[x] = after


@kernel
def _propose(
    window: NDArray[np.uint8],
    source: NDArray[np.bool_],
    hole: int,
    squeeze: float,
    reach: float,
    places: NDArray[np.int64],
    proposal: NDArray[np.uint8],
) -> None:
    """Class of the nearest source of each hole pixel, 255 where none is in reach.

    Distances are in pixel widths; a pixel is `squeeze` of them high. `places` receives the flat
    index of every hole pixel; it is as long as there are.
    """
    height, width = window.shape
    weight, limit = squeeze * squeeze, reach * reach * (1 + 1e-12)
    up = _rows_up(window, source)
    down = np.full(width, _FAR, np.int16)
    columns = int(reach) + 1
    following = np.empty(width, np.int32)
    found = 0
    for y in range(height - 1, -1, -1):
        holes = 0
        for x in range(width):
            down[x] = 0 if source[window[y, x]] else min(down[x] + 1, _FAR)
            holes += window[y, x] == hole
        if holes == 0:
            continue
        # Where a row is holes for the most part, know first which columns have a source in reach:
        # far from any the search then ends at once.
        many = holes * 8 > width
        if many:
            _next_columns(up[y], down, weight, limit, columns, following)
        last = -columns - 1
        for x in range(width):
            if many:
                near = min(up[y, x], down[x])
                if weight * near * near <= limit:
                    last = x
            if window[y, x] != hole:
                continue
            places[found] = y * width + x
            found += 1
            proposal[y, x] = 255
            if many and x - last > columns and following[x] - x > columns:
                continue
            best, best_row, best_column = limit, height, width
            for step in range(columns + 1):
                across = float(step * step)
                if across > best:
                    break
                for column in (x - step, x + step):
                    if column < 0 or column >= width:
                        continue
                    for row in (y - up[y, column], y + down[column]):
                        if row < 0 or row >= height:
                            continue
                        distance = across + weight * (row - y) * (row - y)
                        if distance < best or (
                            distance == best
                            and (row < best_row or (row == best_row and column < best_column))
                        ):
                            best, best_row, best_column = distance, row, column
            if best_row < height:
                proposal[y, x] = window[best_row, best_column]


@kernel
def _take_proposals(
    window: NDArray[np.uint8],
    proposal: NDArray[np.uint8],
    hole: int,
    places: NDArray[np.int64],
    rings: int,
    queue: NDArray[np.int64],
) -> None:
    """Fill proposals that lead to their class."""
    height, width = window.shape
    count = 0
    for place in places:
        y, x = divmod(place, width)
        wanted = proposal[y, x]
        if wanted != 255 and (
            (y > 0 and window[y - 1, x] == wanted)
            or (x > 0 and window[y, x - 1] == wanted)
            or (x + 1 < width and window[y, x + 1] == wanted)
            or (y + 1 < height and window[y + 1, x] == wanted)
        ):
            queue[count] = place
            count += 1
    # Pixels in the queue are filled a ring at a time, so that the number of rings bounds the way.
    begin, ring = 0, 0
    for at in range(count):
        y, x = divmod(queue[at], width)
        window[y, x] = proposal[y, x]
    while begin < count and ring < rings:
        end = count
        for at in range(begin, end):
            y, x = divmod(queue[at], width)
            wanted = window[y, x]
            for row, column in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
                if (
                    0 <= row < height
                    and 0 <= column < width
                    and window[row, column] == hole
                    and proposal[row, column] == wanted
                ):
                    window[row, column] = wanted
                    queue[count] = row * width + column
                    count += 1
        begin = end
        ring += 1


@kernel
def _take_neighbours(
    window: NDArray[np.uint8],
    proposal: NDArray[np.uint8],
    source: NDArray[np.bool_],
    pending: NDArray[np.int64],
    rings: int,
    queue: NDArray[np.int64],
) -> None:
    """Fill pixels with the class of a neighbour, ring by ring."""
    height, width = window.shape
    left = len(pending)
    for _ in range(rings):
        kept, found = 0, 0
        for at in range(left):
            y, x = divmod(pending[at], width)
            taken = 255
            if y > 0 and source[window[y - 1, x]]:
                taken = window[y - 1, x]
            elif x > 0 and source[window[y, x - 1]]:
                taken = window[y, x - 1]
            elif x + 1 < width and source[window[y, x + 1]]:
                taken = window[y, x + 1]
            elif y + 1 < height and source[window[y + 1, x]]:
                taken = window[y + 1, x]
            if taken == 255:
                pending[kept] = pending[at]
                kept += 1
            else:
                queue[found] = pending[at]
                proposal[y, x] = taken
                found += 1
        for at in range(found):
            y, x = divmod(queue[at], width)
            window[y, x] = proposal[y, x]
        left = kept
        if found == 0:
            break


@kernel
def _grow(
    window: NDArray[np.uint8],
    proposal: NDArray[np.uint8],
    source: NDArray[np.bool_],
    hole: int,
    places: NDArray[np.int64],
    rings: tuple[int, int],
) -> None:
    """Fill the window: proposals that lead to their class first, then ring by ring."""
    width = window.shape[1]
    queue = np.empty(len(places), np.int64)
    _take_proposals(window, proposal, hole, places, rings[0], queue)
    left = 0
    for place in places:
        y, x = divmod(place, width)
        if window[y, x] == hole and proposal[y, x] != 255:
            places[left] = place
            left += 1
    _take_neighbours(window, proposal, source, places[:left], rings[1], queue)


@kernel
def _count(labels: NDArray[np.uint8], value: int) -> int:
    count = 0
    wanted = np.uint8(value)
    for row in labels:
        for code in row:
            count += code == wanted
    return count


@kernel
def _vote(
    window: NDArray[np.uint8],
    source: NDArray[np.bool_],
    hole: int,
    rows: tuple[int, int],
    around: Voters,
    result: NDArray[np.uint8],
) -> None:
    height, width = window.shape
    offsets, weights, voters = around
    sums = np.zeros(256)
    order = np.empty(voters, np.uint8)
    for y in range(rows[0], rows[1]):
        for x in range(width):
            if window[y, x] != hole:
                continue
            known, found = 0, 0
            for at in range(len(offsets)):
                row, column = y + offsets[at, 0], x + offsets[at, 1]
                if row < 0 or column < 0 or row >= height or column >= width:
                    continue
                code = window[row, column]
                if not source[code]:
                    continue
                if sums[code] == 0:
                    order[known] = code
                    known += 1
                sums[code] += weights[at]
                found += 1
                if found == voters:
                    break
            best = 0.0
            for at in range(known):
                # Sums of the same terms in another order differ in their last bits.
                if sums[order[at]] > best * (1 + 1e-9):
                    best = sums[order[at]]
                    result[y - rows[0], x] = order[at]
            for at in range(known):
                sums[order[at]] = 0


def _rings(reach: float) -> tuple[int, int]:
    """Steps for proposals (a diagonal way and a little more), and for the rest."""
    return math.ceil(1.5 * reach) + 2, math.ceil(reach)


def reach_px(max_distance_m: float, pixel_m: tuple[float, float], method: str) -> int:
    """Pixels around a hole pixel that decide about it.

    Raises:
        RecipeError: more than the search can count.
    """
    reach = max_distance_m / min(pixel_m)
    if reach >= _FAR:
        raise RecipeError(
            f"clean: fill.max_distance_m {max_distance_m:g} is {reach:.0f} pixels; the "
            f"most is {_FAR - 1}"
        )
    if method == "vote":
        return math.floor(reach + 1e-9)
    return math.floor(reach + 1e-9) + sum(_rings(reach))


def fill_nearest(
    labels: NDArray[np.uint8],
    source: NDArray[np.bool_],
    *,
    hole: int,
    max_distance_m: float,
    pixel_m: tuple[float, float],
) -> int:
    """Fill holes with the nearest class, in place; holes out of reach stay.

    Args:
        labels: (y, x) uint8 codes.
        source: (256,) values that holes may take.
        hole: value of holes.
        max_distance_m: from the centre of a hole pixel to the centre of a source.
        pixel_m: height and width of a pixel.

    Returns:
        Pixels filled.
    """
    width_m = pixel_m[1]
    reach = max_distance_m / width_m * (1 + 1e-12)
    rings = _rings(max_distance_m / min(pixel_m))

    def change(window: NDArray[np.uint8], inner: slice) -> int:
        before: int = _count(window[inner], hole)
        if before == 0:
            return 0
        proposal = np.empty(window.shape, np.uint8)
        places = np.empty(_count(window, hole), np.int64)
        _propose(window, source, hole, pixel_m[0] / width_m, reach, places, proposal)
        _grow(window, proposal, source, hole, places, rings)
        return int(before - _count(window[inner], hole))

    return by_strips(labels, reach_px(max_distance_m, pixel_m, "nearest"), change)


def fill_vote(
    labels: NDArray[np.uint8],
    source: NDArray[np.bool_],
    *,
    hole: int,
    voters: int,
    max_distance_m: float,
    pixel_m: tuple[float, float],
) -> int:
    """Fill holes with the weighted mode of their nearest pixels, in place.

    Args and returns as `fill_nearest`; `voters` is the number of pixels that vote.
    """
    offsets, distances = near_offsets(max_distance_m, pixel_m)
    # A hole is never its own source: the centre goes.
    around = Voters(offsets[1:], 1 / distances[1:], voters)

    def change(window: NDArray[np.uint8], inner: slice) -> int:
        before = window[inner] == hole
        if not before.any():
            return 0
        result = window[inner].copy()
        rows = (inner.start, inner.stop)
        _vote(window, source, hole, rows, around, result)
        window[inner] = result
        return int(np.count_nonzero(before & (result != hole)))

    return by_strips(labels, reach_px(max_distance_m, pixel_m, "vote"), change)


def near_offsets(
    max_distance_m: float, pixel_m: tuple[float, float]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """(n, 2) rows and columns to pixels within a distance, nearest first, then by row and column.

    Also (n,) their distances in metres.
    """
    limit = max_distance_m * (1 + 1e-9)
    rows, columns = (int(limit / side) for side in pixel_m)
    y, x = np.mgrid[-rows : rows + 1, -columns : columns + 1].reshape(2, -1)
    squared = (y * pixel_m[0]) ** 2 + (x * pixel_m[1]) ** 2
    order = np.lexsort((x, y, squared))
    order = order[squared[order] <= limit**2]
    return np.stack([y, x], 1)[order].astype(np.int32), np.sqrt(squared[order])
