# SPDX-License-Identifier: Apache-2.0
"""Plain judges of the cleaning steps: slow, one class or one pixel at a time, by the definitions."""

from collections import Counter

import numpy as np
from hypothesis import strategies as st
from scipy.ndimage import binary_closing, binary_opening, label

NODATA = 255


def raster(rows: str) -> np.ndarray:
    """A raster from text: digits are classes, `.` is nodata, `o` a hole (254)."""
    value = {".": NODATA, "o": 254}
    lines = rows.split()
    return np.array([[value.get(c) or int(c) for c in line] for line in lines], np.uint8)


def text(labels: np.ndarray) -> str:
    """The other way round."""
    sign = {NODATA: ".", 254: "o"}
    return "\n".join("".join(sign.get(v, str(v)) for v in row) for row in labels.tolist())


@st.composite
def rasters(draw, side=14, classes=4):
    """Small rasters of one to `classes` classes (1…) with patches, specks and nodata."""
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(1, draw(st.integers(1, classes)) + 1, (height, width))
    if draw(st.booleans()):  # larger patches
        labels = labels.repeat(draw(st.integers(2, 4)), 0).repeat(draw(st.integers(2, 4)), 1)
        labels = labels[:height, :width]
        specks = rng.random(labels.shape) < draw(st.sampled_from([0, 0.05, 0.2]))
        labels = np.where(specks, rng.integers(1, classes + 1, labels.shape), labels)
    holes = rng.random(labels.shape) < draw(st.sampled_from([0, 0.05, 0.3]))
    return np.where(holes, NODATA, labels).astype(np.uint8)


def components(labels, code, connectivity):
    """Number array and sizes of one class's components, by scipy."""
    number, _ = label(labels == code, np.ones((3, 3)) if connectivity == 8 else None)
    sizes = np.bincount(number.ravel())
    sizes[0] = 0
    return number, sizes


def at_nodata(labels):
    """Pixels that share a side with nodata or with the raster's outline."""
    none = np.pad(labels == NODATA, 1, constant_values=True)
    beside = none[:-2, 1:-1] | none[2:, 1:-1] | none[1:-1, :-2] | none[1:-1, 2:]
    return beside & (labels != NODATA)


def small_pixels(labels, least, connectivity, spare_at_nodata=False):
    """Pixels in components below the least size of their class."""
    found = np.zeros(labels.shape, bool)
    for code, pixels in least.items():
        number, sizes = components(labels, code, connectivity)
        small = sizes < pixels
        small[0] = False
        if spare_at_nodata:
            small[np.unique(number[at_nodata(labels)])] = False
        found |= small[number]
    return found


def neighbours(y, x, shape):
    """Above, left, right, below, inside of the raster."""
    for row, column in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
        if 0 <= row < shape[0] and 0 <= column < shape[1]:
            yield row, column


def nearest_sources(labels, sources, y, x, pixel_m, reach_m):
    """(distance², row, column) of all sources in reach, in the order of the tie rule."""
    rows, columns = np.nonzero(np.isin(labels, sources))
    squared = ((rows - y) * pixel_m[0]) ** 2 + ((columns - x) * pixel_m[1]) ** 2
    inside = squared <= reach_m**2 * (1 + 1e-12)
    return sorted(zip(squared[inside], rows[inside], columns[inside], strict=True))


def filled_nearest(labels, sources, pixel_m, reach_m, rings, hole=254):
    """Holes filled by the definition; those out of reach become nodata."""
    result, proposal = labels.copy(), {}
    for y, x in np.argwhere(labels == hole):
        near = nearest_sources(labels, sources, y, x, pixel_m, reach_m)
        if near:
            proposal[y, x] = labels[near[0][1:]]
    frontier = [
        p for p, c in proposal.items() if any(labels[n] == c for n in neighbours(*p, labels.shape))
    ]
    for p in frontier:
        result[p] = proposal[p]
    for _ in range(rings[0]):
        following = []
        for p in frontier:
            for n in neighbours(*p, labels.shape):
                if n in proposal and result[n] == hole and proposal[n] == proposal[p]:
                    result[n] = proposal[n]
                    following.append(n)
        frontier = following
    for _ in range(rings[1]):
        seen = result.copy()
        for p in proposal:
            if seen[p] == hole:
                beside = [seen[n] for n in neighbours(*p, labels.shape) if seen[n] in sources]
                result[p] = beside[0] if beside else hole
    result[result == hole] = NODATA
    return result


