# SPDX-License-Identifier: Apache-2.0
"""The scene policy: which of the scenes found are used, in which order, and why not the others.

Laws:
1. Pure functions on scenes: the same scenes in any order give the same choice.
2. Each step gives the scenes kept and, for every other one, one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from shapely.geometry.base import BaseGeometry

from ..grid import share_surface
from ..recipe import CatalogSettings
from ..tables import Exclusion
from .scene import Scene

Sieved = tuple[list[Scene], list[Exclusion]]


def choose(
    scenes: Sequence[Scene],
    settings: CatalogSettings,
    area: BaseGeometry,
    polarisations: Sequence[str] = (),
    radar_level: str = "RTC",
) -> Sieved:
    """Apply the whole policy.

    Args:
        scenes: what a source offers.
        settings: the recipe's section.
        area: the dataset's area in EPSG:4326.
        polarisations: what Sentinel-1 scenes must have.
        radar_level: level of Sentinel-1 scenes to use, RTC or GRD.

    Returns:
        Scenes to use, best first (see `best_first`), and the others with their reasons, by id.
    """
    steps: list[Callable[[Sequence[Scene]], Sieved]] = [
        usable,
        once,
        lambda s: of_level(s, settings.level, radar_level),
        lambda s: of_processor(s, settings.processor),
        lambda s: in_period(s, settings.period),
        lambda s: in_area(s, area),
        newest_versions,
        lambda s: with_polarisations(s, polarisations),
        lambda s: in_direction(s, settings.orbit_direction),
        lambda s: clear_enough(s, settings.cloud_percent, below=settings.cloud_limit == "below"),
        lambda s: covering(s, area if settings.require_full_cover else None),
        lambda s: best_of_tiles(s, settings.scenes_per_tile),
    ]
    kept, excluded = sorted(scenes, key=lambda s: (s.sensor, s.id, s.where)), []
    for step in steps:
        kept, out = step(kept)
        excluded += out
    return best_first(kept), sorted(excluded, key=lambda e: (e.sensor, e.id, e.reason))


def best_first(scenes: Sequence[Scene]) -> list[Scene]:
    """Scenes by priority: where they overlap, the first one with a valid pixel wins.

    Sentinel-2: least cloud (unknown last), then earliest, then id. Sentinel-1: earliest, then id.
    Reference maps keep the order in which the recipe names them.
    """

    def key(scene: Scene) -> tuple[float, str, str]:
        if scene.sensor == "reference":
            return 0.0, "", ""
        cloud = _cloud(scene) if scene.sensor == "sentinel2" else 0.0
        return cloud, scene.datetime, scene.id

    return sorted(scenes, key=key)


def usable(scenes: Sequence[Scene]) -> Sieved:
    """Leave out what no setting could make usable."""
    return _split(scenes, lambda s: s.unusable)


def once(scenes: Sequence[Scene]) -> Sieved:
    """Keep one copy of a product that lies in several places, the first by path."""
    first: dict[tuple[str, str], str] = {}
    for scene in scenes:
        first.setdefault((scene.sensor, scene.id), scene.where)

    def reason(scene: Scene) -> str | None:
        used = first[scene.sensor, scene.id]
        return None if used == scene.where else f"the same product is read from {used}"

    return _split(scenes, reason)


def of_level(scenes: Sequence[Scene], level: str, radar_level: str = "RTC") -> Sieved:
    """Keep Sentinel-2 and Sentinel-1 products of the recipe's levels."""
    wanted = {"sentinel2": level, "sentinel1": radar_level}

    def reason(scene: Scene) -> str | None:
        right = wanted.get(scene.sensor, scene.level)
        if scene.level == right:
            return None
        return f"product of the wrong level: {scene.level}, the recipe asks for {right}"

    return _split(scenes, reason)


def of_processor(scenes: Sequence[Scene], processor: str) -> Sieved:
    """Keep Sentinel-2 products of one processor; where nothing says it, a scene passes."""

    def reason(scene: Scene) -> str | None:
        if scene.sensor != "sentinel2" or scene.processor in (None, processor):
            return None
        return f"product of {scene.processor}, the recipe asks for {processor} (catalog.processor)"

    return _split(scenes, reason)


