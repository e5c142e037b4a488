# SPDX-License-Identifier: Apache-2.0
"""The scene policy: which of the scenes found are used, in which order, and why not the others.

Laws:
1. Pure functions on scenes: the same scenes in any order give the same choice.
2. Each step gives the scenes kept and, for every other one, one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from ..grid import share_surface
from ..records import Exclusion
from ..settings import CatalogSettings, Policy
from .families import uncovered
from .scene import Scene
from .traits import TRAITS

Sieved = tuple[list[Scene], list[Exclusion]]


def choose(
    scenes: Sequence[Scene],
    settings: CatalogSettings,
    area: BaseGeometry,
    policy: Policy,
) -> Sieved:
    """Choose among the scenes that a layer could be made of.

    Args:
        scenes: what a source offers of the layer's kind.
        settings: the recipe's section.
        area: the dataset's area in EPSG:4326.
        policy: what the layer asks for.

    Returns:
        Scenes to use, best first (see `best_first`), and the others with their reasons, by id.
    """
    steps: list[Callable[[Sequence[Scene]], Sieved]] = [
        lambda s: (distinct(s), []),
        usable,
        once,
        lambda s: of_level(s, policy.level),
        lambda s: of_processor(s, policy.processor),
        lambda s: in_period(s, settings.period if policy.dated else None),
        lambda s: in_area(s, area),
        lambda s: with_polarisations(s, policy.polarisations),
        lambda s: newest_versions(s, area),
        lambda s: in_direction(s, policy.orbit),
    ]
    if policy.clouds:
        below = settings.cloud_limit == "below"
        steps += [
            lambda s: clear_enough(s, settings.cloud_percent, below=below),
            lambda s: covering(s, area if settings.require_full_cover else None),
            lambda s: best_of_tiles(s, settings.scenes_per_tile),
        ]
    kept, excluded = sorted(scenes, key=lambda s: (s.sensor, s.id, s.where)), []
    for step in steps:
        kept, out = step(kept)
        excluded += out
    return best_first(kept, policy), sorted(excluded, key=lambda e: (e.sensor, e.id, e.reason))


def best_first(scenes: Sequence[Scene], policy: Policy) -> list[Scene]:
    """Scenes by priority: where they overlap, the first one with a valid pixel wins.

    Where clouds hide the ground: least cloud (unknown last), then earliest, then id; else earliest,
    then id. Maps keep the order in which the recipe names them.
    """

    def key(scene: Scene) -> tuple[float, str, str]:
        if not policy.dated:
            return 0.0, "", ""
        cloud = _cloud(scene) if policy.clouds else 0.0
        return cloud, scene.datetime, scene.id

    return _newest_first(sorted(scenes, key=key))


def _newest_first(scenes: Sequence[Scene]) -> list[Scene]:
    """The scenes in their order, but older versions of one ground right behind the newer ones."""
    leads: dict[tuple[str | None, ...], list[Scene]] = {}
    for scene in sorted(scenes, key=_version, reverse=True):
        if scene.datatake is not None:
            leads.setdefault(_acquisition(scene), []).append(scene)
    behind: dict[int, list[Scene]] = {}
    followers: set[int] = set()
    for group in leads.values():
        for number, scene in enumerate(group):
            half = 0.5 * scene.footprint.area
            newer = (o for o in group[:number] if _version(o) > _version(scene))
            lead = next(
                (o for o in newer if _shared(scene, o) > min(half, 0.5 * o.footprint.area)), None
            )
            if lead is not None:
                followers.add(id(scene))
                behind.setdefault(id(lead), []).append(scene)

    def with_followers(scene: Scene) -> list[Scene]:
        return [scene, *(f for b in behind.get(id(scene), ()) for f in with_followers(b))]

    return [s for scene in scenes if id(scene) not in followers for s in with_followers(scene)]


def usable(scenes: Sequence[Scene]) -> Sieved:
    """Leave out what no setting could make usable."""
    return _split(scenes, lambda s: s.unusable)


def distinct(scenes: Sequence[Scene]) -> list[Scene]:
    """The scenes with ids that no two different ones share.

    Names of files are no identity: `2022-06-01/s2.tif` and `2022-07-01/s2.tif` are two scenes.
    Where different scenes have one id, each gets what tells it apart: date, time, tile, folder.
    """
    groups: dict[tuple[str, str], dict[tuple[str | None, ...], list[Scene]]] = {}
    for scene in scenes:
        same = groups.setdefault((scene.sensor, scene.id), {})
        same.setdefault(_content(scene), []).append(scene)
    taken = {name for (_, name), contents in groups.items() if len(contents) == 1}
    found = []
    for (_, name), contents in groups.items():
        members = [group[0] for group in contents.values()]
        names = [name] if len(members) == 1 else _told_apart(name, members, taken)
        taken |= {*names}
        for group, own in zip(contents.values(), names, strict=True):
            found += [scene if own == name else replace(scene, id=own) for scene in group]
    return found


def _content(scene: Scene) -> tuple[str | None, ...]:
    """What copies of a product have in common."""
    when = "" if TRAITS[scene.sensor].codes else scene.datetime
    return when, scene.tile, scene.origin


def _told_apart(name: str, scenes: Sequence[Scene], taken: Collection[str]) -> list[str]:
    folders = [Path(scene.origin or scene.where).parent.name for scene in scenes]
    days = [scene.datetime[:10].replace("-", "") for scene in scenes]
    times = [re.sub(r"[-:Z]", "", scene.datetime) for scene in scenes]
    tiles = [scene.tile or "" for scene in scenes]
    for parts in (days, times, tiles, folders, map("_".join, zip(days, folders, strict=True))):
        names = [f"{name}_{part}".rstrip("_") for part in parts]
        if len({*names}) == len(names) and not {*names} & {*taken}:
            return names
    order = sorted(range(len(scenes)), key=lambda n: (_content(scenes[n]), scenes[n].where))
    return [f"{name}_{order.index(n) + 1}" for n in range(len(scenes))]


def once(scenes: Sequence[Scene]) -> Sieved:
    """Keep one copy of a product that lies in several places: the newest, then the first by path."""
    first: dict[tuple[str, str], Scene] = {}
    for scene in scenes:
        best = first.setdefault((scene.sensor, scene.id), scene)
        if _version(scene) > _version(best):
            first[scene.sensor, scene.id] = scene

    def reason(scene: Scene) -> str | None:
        used = first[scene.sensor, scene.id]
        if used is scene:
            return None
        if _version(used) > _version(scene):
            return _older(scene, used)
        if used.where == scene.where:
            return f"listed several times in {used.where}: one of them is used"
        return f"the same product is read from {used.where}"

    return _split(scenes, reason)


def of_level(scenes: Sequence[Scene], level: str | None) -> Sieved:
    """Keep products of the layer's level."""

    def reason(scene: Scene) -> str | None:
        if level in (None, scene.level):
            return None
        return f"product of the wrong level: {scene.level}, the recipe asks for {level}"

    return _split(scenes, reason)


