# SPDX-License-Identifier: Apache-2.0
"""From the recipe and what a source holds to the lock: which scenes make which units.

Laws:
1. Units come from the recipe's grid, never from the outlines of scenes.
2. The same files give the same lock, byte for byte.
3. All that can go wrong before pixels are read goes wrong here.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from ..errors import (
    IncompleteError,
    InputError,
    SceneError,
    TerrapatchError,
)
from ..heights import HeightModel
from ..lock import write_lock
from ..recipe import StageSettings, read_settings
from ..records import Exclusion, Lock, LockedFile, LockedItem, Sensor
from ..settings import RasterSettings, Sentinel1Settings, Sentinel2Settings, named_files
from ..sums import Sums
from ..times import with_steps
from ..vectors import PlaceTable, places_path, read_area, read_place_table, source_paths
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
from .gaps import Series, gaps
from .geotiff import described_scenes, map_scene, raster_scene
from .locking import locked_item
from .policy import choose
from .references import FoundVectors, find_vectors
from .scene import Scene
from .statements import wrong_codes
from .units import locked_units, middle_latitude, places_left_out
from .unused import left_over, printable


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
        The lock: units by id with their time steps, items by sensor and id, exclusions with their reasons.

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
    table = place_table(resolved, archive)
    vectors = _vectors(resolved, area, area_crs, files, archive, ours)
    outline = degrees(area, area_crs)
    found = _found(resolved, archive, ours=home or ours)
    maps = _maps(resolved, archive, found)
    layers, wanted = resolved.layers, _kinds(resolved)
    chosen: dict[str, list[Scene]] = {}
    excluded: list[Exclusion] = []
    for name, layer in layers.items():
        scenes = maps.get(name, [s for s in found.scenes if s.sensor == layer.policy.scenes])
        chosen[name], out = choose(scenes, resolved.catalog, outline, layer.policy)
        excluded += [exclusion.model_copy(update={"layer": name}) for exclusion in out]
    _told_apart(chosen, maps)
    excluded += left_over(found, wanted, _named_elsewhere(resolved, found, maps, vectors))
    for name in _required(resolved, vectors):
        kind = layers[name].policy.scenes
        candidates = maps.get(name, found.scenes)
        hints = [] if chosen[name] else swapped(outline, candidates, kind)
        _require(name, kind, chosen[name], excluded, hints)
    items, errors = _locked(resolved, chosen, files)
    errors += shared_pixels(items)
    for name, label in resolved.labels.items():
        own = {scene.id for scene in chosen[name]}
        errors += wrong_codes([i for i in items if i.id in own], label.crosswalk)
    beside = _Auxiliary()
    raw = {n: r for n, r in resolved.of_kind(Sentinel1Settings).items() if r.policy.raw}
    if raw:
        if resolved.catalog.missing_slices == "error":
            for name in raw:
                errors += missing_slices(chosen[name], found.scenes, excluded, outline)
        items, beside, faults = _beside(_together(raw), archive, items, files)
        errors += faults
    if home is None:
        sums.save()
    if errors:
        raise together(errors)
    ids = {name: [scene.id for scene in scenes] for name, scenes in chosen.items()}
    units, left_out, boxes = locked_units(resolved, items, ids, vectors, area, area_crs, table)
    kinds = {name: layer.policy.scenes for name, layer in layers.items()}
    used = {(kinds[n], i) for unit in units for n, own in unit.items.items() for i in own}
    excluded += [
        Exclusion(id=item.id, sensor=item.sensor, reason="its pixels meet no patch of the area")
        for item in items
        if (item.sensor, item.id) not in used
    ]
    if not units:
        reasons = [f"unit {unit}: {reason}" for unit, reason in left_out.items()]
        raise _empty("no unit has scenes of all layers", excluded, reasons)
    if beside.model is not None:
        errors = check_heights(beside.model, boxes, sea=_together(raw).dem_sea)
        if errors:
            raise together(errors)
    items = [item for item in items if (item.sensor, item.id) in used]
    needed = {item.orbit_file for item in items}
    rank = {kind: number for number, kind in enumerate((*wanted, "other"))}
    lock = with_steps(Lock(
        name=resolved.name,
        source=resolved.catalog.source,
        units=units,
        items=tuple(
            sorted(items, key=lambda item: (rank[item.sensor], item.id)),
        ),
        scenes=kinds,
        heights=beside.heights,
        geoid=beside.geoid,
        orbits=tuple(file for file in beside.orbits if file.href in needed),
        vectors=vectors.vectors,
        named=named,
        excluded=tuple(
            sorted(
                map(printable, excluded),
                key=lambda e: (rank.get(e.sensor, len(rank)), e.id, e.reason, e.layer or ""),
            )
        ),
        places_left_out=places_left_out(table, units, left_out, area, area_crs),
        units_left_out=left_out,
        latitude=middle_latitude(resolved.sampling, area, area_crs),
        gaps=gaps(items, units, resolved.catalog.period, _series(resolved)),
        notes=tuple(notes),
    ), resolved.images)  # fmt: skip
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


def place_table(settings: StageSettings, archive: Path | None) -> PlaceTable | None:
    """The table of points, where the sampling has one."""
    path = places_path(settings.sampling, archive)
    return None if path is None else read_place_table(settings.sampling, path)


def _series(settings: StageSettings) -> dict[str, Series]:
    """Layers whose passes make a series; the best few dates a tile are none."""
    few = settings.catalog.scenes_per_tile is not None
    return {
        name: Series(layer.policy.scenes, layer.policy.clouds)
        for name, layer in settings.images.items()
        if layer.time == "series" and not (few and layer.policy.clouds)
    }


def _kinds(settings: StageSettings) -> list[Sensor]:
    """What the scenes of all layers are of, in the order of the lock: images first."""
    layers = [*settings.images.values(), *settings.labels.values()]
    return list(dict.fromkeys(layer.policy.scenes for layer in layers))


def _required(settings: StageSettings, vectors: FoundVectors) -> list[str]:
    """Layers that every unit needs a scene of; polygons stand in for maps."""
    return [name for name in settings.layers if settings.required(name) and not vectors.of(name)]


def _together(raw: Mapping[str, Sentinel1Settings]) -> Sentinel1Settings:
    """What all layers of raw scenes ask for: their heights and orbits are the same."""
    first = next(iter(raw.values()))
    bands = dict.fromkeys(band for layer in raw.values() for band in layer.polarisations)
    return first.model_copy(update={"polarisations": tuple(bands)})


def _vectors(
    settings: StageSettings, area: BaseGeometry, area_crs: str, files: Files,
    archive: Path | None, root: Path,
) -> FoundVectors:  # fmt: skip
    """Polygons and networks of all layers of labels."""
    found = [
        find_vectors(
            layer, area, area_crs, files, archive=archive, unpack_to=root / "unpacked", layer=name
        )
        for name, layer in settings.labels.items()
    ]
    return FoundVectors(
        tuple(vector for part in found for vector in part.vectors),
        {name: boxes for part in found for name, boxes in part.boxes.items()},
    )


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
    """Scenes that the source offers; nothing of our own results."""
    catalog = settings.catalog
    optical = next(iter(settings.of_kind(Sentinel2Settings).values()), Sentinel2Settings())
    described = described_scenes(catalog.rasters, optical.level)
    how: dict[str, Any] = {
        "described": {
            file for scene in described if scene.sensor != "reference" for file in scene.named
        },
        "besides": ours,
        "raw": any(layer.policy.raw for layer in settings.layers.values()),
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
    else:
        found = search([Path(path) for path in catalog.paths], **how)
    return replace(found, scenes=(*found.scenes, *described))


def _maps(
    settings: StageSettings, archive: Path | None, found: Found
) -> dict[str, list[Scene]]:  # fmt: skip
    """Layer of labels or rasters → files that it could be made of, in the order of the recipe."""
    described = [s for s in found.scenes if s.sensor == "reference"]
    own = [] if archive is None else sorted((archive / "reference").glob("*.tif"))
    maps = {}
    for name, layer in settings.labels.items():
        # The archive's own map stands in where a layer names no reference at all.
        stand_in = [] if layer.vectors or settings.catalog.source != "simulated" else own
        paths = [layer.path] if layer.path is not None else [str(path) for path in stand_in]
        maps[name] = [*described, *(map_scene(path, band=layer.band) for path in paths)]
    for name, raster in settings.of_kind(RasterSettings).items():
        maps[name] = [
            raster_scene(Path(path), raster.bands, raster.nodata, f"layers.{name}")
            for path in source_paths(raster.path, archive)
        ]
    return maps


def _told_apart(chosen: dict[str, list[Scene]], maps: Collection[str]) -> None:
    """Give maps of several layers that share a name, but no pixels, names of their own."""
    first: dict[str, Scene] = {}
    for name in maps:
        for number, scene in enumerate(chosen[name]):
            other = first.setdefault(scene.id, scene)
            if other != scene:
                chosen[name][number] = replace(scene, id=f"{scene.id}_{name}")


def _named_elsewhere(
    settings: StageSettings, found: Found, maps: Mapping[str, Sequence[Scene]],
    vectors: FoundVectors,
) -> set[str]:  # fmt: skip
    """Absolute paths of files that are used, and no scene of the catalogue."""
    names = [settings.area.file]
    for radar in settings.of_kind(Sentinel1Settings).values():
        names += [radar.geoid, *radar.dem]
    names += [file for s in found.scenes if s.sensor == "reference" for file in s.named]
    names += [file for scenes in maps.values() for s in scenes for file in s.named]
    for vector in vectors.vectors:
        names += [vector.href, *(file.href for file in vector.files)]
    return {os.path.abspath(name) for name in names if name is not None}


def _locked(
    settings: StageSettings, chosen: Mapping[str, Sequence[Scene]], files: Files
) -> tuple[list[LockedItem], list[TerrapatchError]]:
    """Open all chosen scenes, each once for all layers; the broken ones are told with all else."""
    scenes: dict[tuple[str, str], Scene] = {}
    bands: dict[tuple[str, str], dict[str, None]] = {}
    for name, own in chosen.items():
        for scene in own:
            key: tuple[str, str] = scene.sensor, scene.id
            scenes.setdefault(key, scene)
            wanted = settings.layers[name].wanted(scene.processor)
            bands.setdefault(key, {}).update(dict.fromkeys(wanted))
    items: list[LockedItem] = []
    errors: list[TerrapatchError] = []
    for scene in scenes.values():
        try:
            items.append(locked_item(scene, tuple(bands[scene.sensor, scene.id]), files))
        except TerrapatchError as error:
            errors.append(error)
    return items, errors


def _require(
    layer: str, kind: str, chosen: Sequence[Scene], excluded: Sequence[Exclusion],
    hints: Sequence[str],
) -> None:  # fmt: skip
    if chosen:
        return
    # What the search left out, it left out for all layers.
    out = [e for e in excluded if e.layer == layer or (not e.layer and e.sensor == kind)]
    if out and all("wrong level" in e.reason for e in out):
        raise SceneError(
            f"no product of {layer} of the level that the recipe asks for; set layers.{layer}.level "
            f"or fetch other products:\n{_list(out)}"
        )
    out += [e for e in excluded if e.sensor == "other"]
    raise _empty(f"no scene of {layer} is left", out, hints)


def _empty(what: str, excluded: Sequence[Exclusion], more: Sequence[str]) -> IncompleteError:
    lines = [f"the plan is empty: {what}"]
    lines += [f"  {line}" for line in more]
    lines += [_list(excluded)] if excluded else ["  nothing was found in the given places"]
    lines.append("widen area, period or cloud limit, or add products to catalog.paths")
    return IncompleteError("\n".join(lines))


def _list(excluded: Sequence[Exclusion]) -> str:
    return "\n".join(f"  {e.id}: {e.reason}" for e in excluded)
