# SPDX-License-Identifier: Apache-2.0
"""Drawings of the report as inline SVG: small, sharp, readable by screen readers.

Laws:
1. A chart is a function from plain numbers to text; the same numbers give the same text.
2. Every chart has a title that says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .drawing import INK, SPLIT_COLORS, labels, line, rect, svg, text, text_width, ticks


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
    right, row, top, width = 60.0, 9.0 * len(splits) + 13, 6.0, 760.0
    # Names stand in full; very long ones make the chart wider.
    left = max(150.0, max((text_width(c["name"]) for c in classes), default=0.0) + 34)
    width = max(width, left + 420)
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
            line(x, top, x, height - 20),
            text(x, height - 5, f"{mark:g} %", text_anchor="middle", font_size=11),
        ]
    for number, entry in enumerate(classes):
        y = top + number * row
        parts.append(rect(left - 16, y + row / 2 - 6, 10, 10, entry["color"]))
        parts.append(text(left - 24, y + row / 2 + 3, entry["name"], text_anchor="end", fill=INK))
        for position, split in enumerate(splits):
            share = entry["shares"][split]
            where = y + 5 + 9 * position
            note = f"{entry['name']}, {split}: {share:.3f} %"
            parts.append(rect(left, where, along(share), 7, SPLIT_COLORS[split], note))
            if share == 0:
                parts.append(text(left + 4, where + 7, "none", font_size=9))
    return svg(width, height, title, parts, least=680)


def band_ranges(figures: Mapping[str, Any], numbers: Sequence[int], title: str) -> Markup:
    """Distribution of some bands of one unit: 1–99 %, 25–75 %, median and mean.

    Args:
        figures: of a layer, as `statistics.json` has them.
        numbers: places of the bands.
        title: what it shows.
    """
    bands = [figures["bands"][k] for k in numbers]
    shares = {q: [values[k] for k in numbers] for q, values in figures["percentiles"].items()}
    means = [figures["mean"][k] for k in numbers]
    low, high = min(shares["1"] + means), max(shares["99"] + means)
    pad = (high - low) * 0.04 or 1
    low, high = low - pad, high + pad
    marks = ticks(low, high)
    left = max([40.0, *(text_width(words, 11) + 12 for words in labels(marks))])
    top, inner, step = 8.0, 230.0, max(44.0, min(90.0, 640 / len(bands)))
    step = max([step, *(text_width(band) + 8 for band in bands)])
    width = left + step * len(bands) + 10

    def up(value: float) -> float:
        return float(top + (high - value) / (high - low) * inner)

    parts = []
    for mark, words in zip(marks, labels(marks), strict=True):
        parts += [line(left, up(mark), width - 10, up(mark))]
        parts += [text(left - 6, up(mark) + 4, words, text_anchor="end", font_size=11)]
    for k, band in enumerate(bands):
        x = left + step * (k + 0.5)
        p = {q: shares[q][k] for q in ("1", "25", "50", "75", "99")}
        half = min(13.0, step / 3)
        parts.append(line(x, up(p["1"]), x, up(p["99"]), "var(--bar)", 1.6))
        note = f"{band}: median {p['50']:g}, mean {means[k]:g}"
        parts.append(
            rect(
                x - half,
                up(p["75"]),
                2 * half,
                max(1.5, up(p["25"]) - up(p["75"])),
                "var(--box)",
                note,
            )
        )
        parts.append(line(x - half, up(p["50"]), x + half, up(p["50"]), SPLIT_COLORS["train"], 2))
        mean = up(means[k])
        parts.append(f'<circle cx="{x:.1f}" cy="{mean:.1f}" r="2.8" style="fill:{INK}"/>')
        parts.append(text(x, top + inner + 18, band, text_anchor="middle", fill=INK))
    return svg(width, top + inner + 28, title, parts, least=min(width, 560))


def score_bars(rows: Sequence[tuple[str, float, bool]], title: str) -> Markup:
    """Scores between 0 and 1: (name, score, whether it is the model and no baseline)."""
    width, row = 420.0, 24.0
    left = max([90.0, *(text_width(name) + 16 for name, _, _ in rows)])
    span = width - left - 60
    parts = []
    for number, (name, score, own) in enumerate(rows):
        y = number * row
        color = SPLIT_COLORS["train"] if own else "var(--bar)"
        parts.append(text(left - 8, y + 16, name, text_anchor="end", fill=INK))
        parts.append(rect(left, y + 5, span, 14, "var(--shade)"))
        parts.append(rect(left, y + 5, span * max(0.0, min(1.0, score)), 14, color))
        parts.append(text(left + span + 8, y + 16, f"{score:.3f}", fill=INK))
    return svg(width, row * len(rows) + 4, title, parts, least=320)