def of_processor(scenes: Sequence[Scene], processor: str | None) -> Sieved:
    """Keep products of one processor; where nothing says it, a scene passes."""

    def reason(scene: Scene) -> str | None:
        if processor is None or scene.processor in (None, processor):
            return None
        return f"product of {scene.processor}, the recipe asks for {processor} (processor)"

    return _split(scenes, reason)


def in_period(scenes: Sequence[Scene], period: tuple[date, date] | None) -> Sieved:
    """Keep acquisitions from the first to the last day, both included."""

    def reason(scene: Scene) -> str | None:
        if period is None:
            return None
        if period[0] <= scene.day <= period[1]:
            return None
        return f"outside the period {period[0]} to {period[1]}"

    return _split(scenes, reason)


def in_area(scenes: Sequence[Scene], area: BaseGeometry) -> Sieved:
    """Keep scenes whose valid data share some surface with the area (EPSG:4326)."""

    def reason(scene: Scene) -> str | None:
        return None if share_surface(scene.footprint, area) else "outside the area"

    return _split(scenes, reason)


def newest_versions(scenes: Sequence[Scene], area: BaseGeometry | None = None) -> Sieved:
    """Of several versions of one acquisition keep that of the highest baseline, then the newest.

    Versions share sensor, platform, datatake and tile, and more than half of their surface. One of
    them is left out where newer ones show all of its ground (in the area, EPSG:4326, if one is
    given); what they leave open is kept: a product that was cut into other slices. Two datastrips
    that meet inside a tile, and slices of a pass, share little: they are no versions.
    """
    groups: dict[tuple[str | None, ...], list[Scene]] = {}
    for scene in scenes:
        if scene.datatake is not None:
            groups.setdefault(_acquisition(scene), []).append(scene)
    newer: dict[int, Scene] = {}
    for group in groups.values():
        used: list[Scene] = []
        # The sort is stable, also backwards: of equals the first by id stays first.
        for scene in sorted(group, key=_version, reverse=True):
            over = [u for u in used if share_surface(scene.footprint, u.footprint)]
            if over and _are_versions(scene, over) and not _left_open(scene, over, area):
                newer[id(scene)] = max(over, key=lambda u: _shared(scene, u))
            else:
                used.append(scene)
    return _split(scenes, lambda s: _older(s, newer[id(s)]) if id(s) in newer else None)


def _acquisition(scene: Scene) -> tuple[str | None, ...]:
    return scene.sensor, scene.platform, scene.datatake, scene.tile


def _older(scene: Scene, newer: Scene) -> str:
    version = f"(baseline {scene.processing_baseline}, made {scene.generation or '?'})"
    name = newer.id if newer.id != scene.id else f"{newer.id} in {newer.where}"
    return f"an older version of {name} {version}"


