# SPDX-License-Identifier: Apache-2.0
"""Maps of the report as inline SVG: patches, units, and where on Earth they are.

Laws:
1. Longitude and latitude, north up, in the proportions of the ground, with a graticule whose
   labels are whole.
2. An area across the antimeridian is one piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from .drawing import FAINT, GRID, INK, PANEL, digits, line, svg, text, text_width, ticks

Point = tuple[float, float]
"""Longitude, latitude in degrees."""


@dataclass(frozen=True)
class Group:
    """Patches of one colour on the map."""

    name: str
    color: str
    outlines: Sequence[Sequence[Point]]
    """Corners of each patch."""
    hollow: bool = False


@dataclass(frozen=True)
class Frame:
    """A part of the Earth on a sheet."""

    west: float
    east: float
    south: float
    north: float
    left: float
    top: float
    scale: float
    """Sheet px a degree of latitude."""

    @classmethod
    def around(
        cls, points: Iterable[Point], *, width: float, height: float, pad: float = 0.02
    ) -> Frame:
        """The frame around some points, at most so large on the sheet.

        Its margins hold the labels of the graticule.
        """
        xs, ys = zip(*points, strict=True)
        turn = _crosses(xs)
        xs = tuple(_turned(x, turn) for x in xs)
        west, east, south, north = min(xs), max(xs), min(ys), max(ys)
        pad_x, pad_y = max((east - west) * pad, 1e-6), max((north - south) * pad, 1e-6)
        west, east, south, north = west - pad_x, east + pad_x, south - pad_y, north + pad_y
        squeeze = math.cos(math.radians((south + north) / 2))
        marks = ticks(south, north)
        words = [_degrees(v, "N", "S", digits(marks)) for v in marks] or [""]
        left = max(text_width(label, 13) for label in words) + 12
        scale = min((width - left - 8) / ((east - west) * squeeze), height / (north - south))
        return cls(west, east, south, north, left, 8.0, scale)

    @property
    def squeeze(self) -> float:
        """Length of a degree of longitude, in degrees of latitude."""
        return math.cos(math.radians((self.south + self.north) / 2))

    @property
    def inner(self) -> tuple[float, float]:
        """Width and height of the map itself."""
        return (self.east - self.west) * self.squeeze * self.scale, (
            self.north - self.south
        ) * self.scale

    @property
    def size(self) -> tuple[float, float]:
        """Width and height with labels."""
        x, y = self.inner
        return self.left + x + 40, self.top + y + 26

    def place(self, lon: float, lat: float) -> Point:
        """Where a point lies on the sheet."""
        lon = _turned(lon, self.east > 180)
        x = self.left + (lon - self.west) * self.squeeze * self.scale
        return x, self.top + (self.north - lat) * self.scale

    def path(self, outline: Sequence[Point]) -> str:
        """A closed outline as the data of a path."""
        corners = [self.place(*point) for point in outline]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z"

    def graticule(self) -> list[str]:
        """The panel with lines and labels of round coordinates."""
        inner_x, inner_y = self.inner
        parts = [
            f'<rect x="{self.left:.1f}" y="{self.top:.1f}" width="{inner_x:.1f}" '
            f'height="{inner_y:.1f}" style="fill:{PANEL};stroke:{GRID}"/>'
        ]
        right, bottom = self.left + inner_x, self.top + inner_y
        # As many as have room beside each other, with whole labels.
        marks = ticks(self.west, self.east, max(1, min(5, int(inner_x // 95))))
        for lon in marks:
            x = self.left + (lon - self.west) * self.squeeze * self.scale
            words = _degrees(lon - 360 if lon > 180 else lon, "E", "W", digits(marks))
            parts += [line(x, self.top, x, bottom)]
            parts += [text(x, bottom + 17, words, text_anchor="middle", font_size=13)]
        marks = ticks(self.south, self.north, max(1, min(5, int(inner_y // 24))))
        for lat in marks:
            y = self.top + (self.north - lat) * self.scale
            words = _degrees(lat, "N", "S", digits(marks))
            parts += [line(self.left, y, right, y)]
            parts += [text(self.left - 6, y + 4, words, text_anchor="end", font_size=13)]
        return parts


def _crosses(longitudes: Sequence[float]) -> bool:
    """Whether points lie on both sides of the antimeridian, and not all around the Earth."""
    return max(longitudes) - min(longitudes) > 180 and not any(-90 < x < 90 for x in longitudes)


def _turned(longitude: float, turn: bool) -> float:
    return longitude + 360 if turn and longitude < 0 else longitude


def _degrees(value: float, positive: str, negative: str, decimals: int) -> str:
    value = round(value, decimals)
    side = positive if value > 0 else negative if value < 0 else ""
    return f"{abs(value):.{decimals}f}°{side}"


def patch_map(groups: Sequence[Group], title: str, width: float = 680) -> Markup:
    """Patches by colour."""
    points = [point for group in groups for outline in group.outlines for point in outline]
    if not points:
        return svg(width, 40, title, [text(10, 25, "no patches")])
    frame = Frame.around(points, width=width, height=560)
    parts = frame.graticule()
    for group in groups:
        if not group.outlines:
            continue
        data = "".join(frame.path(outline) for outline in group.outlines)
        fill = "none" if group.hollow else group.color
        stroke = group.color if group.hollow else "var(--paper)"
        parts.append(
            f'<path d="{data}" style="fill:{fill};stroke:{stroke}" fill-opacity="0.88" '
            f'stroke-width="0.7"><title>{escape(group.name)}: {len(group.outlines)}</title></path>'
        )
    return svg(*frame.size, title, parts, least=500)


def location_map(
    units: Sequence[tuple[str, Sequence[Sequence[Point]]]], groups: Sequence[Group], title: str,
    width: float = 520,
) -> Markup:  # fmt: skip
    """Outlines of the units with their names, and a point for each patch.

    Args:
        units: name and outlines (more than one across the antimeridian) of each.
        groups: patches by split; their first corners' middle is the point.
        title: what it shows.
        width: of the sheet at most.
    """
    corners = [point for _, outlines in units for outline in outlines for point in outline]
    points = [point for group in groups for outline in group.outlines for point in outline]
    frame = Frame.around(corners + points, width=width, height=420, pad=0.06)
    parts = frame.graticule()
    dot = _dot(next((o for group in groups for o in group.outlines), []), frame)
    for group in groups:
        dots = "".join("M{:.1f} {:.1f}h0".format(*frame.place(*_middle(o))) for o in group.outlines)
        if dots:
            parts.append(
                f'<path d="{dots}" style="fill:none;stroke:{group.color}" stroke-width="{dot:.1f}" '
                f'stroke-linecap="round"><title>{escape(group.name)}: {len(group.outlines)}</title>'
                "</path>"
            )
    for name, outlines in units:
        data = "".join(frame.path(outline) for outline in outlines)
        parts.append(
            f'<path d="{data}" style="fill:none;stroke:{INK}" stroke-width="1">'
            f"<title>unit {escape(name)}</title></path>"
        )
    parts += _names(units, frame)
    return svg(*frame.size, title, parts, least=500)


def _dot(outline: Sequence[Point], frame: Frame) -> float:
    """Width of a point on the sheet: neighbouring patches touch, and small ones are still seen."""
    ys = [frame.place(*point)[1] for point in outline]
    return min(8.0, max(2.0, 0.8 * (max(ys) - min(ys)))) if ys else 2.0


def _names(units: Sequence[tuple[str, Sequence[Sequence[Point]]]], frame: Frame) -> list[str]:
    """Names of the units that have room for them."""
    found = []
    for name, outlines in units:
        places = [frame.place(*point) for point in outlines[0]]
        xs, ys = zip(*places, strict=True)
        middle, top = (min(xs) + max(xs)) / 2, min(ys)
        if max(xs) - min(xs) > text_width(name, 11) + 6 and max(ys) - top > 24:
            # Sides lean: the outline's own top at its middle.
            near = [y for x, y in places if y < (top + max(ys)) / 2]
            found.append(
                text(middle, max(near) + 14, name, fill=INK, font_size=11, text_anchor="middle")
            )
    return found


def _middle(outline: Sequence[Point]) -> Point:
    """Middle of a patch's corners, also across the antimeridian."""
    turn = _crosses([x for x, _ in outline])
    xs = [_turned(x, turn) for x, _ in outline]
    lon = sum(xs) / len(xs)
    return lon - 360 if lon > 180 else lon, sum(y for _, y in outline) / len(outline)


