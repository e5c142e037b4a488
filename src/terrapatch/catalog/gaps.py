# SPDX-License-Identifier: Apache-2.0
"""Gaps in series of passes: when a track was seen less often than usual, and why.

Laws:
1. The usual repeat of a track comes from its own passes, all units together; so 6 days become
   12 visibly when a satellite ends, and a series that always had 12 days has no gap.
2. Neighbouring intervals of about one length are one finding, and units with the same finding
   share it: a plan over many units has few lines.
3. A reason is given only where the satellite it names flew on that very track.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from ..records import Gap, LockedItem, LockedUnit, Sensor

CYCLE_DAYS = 12
"""Repeat cycle of one Sentinel-1: 175 orbits in 12 days. Source: SentiWiki, S1 Mission, orbit."""

LONGER = 1.5
"""An interval is a gap where it is so many times the usual one; a missed pass doubles it."""

TANDEM_DAYS = 3
"""Passes of one track less than this apart are one visit: satellites that fly in tandem (1 day
apart, as Sentinel-1C and 1D until July 2026) do not make a series any denser."""

CLOUDY_DAYS = 30
"""Sentinel-2 series have holes by cloud: shorter ones are no news."""

_RARE = 0.2
"""A repeat that fewer of the intervals have is an exception, not what is usual."""


@dataclass(frozen=True)
class Mission:
    """From when to when a satellite gives data."""

    platform: str
    first: date
    last: date | None = None


MISSIONS = (
    Mission("Sentinel-1A", date(2014, 10, 3), date(2026, 6, 29)),
    Mission("Sentinel-1B", date(2016, 9, 26), date(2021, 12, 23)),
    Mission("Sentinel-1C", date(2025, 3, 26)),
    Mission("Sentinel-1D", date(2026, 4, 14)),
)
"""First day of open data and last day of data.

