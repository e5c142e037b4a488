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
from datetime import date, timedelta
from itertools import pairwise

from ..records import Gap, LockedItem, LockedUnit
from .repeats import Repeat
from .traits import TRAITS

LONGER = 1.5
"""An interval is a gap where it is so many times the usual one; a missed pass doubles it."""

_RARE = 0.2
"""A repeat that fewer of the intervals have is an exception, not what is usual."""

SERIES = {name: name for name, traits in TRAITS.items() if traits.repeat is not None}
"""Layer → what its scenes are of; the usual layers are called like their scenes."""

Track = tuple[str, int | None, str | None]
"""Layer, relative orbit, direction; without both: all scenes of the layer."""
Stretch = tuple[date, date, int, int]
"""First and last day, longest interval in days, visits within."""
Period = tuple[date, date] | None


def gaps(
    items: Sequence[LockedItem], units: Sequence[LockedUnit], period: Period,
    series: Mapping[str, str] = SERIES,
) -> tuple[Gap, ...]:  # fmt: skip
    """Find the gaps of all tracks.

    A track is a relative orbit and direction, and all scenes of a layer together where clouds hide
    the ground. Others without a relative orbit are left out: passes of several tracks do not make
    a series.

    Args:
        items: scenes that will be used.
        units: which units use them.
        period: first and last day of the recipe; without it a series begins with its first pass.
        series: layers whose passes make a series, with what their scenes are of (of a kind that has
            a repeat); a single image has no gap.

    Returns:
        Gaps by layer, orbit and start.
    """
    by_id = {(item.sensor, item.id): item for item in items}
    used = {layer: {i for unit in units for i in unit.items.get(layer, ())} for layer in series}
    tracks = _tracks({
        layer: (kind, [i for i in items if i.sensor == kind and i.id in used[layer]])
        for layer, kind in series.items()
    })  # fmt: skip
    usual = {
        track: _usual(_repeat(series[track[0]]), map(_day, passes))
        for track, passes in tracks.items()
    }
    found: dict[tuple[Track, Stretch], list[str]] = {}
    seeing: dict[Track, set[str]] = {}
    known: dict[tuple[Track, tuple[str, ...]], list[Stretch]] = {}
    for unit in units:
        here = _tracks({
            layer: (kind, [by_id[kind, i] for i in unit.items.get(layer, ())])
            for layer, kind in series.items()
        })  # fmt: skip
        for track, passes in here.items():
            seeing.setdefault(track, set()).add(unit.id)
            key = track, tuple(item.id for item in passes)
            if key not in known:
                repeat = _repeat(series[track[0]])
                known[key] = _stretches(repeat, map(_day, passes), usual[track], period)
            for stretch in known[key]:
                found.setdefault((track, stretch), []).append(unit.id)
    result = [
        _gap((series[track[0]], track), stretch, usual[track], names, seeing[track], tracks[track])
        for (track, stretch), names in found.items()
    ]
    order = list(series)
    return tuple(sorted(result, key=lambda g: (
        order.index(str(g.layer)), g.relative_orbit or 0, g.orbit_direction or "", g.start, g.end,
        g.units)))  # fmt: skip


def _tracks(
    scenes: Mapping[str, tuple[str, Sequence[LockedItem]]],
) -> dict[Track, list[LockedItem]]:
    """Scenes by track; given are layers, with what their scenes are of and these."""
    found: dict[Track, list[LockedItem]] = {}
    for layer, (kind, passes) in scenes.items():
        repeat = _repeat(kind)
        for item in passes:
            if (track := _track(layer, repeat, item)) is not None:
                found.setdefault(track, []).append(item)
    return found


def _repeat(kind: str) -> Repeat:
    repeat = TRAITS[kind].repeat
    assert repeat is not None
    return repeat


def _track(layer: str, repeat: Repeat, item: LockedItem) -> Track | None:
    if repeat.clouds:
        return layer, None, None
    if item.relative_orbit is None:
        return None
    return layer, item.relative_orbit, item.orbit_direction


def _day(item: LockedItem) -> date:
    return date.fromisoformat(item.datetime[:10])


def _visits(repeat: Repeat, days: Iterable[date]) -> list[date]:
    """First day of each visit: slices, midnight and tandems make no second one."""
    visits: list[date] = []
    last = date.min
    for day in sorted(set(days)):
        if not visits or (day - last).days >= repeat.visit_days:
            visits.append(day)
        last = day
    return visits


def _usual(repeat: Repeat, days: Iterable[date]) -> int:
    """Days from visit to visit that are usual for a track."""
    steps = [(b - a).days for a, b in pairwise(_visits(repeat, days))]
    if repeat.clouds:
        return round(statistics.median(steps)) if steps else repeat.cycle_days
    enough = max(2.0, _RARE * len(steps))
    often = [d for d in sorted(set(steps)) if sum(abs(s - d) <= 1 for s in steps) >= enough]
    return often[0] if often else repeat.cycle_days


def _stretches(repeat: Repeat, days: Iterable[date], usual: int, period: Period) -> list[Stretch]:
    """Stretches of intervals that are longer than usual, those of like length joined."""
    visits = _visits(repeat, days)
    limit = max(LONGER * usual, repeat.news_days)
    ends = (visits[0], visits[-1]) if period is None else period
    marks = [ends[0], *visits, ends[1]]
    steps = [(a, b, (b - a).days) for a, b in pairwise(marks)]
    long = [step for step in steps if step[2] > limit]
    if len(visits) < 3 and long:  # not a series: one line says so, unless clouds explain it
        return [] if repeat.clouds else [(ends[0], ends[1], max(s[2] for s in long), len(visits))]
    found: list[Stretch] = []
    for start, end, length in long:
        joins = (
            found
            and found[-1][1] == start
            and max(length, found[-1][2]) < LONGER * min(length, found[-1][2])
        )
        if joins:
            first, _, longest, inside = found[-1]
            found[-1] = first, end, max(length, longest), inside + 1
        else:
            found.append((start, end, length, 0))
    return found


def _gap(
    of: tuple[str, Track], stretch: Stretch, usual: int, concerned: Sequence[str], seeing: set[str],
    items: Sequence[LockedItem],
) -> Gap:  # fmt: skip
    start, end, longest, visits = stretch
    kind, track = of
    return Gap(
        sensor=kind, layer=track[0], relative_orbit=track[1], orbit_direction=track[2],
        start=start.isoformat(), end=end.isoformat(), usual_days=usual, longest_days=longest,
        visits=visits, units=() if set(concerned) == seeing else tuple(sorted(concerned)),
        reason=_reason(_repeat(kind), (start, end), usual, {(i.platform, _day(i)) for i in items}),
    )  # fmt: skip


def _reason(
    repeat: Repeat, gap: tuple[date, date], usual: int, flown: Iterable[tuple[str | None, date]]
) -> str | None:
    """What a mission's end or beginning explains of a gap."""
    start, end = gap
    slack = timedelta(days=max(usual, repeat.cycle_days))
    before = {platform for platform, day in flown if day <= start + slack}
    after = {platform for platform, day in flown if day >= end - slack}
    said = []
    for mission in repeat.missions:
        ended = mission.last is not None and start - slack <= mission.last <= end
        if ended and mission.platform in before - after:
            said.append(f"{mission.platform} ended on {mission.last}")
        if start <= mission.first <= end + slack and mission.platform in after - before:
            said.append(f"data of {mission.platform} begin on {mission.first}")
    return "; ".join(said) or None
