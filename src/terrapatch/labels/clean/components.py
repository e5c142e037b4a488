# SPDX-License-Identifier: Apache-2.0
"""Connected components of all classes at once, by union of runs; and which are too small.

Laws:
1. A component is a greatest set of pixels of one class that hang together by sides (4) or by
   sides and corners (8). Pixels without class (nodata, holes) belong to none.
2. Whether a pixel lies in a component below n pixels depends on pixels within n − 1 alone: a
   component of n pixels holds n of them within n − 1 steps of each of its pixels.
3. What lies outside of the raster has no label.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...compiled import kernel

_RUNS = 2**25
"""Runs held at once (0.4 GB): a raster with more is cut in strips, which changes nothing. A tile of
50,000 parcels has 4 million."""


@kernel
def _run_counts(labels: NDArray[np.uint8], first: NDArray[np.int64]) -> None:
    """`first[y]` becomes the number of runs in the rows before row y."""
    height, width = labels.shape
    first[0] = 0
    for y in range(height):
        row = labels[y]
        count = 1
        for x in range(1, width):
            count += row[x] != row[x - 1]
        first[y + 1] = first[y] + count


@kernel
def _find_runs(
    labels: NDArray[np.uint8],
    end: NDArray[np.int32],
    value: NDArray[np.uint8],
    parent: NDArray[np.int32],
) -> None:
    """Runs of equal pixels, row by row: the column after each, and its value."""
    height, width = labels.shape
    run = 0
    for y in range(height):
        row = labels[y]
        for x in range(1, width):
            if row[x] != row[x - 1]:
                end[run], value[run], parent[run] = x, row[x - 1], run
                run += 1
        end[run], value[run], parent[run] = width, row[width - 1], run
        run += 1


@kernel
def _root(parent: NDArray[np.int32], run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]  # halves the way for the next one
        run = parent[run]
    return run


@kernel
def _unite(parent: NDArray[np.int32], one: int, other: int) -> None:
    one, other = _root(parent, one), _root(parent, other)
    if one < other:
        parent[other] = one
    else:
        parent[one] = other


@kernel
def _join(
    first: NDArray[np.int64],
    end: NDArray[np.int32],
    value: NDArray[np.uint8],
    corners: bool,
    parent: NDArray[np.int32],
) -> None:
    """Unite runs of one value that touch."""
    for y in range(1, len(first) - 1):
        above, here = first[y - 1], first[y]
        above_stop, here_stop = first[y], first[y + 1]
        while above < above_stop and here < here_stop:
            # Runs cover a row without gaps: the two always share a column.
            if value[above] == value[here]:
                _unite(parent, above, here)
            if end[above] < end[here]:
                above += 1
            elif end[here] < end[above]:
                here += 1
            else:
                if corners and above + 1 < above_stop:
                    if value[above] == value[here + 1]:
                        _unite(parent, above, here + 1)
                    if value[above + 1] == value[here]:
                        _unite(parent, above + 1, here)
                above += 1
                here += 1


@kernel
def _sizes(
    first: NDArray[np.int64],
    end: NDArray[np.int32],
    parent: NDArray[np.int32],
    size: NDArray[np.int32],
) -> None:
    """Pixels of each component, at its root; every run comes to point at its root."""
    for y in range(len(first) - 1):
        start = 0
        for run in range(first[y], first[y + 1]):
            root = _root(parent, run)
            parent[run] = root
            size[root] += end[run] - start
            start = end[run]


class _Runs(NamedTuple):
    """Runs of one value, row by row, and the components that they make."""

    first: NDArray[np.int64]
    """(row + 1,) number of the first run of each row, and of the one after the last."""
    end: NDArray[np.int32]
    """(run,) column after the last one."""
    value: NDArray[np.uint8]
    parent: NDArray[np.int32]
    """(run,) the run that stands for the component."""
    size: NDArray[np.int32]
    """(run,) pixels of the component, at the run that stands for it."""


@kernel
def _spare_at_nodata(runs: _Runs) -> None:
    """Give components that share a side with a pixel without label a size that is never small."""
    first, end, value, parent, size = runs
    huge, rows = np.int32(2**31 - 1), len(first) - 1
    for y in range(rows):
        start = 0
        for run in range(first[y], first[y + 1]):
            edge = y in (0, rows - 1) or start == 0 or run + 1 == first[y + 1]
            edge = edge or value[run - 1] == 255 or value[run + 1] == 255
            if edge:
                size[parent[run]] = huge
            start = end[run]
        if y == 0:
            continue
        above, here = first[y - 1], first[y]
        while above < first[y] and here < first[y + 1]:
            if value[above] == 255:
                size[parent[here]] = huge
            if value[here] == 255:
                size[parent[above]] = huge
            step_above, step_here = end[above] <= end[here], end[here] <= end[above]
            above += step_above
            here += step_here


@kernel
def _mark_small(
    labels: NDArray[np.uint8],
    runs: _Runs,
    least: NDArray[np.int64],
    rows: tuple[int, int],
    hole: int,
) -> tuple[int, int]:
    """Turn components below the least size of their class into holes, in some rows.

    Returns:
        Pixels, and components whose first run lies in the rows.
    """
    first, end, value, parent, size = runs
    pixels, components = 0, 0
    for y in range(rows[0], rows[1]):
        start = 0
        for run in range(first[y], first[y + 1]):
            if size[parent[run]] < least[value[run]]:
                labels[y, start : end[run]] = hole
                pixels += end[run] - start
                components += parent[run] == run
            start = end[run]
    return pixels, components


def _components(labels: NDArray[np.uint8], first: NDArray[np.int64], connectivity: int) -> _Runs:
    """All runs of a raster, see `_Runs.first`."""
    count = int(first[-1])
    end, value = np.empty(count, np.int32), np.empty(count, np.uint8)
    parent, size = np.empty(count, np.int32), np.zeros(count, np.int32)
    _find_runs(labels, end, value, parent)
    _join(first, end, value, connectivity == 8, parent)
    _sizes(first, end, parent, size)
    return _Runs(first, end, value, parent, size)


def remove_small(
    labels: NDArray[np.uint8],
    least: NDArray[np.int64],
    *,
    connectivity: int,
    spare_at_nodata: bool,
    hole: int,
) -> tuple[int, int]:
    """Turn components that are too small into holes, in place.

    Args:
        labels: (y, x) uint8 codes; 255 is nodata. At most 2^31 − 1 pixels.
        least: (256,) pixels that a component of each value needs to stay; 0 for nodata, holes
            and classes that are left alone.
        connectivity: 4 or 8.
        spare_at_nodata: leave components that share a side with nodata or with the raster's
            outline.
        hole: value of holes.

    Returns:
        Pixels changed and components removed.

    Source: runs and union-find, research/performance.md §5.
    """
    height = labels.shape[0]
    reach = int(least.max()) - 1
    first = np.empty(height + 1, np.int64)
    _run_counts(labels, first)
    pixels = components = 0
    changed: list[tuple[slice, NDArray[np.uint8]]] = []
    for rows in _strips(first, reach):
        # Law 2: rows within reach around the strip decide about its components.
        around = range(max(0, rows.start - reach), min(height, rows.stop + reach))
        whole = around == range(height)
        part = labels if whole else labels[around.start : around.stop].copy()
        at = first[around.start : around.stop + 1] - first[around.start]
        runs = _components(part, at, connectivity)
        if spare_at_nodata:
            _spare_at_nodata(runs)
        inner = (rows.start - around.start, rows.stop - around.start)
        found = _mark_small(part, runs, least, inner, hole)
        pixels, components = pixels + found[0], components + found[1]
        if not whole:
            # Later strips must still see the labels as they were.
            changed.append((slice(rows.start, rows.stop), part[inner[0] : inner[1]].copy()))
    for where, new in changed:
        labels[where] = new
    return pixels, components


def _strips(first: NDArray[np.int64], reach: int) -> list[range]:
    """Rows to handle at once, so that they and `reach` rows around have at most _RUNS runs."""
    height = len(first) - 1
    strips, start = [], 0
    while start < height:
        before = first[max(0, start - reach)]
        stop = int(np.searchsorted(first, before + _RUNS, "right")) - 1
        # Where the rows around alone hold that many, the strip is as long as they are.
        stop = height if stop >= height else max(stop - reach, start + max(reach, 1))
        strips.append(range(start, min(stop, height)))
        start = stop
    return strips


def component_sizes(labels: NDArray[np.uint8], connectivity: int) -> dict[int, NDArray[Any]]:
    """Sizes in pixels of all components of each value that is there, 255 left out.

    For reports and tests; `labels` as in `remove_small`.
    """
    first = np.empty(labels.shape[0] + 1, np.int64)
    _run_counts(labels, first)
    _, _, value, parent, size = _components(labels, first, connectivity)
    roots = np.flatnonzero(parent == np.arange(len(parent)))
    return {
        int(code): size[roots[value[roots] == code]] for code in np.unique(value) if code != 255
    }
