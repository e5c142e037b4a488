# SPDX-License-Identifier: Apache-2.0
"""How often satellites come back: what a kind of scenes says of its series of passes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Mission:
    """From when to when a satellite gives data."""

    platform: str
    first: date
    last: date | None = None


@dataclass(frozen=True)
class Repeat:
    """How often a kind of scenes shows a place, and what explains that it did not."""

    cycle_days: int
    """Repeat cycle of one satellite, which is usual where a series is too short to tell."""
    clouds: bool = False
    """Whether clouds make holes: then all tracks together are one series."""
    news_days: int = 0
    """Shorter holes are no news."""
    visit_days: int = 3
    """Passes of one track less than this apart are one visit: satellites that fly in tandem (1 day
    apart, as Sentinel-1C and 1D until July 2026) do not make a series any denser."""
    missions: tuple[Mission, ...] = ()
    """Satellites whose beginning or end explains a gap."""
