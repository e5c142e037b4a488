# SPDX-License-Identifier: Apache-2.0
"""Relief and water courses: one elevation field, and the streams that its slopes make.

Laws:
1. All lies in the landscape's own metric plane (x east, y north, metres).
2. Every cell drains to the main river: water flows downhill, streams join and widen.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import exact
from ..compiled import kernel
from .noise import fractal_field

STREAM_KM2 = 0.5
"""Catchment from which on a water course is a stream (with gallery forest)."""


@kernel
def surface(
    x: float, y: float, lattice: tuple[float, float, float], z: NDArray[np.float32]
) -> tuple[float, float, float]:
    """Height and gradient of the bilinear relief; past its rim it goes on as it is there."""
    x0, y0, step = lattice
    u = (x - x0) / step
    v = (y - y0) / step
    across = 0.0 if u < 0 or u > z.shape[1] - 1 else 1.0
    up = 0.0 if v < 0 or v > z.shape[0] - 1 else 1.0
    u = min(max(u, 0.0), z.shape[1] - 1.000001)
    v = min(max(v, 0.0), z.shape[0] - 1.000001)
    j, i = int(u), int(v)
    u -= j
    v -= i
    a, b = float(z[i, j]), float(z[i, j + 1])
    c, d = float(z[i + 1, j]), float(z[i + 1, j + 1])
    height = (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v
    slope_x = ((b - a) * (1 - v) + (d - c) * v) / step
    slope_y = ((c - a) * (1 - u) + (d - b) * u) / step
    return height, across * slope_x, up * slope_y


@kernel
def _heights(
    x: NDArray[np.float64], y: NDArray[np.float64], lattice: tuple[float, float, float],
    z: NDArray[np.float32], out: NDArray[np.float64],
) -> None:  # fmt: skip
    for i in range(x.size):
        out[i] = surface(x[i], y[i], lattice, z)[0]


@dataclass(frozen=True)
class Relief:
    """Elevation on a square lattice; node (r, c) lies at (x0 + c·step, y0 + r·step)."""

    x0: float
    y0: float
    step: float
    z: NDArray[np.float32]
    """(y, x) elevation in metres; y grows northwards."""
    slope_x: NDArray[np.float32]
    """(y, x) dz/dx."""
    slope_y: NDArray[np.float32]
    """(y, x) dz/dy."""

    def at(self, field: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]):  # type: ignore[no-untyped-def]
        """Value of `field` at the lattice node nearest to each place."""
        c = np.clip(np.rint((x - self.x0) / self.step).astype(int), 0, field.shape[1] - 1)
        r = np.clip(np.rint((y - self.y0) / self.step).astype(int), 0, field.shape[0] - 1)
        return field[r, c]

    @property
    def lattice(self) -> tuple[float, float, float]:
        """x0, y0 and step."""
        return self.x0, self.y0, self.step

    def heights(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Elevation at places of any shape, bilinear between nodes, past the rim those of the rim."""
        out = np.empty(np.size(x))
        _heights(np.ravel(x), np.ravel(y), self.lattice, self.z, out)
        return out.reshape(np.shape(x))


@dataclass(frozen=True)
class Course:
    """A stretch of stream between two junctions."""

    points: NDArray[np.float64]
    """(n, 2) places downstream."""
    km2: float
    """Catchment at its lower end."""


