# SPDX-License-Identifier: Apache-2.0
"""How people and nature divide the land: districts, parcels, towns, roads, water.

Laws:
1. Parcels tile the plane without gaps: districts are quadrangles of one jittered lattice, and
   parcels come from cutting quadrangles in two.
2. What a district holds depends on its own seed, not on the extent of the archive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import exact
from .facts import District, covers, districts
from .noise import fractal_field
from .relief import Course, MainRiver

if TYPE_CHECKING:
    from numpy.random import Generator
    from shapely.geometry.base import BaseGeometry

SIDE_M = 2_200.0
"""Mean side of a district."""

RIVER_HALF_WIDTH_M = 105.0

IMPULSE_PAD_M, IMPULSE_DISC_M = 300.0, 100.0
"""Radius of the still water around a point target, and of the disc that the map calls built-up
(it looks like the water, so that the sensors see nothing but the target)."""

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class LandFeatures:
    """Polygons in the order in which they are laid, and what each is like."""

    geometry: NDArray[np.object_]
    """(n,) shapely polygons on the landscape's plane; the first covers everything."""
    cover: NDArray[np.int64]
    """(n,) number of the cover, see `facts.covers`."""
    traits: NDArray[np.float32]
    """(n, 4): greenness (normal), brightness (normal), sandiness (0..1), calendar (0..1)."""


@dataclass(frozen=True, eq=False)
class Ways:
    """Centre lines of what is laid for traffic, on the landscape's plane."""

    roads: NDArray[np.object_]
    """(n,) shapely lines, in the order of the features whose cover is `road`."""
    ranks: NDArray[np.int64]
    """(n,) number of the chain that each road is a link of: even from west to east, odd from south
    to north; links of one chain meet in its towns."""
    tracks: NDArray[np.object_]
    """(m,) dirt tracks, straight lines."""


class Pile:
    """Features as they are laid, one over the other."""

    def __init__(self) -> None:
        self.geometry: list[BaseGeometry] = []
        self.cover: list[int] = []

    def lay(self, cover: str, geometry: Any) -> None:
        """Lay one polygon, or the parts of several."""
        import shapely

        number = covers().number(cover)
        for part in shapely.get_parts(geometry):
            if part.geom_type == "Polygon" and not part.is_empty:
                self.geometry.append(part)
                self.cover.append(number)


def lay_out(
    bounds: Bounds,
    courses: list[Course],
    river: MainRiver,
    seed: int,
    impulses: NDArray[np.float64],
) -> tuple[LandFeatures, NDArray[np.object_], Ways]:
    """Lay out a landscape.

    Args:
        bounds: left, bottom, right, top on the plane, in metres.
        courses: streams.
        river: the main river.
        seed: of the landscape.
        impulses: (n, 2) places of point targets.

    Returns:
        features, dirt tracks (polygons), and centre lines of both kinds of way.
    """
    import shapely

    pile, over = Pile(), Pile()
    left, bottom, right, top = bounds
    pile.lay("savanna", shapely.box(left - 9e3, bottom - 9e3, right + 9e3, top + 9e3))
    tracks: list[BaseGeometry] = []
    columns = range(math.floor(left / SIDE_M) - 1, math.ceil(right / SIDE_M) + 1)
    lines = range(math.floor(bottom / SIDE_M) - 1, math.ceil(top / SIDE_M) + 1)
    for i in columns:
        for j in lines:
            quad = district_outline(i, j, seed)
            kind = district_kind(i, j, seed)
            rng = np.random.default_rng((seed, 1, i + 10**6, j + 10**6))
            _parcels(pile, quad, kind, rng)
            _details(over, quad, kind, rng, remote=_remote(i, j))
            tracks += [shapely.LineString(quad[[0, k]]) for k in (1, 3) if rng.random() < 0.6]
    _streams(pile, courses, seed)
    _river_banks(pile, river, bounds)
    pile.geometry += over.geometry
    pile.cover += over.cover
    _water(pile, courses, river, bounds, seed)
    roads, ranks = _roads(pile, bounds, seed)
    for place in impulses:
        point = shapely.Point(place)
        pile.lay("basin", point.buffer(IMPULSE_PAD_M, 64))
        pile.lay("target", point.buffer(IMPULSE_DISC_M, 64))
    ways = Ways(np.array(roads, object), np.array(ranks, np.int64), np.array(tracks, object))
    return _features(pile, seed), shapely.buffer(tracks, 5.0, cap_style="flat"), ways


