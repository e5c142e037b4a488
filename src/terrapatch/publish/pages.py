# SPDX-License-Identifier: Apache-2.0
"""Templates of the package, with the few filters that they share."""

from __future__ import annotations

import json
import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape


def number(value: float | None, digits: int = 0) -> str:
    """1234567.8 → `1,234,568`; nothing → `–`."""
    return "–" if value is None else f"{value:,.{digits}f}"


def figure(value: Any, digits: int = 4) -> str:
    """A measured value in a few significant digits, text as it is, nothing → `–`."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return str(value) if isinstance(value, int) else f"{value:.{digits}g}"


def setting(value: Any) -> str:
    """A setting as a recipe has it: False → `false`, text without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def percent(share: float | None, digits: int = 1) -> str:
    """0.123 → `12.3 %`."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def plain(text: Any) -> str:
    """Foreign text in Markdown: one line, and nothing in it is markup, in or outside of tables."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~#])", r"\\\1", line)


def one_line(text: Any) -> str:
    """A sentence of a recipe: its Markdown stays, its line breaks would end a list."""
    return re.sub(r"\s+", " ", str(text)).strip()


def prose(text: str) -> Markup:
    """A sentence with `code` and **stress** in it as HTML; all else is escaped."""
    safe = str(escape(text))
    safe = re.sub(r"`([^`]*)`", r"<code>\1</code>", safe)
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe))  # noqa: S704 - escaped


def render(name: str, **context: Any) -> str:
    """Fill a template of `data/templates`; HTML ones escape what they are given."""
    environment = Environment(
        loader=PackageLoader("terrapatch", "data/templates"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": number,
        "figure": figure,
        "percent": percent,
        "setting": setting,
        "plain": plain,
        "one_line": one_line,
        "prose": prose,
    }
    return environment.get_template(name).render(**context)