Source: 1A and 1B: ESA, opening of the data access on 3 October 2014 (SentiWiki, S1 production
scenario) and on 26 September 2016; 1B's end: ESA, Mission ends for Copernicus Sentinel-1B
satellite, 3 August 2022 (power anomaly of 23 December 2021). 1C, 1D and 1A's end: Copernicus Data
Space news of 25 March 2025, 2 April 2026 and 28 May 2026 (orbital reconfiguration)."""


@dataclass(frozen=True)
class Series:
    """A layer whose passes make a series."""

    scenes: Sensor
    """What they are of."""
    clouds: bool
    """Whether clouds make holes; then all tracks together are one."""


SERIES = {"sentinel2": Series("sentinel2", True), "sentinel1": Series("sentinel1", False)}
"""The usual layers."""

Track = tuple[str, int | None, str | None]
"""Layer, relative orbit, direction; without both: all scenes of the layer."""
Stretch = tuple[date, date, int, int]
"""First and last day, longest interval in days, visits within."""
Period = tuple[date, date] | None


def gaps(
    items: Sequence[LockedItem], units: Sequence[LockedUnit], period: Period,
    series: Mapping[str, Series] = SERIES,
) -> tuple[Gap, ...]:  # fmt: skip
    """Find the gaps of all tracks.

    A track is a relative orbit and direction of radar, and all scenes of a layer together where
    clouds hide the ground. Radar scenes without a relative orbit are left out: passes of several
    tracks do not make a series.

    Args:
        items: scenes that will be used.
        units: which units use them.
        period: first and last day of the recipe; without it a series begins with its first pass.
        series: layers whose passes make a series; a single image has no gap.

    Returns:
        Gaps by layer, orbit and start.
    """
    by_id = {(item.sensor, item.id): item for item in items}
    tracks: dict[Track, list[LockedItem]] = {}
    for layer, own in series.items():
        ids = {item_id for unit in units for item_id in unit.items.get(layer, ())}
        for item in items:
            track = _track(layer, own, item)
            if item.sensor == own.scenes and item.id in ids and track is not None:
                tracks.setdefault(track, []).append(item)
    found: dict[tuple[Track, Stretch], list[str]] = {}
    seeing: dict[Track, set[str]] = {}
    usual = {
        track: _usual(series[track[0]].clouds, _visits(_day(i) for i in passes))
        for track, passes in tracks.items()
    }
    known: dict[tuple[Track, tuple[str, ...]], list[Stretch]] = {}
    for unit in units:
        here: dict[Track, list[str]] = {}
        for layer, own in series.items():
            for item_id in unit.items.get(layer, ()):
                track = _track(layer, own, by_id[own.scenes, item_id])
                if track is not None:
                    here.setdefault(track, []).append(item_id)
        for track, ids_here in here.items():
            kind = series[track[0]]
            seeing.setdefault(track, set()).add(unit.id)
            key = track, tuple(ids_here)
            if key not in known:
                days = _visits(_day(by_id[kind.scenes, i]) for i in ids_here)
                known[key] = _stretches(days, usual[track], period, kind.clouds)
            for stretch in known[key]:
                found.setdefault((track, stretch), []).append(unit.id)
    result = [
        _gap(
            (series[track[0]].scenes, track),
            stretch,
            usual[track],
            concerned,
            seeing[track],
            tracks[track],
        )
        for (track, stretch), concerned in found.items()
    ]
    order = list(series)
    return tuple(sorted(result, key=lambda g: (
        order.index(str(g.layer)), g.relative_orbit or 0, g.orbit_direction or "", g.start, g.end,
        g.units)))  # fmt: skip


def _track(layer: str, series: Series, item: LockedItem) -> Track | None:
    if series.clouds:
        return layer, None, None
    if item.relative_orbit is None:
        return None
    return layer, item.relative_orbit, item.orbit_direction


def _day(item: LockedItem) -> date:
    return date.fromisoformat(item.datetime[:10])


def _visits(days: Iterable[date]) -> list[date]:
    """First day of each visit: slices, midnight and tandems make no second one."""
    visits: list[date] = []
    last = date.min
    for day in sorted(set(days)):
        if not visits or (day - last).days >= TANDEM_DAYS:
            visits.append(day)
        last = day
    return visits


def _usual(cloudy: bool, visits: Sequence[date]) -> int:
    """Days from visit to visit that are usual for a track."""
    steps = [(b - a).days for a, b in pairwise(visits)]
    if cloudy:
        return round(statistics.median(steps)) if steps else 10
    enough = max(2.0, _RARE * len(steps))
    often = [d for d in sorted(set(steps)) if sum(abs(s - d) <= 1 for s in steps) >= enough]
    return often[0] if often else CYCLE_DAYS


def _stretches(
    visits: Sequence[date], usual: int, period: Period, cloudy: bool
) -> list[Stretch]:  # fmt: skip
    """Stretches of intervals that are longer than usual, those of like length joined."""
    limit = max(LONGER * usual, CLOUDY_DAYS if cloudy else 0)
    ends = (visits[0], visits[-1]) if period is None else period
    marks = [ends[0], *visits, ends[1]]
    steps = [(a, b, (b - a).days) for a, b in pairwise(marks)]
    long = [step for step in steps if step[2] > limit]
    if len(visits) < 3 and long:  # not a series: of radar one line says so, clouds explain others
        return [] if cloudy else [(ends[0], ends[1], max(s[2] for s in long), len(visits))]
    found: list[Stretch] = []
    for start, end, days in long:
        joins = (
            found
            and found[-1][1] == start
            and max(days, found[-1][2]) < LONGER * min(days, found[-1][2])
        )
        if joins:
            first, _, longest, inside = found[-1]
            found[-1] = first, end, max(days, longest), inside + 1
        else:
            found.append((start, end, days, 0))
    return found


def _gap(
    of: tuple[Sensor, Track], stretch: Stretch, usual: int, concerned: Sequence[str], seeing: set[str],
    items: Sequence[LockedItem],
) -> Gap:  # fmt: skip
    start, end, longest, visits = stretch
    scenes, track = of
    return Gap(
        sensor=scenes, layer=track[0], relative_orbit=track[1], orbit_direction=track[2],
        start=start.isoformat(), end=end.isoformat(), usual_days=usual, longest_days=longest,
        visits=visits, units=() if set(concerned) == seeing else tuple(sorted(concerned)),
        reason=_reason(start, end, usual, {(i.platform, _day(i)) for i in items}),
    )  # fmt: skip


def _reason(
    start: date, end: date, usual: int, flown: Iterable[tuple[str | None, date]]
) -> str | None:  # fmt: skip
    """What a mission's end or beginning explains of a gap."""
    slack = timedelta(days=max(usual, CYCLE_DAYS))
    before = {platform for platform, day in flown if day <= start + slack}
    after = {platform for platform, day in flown if day >= end - slack}
    said = []
    for mission in MISSIONS:
        ended = mission.last is not None and start - slack <= mission.last <= end
        if ended and mission.platform in before - after:
            said.append(f"{mission.platform} ended on {mission.last}")
        if start <= mission.first <= end + slack and mission.platform in after - before:
            said.append(f"data of {mission.platform} begin on {mission.first}")
    return "; ".join(said) or None