@dataclass(frozen=True)
class MainRiver:
    """The river to which all drains: a meandering line through the area."""

    angle: float
    """Direction of flow in radians, counted from east."""
    offset: float
    """Distance of the axis from the origin, to the left of the flow, in metres."""
    seed: int

    def across(self, along: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the river runs: distance left of the line through the origin, in metres."""
        wide = fractal_field(along, 0 * along + 3_100.0, 9_000.0, 1, self.seed) * 1_900.0
        small = fractal_field(along, 0 * along + 700.0, 2_900.0, 2, self.seed + 7) * 620.0
        return self.offset + wide + small

    def frame(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Place along the flow and distance to the left of the river line, in metres."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        along = c * x + s * y
        return along, c * y - s * x - self.across(along)

    def line(self, reach: float) -> NDArray[np.float64]:
        """(n, 2) points of the river within `reach` metres of the origin, every 60 m."""
        along = np.arange(-reach, reach, 60.0)
        c, s = math.cos(self.angle), math.sin(self.angle)
        across = self.across(along)
        return np.column_stack([c * along - s * across, s * along + c * across])


def main_river(seed: int, size: float) -> MainRiver:
    """The river of a landscape whose area is about `size` metres wide."""
    rng = np.random.default_rng((seed, 11))
    angle = math.radians(rng.uniform(60, 120))  # northwards, as the Tocantins
    side = 1 if rng.random() < 0.5 else -1
    return MainRiver(angle, side * rng.uniform(0.16, 0.26) * min(size, 14_000.0), seed + 500)


def make_relief(
    bounds: tuple[float, float, float, float], seed: int, river: MainRiver
) -> tuple[Relief, list[Course]]:
    """Relief of a rectangle and the streams in it.

    Args:
        bounds: left, bottom, right, top in metres.
        seed: of the landscape.
        river: what all drains to.
    """
    left, bottom, right, top = bounds
    step = 60.0 if max(right - left, top - bottom) < 40_000 else 120.0
    xs = np.arange(math.floor(left / step), math.ceil(right / step) + 1) * step
    ys = np.arange(math.floor(bottom / step), math.ceil(top / step) + 1) * step
    x, y = np.meshgrid(xs, ys)
    along, beside = river.frame(x, y)
    valley = 1 - exact.exp(-((beside / 1_900.0) ** 2))
    hills = fractal_field(x, y, 6_500.0, 5, seed + 1) + 0.4 * fractal_field(
        x, y, 900.0, 4, seed + 2
    )
    z = 210.0 - 0.0006 * along + valley * (55.0 + 58.0 * hills) + 3.0 * hills
    flows = np.abs(beside) < step
    order, parent = _flow(z, flows)
    km2 = _accumulate(order, parent, z.size, (step / 1000) ** 2).reshape(z.shape)
    from scipy.ndimage import correlate1d

    # Water has cut its valleys: the larger the stream, the deeper.
    depth = 5.0 * exact.log1p(4 * np.minimum(km2, 60.0))
    bell = exact.exp(-(np.arange(-8, 9) ** 2) / 8)  # two nodes wide
    for axis in (0, 1):
        depth = np.asarray(correlate1d(depth, bell / bell.sum(), axis))
    z = np.asarray(z - depth, np.float64)
    slope_y, slope_x = np.asarray(np.gradient(z, step), np.float32)
    relief = Relief(
        float(xs[0]), float(ys[0]), step,
        z.astype(np.float32), slope_x, slope_y,
    )  # fmt: skip
    return relief, _courses(relief, km2.ravel(), parent, flows.ravel(), seed)


@kernel
def _flow(
    z: NDArray[np.float64], outlets: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order in which cells flood from the outlets, and the cell that each drains to (−1: none).

    Source: R. Barnes et al., "Priority-flood", Computers & Geosciences 62 (2014), algorithm 4.
    """
    rows, cols = z.shape
    parent = np.full(rows * cols, -1, np.int64)
    seen = np.zeros(rows * cols, np.bool_)
    order = np.empty(rows * cols, np.int64)
    heap = [(0.0, np.int64(0))]
    heap.pop()
    for r in range(rows):
        for c in range(cols):
            if outlets[r, c]:
                heapq.heappush(heap, (z[r, c], np.int64(r * cols + c)))
                seen[r * cols + c] = True
    count = 0
    while len(heap) > 0:
        cell = heapq.heappop(heap)[1]
        order[count] = cell
        count += 1
        r, c = cell // cols, cell % cols
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                rr, cc = r + dr, c + dc
                if 0 <= rr < rows and 0 <= cc < cols and not seen[rr * cols + cc]:
                    other = rr * cols + cc
                    seen[other] = True
                    parent[other] = cell
                    # A hollow drains back along the way down which the flood came.
                    heapq.heappush(heap, (z[rr, cc], np.int64(other)))
    return order[:count], parent


@kernel
def _accumulate(
    order: NDArray[np.int64], parent: NDArray[np.int64], size: int, cell: float
) -> NDArray[np.float64]:
    total = np.full(size, cell)
    for i in range(order.size - 1, -1, -1):
        if parent[order[i]] >= 0:
            total[parent[order[i]]] += total[order[i]]
    return total


def _courses(
    relief: Relief,
    km2: NDArray[np.float64],
    parent: NDArray[np.int64],
    flows: NDArray[np.bool_],
    seed: int,
) -> list[Course]:
    stream = (km2 > STREAM_KM2) & ~flows
    cells = np.flatnonzero(stream)
    joining = np.zeros(km2.size, np.int32)
    np.add.at(joining, parent[cells], 1)
    courses = []
    for head in cells[joining[cells] != 1]:
        chain = [head]
        while True:
            chain.append(parent[chain[-1]])
            if not stream[chain[-1]] or joining[chain[-1]] != 1:
                break
        courses.append(Course(_smooth(relief, np.array(chain), seed), float(km2[chain[-2]])))
    return courses


def _smooth(relief: Relief, cells: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Places of a chain of cells without the staircase of the lattice; its ends stay."""
    rows, cols = np.divmod(cells, relief.z.shape[1])
    points = np.column_stack([relief.x0 + cols * relief.step, relief.y0 + rows * relief.step])
    x, y = points.T
    bend = np.column_stack(
        [
            fractal_field(x, y, 260.0, 2, seed + 31),
            fractal_field(x, y, 260.0, 2, seed + 32),
        ]
    )
    points = points + 0.5 * relief.step * bend
    for _ in range(2):
        inner = 0.25 * points[:-2] + 0.5 * points[1:-1] + 0.25 * points[2:]
        points = np.concatenate([points[:1], inner, points[-1:]])
    for _ in range(2):  # corner cutting, Source: G. Chaikin, CGIP 3 (1974)
        near, far = 0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]
        middle = np.stack([near, far], axis=1).reshape(-1, 2)
        points = np.concatenate([points[:1], middle, points[-1:]])
    return points
