# SPDX-License-Identifier: Apache-2.0
"""Time steps of a layer: which scenes make which images, and how several become one.

A policy makes the steps of a unit of its scenes; the policies stand beside each other in `POLICIES`.
The plan asks them, once for each unit and layer; all who come later read what it wrote.

Laws:
1. A step has scenes and a way to reduce them to one image. A policy makes M steps of N scenes as it
   likes: a scene may be in several, or in none.
2. Steps of a unit and layer have labels of their own: tables name an image by patch, layer and label,
   and a label means the same step in whatever stack holds it.
3. A pass is what one platform takes along one relative orbit without a break: the slices of a
   datatake, and of datatakes that follow within half an hour. Scenes of unknown orbit are one
   pass a day, platform and direction.
4. A pass has one label in all units of a lock: the moment of its first scene.
5. Steps stand in order of time; where directions are apart, the ascending ones come first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import SceneError
from .records import Lock, LockedItem, LockedStep, Reduction

if TYPE_CHECKING:
    from .settings import ImageLayer

SAME_PASS = np.timedelta64(30, "m")
"""Longest break within a pass: a third of an orbit; the same track comes back after days."""

DIRECTIONS = ("ascending", "descending")


@dataclass(frozen=True)
class Step:
    """One image of a stack."""

    label: str
    """Moment of a pass in a series; of a single image its day, its `first/last` day, or `none`
    without scenes, and the direction where these are apart."""
    items: tuple[LockedItem, ...]
    """Best first."""
    reduce: Reduction = "first"
    """See `LockedStep`."""

    @property
    def facts(self) -> dict[str, Any]:
        """Direction, relative orbit and platform; None where scenes differ or do not say."""
        return {
            "direction": _one(item.orbit_direction for item in self.items),
            "relative_orbit": _one(item.relative_orbit for item in self.items),
            "platform": _one(item.platform for item in self.items),
        }


class Scenes:
    """All scenes of a layer in a plan: by them the images of every unit have their labels."""

    def __init__(self, everything: Sequence[LockedItem], *, apart: bool = False) -> None:
        """Look at the scenes.

        Args:
            everything: all scenes of the layer in the lock.
            apart: whether ascending and descending scenes never share an image.
        """
        self.everything, self.apart = everything, apart

    @cached_property
    def labels(self) -> list[str]:
        """Label of each pass."""
        return [label for label, _ in self._labelled]

    @cached_property
    def pass_of(self) -> dict[str, int]:
        """Id of a scene → number of its pass."""
        return {item.id: n for n, (_, members) in enumerate(self._labelled) for item in members}

    @cached_property
    def directions(self) -> list[str]:
        """Directions of flight that scenes have, in the order of steps."""
        found = {item.orbit_direction for item in self.everything}
        return [direction for direction in DIRECTIONS if direction in found]

    @cached_property
    def _labelled(self) -> list[tuple[str, list[LockedItem]]]:
        return _labelled(_passes(self.everything))


def single(items: Sequence[LockedItem], layer: Scenes) -> tuple[Step, ...]:
    """One image of all scenes of a unit.

    Where directions are apart each has one, also a unit without scenes of it, so that units stay
    alike.

    Raises:
        SceneError: directions are to be kept apart, and scenes do not say theirs.
    """
    if not layer.apart:
        return (Step(period(items), tuple(items)),)
    _require_directions(items)
    groups = {
        direction: tuple(item for item in items if item.orbit_direction == direction)
        for direction in layer.directions
    }
    steps = tuple(Step(f"{period(group)} {name}", group) for name, group in groups.items())
    return steps or (Step("none", ()),)


def series(items: Sequence[LockedItem], layer: Scenes) -> tuple[Step, ...]:
    """An image a pass; a unit without scenes has one without any.

    Raises:
        SceneError: directions are to be kept apart, and scenes do not say theirs.
    """
    if layer.apart:
        _require_directions(items)
    groups: dict[int, list[LockedItem]] = {}
    for item in items:
        groups.setdefault(layer.pass_of[item.id], []).append(item)
    steps = [Step(layer.labels[n], tuple(members)) for n, members in groups.items()]
    steps.sort(key=lambda step: (_rank(step, layer.apart), step.label, step.items[0].id))
    return tuple(steps) or (Step("none", ()),)


Policy = Callable[[Sequence[LockedItem], Scenes], tuple[Step, ...]]
"""Scenes of a unit, best first, and all scenes of the layer → the unit's steps."""

POLICIES: dict[str, Policy] = {"single": single, "series": series}
"""By what a layer calls `time`."""


def with_steps(lock: Lock, layers: Mapping[str, ImageLayer]) -> Lock:
    """A lock whose units have their time steps.

    Args:
        lock: with all scenes of all units.
        layers: those of images, by name.

    Raises:
        SceneError: directions are to be kept apart, and scenes do not say theirs.
    """
    by_id: dict[tuple[str, str], LockedItem] = {(i.sensor, i.id): i for i in lock.items}
    scenes = {
        name: Scenes(lock.scenes_of(name), apart=layer.apart) for name, layer in layers.items()
    }
    units = []
    for unit in lock.units:
        steps = {}
        for name, layer in layers.items():
            kind = lock.scenes.get(name, name)
            here = [by_id[kind, item_id] for item_id in unit.items.get(name, ())]
            steps[name] = tuple(map(_locked, POLICIES[layer.time](here, scenes[name])))
        units.append(unit.model_copy(update={"steps": steps}))
    return lock.model_copy(update={"units": tuple(units)})


def planned_steps(lock: Lock, unit_id: str, layer: str) -> tuple[Step, ...]:
    """Steps of a unit and layer, as the plan made them.

    Raises:
        IncompleteError: the lock has no such unit, or no steps of that layer.
    """
    by_id = {item.id: item for item in lock.items_of(unit_id, layer)}
    return tuple(
        Step(step.label, tuple(by_id[name] for name in step.items), step.reduce)
        for step in lock.steps_of(unit_id, layer)
    )


def period(items: Sequence[LockedItem]) -> str:
    """Label of a single image: its day, `first/last` day, or `none` without scenes."""
    days = sorted(item.datetime[:10] for item in items)
    if not days:
        return "none"
    return days[0] if days[0] == days[-1] else f"{days[0]}/{days[-1]}"


def _locked(step: Step) -> LockedStep:
    names = tuple(item.id for item in step.items)
    return LockedStep(label=step.label, items=names, reduce=step.reduce)


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