def voted(labels, sources, pixel_m, reach_m, voters, hole=254):
    """Holes filled by the weighted mode of the nearest pixels."""
    result = labels.copy()
    for y, x in np.argwhere(labels == hole):
        sums = {}
        for squared, row, column in nearest_sources(labels, sources, y, x, pixel_m, reach_m)[
            :voters
        ]:
            code = labels[row, column]
            sums[code] = sums.get(code, 0) + 1 / np.sqrt(squared)
        most = max(sums.values(), default=0)
        result[y, x] = next((c for c in sums if sums[c] > most * (1 - 1e-9)), NODATA)
    return result


def footprint(spans):
    """Mask of an element given by its spans."""
    mask = np.zeros((len(spans), spans[:, 1].max()), bool)
    for row, (first, stop) in enumerate(spans):
        mask[row, first:stop] = True
    return mask


def closed(labels, element, order, active, fixed, hole=254):
    """Closing by scipy, class by class, the strongest class last; outside is of no class."""
    margin = max(element.shape) * 2
    result = labels.copy()
    for code in reversed(order):
        own = labels == code
        if code in active:
            own = binary_closing(np.pad(own, margin), element)[margin:-margin, margin:-margin]
        result[own] = code
    keep = np.isin(labels, [*fixed, NODATA])
    return np.where(keep, labels, result)


def opened(labels, element, active, hole=254):
    """Opening by scipy, class by class; what has no label counts as the class."""
    margin = max(element.shape) * 2
    result = labels.copy()
    for code in active:
        padded = np.pad((labels == code) | (labels == NODATA), margin, constant_values=True)
        kept = binary_opening(padded, element)[margin:-margin, margin:-margin]
        # scipy erodes away the far outline; the margin is wider than that.
        result[(labels == code) & ~kept] = hole
    return result


def most_frequent(labels, classes, fixed, radius, pixel_m, hole=254):
    """One pass of the majority filter, pixel by pixel."""
    result = labels.copy()
    for y, x in np.ndindex(labels.shape):
        if labels[y, x] in fixed or labels[y, x] == NODATA:
            continue
        top, left = max(0, y - radius[0]), max(0, x - radius[1])
        window = labels[top : y + radius[0] + 1, left : x + radius[1] + 1]
        counts = Counter(c for c in window.ravel().tolist() if c in classes)
        most = max(counts.values(), default=0)
        if most == 0 or counts[labels[y, x]] == most:
            continue
        best = [c for c in counts if counts[c] == most]
        away = [
            (((r + top - y) * pixel_m[0]) ** 2 + ((c + left - x) * pixel_m[1]) ** 2, r, c)
            for r, c in np.argwhere(np.isin(window, best))
        ]
        result[y, x] = window[min(away)[1:]]
    return result


def sieved(labels, least, connectivity, rounds, hole=254):
    """Small components to the class with the longest border, component by component."""
    result = labels.copy()
    small = small_pixels(labels, least, connectivity)
    for _ in range(rounds):
        decided = []
        for code in least:
            number, count = label(
                small & (labels == code), np.ones((3, 3)) if connectivity == 8 else None
            )
            for one in range(1, count + 1):
                borders = [
                    result[n]
                    for p in np.argwhere(number == one)
                    for n in neighbours(*p, labels.shape)
                    if not small[n] and result[n] not in (NODATA, hole)
                ]
                if borders:
                    most = max(Counter(borders).values())
                    best = next(c for c in borders if borders.count(c) == most)
                    decided.append((number == one, best))
        for where, code in decided:
            result[where] = code
            small &= ~where
    result[small] = hole
    return result
