# SPDX-License-Identifier: Apache-2.0
"""Radiometric terrain flattening: the area that the ground shows to the radar, cell by cell.

γ⁰ of a cell is its β⁰ divided by the area of all illuminated ground in it, projected on the plane
at right angles to the line of sight, over the cell's own area in slant range and azimuth.

Laws:
1. That plane is spanned by the direction of flight and by look angle times range, so that along a
   profile (a cut at zero Doppler) the projected area is range times the growth of the look angle,
   whatever the slope of the ground. Facets are the pieces between the samples of a profile; each
   gives its area to the cells that it covers, in shares of its length: nothing is lost.
2. Only what the radar sees counts: where the look angle does not exceed all before it, the ground
   lies in shadow. Ground that lies over is summed in the cell where it appears.
3. The area is seen as sharply as the ground: images have a resolution of two pixels both ways, so
   lines are taken in pairs, with linear interpolation, and pixels with weights 1, 2, 1.
4. Cells that get less than `LEAST` of their own size, those in shadow, and those beside a void
   of the height model have no area: their backscatter is missing.

Source: Small, D. (2011): Flattening Gamma: Radiometric Terrain Correction for SAR Imagery, IEEE
TGRS 49(8), 3081-3093 (γ⁰ by the area in the γ plane, summed in radar geometry). Resolutions of
20 × 22 m at 10 m (IW) and 93 × 87 m at 40 m (EW): Sentinel-1 Product Definition, S1-RS-MDA-52-7440.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel
from .profiles import LINES, PROFILES, Profiles, Strips

LEAST = 0.02
"""Least area of a cell, over its own size: ground that is met within 1.2 degrees of grazing."""


@dataclass(frozen=True, eq=False)
class Flattening:
    """Turns β⁰ of an image into flattened γ⁰."""

    profiles: Profiles
    strips: Strips

    def apply(self, power: NDArray[np.float32], rows: slice, cols: slice) -> None:
        """Divide a window of β⁰ by the area, in place; NaN where there is none.

        Args:
            power: (y, x) float32, linear β⁰.
            rows: lines of the window in the image.
            cols: its pixels.
        """
        # Lines have a profile before and one behind them.
        first, last = ((row - LINES // 2) // LINES for row in (rows.start, rows.stop - 1))
        numbers = range(first // PROFILES, (last + 1) // PROFILES + 1)
        left, right = self.profiles.cols
        inside = slice(max(left, cols.start) - cols.start, min(right, cols.stop) - cols.start)
        if inside.stop <= inside.start:
            power[:] = np.nan
            return
        power[:, : inside.start], power[:, inside.stop :] = np.nan, np.nan
        parts = [self._strip(number) for number in numbers]
        area = np.concatenate(parts) if len(parts) > 1 else parts[0]
        start = inside.start + cols.start - left
        area = area[:, start : start + inside.stop - inside.start]
        divide(power[:, inside], area, rows.start, numbers[0] * PROFILES)

    def _strip(self, number: int) -> NDArray[np.float32]:
        return self.strips.get(
            ("area", self.profiles.name, number), lambda: areas(self.profiles, number)
        )


def areas(profiles: Profiles, number: int) -> NDArray[np.float32]:
    """Area of the cells of a strip of profiles.

    Args:
        profiles: of an image.
        number: of the strip.

    Returns:
        (`PROFILES`, pixel) float32 of the pixels `profiles.cols`: projected area over the cell's
        own area, 1 / tan(incidence) where the ground is flat; NaN where there is none, see law 4.
    """
    table = profiles.table
    left, right = profiles.cols
    result = np.empty((PROFILES, right - left), np.float32)
    for n in range(PROFILES):
        profile = number * PROFILES + n
        traced, line = profiles.trace(profile), profiles.line(profile)
        if traced is None:
            result[n] = np.nan
        else:
            collect(*traced, table, line, left, result[n])
    return result


@kernel
def collect(slant, angle, table, line, left, out):
    """Sum the area of a profile's facets in the pixels of a line.

    Args:
        slant: (sample,) slant range in m, NaN where unknown.
        angle: (sample,) look angle in radians.
        table: `geometry.RangeTable`.
        line: of the image.
        left: pixel that `out` begins with.
        out: (pixel,) float32, written: area over the cell's own area.
    """
    cells = out.size
    area = np.zeros(cells)
    first = table.pixels
    edges, growth = _table_of_line(table, line)
    step = edges.size // 2
    highest = -np.inf
    before = np.nan  # cell coordinate of the sample before
    void = np.nan  # and of the last one before a void
    for x in range(slant.size):
        if not math.isfinite(slant[x]):
            if math.isfinite(before):
                void = before
            before = np.nan
            continue
        while step < growth.size - 1 and edges[step + 1] <= slant[x]:
            step += 1
        while step > 0 and edges[step] > slant[x]:
            step -= 1
        part = min(max((slant[x] - edges[step]) * growth[step], 0.0), 1.0)
        cell = first[0] + (step + part) * first[1] + 0.5 - left
        if not math.isfinite(before):
            if math.isfinite(void):
                low, high = max(min(void, cell), 0.0), min(max(void, cell), cells - 1.0)
                for c in range(math.floor(low), math.floor(high) + 1):
                    area[c] = np.nan
            highest = max(highest, angle[x])
        elif angle[x] > highest:
            grown = angle[x] - highest
            share = grown / (angle[x] - angle[x - 1])
            middle = slant[x] - 0.5 * share * (slant[x] - slant[x - 1])
            _spread(area, cell - share * (cell - before), cell, middle * grown)
            highest = angle[x]
        before = cell
    edge = _slant_at(edges, first, left - 0.5)
    last = area[0]
    for c in range(cells):
        blurred = 0.25 * (last + area[min(c + 1, cells - 1)]) + 0.5 * area[c]
        behind = _slant_at(edges, first, left + c + 0.5)
        value = blurred / (behind - edge)
        out[c] = value if value >= LEAST else np.nan
        edge, last = behind, area[c]


@kernel
def _spread(area, begin, end, amount):
    """Give an amount to the cells between two places, in shares of length."""
    low, high = min(begin, end), max(begin, end)
    if not (high > 0.0 and low < area.size):
        return
    c, last = math.floor(low), math.floor(high)
    if c == last:
        area[c] += amount
        return
    rate = amount / (high - low)
    for k in range(max(c, 0), min(last, area.size - 1) + 1):
        area[k] += rate * (min(high, k + 1.0) - max(low, float(k)))


@kernel
def _table_of_line(table, line):
    """Slant ranges of a table's steps in a line, and steps for each metre.

    They are those of `kernels.pixels_at`.
    """
    moments, ranges = table.lines, table.slant_m
    record = min(max(np.searchsorted(moments, line, side="right") - 1, 0), moments.size - 1)
    after = min(record + 1, moments.size - 1)
    share = 0.0
    if after > record:
        share = (line - moments[record]) / (moments[after] - moments[record])
        share = min(max(share, 0.0), 1.0)
    edges, growth = np.empty(ranges.shape[1]), np.empty(ranges.shape[1] - 1)
    for k in range(edges.size):
        edges[k] = ranges[record, k] + (ranges[after, k] - ranges[record, k]) * share
    for k in range(growth.size):
        growth[k] = 1.0 / (edges[k + 1] - edges[k])
    return edges, growth


@kernel
def _slant_at(edges, first, pixel):
    """Slant range of a pixel in the table of a line."""
    place = (pixel - first[0]) / first[1]
    step = min(max(math.floor(place), 0), edges.size - 2)
    return edges[step] + (edges[step + 1] - edges[step]) * (place - step)


@kernel
def divide(power, area, line, first):
    """Divide backscatter by the area between profiles, in place.

    Args:
        power: (y, x) float32.
        area: (profile, x) float32 of the same pixels, see `areas`.
        line: line of the first value.
        first: number of the first profile of `area`.
    """
    for y in range(power.shape[0]):
        place = (line + y - (LINES - 1) * 0.5) / LINES - first
        top = math.floor(place)
        share = np.float32(place - top)
        for x in range(power.shape[1]):
            # The nearer profile says whether the pixel is missing; the other one takes part
            # where it knows.
            near, far, weight = area[top, x], area[top + 1, x], share
            if share > 0.5:
                near, far, weight = far, near, np.float32(1.0) - share
            if math.isfinite(far):
                near += (far - near) * weight
            power[y, x] /= near
