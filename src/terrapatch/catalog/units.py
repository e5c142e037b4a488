# SPDX-License-Identifier: Apache-2.0
"""The units of a plan: which pieces of the recipe's grid hold a patch and scenes of every sensor.

Law: units come from the recipe's grid, never from the outlines of scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from ..grid import (
    GEOGRAPHIC,
    Unit,
    geobox_to_dict,
    mgrs_tile_geobox,
    mgrs_tiles,
    one_name,
    reprojected,
    same_crs,
    share_surface,
)
from ..places import KINDS, Ground, occupied, windows_of
from ..recipe import StageSettings
from ..sections import SamplingSettings
from ..tables import LockedItem, LockedUnit, Sensor
from .references import FoundVectors


def locked_units(
    settings: StageSettings,
    items: Sequence[LockedItem],
    vectors: FoundVectors,
    wanted: Sequence[str],
    area: BaseGeometry,
    area_crs: str,
) -> tuple[tuple[LockedUnit, ...], dict[str, str], dict[str, GeoBox]]:
    """Units that hold a patch and a scene of every sensor, the others with their reasons.

    And the part of each unit that its patches take up: on tile grids often a corner of it.
    """
    sampling = settings.sampling
    footprints = {(i.sensor, i.id): shapely.geometry.shape(i.footprint) for i in items}
    areas: dict[str, BaseGeometry] = {}
    units, left_out, boxes = [], {}, {}
    tiles = partial(_tiles, items, footprints, area, area_crs)
    for unit in KINDS[sampling.kind].units(sampling, Ground(area, area_crs, tiles)):
        geobox = geobox_to_dict(unit.geobox)
        crs = str(geobox["crs"])
        if crs not in areas:
            areas[crs] = reprojected(area, area_crs, crs)
        inside = windows_of(unit, sampling, areas[crs])
        if not inside:
            continue
        box = occupied(unit.geobox, [(w.y_px, w.x_px) for w in inside], sampling.size_px)
        outline = reprojected(box.extent.geom, crs, GEOGRAPHIC)
        here = [
            item
            for item in items
            if _belongs(item, unit, sampling)
            and share_surface(footprints[item.sensor, item.id], outline)
        ]
        by_sensor = {s: tuple(i.id for i in here if i.sensor == s) for s in wanted}
        polygons = vectors.around(unit.geobox)
        lacking = [
            s for s, ids in by_sensor.items() if not ids and not (s == "reference" and polygons)
        ]
        if lacking:
            left_out[unit.id] = _lacks(lacking, settings)
            continue
        boxes[unit.id] = box
        units.append(
            LockedUnit(
                id=unit.id, geobox=geobox, first_row=unit.first_row, first_col=unit.first_col,
                items={s: ids for s, ids in by_sensor.items() if ids}, vectors=polygons,
            )
        )  # fmt: skip
    return tuple(sorted(units, key=lambda u: u.id)), left_out, boxes


def _lacks(sensors: Sequence[str], settings: StageSettings) -> str:
    """Why a unit is left out."""
    scenes = [s for s in sensors if s != "reference" or not settings.label.vectors]
    reasons = [f"no scene of {', '.join(scenes)}"] if scenes else []
    if len(scenes) < len(sensors):
        reasons.append("no polygon of vectors lies here")
    return "; ".join(reasons)


def _tiles(
    items: Sequence[LockedItem],
    footprints: Mapping[tuple[Sensor, str], BaseGeometry],
    area: BaseGeometry,
    area_crs: str,
) -> list[str]:
    """Tiles that there are Sentinel-2 scenes of."""
    geographic = reprojected(area, area_crs, GEOGRAPHIC)
    tiles: set[str] = set()
    for item in items:
        if item.tile is not None and item.sensor == "sentinel2":
            tiles.add(item.tile)
        elif item.sensor == "sentinel2":
            # A scene without tile lies on the grid of the tiles of its own zone.
            crs = next(iter(item.assets.values())).crs
            around = mgrs_tiles(footprints[item.sensor, item.id].intersection(geographic))
            tiles |= {u for u in around if same_crs(str(mgrs_tile_geobox(one_name(u)).crs), crs)}
    return sorted(tiles)


def middle_latitude(sampling: SamplingSettings, area: BaseGeometry, area_crs: str) -> float | None:
    """Middle of the area on a grid in degrees; it does not depend on how units are cut."""
    if sampling.kind != "mosaic" or not CRS(sampling.crs).geographic:
        return None
    _, south, _, north = reprojected(area, area_crs, sampling.crs).bounds
    return round(float(south + north) / 2, 6)


def _belongs(item: LockedItem, unit: Unit, sampling: SamplingSettings) -> bool:
    """On tile grids a Sentinel-2 scene serves its own tile alone: no warp, no second zone."""
    if sampling.kind == "mosaic" or item.sensor != "sentinel2" or item.tile is None:
        return True
    return one_name(item.tile.removeprefix("T")) == unit.id
