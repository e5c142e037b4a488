# SPDX-License-Identifier: Apache-2.0
"""Components that are too small go to a neighbour as a whole.

Laws:
1. A small component takes the class with which it shares the most pixel sides, among neighbours
   that are not small themselves; of several, the one met first (rows downwards, columns to the
   right, at each pixel above, left, right, below).
2. All components of a round are judged on the map before it. What a round has given a class is
   no longer small in the next; what no round reaches becomes a hole.
3. With r rounds and components below n pixels, a pixel depends on pixels within (r + 1) · n.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compiled import kernel
from .components import remove_small


class _Votes(NamedTuple):
    """What the sides of a component touch."""

    sides: NDArray[np.int64]
    """(256,) sides shared with each class."""
    met: NDArray[np.int64]
    """(256,) place at which each class was met first."""


@kernel
def _flood(
    window: NDArray[np.uint8],
    small: NDArray[np.uint8],
    source: NDArray[np.bool_],
    corners: bool,
    stack: NDArray[np.int64],
    votes: _Votes,
) -> int:
    """Walk over the component of `stack[0]`: its pixels into `stack`, its neighbours into `votes`.

    Returns:
        Its pixels; they become 3 in `small`.
    """
    height, width = window.shape
    votes.sides[:] = 0
    row, column = divmod(stack[0], width)
    own = window[row, column]
    small[row, column] = 3
    count, at = 1, 0
    while at < count:
        row, column = divmod(stack[at], width)
        side = 0
        for down in range(-1, 2):
            for right in range(-1, 2):
                if down == 0 and right == 0:
                    continue
                straight = down == 0 or right == 0
                side += straight
                r, c = row + down, column + right
                if r < 0 or c < 0 or r >= height or c >= width:
                    continue
                code = window[r, c]
                if small[r, c] == 1 and code == own and (straight or corners):
                    small[r, c] = 3
                    stack[count] = r * width + c
                    count += 1
                elif small[r, c] == 0 and straight and source[code]:
                    first = (row * width + column) * 4 + side
                    if votes.sides[code] == 0 or first < votes.met[code]:
                        votes.met[code] = first
                    votes.sides[code] += 1
        at += 1
    return count


@kernel
def _winner(votes: _Votes) -> int:
    """The class with the most sides, of several the one met first; -1 where there is none."""
    sides, met = votes
    best = -1
    for code in range(256):
        if sides[code] and (
            best < 0
            or sides[code] > sides[best]
            or (sides[code] == sides[best] and met[code] < met[best])
        ):
            best = code
    return best


@kernel
def _round(
    window: NDArray[np.uint8],
    small: NDArray[np.uint8],
    source: NDArray[np.bool_],
    corners: bool,
    stack: NDArray[np.int64],
) -> int:
    """Decide every small component once; `small` is 0 large, 1 small, 2 just decided.

    `stack` holds as many numbers as there are small pixels.
    """
    height, width = window.shape
    votes = _Votes(np.zeros(256, np.int64), np.empty(256, np.int64))
    decided = 0
    for y in range(height):
        for x in range(width):
            if small[y, x] != 1:
                continue
            stack[0] = y * width + x
            count = _flood(window, small, source, corners, stack, votes)
            best = _winner(votes)
            for at in range(count):
                row, column = divmod(stack[at], width)
                if best < 0:
                    small[row, column] = 4
                else:
                    small[row, column] = 2
                    # Its new class, which nobody sees before the round is over.
                    window[row, column] = best
            if best >= 0:
                decided += 1
    for y in range(height):
        for x in range(width):
            if small[y, x] == 2:
                small[y, x] = 0
            elif small[y, x] == 4:
                small[y, x] = 1
    return decided


def sieve_reach(least_px: int, rounds: int) -> int:
    """Pixels around a pixel that decide about it."""
    return (rounds + 1) * max(0, least_px - 1) + rounds


def sieve_border(
    labels: NDArray[np.uint8],
    least: NDArray[np.int64],
    source: NDArray[np.bool_],
    *,
    connectivity: int,
    rounds: int,
    hole: int,
) -> tuple[int, int]:
    """Give small components to the class with the longest border, in place.

    Args:
        labels: (y, x) uint8 codes; 255 is nodata.
        least: (256,) pixels that a component of each value needs to stay.
        source: (256,) values that are classes.
        connectivity: 4 or 8.
        rounds: see law 2.
        hole: value of holes.

    Returns:
        Pixels changed, and components that were small.
    """
    kept = labels.copy()
    pixels, components = remove_small(
        kept, least, connectivity=connectivity, spare_at_nodata=False, hole=hole
    )
    small = ((kept == hole) & (labels != hole)).view(np.uint8)
    del kept
    stack = np.empty(max(1, pixels), np.int64)
    for _ in range(rounds):
        if not _round(labels, small, source, connectivity == 8, stack):
            break
    labels[small == 1] = hole
    return pixels, components


def sieve_size(
    labels: NDArray[np.uint8], least_px: int, *, connectivity: int, fixed: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Give small components to their largest neighbour, as GDAL does.

    Sizes of whole components are compared, however far they reach: no halo is enough.

    Args:
        labels: (y, x) uint8 codes; 255 is nodata.
        least_px: components of fewer pixels go.
        connectivity: 4 or 8.
        fixed: (256,) values that take no part, nodata among them.

    Returns:
        (y, x) uint8, a new array.
    """
    from rasterio.features import sieve

    if least_px >= labels.size:
        return labels.copy()  # no neighbour is large enough; rasterio refuses to say so
    result: NDArray[np.uint8] = sieve(
        labels, size=least_px, connectivity=connectivity, mask=~fixed[labels]
    )
    return result