def world_map(place: Point, title: str, width: float = 300) -> Markup:
    """The Earth's graticule with a mark at one place: no coastlines, no tiles."""
    left, top = 40.0, 8.0
    step = (width - left - 24) / 360
    height = top + 180 * step + 26
    parts: list[Any] = [
        f'<rect x="{left}" y="{top}" width="{360 * step:.1f}" height="{180 * step:.1f}" '
        f'style="fill:{PANEL};stroke:{GRID}"/>'
    ]
    for lon in range(-180, 181, 60):
        x = left + (lon + 180) * step
        parts.append(line(x, top, x, top + 180 * step))
        if lon % 120 == 60 or lon == 0:
            words = _degrees(lon, "E", "W", 0)
            parts.append(text(x, height - 10, words, text_anchor="middle", font_size=10))
    for lat in range(-60, 61, 30):
        y = top + (90 - lat) * step
        width_of_line = 1.4 if lat == 0 else 1
        parts.append(
            line(left, y, left + 360 * step, y, FAINT if lat == 0 else GRID, width_of_line)
        )
        parts.append(
            text(left - 4, y + 4, _degrees(lat, "N", "S", 0), text_anchor="end", font_size=10)
        )
    x, y = left + (place[0] + 180) * step, top + (90 - place[1]) * step
    parts.append(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" style="fill:none;stroke:var(--test)" '
        'stroke-width="2.2"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.4" style="fill:var(--test)"/>'
    )
    return svg(width, height, title, parts)
