# SPDX-License-Identifier: Apache-2.0
"""From the recipe and what a source holds to the lock: which scenes make which units.

Laws:
1. Units come from the recipe's grid, never from the outlines of scenes.
2. The same files give the same lock, byte for byte.
3. All that can go wrong before pixels are read goes wrong here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import (
    IncompleteError,
    InputError,
    SceneError,
    TerrapatchError,
)
from ..heights import HeightModel
from ..recipe import StageSettings, read_settings
from ..sections import Sentinel1Settings, Sentinel2Settings, named_files
from ..sums import Sums
from ..tables import (
    Exclusion,
    Lock,
    LockedFile,
    LockedItem,
    write_lock,
)
from ..vectors import read_area
from .checks import (
    check_heights,
    check_raw,
    degrees,
    missing_slices,
    shared_pixels,
    swapped,
    together,
)
from .files import Files
from .folder import Found, search
from .gaps import gaps
from .geotiff import described_scenes, map_scene
from .locking import locked_item
from .policy import choose
from .references import FoundVectors, find_vectors
from .scene import Scene
from .statements import wrong_codes
from .units import locked_units, middle_latitude
from .unused import left_over, printable

SENSORS = ("sentinel2", "sentinel1", "reference")
"""In the order of the lock."""

_Layer = TypeVar("_Layer", Sentinel2Settings, Sentinel1Settings)


def plan(
    settings: Path, output: Path | None = None, archive: Path | None = None, home: Path | None = None
) -> Lock:  # fmt: skip
    """Find scenes, choose among them, and say which units they make.

    Args:
        settings: `settings/plan.json`.
        output: where to write the lock; nothing is written if absent.
        archive: folder of the simulated archive (source `simulated`).
        home: folder of results that is looked at and left as it is; absent: that of the settings,
            where hashes are remembered.

    Returns:
        The lock: units by id, items by sensor and id, exclusions with their reasons.

    Raises:
        InputError, RecipeError: a path or an entry of the recipe is wrong.
        SceneError, GridError, SourceError: a chosen product is broken, incomplete or elsewhere.
        IncompleteError: nothing is left to build from; says why for each scene.
    """
    resolved = read_settings(settings)
    notes: list[str] = []
    area, area_crs = read_area(resolved.area, notes)
    ours = settings.parent.parent
    sums = Sums(home or ours)
    named = _named(resolved, sums)
    files = Files(resolved.catalog.hash_files, sums)
    vectors = find_vectors(
        resolved.label, area, area_crs, files, archive=archive,
        unpack_to=ours / "unpacked",
    )  # fmt: skip
    outline = degrees(area, area_crs)
    found = _found(resolved, archive, ours=home or ours)
    optical, radar = _layer(resolved, Sentinel2Settings), _layer(resolved, Sentinel1Settings)
    wanted = [s for s in SENSORS if s == "reference" or s in resolved.images]
    chosen, excluded = choose(
        [scene for scene in found.scenes if scene.sensor in wanted],
        resolved.catalog,
        outline,
        optical,
        radar,
    )
    excluded += left_over(found, wanted, _named_elsewhere(resolved, found, vectors))
    for sensor in wanted:
        if sensor == "reference" and resolved.label.vectors:
            continue  # polygons stand in for maps
        hints = (
            []
            if any(s.sensor == sensor for s in chosen)
            else swapped(outline, found.scenes, sensor)
        )
        _require(sensor, [s.id for s in chosen if s.sensor == sensor], excluded, hints)
    items, errors = _locked(chosen, _bands(resolved), files)
    errors += shared_pixels(items)
    errors += wrong_codes(items, resolved.label.crosswalk)
    beside = _Auxiliary()
    if "sentinel1" in wanted and radar.level == "GRD":
        if resolved.catalog.missing_slices == "error":
            errors += missing_slices(chosen, found.scenes, excluded, outline)
        items, beside, faults = _beside(radar, archive, items, files)
        errors += faults
    if home is None:
        sums.save()
    if errors:
        raise together(errors)
    units, left_out, boxes = locked_units(resolved, items, vectors, wanted, area, area_crs)
    used = {(sensor, i) for unit in units for sensor, ids in unit.items.items() for i in ids}
    excluded += [
        Exclusion(id=item.id, sensor=item.sensor, reason="its pixels meet no patch of the area")
        for item in items
        if (item.sensor, item.id) not in used
    ]
    if not units:
        reasons = [f"unit {unit}: {reason}" for unit, reason in left_out.items()]
        raise _empty("no unit has scenes of all sensors", excluded, reasons)
    if beside.model is not None:
        errors = check_heights(beside.model, boxes, sea=radar.dem_sea)
        if errors:
            raise together(errors)
    items = [item for item in items if (item.sensor, item.id) in used]
    needed = {item.orbit_file for item in items}
    rank = {sensor: number for number, sensor in enumerate((*SENSORS, "other"))}
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
        named=named,
        excluded=tuple(
            sorted(map(printable, excluded), key=lambda e: (rank[e.sensor], e.id, e.reason))
        ),
        units_left_out=left_out,
        latitude=middle_latitude(resolved.sampling, area, area_crs),
        gaps=gaps(items, units, resolved.catalog.period, _series(resolved)),
        notes=tuple(notes),
    )  # fmt: skip
    if output is not None:
        write_lock(lock, output)
    return lock


def _named(settings: StageSettings, sums: Sums) -> tuple[LockedFile, ...]:
    """Files that the recipe names, hashed whatever `hash_files` says: they are small."""
    names = named_files(settings, "plan")
    lost = [name for name in names if not Path(name).is_file()]
    if lost:
        raise InputError(
            f"{', '.join(lost)}: no such file, and the recipe names it; paths of a recipe are "
            "relative to where you run"
        )
    return tuple(
        LockedFile(href=name, size=Path(name).stat().st_size, sha256=sums.of(Path(name)))
        for name in names
    )


def _series(settings: StageSettings) -> list[str]:
    """Sensors whose passes make a series; the best few dates a tile are none."""
    few = {"sentinel2"} if settings.catalog.scenes_per_tile is not None else set()
    return [n for n, layer in settings.images.items() if layer.time == "series" and n not in few]


def _layer(settings: StageSettings, kind: type[_Layer]) -> _Layer:
    """The layer of a kind; its defaults where the recipe has none."""
    return next(iter(settings.of_kind(kind).values()), kind())


@dataclass(frozen=True)
class _Auxiliary:
    """What raw Sentinel-1 scenes need besides their own files."""

    heights: tuple[LockedFile, ...] = ()
    geoid: LockedFile | None = None
    orbits: tuple[LockedFile, ...] = ()
    model: HeightModel | None = None
    """The height files, opened."""


def _beside(
    radar: Sentinel1Settings, archive: Path | None, items: Sequence[LockedItem], files: Files
) -> tuple[list[LockedItem], _Auxiliary, list[TerrapatchError]]:
    """The items with their orbit files, all files beside them, and what is wrong."""
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
        raise InputError(f"{path}: no such {what}; correct {field} of the layer in the recipe")
    found = files.locked(path, str(path))
    return found.model_copy(update={"beside": files.beside(str(path))})


def _found(settings: StageSettings, archive: Path | None, ours: Path) -> Found:
    """All that the source offers, the reference among it; nothing of our own results."""
    catalog, reference = settings.catalog, settings.label.path
    optical, radar = _layer(settings, Sentinel2Settings), _layer(settings, Sentinel1Settings)
    described = described_scenes(catalog.rasters, optical.level)
    how: dict[str, Any] = {
        "described": {
            file for scene in described if scene.sensor != "reference" for file in scene.named
        },
        "besides": ours,
        "raw": "sentinel1" in settings.images and radar.level == "GRD",
        "reflectance": optical.reflectance,
    }
    if catalog.source == "simulated":
        if archive is None or not archive.is_dir():
            raise InputError(
                f"{archive}: no simulated archive here; run `terrapatch simulate` first"
            )
        found = search([archive], **how)
        # What else lies there is the archive's own: its maps, heights, polygons.
        raw = tuple(e for e in found.excluded if e.sensor != "other")
        found = replace(found, excluded=raw, unknown=())
        maps = sorted((archive / "reference").glob("*.tif"))
    else:
        found, maps = search([Path(path) for path in catalog.paths], **how), []
    scenes = [*found.scenes, *described]
    # The archive's own map stands in where the recipe names no reference at all.
    own = [] if settings.label.vectors else [str(path) for path in maps]
    names = [reference] if reference is not None else own
    scenes += [map_scene(name, band=settings.label.band) for name in names]
    return replace(found, scenes=tuple(scenes))


def _named_elsewhere(settings: StageSettings, found: Found, vectors: FoundVectors) -> set[str]:
    """Absolute paths of files that are used, and no scene of the catalogue."""
    radar = _layer(settings, Sentinel1Settings)
    names = [settings.area.file, radar.geoid, *radar.dem]
    names += [file for s in found.scenes if s.sensor == "reference" for file in s.named]
    for vector in vectors.vectors:
        names += [vector.href, *(file.href for file in vector.files)]
    return {os.path.abspath(name) for name in names if name is not None}


def _bands(settings: StageSettings) -> dict[str, tuple[str, ...]]:
    """Bands that each sensor's stage will read, and the `masks` of Theia's products."""
    sentinel2 = _layer(settings, Sentinel2Settings)
    bits = {"EDG": sentinel2.mask_edg, "CLM": sentinel2.mask_clm, "MG2": sentinel2.mask_mg2}
    classes = ("SCL",) if sentinel2.scl or sentinel2.mask_scl else ()
    return {
        "sentinel2": (*sentinel2.bands, *classes),
        "sentinel1": _layer(settings, Sentinel1Settings).polarisations,
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


def _require(
    sensor: str, chosen: Sequence[str], excluded: Sequence[Exclusion], hints: Sequence[str]
) -> None:
    if chosen:
        return
    out = [e for e in excluded if e.sensor == sensor]
    if out and all("wrong level" in e.reason for e in out):
        raise SceneError(
            f"no product of {sensor} of the level that the recipe asks for; set level of the layer "
            f"or fetch other products:\n{_list(out)}"
        )
    out += [e for e in excluded if e.sensor == "other"]
    raise _empty(f"no scene of {sensor} is left", out, hints)


def _empty(what: str, excluded: Sequence[Exclusion], more: Sequence[str]) -> IncompleteError:
    lines = [f"the plan is empty: {what}"]
    lines += [f"  {line}" for line in more]
    lines += [_list(excluded)] if excluded else ["  nothing was found in the given places"]
    lines.append("widen area, period or cloud limit, or add products to catalog.paths")
    return IncompleteError("\n".join(lines))


def _list(excluded: Sequence[Exclusion]) -> str:
    return "\n".join(f"  {e.id}: {e.reason}" for e in excluded)