def in_period(scenes: Sequence[Scene], period: tuple[date, date] | None) -> Sieved:
    """Keep acquisitions from the first to the last day, both included."""

    def reason(scene: Scene) -> str | None:
        if scene.sensor == "reference" or period is None:
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


def newest_versions(scenes: Sequence[Scene]) -> Sieved:
    """Of several versions of one acquisition keep that of the highest baseline, then the newest.

    Versions share sensor, platform, datatake and tile, and more than half of the smaller one's
    surface. Two datastrips of a datatake that meet inside a tile share little: both are kept,
    they complete each other.
    """
    groups: dict[tuple[str | None, ...], list[Scene]] = {}
    for scene in scenes:
        if scene.datatake is not None:
            key = (scene.sensor, scene.platform, scene.datatake, scene.tile)
            groups.setdefault(key, []).append(scene)
    reasons: dict[str, str] = {}
    for group in groups.values():
        used: list[Scene] = []
        # The sort is stable, also backwards: of equals the first by id stays first.
        for scene in sorted(group, key=_version, reverse=True):
            other = next((u for u in used if _same_ground(scene, u)), None)
            if other is None:
                used.append(scene)
            else:
                reasons[scene.id] = (
                    f"an older version of {other.id} "
                    f"(baseline {scene.processing_baseline}, made {scene.generation or '?'})"
                )
    return _split(scenes, lambda s: reasons.get(s.id))


def with_polarisations(scenes: Sequence[Scene], wanted: Sequence[str]) -> Sieved:
    """Keep Sentinel-1 scenes that have all wanted polarisations."""

    def reason(scene: Scene) -> str | None:
        lacking = [p for p in wanted if p not in scene.polarisations]
        if scene.sensor != "sentinel1" or not lacking:
            return None
        return f"has {', '.join(scene.polarisations) or 'nothing'}, lacks {', '.join(lacking)}"

    return _split(scenes, reason)


def in_direction(scenes: Sequence[Scene], direction: str) -> Sieved:
    """Keep Sentinel-1 scenes of the recipe's orbit direction."""

    def reason(scene: Scene) -> str | None:
        if scene.sensor != "sentinel1" or direction in ("both", scene.orbit_direction):
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
    """Keep Sentinel-2 scenes that show all of the area (EPSG:4326) that their grid covers.

    Source: the step `delete_masked_S2` of MultiSenGE, which compares Theia's edge mask with the
    reference. An area of None keeps all.
    """

    def reason(scene: Scene) -> str | None:
        if area is None or scene.uncovered is None:
            return None
        share = scene.uncovered(area)
        if share == 0:
            return None
        return f"{max(100 * share, 0.01):.2f} % of the area in its grid lies outside the image"

    return _split(scenes, reason)


def best_of_tiles(scenes: Sequence[Scene], count: int | None) -> Sieved:
    """Keep the best `count` Sentinel-2 dates of each tile: least cloud, earliest, id.

    Two datastrips of one pass are one date; its cloud is the mean over their surfaces.
    """
    dates: dict[tuple[str | None, date, str | None], list[Scene]] = {}
    for scene in scenes:
        if scene.sensor == "sentinel2":
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


def _version(scene: Scene) -> tuple[str, str]:
    return scene.processing_baseline or "", scene.generation


def _cloud(scene: Scene) -> float:
    # Unknown cloud ranks behind any known one.
    return 101.0 if scene.cloud_percent is None else scene.cloud_percent


def _same_ground(scene: Scene, other: Scene) -> bool:
    shared = scene.footprint.intersection(other.footprint).area
    return bool(shared > 0.5 * min(scene.footprint.area, other.footprint.area))


def _split(scenes: Sequence[Scene], reason: Callable[[Scene], str | None]) -> Sieved:
    kept, excluded = [], []
    for scene in scenes:
        why = reason(scene)
        if why is None:
            kept.append(scene)
        else:
            excluded.append(Exclusion(id=scene.id, sensor=scene.sensor, reason=why))
    return kept, excluded
