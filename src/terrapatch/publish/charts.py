# SPDX-License-Identifier: Apache-2.0
"""Drawings of the report as inline SVG: small, sharp, readable by screen readers.

Laws:
1. A chart is a function from plain numbers to text; the same numbers give the same text.
2. Every chart has a title that says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

INK, FAINT, GRID = "#1f2933", "#6b7785", "#e3e7ec"
SPLIT_COLORS = {"train": "#2f6fb0", "val": "#e69f00", "test": "#a3195b"}


@dataclass(frozen=True)
class Group:
    """Patches of one colour on the map."""

    name: str
    color: str
    outlines: Sequence[Sequence[tuple[float, float]]]
    """Corners (longitude, latitude) of each patch."""
    hollow: bool = False


def _svg(width: float, height: float, title: str, parts: Sequence[str], css: str = "") -> Markup:
    body = "".join(parts)
    return Markup(  # noqa: S704 - all foreign text in it is escaped
        f'<svg class="chart {css}" viewBox="0 0 {width:.1f} {height:.1f}" role="img" '
        f'style="max-width:{width:.0f}px" '
        f'aria-label="{escape(title)}" preserveAspectRatio="xMidYMid meet">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def _text(x: float, y: float, text: str, **attributes: Any) -> str:
    style = {"font-size": 12, "fill": FAINT} | {
        key.replace("_", "-"): value for key, value in attributes.items()
    }
    listed = " ".join(f'{key}="{value}"' for key, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" {listed}>{escape(text)}</text>'


def _line(x0: float, y0: float, x1: float, y1: float, color: str = GRID, width: float = 1) -> str:
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'stroke="{color}" stroke-width="{width:g}"/>'
    )


def _rect(x: float, y: float, width: float, height: float, color: str, title: str = "") -> str:
    note = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" '
        f'fill="{color}">{note}</rect>'
    )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two limits, about `count` of them."""
    raw = max(high - low, 1e-12) / count
    step = 10.0 ** math.floor(math.log10(raw))
    step *= next(m for m in (1, 2, 5, 10) if step * m >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def patch_map(groups: Sequence[Group], title: str, width: float = 760) -> Markup:
    """Patches in longitude and latitude, north up, in the proportions of the ground."""
    points = [point for group in groups for outline in group.outlines for point in outline]
    if not points:
        return _svg(width, 40, title, [_text(10, 25, "no patches")])
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    west, east, south, north = min(xs), max(xs), min(ys), max(ys)
    squeeze = math.cos(math.radians((south + north) / 2))
    pad_x, pad_y = (east - west) * 0.02, (north - south) * 0.02
    west, east, south, north = west - pad_x, east + pad_x, south - pad_y, north + pad_y
    left, bottom, top = 62.0, 26.0, 8.0
    scale = min((width - left - 8) / ((east - west) * squeeze), 640 / (north - south))
    inner_x, inner_y = (east - west) * squeeze * scale, (north - south) * scale

    def place(lon: float, lat: float) -> tuple[float, float]:
        return left + (lon - west) * squeeze * scale, top + (north - lat) * scale

    parts = [
        f'<rect x="{left}" y="{top}" width="{inner_x:.1f}" height="{inner_y:.1f}" '
        f'fill="#fbfcfd" stroke="{GRID}"/>'
    ]
    for lon in ticks(west, east):
        x, _ = place(lon, north)
        parts += [_line(x, top, x, top + inner_y)]
        label = _degrees(lon, "E", "W")
        parts += [_text(x, top + inner_y + 17, label, text_anchor="middle")]
    for lat in ticks(south, north):
        _, y = place(west, lat)
        parts += [_line(left, y, left + inner_x, y)]
        parts += [_text(left - 6, y + 4, _degrees(lat, "N", "S"), text_anchor="end")]
    for group in groups:
        paths = []
        for outline in group.outlines:
            corners = [place(*point) for point in outline]
            paths.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z")
        fill = "none" if group.hollow else group.color
        stroke = group.color if group.hollow else "#ffffff"
        parts.append(
            f'<path d="{"".join(paths)}" fill="{fill}" fill-opacity="0.88" stroke="{stroke}" '
            f'stroke-width="0.7"><title>{escape(group.name)}: {len(group.outlines)}</title></path>'
        )
    return _svg(left + inner_x + 10, top + inner_y + bottom, title, parts, "map")


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):g}°{positive if value > 0 else negative if value < 0 else ''}"


