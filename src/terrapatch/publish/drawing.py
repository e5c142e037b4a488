# SPDX-License-Identifier: Apache-2.0
"""Parts of inline SVG that charts and maps share; colours are those of the page, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

INK, FAINT, GRID, PANEL = "var(--ink)", "var(--soft)", "var(--line)", "var(--ground)"
SPLIT_COLORS = {"train": "var(--train)", "val": "var(--val)", "test": "var(--test)"}


def svg(width: float, height: float, title: str, parts: Sequence[str], least: float = 0) -> Markup:
    """A drawing that shrinks with the page, down to `least` px; from there on it is scrolled."""
    body = "".join(parts)
    narrow = f";min-width:{min(least, width):.0f}px" if least else ""
    return Markup(  # noqa: S704 - all foreign text in it is escaped
        f'<div class="scroll"><svg class="chart" viewBox="0 0 {width:.1f} {height:.1f}" role="img" '
        f'style="max-width:{width:.0f}px{narrow}" aria-label="{escape(title)}" '
        f'preserveAspectRatio="xMidYMid meet"><title>{escape(title)}</title>{body}</svg></div>'
    )


def text(x: float, y: float, words: str, *, fill: str = FAINT, **attributes: Any) -> str:
    """A line of text."""
    style = {"font-size": 12} | {key.replace("_", "-"): v for key, v in attributes.items()}
    listed = " ".join(f'{key}="{value}"' for key, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" style="fill:{fill}" {listed}>{escape(words)}</text>'


def text_width(words: str, size: float = 12) -> float:
    """Room that a line of text needs in the widest of the page's fonts, in px."""
    return len(words) * size * 0.6


def line(x0: float, y0: float, x1: float, y1: float, color: str = GRID, width: float = 1) -> str:
    """A straight line."""
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'style="stroke:{color}" stroke-width="{width:g}"/>'
    )


def rect(x: float, y: float, width: float, height: float, color: str, title: str = "") -> str:
    """A filled rectangle, with words for who points at it."""
    note = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" '
        f'style="fill:{color}">{note}</rect>'
    )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two limits, about `count` of them."""
    step = _step(low, high, count)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _step(low: float, high: float, count: int) -> float:
    raw = max(high - low, 1e-12) / count
    step = 10.0 ** math.floor(math.log10(raw))
    return step * next(m for m in (1, 2, 5, 10) if step * m >= raw * (1 - 1e-9))


def digits(values: Sequence[float]) -> int:
    """Decimals that write all of some round numbers in full."""
    return next((d for d in range(10) if all(abs(round(v, d) - v) < 1e-9 for v in values)), 10)


def labels(values: Sequence[float]) -> list[str]:
    """Round numbers in full, all with as many decimals."""
    decimals = digits(values)
    return [f"{value:,.{decimals}f}" for value in values]