def with_polarisations(scenes: Sequence[Scene], wanted: Sequence[str]) -> Sieved:
    """Keep scenes that have all wanted polarisations."""

    def reason(scene: Scene) -> str | None:
        lacking = [p for p in wanted if p not in scene.polarisations]
        if not lacking:
            return None
        return f"has {', '.join(scene.polarisations) or 'nothing'}, lacks {', '.join(lacking)}"

    return _split(scenes, reason)


def in_direction(scenes: Sequence[Scene], direction: str) -> Sieved:
    """Keep scenes of one direction of flight."""

    def reason(scene: Scene) -> str | None:
        if direction in ("both", scene.orbit_direction):
            return None
        return f"orbit direction {scene.orbit_direction or 'unknown'}, not {direction}"

    return _split(scenes, reason)


def clear_enough(scenes: Sequence[Scene], limit: float, *, below: bool = False) -> Sieved:
    """Keep scenes with at most `limit` percent of cloud, or with less; unknown cloud passes."""

    def reason(scene: Scene) -> str | None:
        cloud = scene.cloud_percent
        if cloud is None or cloud < limit or (cloud == limit and not below):
            return None
        return f"{cloud:.1f} % cloud, the limit is {'below ' if below else ''}{limit:g} %"

    return _split(scenes, reason)


def covering(scenes: Sequence[Scene], area: BaseGeometry | None) -> Sieved:
    """Keep scenes that show all of the area (EPSG:4326) that their grid covers.

    Source: the step `delete_masked_S2` of MultiSenGE, which compares an edge mask with the
    reference. An area of None keeps all.
    """

    def reason(scene: Scene) -> str | None:
        share = None if area is None else uncovered(scene, area)
        if not share:
            return None
        return f"{max(100 * share, 0.01):.2f} % of the area in its grid lies outside the image"

    return _split(scenes, reason)


def best_of_tiles(scenes: Sequence[Scene], count: int | None) -> Sieved:
    """Keep the best `count` dates of each tile: least cloud, earliest, id.

    Two datastrips of one pass are one date; its cloud is the mean over their surfaces.
    """
    dates: dict[tuple[str | None, date, str | None], list[Scene]] = {}
    for scene in scenes:
        dates.setdefault((scene.tile, scene.day, scene.platform), []).append(scene)
    ranked: dict[str | None, list[tuple[float, date, str]]] = {}
    place: dict[str, tuple[str | None, tuple[float, date, str]]] = {}
    for (tile, day, _), group in dates.items():
        weight = sum(s.footprint.area for s in group)
        cloud = sum(_cloud(s) * s.footprint.area for s in group) / weight
        rank = (cloud, day, min(s.id for s in group))
        ranked.setdefault(tile, []).append(rank)
        place |= {s.id: (tile, rank) for s in group}
    for ranks in ranked.values():
        ranks.sort()

    def reason(scene: Scene) -> str | None:
        if count is None or scene.id not in place:
            return None
        tile, rank = place[scene.id]
        number = ranked[tile].index(rank) + 1
        if number <= count:
            return None
        return f"number {number} of tile {tile or '?'} by cloud, the recipe keeps {count}"

    return _split(scenes, reason)


def _version(scene: Scene) -> tuple[tuple[int, ...], str]:
    """Baseline as numbers (05.9 comes before 05.10), then the time of making."""
    numbers = re.findall(r"\d+", scene.processing_baseline or "")
    return tuple(int(number) for number in numbers), scene.generation


def _cloud(scene: Scene) -> float:
    # Unknown cloud ranks behind any known one.
    return 101.0 if scene.cloud_percent is None else scene.cloud_percent


_OUTLINE_DEG = 0.01
"""Outlines of versions differ by this much, though they show the same ground."""


def _are_versions(scene: Scene, others: Sequence[Scene]) -> bool:
    """Whether others show more than half of a scene's ground."""
    shown = shapely.union_all([o.footprint for o in others]).intersection(scene.footprint)
    return bool(shown.area > 0.5 * scene.footprint.area)


def _left_open(scene: Scene, others: Sequence[Scene], area: BaseGeometry | None) -> bool:
    """Whether a scene shows ground (in an area) that none of the others shows."""
    open_ground = scene.footprint.difference(shapely.union_all([o.footprint for o in others]))
    ground = open_ground.buffer(-_OUTLINE_DEG).buffer(_OUTLINE_DEG)
    return bool(ground.area > 0 and (area is None or share_surface(ground, area)))


def _shared(scene: Scene, other: Scene) -> float:
    return float(scene.footprint.intersection(other.footprint).area)


def _split(scenes: Sequence[Scene], reason: Callable[[Scene], str | None]) -> Sieved:
    kept, excluded = [], []
    for scene in scenes:
        why = reason(scene)
        if why is None:
            kept.append(scene)
        else:
            excluded.append(Exclusion(id=scene.id, sensor=scene.sensor, reason=why))
    return kept, excluded
