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
3. Cells that get less than `LEAST` of their own size, those in shadow, and those beside a void
   of the height model have no area: their backscatter is missing.

Source: Small, D. (2011): Flattening Gamma: Radiometric Terrain Correction for SAR Imagery, IEEE
TGRS 49(8), 3081-3093 (γ⁰ by the area in the γ plane, summed in radar geometry).
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel
from .kernels import pixel_at
from .profiles import LINES, PROFILES, Profiles, Strips

PIXELS = 2
"""Pixels of a cell along range; along azimuth it has `LINES` lines."""
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
        # Lines have a profile before and one behind them; the cells around columns likewise.
        first, last = ((row - LINES // 2) // LINES for row in (rows.start, rows.stop - 1))
        numbers = range(first // PROFILES, (last + 1) // PROFILES + 1)
        parts = [self._strip(number) for number in numbers]
        area = np.concatenate(parts) if len(parts) > 1 else parts[0]
        divide(power, area, (rows.start, cols.start), numbers[0] * PROFILES)

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
        (`PROFILES`, cell) float32: projected area over the cell's own area, 1 / tan(incidence)
        where the ground is flat; NaN where there is none, see law 3. Cell k covers the pixels
        from k · `PIXELS` on.
    """
    table = profiles.table
    result = np.empty((PROFILES, -(-profiles.shape[1] // PIXELS)), np.float32)
    for n in range(PROFILES):
        profile = number * PROFILES + n
        traced, line = profiles.trace(profile), profiles.line(profile)
        if traced is None:
            result[n] = np.nan
        else:
            collect(*traced, table.lines, table.slant_m, table.pixels, line, result[n])
    return result


@kernel
def collect(slant, angle, moments, table, first, line, out):
    """Sum the area of a profile's facets in the cells of a line.

    Args:
        slant: (sample,) slant range in m, NaN where unknown.
        angle: (sample,) look angle in radians.
        moments: see `kernels.pixel_at`, as are the next two.
        table: …
        first: …
        line: of the image.
        out: (cell,) float32, written: area over the cell's own area.
    """
    cells = out.size
    area = np.zeros(cells)
    record, step = 0, table.shape[1] // 2
    highest = -np.inf
    before = np.nan  # cell coordinate of the sample before
    void = np.nan  # and of the last one before a void
    for x in range(slant.size):
        if not math.isfinite(slant[x]):
            if math.isfinite(before):
                void = before
            before = np.nan
            continue
        pixel, record, step = pixel_at(moments, table, first, line, slant[x], record, step)
        cell = (pixel + 0.5) / PIXELS
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
    edge, record, step = _slant_at(moments, table, first, line, -0.5)
    for c in range(cells):
        behind, record, step = _slant_at(moments, table, first, line, (c + 1) * PIXELS - 0.5)
        value = area[c] / (behind - edge)
        out[c] = value if value >= LEAST else np.nan
        edge = behind


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
def _slant_at(moments, table, first, line, pixel):
    """Slant range of a pixel: what `kernels.pixel_at` undoes; the records' number and step, too."""
    record = min(max(np.searchsorted(moments, line, side="right") - 1, 0), moments.size - 1)
    after = min(record + 1, moments.size - 1)
    share = 0.0
    if after > record:
        share = (line - moments[record]) / (moments[after] - moments[record])
        share = min(max(share, 0.0), 1.0)
    place = (pixel - first[0]) / first[1]
    step = min(max(math.floor(place), 0), table.shape[1] - 2)
    part = place - step
    low, high = table[record], table[after]
    near = low[step] + (high[step] - low[step]) * share
    far = low[step + 1] + (high[step + 1] - low[step + 1]) * share
    return near + (far - near) * part, record, step


@kernel
def divide(power, area, place, first):
    """Divide backscatter by the area between the middles of cells, in place.

    Args:
        power: (y, x) float32.
        area: (profile, cell) float32, see `areas`.
        place: line and pixel of the first value.
        first: number of the first profile of `area`.
    """
    for y in range(power.shape[0]):
        v = (place[0] + y - (LINES - 1) * 0.5) / LINES - first
        top = math.floor(v)
        down = np.float32(v - top)
        for x in range(power.shape[1]):
            u = (place[1] + x - (PIXELS - 1) * 0.5) / PIXELS
            left = math.floor(u)
            across = np.float32(u - left)
            # The cell that the pixel lies in says whether it is missing; neighbours that are
            # missing only have no weight.
            row = top + (1 if down > 0.5 else 0)
            col = left + (1 if across > 0.5 else 0)
            own = area[row, min(col, area.shape[1] - 1)]
            if not math.isfinite(own):
                power[y, x] = np.nan
                continue
            total, weights = np.float32(0.0), np.float32(0.0)
            for i in range(2):
                for k in range(2):
                    found = area[top + i, min(max(left + k, 0), area.shape[1] - 1)]
                    weight = (down if i else np.float32(1.0) - down) * (
                        across if k else np.float32(1.0) - across
                    )
                    if math.isfinite(found):
                        total += weight * found
                        weights += weight
            power[y, x] *= weights / total

