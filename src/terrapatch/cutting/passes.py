# SPDX-License-Identifier: Apache-2.0
"""Time steps of a stack: which scenes make one image.

Laws:
1. A pass is what one platform takes along one relative orbit without a break: the slices of a
   datatake, and of datatakes that follow within half an hour. Scenes of unknown orbit are one
   pass a day, platform and direction.
2. A pass has one label in all units of a lock: the moment of its first scene.
3. Steps stand in order of time; where directions are apart, the ascending ones come first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import SceneError
from ..records import LockedItem

SAME_PASS = np.timedelta64(30, "m")
"""Longest break within a pass: a third of an orbit; the same track comes back after days."""

DIRECTIONS = ("ascending", "descending")


@dataclass(frozen=True)
class Step:
    """One image of a stack."""

    label: str
    """Day of a single image, `first/last` day; moment of a pass in a series; `none` without scenes."""
    items: tuple[LockedItem, ...]
    """Best first."""

    @property
    def facts(self) -> dict[str, Any]:
        """Direction, relative orbit and platform; None where scenes differ or do not say."""
        return {
            "direction": _one(item.orbit_direction for item in self.items),
            "relative_orbit": _one(item.relative_orbit for item in self.items),
            "platform": _one(item.platform for item in self.items),
        }


def period(items: Sequence[LockedItem]) -> str:
    """Label of a mosaic's time step: its day, `first/last` day, or `none` without scenes."""
    days = sorted(item.datetime[:10] for item in items)
    if not days:
        return "none"
    return days[0] if days[0] == days[-1] else f"{days[0]}/{days[-1]}"


def steps_of(
    items: Sequence[LockedItem],
    everything: Sequence[LockedItem],
    *,
    series: bool = False,
    apart: bool = False,
) -> list[Step]:
    """The images that scenes of a unit make.

    Args:
        items: scenes of one sensor over the unit, best first.
        everything: all scenes of that sensor in the lock; they give passes their labels.
        series: an image a pass, instead of one of all scenes.
        apart: never put ascending and descending scenes into one image. Without `series` both
            directions have an image, also one without scenes, where the lock has both.

    Raises:
        SceneError: directions are to be kept apart, and scenes do not say theirs.
    """
    return Axis(everything).steps(items, series=series, apart=apart)


class Axis:
    """The passes of all scenes of a layer: by them the images of every unit have their labels."""

    def __init__(self, everything: Sequence[LockedItem]) -> None:
        """Find the passes.

        Args:
            everything: all scenes of the layer in the lock.
        """
        self._pass: dict[str, int] = {}
        self._labels: list[str] = []
        for number, (label, members) in enumerate(_labelled(_passes(everything))):
            self._labels.append(label)
            self._pass.update((item.id, number) for item in members)
        found = {item.orbit_direction for item in everything}
        self._directions = [direction for direction in DIRECTIONS if direction in found]

    def steps(
        self, items: Sequence[LockedItem], *, series: bool = False, apart: bool = False
    ) -> list[Step]:
        """The images of a unit, see `steps_of`."""
        if apart:
            _require_directions(items)
        if series:
            groups: dict[int, list[LockedItem]] = {}
            for item in items:
                groups.setdefault(self._pass[item.id], []).append(item)
            steps = [Step(self._labels[n], tuple(members)) for n, members in groups.items()]
            steps.sort(key=lambda step: (_rank(step, apart), step.label, step.items[0].id))
            return steps or [Step("none", ())]
        if not apart:
            return [Step(period(items), tuple(items))]
        groups_ = [
            tuple(item for item in items if item.orbit_direction == d) for d in self._directions
        ]
        return [Step(period(group), group) for group in groups_] or [Step("none", ())]


def _require_directions(items: Sequence[LockedItem]) -> None:
    unknown = [item.id for item in items if item.orbit_direction not in DIRECTIONS]
    if unknown:
        raise SceneError(
            f"{', '.join(sorted(unknown)[:5])}: orbit direction unknown, and "
            "directions is apart; state orbit_direction under catalog.rasters, or "
            "set directions: together"
        )


def _passes(items: Sequence[LockedItem]) -> list[list[LockedItem]]:
    """Scenes by pass."""
    tracks: dict[tuple[Any, ...], list[LockedItem]] = {}
    for item in sorted(items, key=lambda item: (item.datetime, item.id)):
        day = item.datetime[:10] if item.relative_orbit is None else None
        track = (item.platform, item.orbit_direction, item.relative_orbit, day)
        tracks.setdefault(track, []).append(item)
    passes: list[list[LockedItem]] = []
    for track, members in tracks.items():
        passes.append([members[0]])
        for before, item in pairwise(members):
            follows = track[2] is None or _moment(item) - _moment(before) <= SAME_PASS
            if follows:
                passes[-1].append(item)
            else:
                passes.append([item])
    return passes


def _labelled(passes: Sequence[list[LockedItem]]) -> list[tuple[str, list[LockedItem]]]:
    """Passes with the moment of their first scene; where two have the same, with its id."""
    moments = [min(item.datetime for item in members) for members in passes]
    often = Counter(moments)
    return [
        (moment if often[moment] == 1 else f"{moment} {members[0].id}", members)
        for moment, members in zip(moments, passes, strict=True)
    ]


def _moment(item: LockedItem) -> np.datetime64:
    return np.datetime64(item.datetime.removesuffix("Z"), "ms")


def _rank(step: Step, apart: bool) -> int:
    return DIRECTIONS.index(str(step.facts["direction"])) if apart else 0


def _one(values: Iterable[Any]) -> Any:
    found = set(values)
    return found.pop() if len(found) == 1 else None