def _features(pile: Pile, seed: int) -> LandFeatures:
    """Give every polygon its traits; they follow its place, not its number."""
    import shapely

    geometry = np.array(pile.geometry, object)
    anchor = shapely.get_coordinates(shapely.centroid(geometry)).round(1)
    traits = np.empty((geometry.size, 4), np.float32)
    for number, (x, y) in enumerate(anchor):
        rng = np.random.default_rng((seed, 2, abs(int(x * 10)), abs(int(y * 10)), int(x > 0)))
        traits[number] = rng.normal(), rng.normal(), rng.random(), rng.random()
    # Sandiness is a matter of the region first, of the parcel second.
    region = fractal_field(anchor[:, 0], anchor[:, 1], 5_000.0, 3, seed + 60)
    traits[:, 2] = np.clip(0.5 + 0.7 * region + 0.5 * (traits[:, 2] - 0.5), 0, 1)
    return LandFeatures(geometry, np.array(pile.cover), traits)


def _lattice_point(i: int, j: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng((seed, 3, i + 10**6, j + 10**6))
    return SIDE_M * (np.array([i, j]) + rng.uniform(-0.2, 0.2, 2))


def district_outline(i: int, j: int, seed: int) -> NDArray[np.float64]:
    """(4, 2) corners of a district, anticlockwise from the lower left."""
    corners = ((i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1))
    return np.array([_lattice_point(p, q, seed) for p, q in corners])


def district_kind(i: int, j: int, seed: int) -> District:
    """What a district is given to. Every group of three by three has all kinds, in any order."""
    group_i, group_j = i // 3, j // 3
    order = np.random.default_rng((seed, 4, group_i + 10**6, group_j + 10**6)).permutation(9)
    kinds = districts()
    kind = kinds[int(order[(i % 3) + 3 * (j % 3)])]
    # Far from the origin whole regions are wild or farmed; near it all kinds stand together.
    if _remote(i, j) and kind.name != "smallholders":
        x, y = SIDE_M * i, SIDE_M * j
        region = float(fractal_field(x, y, 45_000.0, 3, seed + 61))
        if region > 0.25:
            return kinds[0] if fractal_field(x, y, 15_000.0, 2, seed + 62) > 0 else kinds[1]
        if region < -0.45:
            return next(k for k in kinds if k.name == "crops")
    return kind


def _remote(i: int, j: int) -> bool:
    """Whether a district lies so far out that rare things may be as rare as they are."""
    return SIDE_M * math.hypot(i, j) > 14_000


def _area(quad: NDArray[np.float64]) -> float:
    x, y = quad.T
    return 0.5 * abs(float((x * np.roll(y, -1)).sum() - (y * np.roll(x, -1)).sum()))


def _parcels(pile: Pile, quad: NDArray[np.float64], kind: District, rng: Generator) -> None:
    import shapely

    todo, done = [quad], []
    while todo:
        piece = todo.pop()
        if _area(piece) < kind.parcel_m2 * rng.uniform(0.7, 1.9):
            done.append(piece)
            continue
        if exact.norm(piece[1] - piece[0]) + exact.norm(piece[2] - piece[3]) < (
            exact.norm(piece[3] - piece[0]) + exact.norm(piece[2] - piece[1])
        ):
            piece = np.roll(piece, -1, axis=0)  # cut the longer pair of sides
        share = rng.uniform(0.34, 0.66)
        low = piece[0] + (share + rng.uniform(-0.06, 0.06)) * (piece[1] - piece[0])
        high = piece[3] + (share + rng.uniform(-0.06, 0.06)) * (piece[2] - piece[3])
        todo += [
            np.array([piece[0], low, high, piece[3]]),
            np.array([low, piece[1], piece[2], high]),
        ]
    # Shares are met in every district: equal steps through the uses, in random order.
    steps = (rng.permutation(len(done)) + rng.random()) / len(done)
    uses = np.searchsorted(np.cumsum(kind.shares), steps, side="right")
    for piece, use in zip(done, uses, strict=True):
        pile.lay(kind.uses[min(int(use), len(kind.uses) - 1)], shapely.Polygon(piece))


def blob(centre: NDArray[np.float64], radius: float, rng: Generator) -> BaseGeometry:
    """A rounded, irregular polygon of about `radius` metres."""
    import shapely

    angle = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    reach = np.ones(40)
    for harmonic in (2, 3, 4, 5):
        reach += 0.36 / harmonic * rng.normal() * np.cos(harmonic * angle + rng.uniform(0, 6.3))
    reach = radius * np.clip(reach, 0.45, 1.7)
    return shapely.Polygon(centre + np.column_stack([reach * np.cos(angle), reach * np.sin(angle)]))


def _inside(quad: NDArray[np.float64], rng: Generator, rim: float = 0.18) -> NDArray[np.float64]:
    u, v = rng.uniform(rim, 1 - rim, 2)
    low, high = quad[0] * (1 - u) + quad[1] * u, quad[3] * (1 - u) + quad[2] * u
    return np.asarray(low * (1 - v) + high * v)


def _details(
    pile: Pile, quad: NDArray[np.float64], kind: District, rng: Generator, *, remote: bool
) -> None:
    """What stands or grows inside a district besides its parcels."""
    import shapely

    def blobs(cover: str, count: float, low: float, high: float) -> None:
        for _ in range(int(count + rng.random())):
            pile.lay(cover, blob(_inside(quad, rng), rng.uniform(low, high), rng))

    name = kind.name
    if name == "ranch":
        blobs("savanna", 2, 70, 190)
        blobs("secondary", 1, 70, 170)
        blobs("outcrop", 0.5, 90, 190)
    if name in ("forest", "savanna"):
        blobs("cleared", 1, 150, 330)
    if name in ("forest", "savanna") and (not remote or rng.random() < 0.12):
        place, radius = _inside(quad, rng, 0.3), rng.uniform(190, 310)
        pile.lay("mine", blob(place, radius, rng))
        pond = place + rng.uniform(-0.45, 0.45, 2) * radius
        pile.lay("tailings", blob(pond, 0.3 * radius, rng))
    if name == "savanna":
        blobs("outcrop", 2, 110, 260)
    if name == "crops":
        pivot = shapely.Point(_inside(quad, rng, 0.3)).buffer(rng.uniform(320, 470), 32)
        pile.lay("pivot", pivot)
    if name == "smallholders":
        radius = rng.uniform(430, 640) * (rng.uniform(0.3, 1.4) if remote else 1.0)
        town = blob(_inside(quad, rng, 0.42), radius, rng)
        pile.lay("town", town)
        blobs("town", 1, 110, 190)
    if name in ("crops", "cane", "plantation", "ranch"):
        for _ in range(int(1.2 + rng.random())):
            pile.lay("farmstead", _yard(_inside(quad, rng), rng))


def _yard(place: NDArray[np.float64], rng: Generator) -> BaseGeometry:
    from shapely import affinity, box

    half = np.array([rng.uniform(55, 120), rng.uniform(35, 75)])
    return affinity.rotate(box(*(place - half), *(place + half)), rng.uniform(0, 180))


def _streams(pile: Pile, courses: list[Course], seed: int) -> None:
    """Gallery forest along streams, where it was left standing."""
    for course in courses:
        x, y = course.points[len(course.points) // 2]
        rng = np.random.default_rng((seed, 5, abs(int(x)), abs(int(y))))
        if rng.random() < 0.8:
            width = min(32 + 22 * math.sqrt(course.km2) * rng.uniform(0.7, 1.3), 170)
            pile.lay("gallery", _ribbon(course.points, width, 0.45, seed + 71))


def _ribbon(points: NDArray[np.float64], half_width: float, vary: float, seed: int) -> BaseGeometry:
    """A line with a width that varies by the share `vary` along its way."""
    import shapely

    noise = fractal_field(points[:, 0], points[:, 1], 700.0, 3, seed)
    widths = half_width * np.clip(1 + vary * noise, 0.4, 1.8)
    starts = range(0, len(points) - 1, 4)
    pieces = [shapely.LineString(points[k : k + 5]) for k in starts]
    return shapely.unary_union(shapely.buffer(pieces, widths[list(starts)], quad_segs=4))


def _river_banks(pile: Pile, river: MainRiver, bounds: Bounds) -> None:
    import shapely

    ribbon = _ribbon(river.line(_reach(bounds)), 250.0, 0.3, river.seed + 71)
    pile.lay("gallery", ribbon.intersection(shapely.box(*bounds)))


def _reach(bounds: Bounds) -> float:
    return 1.5 * max(abs(b) for b in bounds)


def _water(pile: Pile, courses: list[Course], river: MainRiver, bounds: Bounds, seed: int) -> None:
    """Main river with its beaches, streams wide enough to be seen, reservoirs."""
    import shapely

    points = river.line(_reach(bounds))
    ribbon = _ribbon(points, RIVER_HALF_WIDTH_M, 0.3, seed + 70)
    pile.lay("river", ribbon.intersection(shapely.box(*bounds)))
    rng = np.random.default_rng((seed, 6))
    for k in range(20, len(points) - 20, 45):
        ahead = points[k + 3] - points[k - 3]
        beside = np.array([-ahead[1], ahead[0]]) / exact.norm(ahead) * rng.choice([-1, 1])
        bar = blob(points[k] + beside * RIVER_HALF_WIDTH_M, rng.uniform(60, 120), rng)
        pile.lay("sand", bar)
    for course in courses:
        if course.km2 > 14:
            half = 1.5 * math.sqrt(course.km2)
            pile.lay("river", shapely.LineString(course.points).buffer(half, 4))
        x, y = course.points[len(course.points) // 2]
        dam = np.random.default_rng((seed, 7, abs(int(x)), abs(int(y))))
        if 0.6 < course.km2 < 14 and dam.random() < 0.16:
            pile.lay("lake", blob(np.array([x, y]), dam.uniform(60, 170), dam))


def _roads(
    pile: Pile, bounds: Bounds, seed: int
) -> tuple[list[BaseGeometry], list[int]]:  # fmt: skip
    """Roads from town to town, over the rivers; returns their lines and chains, see `Ways`."""
    import shapely

    lines: list[BaseGeometry] = []
    ranks = []
    group = 3 * SIDE_M
    for gi in range(math.floor(bounds[0] / group) - 1, math.ceil(bounds[2] / group) + 1):
        for gj in range(math.floor(bounds[1] / group) - 1, math.ceil(bounds[3] / group) + 1):
            start = _town(gi, gj, seed)
            ends = (_town(gi + 1, gj, seed), _town(gi, gj + 1, seed))
            for end, rank in zip(ends, (2 * gj, 2 * gi + 1), strict=True):
                t = np.linspace(0, 1, 60)[:, None]
                points = start + t * (end - start)
                x, y = points.T
                bend = np.column_stack(
                    [fractal_field(x, y, 2_800.0, 2, seed + 80 + k) for k in (0, 1)]
                )
                points = points + 420 * np.sin(np.pi * t) * bend
                lines.append(shapely.LineString(points))
                ranks.append(rank)
                pile.lay("road", lines[-1].buffer(13.0, 4))
    return lines, ranks


def _town(gi: int, gj: int, seed: int) -> NDArray[np.float64]:
    """Middle of the smallholders' district of a group: its town lies near."""
    for i in range(3 * gi, 3 * gi + 3):
        for j in range(3 * gj, 3 * gj + 3):
            if district_kind(i, j, seed).name == "smallholders":
                return np.asarray(district_outline(i, j, seed).mean(axis=0))
    raise AssertionError("every group has a district of smallholders")
