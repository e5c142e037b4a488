# SPDX-License-Identifier: Apache-2.0
"""From the recipe and what a source holds to the lock: which scenes make which units.

Laws:
1. Units come from the recipe's grid, never from the outlines of scenes.
2. The same files give the same lock, byte for byte.
3. All that can go wrong before pixels are read goes wrong here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from ..errors import (
    GridError,
    IncompleteError,
    InputError,
    RecipeError,
    SceneError,
    TerrapatchError,
)
from ..grid import (
    GEOGRAPHIC,
    Unit,
    geobox_to_dict,
    mgrs_tiles,
    mosaic_units,
    occupied,
    patch_windows,
    reprojected,
    share_surface,
    snapped_geobox,
    tile_units,
    windows_in_area,
)
from ..heights import HeightModel
from ..recipe import SamplingSettings, StageSettings, read_settings
from ..tables import (
    Exclusion,
    Lock,
    LockedFile,
    LockedItem,
    LockedUnit,
    Sensor,
    read_area,
    write_lock,
)
from .checks import check_heights, check_raw, missing_slices, together
from .folder import Found, search
from .gaps import gaps
from .geotiff import described_scenes, map_scene
from .policy import choose
from .references import FoundVectors, find_vectors
from .scene import Files, Scene, locked_item
from .statements import wrong_codes

SENSORS = ("sentinel2", "sentinel1", "reference")
"""In the order of the lock."""

_MOST_UNITS = 100_000
"""More than any area needs (the box around Brazil has 11,000 at 10 m): a mistake in the resolution."""


def plan(settings: Path, output: Path | None = None, archive: Path | None = None) -> Lock:
    """Find scenes, choose among them, and say which units they make.

    Args:
        settings: `settings/plan.json`.
        output: where to write the lock; nothing is written if absent.
        archive: folder of the simulated archive (source `simulated`).

    Returns:
        The lock: units by id, items by sensor and id, exclusions with their reasons.

    Raises:
        InputError, RecipeError: a path or an entry of the recipe is wrong.
        SceneError, GridError, SourceError: a chosen product is broken, incomplete or elsewhere.
        IncompleteError: nothing is left to build from; says why for each scene.
    """
    resolved = read_settings(settings)
    area, area_crs = read_area(resolved.area)
    files = Files(resolved.catalog.hash_files)
    vectors = find_vectors(
        resolved.reference, area, area_crs, files, archive=archive,
        unpack_to=settings.parent.parent / "unpacked",
    )  # fmt: skip
    found = _found(resolved, archive)
    wanted = [s for s in SENSORS if s == "reference" or s in resolved.modalities]
    chosen, excluded = choose(
        [scene for scene in found.scenes if scene.sensor in wanted],
        resolved.catalog,
        reprojected(area, area_crs, GEOGRAPHIC),
        resolved.sentinel1.polarisations,
        resolved.sentinel1.level,
    )
    excluded += [e for e in found.excluded if e.sensor in wanted]
    for sensor in wanted:
        if sensor == "reference" and resolved.reference.vectors:
            continue  # polygons stand in for maps
        _require(sensor, [s.id for s in chosen if s.sensor == sensor], excluded, found)
    files = Files(resolved.catalog.hash_files)
    items, errors = _locked(chosen, _bands(resolved), files)
    errors += wrong_codes(items, resolved.reference.crosswalk)
    beside = _Auxiliary()
    if "sentinel1" in wanted and resolved.sentinel1.level == "GRD":
        if resolved.catalog.missing_slices == "error":
            outline = reprojected(area, area_crs, GEOGRAPHIC)
            errors += missing_slices(chosen, found.scenes, excluded, outline)
        items, beside, faults = _beside(resolved, archive, items, files)
        errors += faults
    if errors:
        raise together(errors)
    units, left_out, boxes = _units(resolved, items, vectors, wanted, area, area_crs)
    used = {(sensor, i) for unit in units for sensor, ids in unit.items.items() for i in ids}
    excluded += [
        Exclusion(id=item.id, sensor=item.sensor, reason="its pixels meet no patch of the area")
        for item in items
        if (item.sensor, item.id) not in used
    ]
    if not units:
        reasons = [f"unit {unit}: {reason}" for unit, reason in left_out.items()]
        raise _empty("no unit has scenes of all sensors", excluded, found, reasons)
    if beside.model is not None:
        errors = check_heights(beside.model, boxes, sea=resolved.sentinel1.dem_sea)
        if errors:
            raise together(errors)
    items = [item for item in items if (item.sensor, item.id) in used]
    needed = {item.orbit_file for item in items}
    rank = {sensor: number for number, sensor in enumerate(SENSORS)}
    lock = Lock(
        name=resolved.name,
        source=resolved.catalog.source,
        units=units,
        items=tuple(
            sorted(items, key=lambda item: (rank[item.sensor], item.id)),
        ),
        heights=beside.heights,
        geoid=beside.geoid,
        orbits=tuple(file for file in beside.orbits if file.href in needed),
        vectors=vectors.vectors,
        excluded=tuple(sorted(excluded, key=lambda e: (rank[e.sensor], e.id, e.reason))),
        units_left_out=left_out,
        gaps=gaps(
            items, units, resolved.catalog.period,
            series=resolved.catalog.scenes_per_tile is None,
        ),
    )  # fmt: skip
    if output is not None:
        write_lock(lock, output)
    return lock


@dataclass(frozen=True)
class _Auxiliary:
    """What raw Sentinel-1 scenes need besides their own files."""

    heights: tuple[LockedFile, ...] = ()
    geoid: LockedFile | None = None
    orbits: tuple[LockedFile, ...] = ()
    model: HeightModel | None = None
    """The height files, opened."""


def _beside(
    settings: StageSettings, archive: Path | None, items: Sequence[LockedItem], files: Files
) -> tuple[list[LockedItem], _Auxiliary, list[TerrapatchError]]:
    """The items with their orbit files, all files beside them, and what is wrong."""
    radar = settings.sentinel1
    placed, orbits, errors = check_raw(items, radar, files)
    found = _Auxiliary(orbits=tuple(orbits))
    if radar.geometry == "gcp":
        return placed, found, errors
    # The recipe's height model, or the archive's own.
    own = [] if archive is None else sorted((archive / "dem").glob("*.tif"))
    paths = [Path(name) for name in radar.dem] or own
    try:
        heights = tuple(_locked_file(path, "height model", "dem", files) for path in paths)
        geoid = None
        if radar.geoid is not None:
            geoid = _locked_file(Path(radar.geoid), "geoid raster", "geoid", files)
        model = HeightModel([file.href for file in heights], radar.dem_vertical, radar.geoid)
        found = replace(found, heights=heights, geoid=geoid, model=model)
    except TerrapatchError as error:
        errors.append(error)
    return placed, found, errors


def _locked_file(path: Path, what: str, field: str, files: Files) -> LockedFile:
    if not path.is_file():
        raise InputError(f"{path}: no such {what}; correct sentinel1.{field} in the recipe")
    size, digest = files.record(path)
    return LockedFile(href=str(path), size=size, sha256=digest)


def _found(settings: StageSettings, archive: Path | None) -> Found:
    """All that the source offers, the reference among it."""
    catalog, reference = settings.catalog, settings.reference.path
    how: dict[str, Any] = {
        "raw": "sentinel1" in settings.modalities and settings.sentinel1.level == "GRD",
        "reflectance": settings.sentinel2.reflectance,
    }
    if catalog.source == "simulated":
        if archive is None or not archive.is_dir():
            raise InputError(
                f"{archive}: no simulated archive here; run `terrapatch simulate` first"
            )
        found = search([archive], **how)
        maps = sorted((archive / "reference").glob("*.tif"))
    else:
        found, maps = search([Path(path) for path in catalog.paths], **how), []
    scenes = [*found.scenes, *described_scenes(catalog.rasters, catalog.level)]
    # The archive's own map stands in where the recipe names no reference at all.
    own = [] if settings.reference.vectors else [str(path) for path in maps]
    names = [reference] if reference is not None else own
    scenes += [map_scene(name) for name in names]
    return Found(tuple(scenes), found.excluded, found.unknown)


def _bands(settings: StageSettings) -> dict[str, tuple[str, ...]]:
    """Bands that each sensor's stage will read, and the `masks` of Theia's products."""
    sentinel2 = settings.sentinel2
    bits = {"EDG": sentinel2.mask_edg, "CLM": sentinel2.mask_clm, "MG2": sentinel2.mask_mg2}
    classes = ("SCL",) if sentinel2.scl or sentinel2.mask_scl else ()
    return {
        "sentinel2": (*sentinel2.bands, *classes),
        "sentinel1": settings.sentinel1.polarisations,
        "reference": ("map",),
        "masks": tuple(name for name, used in bits.items() if used),
    }


def _locked(
    scenes: Sequence[Scene], bands: dict[str, tuple[str, ...]], files: Files
) -> tuple[list[LockedItem], list[TerrapatchError]]:
    """Open all chosen scenes; the broken ones are told with all else that is wrong."""
    items: list[LockedItem] = []
    errors: list[TerrapatchError] = []
    for scene in scenes:
        try:
            more = bands["masks"] if scene.processor == "theia" else ()
            items.append(locked_item(scene, (*bands[scene.sensor], *more), files))
        except TerrapatchError as error:
            errors.append(error)
    return items, errors


def _units(
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
    for unit in _grid_units(sampling, items, footprints, area, area_crs):
        geobox = geobox_to_dict(unit.geobox)
        crs = str(geobox["crs"])
        if crs not in areas:
            areas[crs] = reprojected(area, area_crs, crs)
        windows = patch_windows(unit, size_px=sampling.size_px, stride_px=sampling.step_px)
        inside = windows_in_area(windows, unit.geobox, areas[crs], sampling.area_rule)
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
    scenes = [s for s in sensors if s != "reference" or not settings.reference.vectors]
    reasons = [f"no scene of {', '.join(scenes)}"] if scenes else []
    if len(scenes) < len(sensors):
        reasons.append("no polygon of reference.vectors lies here")
    return "; ".join(reasons)


def _grid_units(
    sampling: SamplingSettings,
    items: Sequence[LockedItem],
    footprints: Mapping[tuple[Sensor, str], BaseGeometry],
    area: BaseGeometry,
    area_crs: str,
) -> list[Unit]:
    if sampling.kind == "mosaic":
        return _mosaic(sampling, area, area_crs)
    geographic = reprojected(area, area_crs, GEOGRAPHIC)
    tiles: set[str] = set()
    for item in items:
        if item.tile is not None and item.sensor == "sentinel2":
            tiles.add(item.tile)
        elif item.sensor == "sentinel2":
            # A scene without tile lies on the grid of the tiles of its own zone.
            crs = next(iter(item.assets.values())).crs
            around = mgrs_tiles(footprints[item.sensor, item.id].intersection(geographic))
            tiles |= {u.id for u in tile_units(around) if geobox_to_dict(u.geobox)["crs"] == crs}
    return tile_units([tile.removeprefix("T") for tile in tiles])


def _mosaic(sampling: SamplingSettings, area: BaseGeometry, area_crs: str) -> list[Unit]:
    try:
        CRS(sampling.crs)
    except RuntimeError as error:  # pyproj's
        raise RecipeError(f"sampling.crs: {sampling.crs!r} is no CRS: {error}") from error
    there = reprojected(area, area_crs, sampling.crs)
    bounds = there.bounds
    if CRS(sampling.crs).geographic and _crosses_antimeridian(there):
        raise GridError(
            f"sampling.crs: the area crosses the antimeridian, where a grid in {sampling.crs} "
            "ends; set a projected one, for example the UTM zone of the area"
        )
    if not all(math.isfinite(edge) for edge in bounds):
        raise GridError(
            f"the area cannot be drawn in {sampling.crs}, it reaches too far from where that CRS "
            "is valid; choose another sampling.crs"
        )
    geobox = snapped_geobox(bounds, sampling.crs, sampling.resolution)
    side = sampling.step_px * sampling.unit_patches
    count = math.ceil(geobox.shape[0] / side) * math.ceil(geobox.shape[1] / side)
    if count > _MOST_UNITS:
        raise RecipeError(
            f"sampling.resolution: {sampling.resolution:g} cuts the area into {count} units; it "
            f"counts in units of {sampling.crs}: is it degrees where metres are meant?"
        )
    return mosaic_units(
        geobox,
        size_px=sampling.size_px,
        stride_px=sampling.step_px,
        unit_patches=sampling.unit_patches,
    )


def _crosses_antimeridian(area: BaseGeometry) -> bool:
    """Whether an area in degrees lies on both sides of ±180, and not all around the Earth."""
    west, _, east, _ = area.bounds
    other_side = shapely.box(-90, -90, 90, 90)
    return west <= -180 + 1e-9 and east >= 180 - 1e-9 and not area.intersects(other_side)


def _belongs(item: LockedItem, unit: Unit, sampling: SamplingSettings) -> bool:
    """On tile grids a Sentinel-2 scene serves its own tile alone: no warp, no second zone."""
    if sampling.kind == "mosaic" or item.sensor != "sentinel2" or item.tile is None:
        return True
    return item.tile.removeprefix("T") == unit.id


def _require(
    sensor: str, chosen: Sequence[str], excluded: Sequence[Exclusion], found: Found
) -> None:
    if chosen:
        return
    out = [e for e in excluded if e.sensor == sensor]
    if out and all("wrong level" in e.reason for e in out):
        raise SceneError(
            f"no product of {sensor} of the level that the recipe asks for; set "
            f"{'sentinel1' if sensor == 'sentinel1' else 'catalog'}.level or "
            f"fetch other products:\n{_list(out)}"
        )
    raise _empty(f"no scene of {sensor} is left", out, found, [])


def _empty(
    what: str, excluded: Sequence[Exclusion], found: Found, more: Sequence[str]
) -> IncompleteError:
    lines = [f"the plan is empty: {what}"]
    lines += [f"  {line}" for line in more]
    lines += [_list(excluded)] if excluded else ["  nothing was found in the given places"]
    if found.unknown:
        lines.append(
            f"  {len(found.unknown)} raster(s) of no known kind, for example {found.unknown[0]}: "
            "describe them under catalog.rasters"
        )
    lines.append("widen area, period or cloud limit, or add products to catalog.paths")
    return IncompleteError("\n".join(lines))


def _list(excluded: Sequence[Exclusion]) -> str:
    return "\n".join(f"  {e.id}: {e.reason}" for e in excluded)
