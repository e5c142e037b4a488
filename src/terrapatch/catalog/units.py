# SPDX-License-Identifier: Apache-2.0
"""The units of a plan: which pieces of the recipe's grid hold a patch and scenes of every layer.

Law: units come from the recipe's grid, never from the outlines of scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from ..crs import GEOGRAPHIC, same_crs
from ..grid import (
    Unit,
    geobox_to_dict,
    mgrs_tile_geobox,
    mgrs_tiles,
    one_name,
    reprojected,
    share_surface,
)
from ..places import KINDS, Ground, occupied, place_of, windows_of
from ..places.points import in_area
from ..recipe import StageSettings
from ..records import LockedItem, LockedUnit
from ..settings import Policy, SamplingSettings
from ..vectors import PlaceTable
from .references import FoundVectors


def locked_units(
    settings: StageSettings,
    items: Sequence[LockedItem],
    chosen: Mapping[str, Sequence[str]],
    vectors: FoundVectors,
    area: BaseGeometry,
    area_crs: str,
    table: PlaceTable | None = None,
) -> tuple[tuple[LockedUnit, ...], dict[str, str], dict[str, GeoBox]]:
    """Units that hold a patch and a scene of every layer, the others with their reasons.

    A layer of which a patch needs no pixel (`valid: 0`) may be without scenes. And the part of each
    unit that its patches take up: on tile grids often a corner of it.

    Args:
        settings: of the stage.
        items: all scenes that are used.
        chosen: layer → ids of its scenes, best first.
        vectors: polygons of labels.
        area: the recipe's area.
        area_crs: its CRS.
        table: points, where the sampling has them.
    """
    sampling, scenes = settings.sampling, _Scenes.of(settings, items, chosen)
    areas: dict[str, BaseGeometry] = {}
    units, left_out, boxes = [], {}, {}
    tiles = partial(scenes.tiles, area, area_crs)
    for unit in KINDS[sampling.kind].units(sampling, Ground(area, area_crs, tiles, table)):
        geobox = geobox_to_dict(unit.geobox)
        crs = str(geobox["crs"])
        if crs not in areas:
            areas[crs] = reprojected(area, area_crs, crs)
        inside = windows_of(unit, sampling, areas[crs])
        if not inside:
            continue
        box = occupied(unit.geobox, [(w.y_px, w.x_px) for w in inside], sampling.size_px)
        by_layer = scenes.around(unit, reprojected(box.extent.geom, crs, GEOGRAPHIC), sampling)
        polygons = vectors.around(unit.geobox)
        labelled = {name.split(".")[0] for name in polygons}
        lacking = [
            name
            for name, ids in by_layer.items()
            if not ids and name not in labelled and settings.required(name)
        ]
        if lacking:
            left_out[unit.id] = _lacks(lacking, settings)
            continue
        boxes[unit.id] = box
        units.append(
            LockedUnit(
                id=unit.id, geobox=geobox, first_row=unit.first_row,
                first_col=unit.first_col, items={name: i for name, i in by_layer.items() if i},
                vectors=polygons,
                windows=None if unit.windows is None else tuple(
                    (w.id, w.y_px, w.x_px) for w in unit.windows
                ),
            )
        )  # fmt: skip
    return tuple(sorted(units, key=lambda u: u.id)), left_out, boxes


Key = tuple[str, str]
"""What a scene is of, and its id."""


@dataclass(frozen=True)
class _Scenes:
    """All scenes that are used, to be asked which lie where."""

    items: Mapping[Key, LockedItem]
    outlines: Sequence[BaseGeometry]
    """Footprints, each once: all dates of a tile have one, and what is asked of it is asked once."""
    alike: Sequence[Sequence[Key]]
    """Scenes of each outline."""
    tree: shapely.STRtree
    """Of the outlines."""
    policies: Mapping[str, Policy]
    """By layer."""
    ranks: Mapping[str, Mapping[Key, int]]
    """Layer → place of each scene among its own."""

    @classmethod
    def of(
        cls, settings: StageSettings, items: Sequence[LockedItem],
        chosen: Mapping[str, Sequence[str]],
    ) -> _Scenes:  # fmt: skip
        policies = {name: layer.policy for name, layer in settings.layers.items()}
        footprints = {(i.sensor, i.id): shapely.geometry.shape(i.footprint) for i in items}
        alike: dict[bytes, list[Key]] = {}
        for key, footprint in footprints.items():
            alike.setdefault(footprint.wkb, []).append(key)
        outlines = [footprints[keys[0]] for keys in alike.values()]
        return cls(
            items={(i.sensor, i.id): i for i in items},
            outlines=outlines,
            alike=[*alike.values()],
            tree=shapely.STRtree(outlines),
            policies=policies,
            ranks={
                name: {(policy.scenes, i): rank for rank, i in enumerate(chosen[name])}
                for name, policy in policies.items()
            },
        )

    def around(
        self, unit: Unit, outline: BaseGeometry, sampling: SamplingSettings
    ) -> dict[str, tuple[str, ...]]:
        """Layer → ids of the scenes that share surface with an outline in EPSG:4326, best first."""
        here = {
            key
            for number in self.tree.query(outline).tolist()
            if share_surface(self.outlines[number], outline)
            for key in self.alike[number]
        }
        return {
            name: tuple(
                key[1]
                for key in sorted(here & self.ranks[name].keys(), key=self.ranks[name].__getitem__)
                if _belongs(self.items[key].tile, unit, sampling, policy)
            )
            for name, policy in self.policies.items()
        }

    def tiles(self, area: BaseGeometry, area_crs: str) -> list[str]:
        """Tiles that there are scenes of, of the kinds that come in tiles."""
        tiled = {policy.scenes for policy in self.policies.values() if policy.own_tile}
        geographic = reprojected(area, area_crs, GEOGRAPHIC)
        tiles: set[str] = set()
        for item in self.items.values():
            if item.sensor not in tiled:
                continue
            if item.tile is not None:
                tiles.add(item.tile)
            else:
                # A scene without tile lies on the grid of the tiles of its own zone.
                crs = next(iter(item.assets.values())).crs
                footprint = shapely.geometry.shape(item.footprint)
                around = mgrs_tiles(footprint.intersection(geographic))
                tiles |= {
                    u for u in around if same_crs(str(mgrs_tile_geobox(one_name(u)).crs), crs)
                }
        return sorted(tiles)


def _lacks(layers: Sequence[str], settings: StageSettings) -> str:
    """Why a unit is left out."""
    labels = settings.labels
    scenes = [n for n in layers if n not in labels or not labels[n].vectors]
    reasons = [f"no scene of {', '.join(scenes)}"] if scenes else []
    reasons += [f"no polygon of layers.{n}.vectors lies here" for n in layers if n not in scenes]
    return "; ".join(reasons)


def middle_latitude(sampling: SamplingSettings, area: BaseGeometry, area_crs: str) -> float | None:
    """Middle of the area on a grid in degrees; it does not depend on how units are cut."""
    if sampling.kind != "mosaic" or not CRS(sampling.crs).geographic:
        return None
    _, south, _, north = reprojected(area, area_crs, sampling.crs).bounds
    return round(float(south + north) / 2, 6)


NO_TILE = "no tile with scenes holds its window whole"
NO_UNIT = "its tile has not all scenes: see units_left_out"


def places_left_out(
    table: PlaceTable | None, units: Sequence[LockedUnit], left_out: Mapping[str, str],
    area: BaseGeometry, area_crs: str,
) -> dict[str, tuple[str, ...]]:  # fmt: skip
    """Why points are in no unit → their ids.

    Args:
        table: points; nothing without.
        units: those of the plan.
        left_out: units that the area has and the plan has not.
        area: the recipe's area.
        area_crs: its CRS.
    """
    if table is None:
        return {}
    placed = {place_of(name) for unit in units for name, _, _ in unit.windows or ()}
    inside = in_area(table.xy, Ground(area, area_crs, list))
    rest = [
        name for name, here in zip(table.ids, inside, strict=True) if here and name not in placed
    ]
    return table.lost | ({NO_UNIT if left_out else NO_TILE: tuple(rest)} if rest else {})


def _belongs(tile: str | None, unit: Unit, sampling: SamplingSettings, policy: Policy) -> bool:
    """On tile grids a scene that comes in tiles serves its own alone: no warp, no second zone."""
    if sampling.kind == "mosaic" or not policy.own_tile or tile is None:
        return True
    return one_name(tile.removeprefix("T")) == unit.id