def class_bars(
    classes: Sequence[Mapping[str, Any]], splits: Sequence[str], title: str, *, logarithmic: bool
) -> Markup:
    """Share of each class in each split, horizontally.

    Args:
        classes: each with `name`, `color` and `shares` (split → percent of its pixels).
        splits: in the order of the bars.
        title: what it shows.
        logarithmic: whether the axis runs over powers of ten.
    """
    left, right, row, top, width = 230.0, 60.0, 9.0 * len(splits) + 13, 6.0, 760.0
    span = width - left - right
    most = max((s for c in classes for s in c["shares"].values()), default=0) or 1
    least = 1e-3

    def along(share: float) -> float:
        if not logarithmic:
            return share / most * span
        if share <= 0:
            return 0
        return max(2.0, math.log10(max(share, least) / least) / math.log10(100 / least) * span)

    marks = [10.0**k for k in range(-3, 3)] if logarithmic else ticks(0, most)
    height = top + row * len(classes) + 22
    parts = []
    for mark in marks:
        x = left + along(mark)
        parts += [
            _line(x, top, x, height - 20),
            _text(x, height - 5, f"{mark:g} %", text_anchor="middle", font_size=11),
        ]
    for number, entry in enumerate(classes):
        y = top + number * row
        parts.append(_rect(left - 16, y + row / 2 - 6, 10, 10, entry["color"]))
        parts.append(_text(left - 24, y + row / 2 + 3, entry["name"], text_anchor="end", fill=INK))
        for position, split in enumerate(splits):
            share = entry["shares"][split]
            where = y + 5 + 9 * position
            note = f"{entry['name']}, {split}: {share:.3f} %"
            parts.append(_rect(left, where, along(share), 7, SPLIT_COLORS[split], note))
            if share == 0:
                parts.append(_text(left + 4, where + 7, "none", font_size=9))
    return _svg(width, height, title, parts)


def band_ranges(figures: Mapping[str, Any], title: str) -> Markup:
    """Distribution of each band: 1–99 %, 25–75 %, median and mean."""
    bands = figures["bands"]
    shares = figures["percentiles"]
    low, high = min(shares["1"]), max(shares["99"])
    pad = (high - low) * 0.04 or 1
    low, high = low - pad, high + pad
    left, top, inner, step = 64.0, 8.0, 230.0, max(44.0, min(90.0, 640 / len(bands)))
    width = left + step * len(bands) + 10

    def up(value: float) -> float:
        return float(top + (high - value) / (high - low) * inner)

    parts = []
    for mark in ticks(low, high):
        parts += [_line(left, up(mark), width - 10, up(mark))]
        parts += [_text(left - 6, up(mark) + 4, f"{mark:g}", text_anchor="end", font_size=11)]
    for k, band in enumerate(bands):
        x = left + step * (k + 0.5)
        p = {q: shares[q][k] for q in ("1", "25", "50", "75", "99")}
        half = min(13.0, step / 3)
        parts.append(_line(x, up(p["1"]), x, up(p["99"]), "#8aa4c0", 1.6))
        note = f"{band}: median {p['50']:g}, mean {figures['mean'][k]:g}"
        parts.append(
            _rect(
                x - half,
                up(p["75"]),
                2 * half,
                max(1.5, up(p["25"]) - up(p["75"])),
                "#a9c4e2",
                note,
            )
        )
        parts.append(_line(x - half, up(p["50"]), x + half, up(p["50"]), SPLIT_COLORS["train"], 2))
        mean = up(figures["mean"][k])
        parts.append(f'<circle cx="{x:.1f}" cy="{mean:.1f}" r="2.8" fill="{INK}"/>')
        parts.append(_text(x, top + inner + 18, band, text_anchor="middle", fill=INK))
    return _svg(width, top + inner + 28, title, parts)


def score_bars(rows: Sequence[tuple[str, float, bool]], title: str) -> Markup:
    """Scores between 0 and 1: (name, score, whether it is the model and no baseline)."""
    left, width, row = 170.0, 420.0, 24.0
    span = width - left - 60
    parts = []
    for number, (name, score, own) in enumerate(rows):
        y = number * row
        color = SPLIT_COLORS["train"] if own else "#c3ccd6"
        parts.append(_text(left - 8, y + 16, name, text_anchor="end", fill=INK))
        parts.append(_rect(left, y + 5, span, 14, "#f1f4f7"))
        parts.append(_rect(left, y + 5, span * max(0.0, min(1.0, score)), 14, color))
        parts.append(_text(left + span + 8, y + 16, f"{score:.3f}", fill=INK))
    return _svg(width, row * len(rows) + 4, title, parts)
