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
from functools import cached_property
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from ..errors import IncompleteError, InputError, SceneError, TerrapatchError
from ..lock import write_lock
from ..recipe import StageSettings, read_settings
from ..records import Exclusion, Lock, LockedFile, LockedItem, LockedUnit
from ..settings import named_files
from ..sums import Sums
from ..tasks import OUTSIDE, code_text, columns_of, load_task_legend
from ..times import with_steps
from ..vectors import PlaceTable, places_path, read_area, read_place_table
from .auxiliary import Beside, find_beside, raw_layers
from .checks import degrees, missing_slices, shared_pixels, swapped, together
from .described import described_scenes, level_of, scenes_of_layers
from .files import Files
from .folder import Found, search
from .gaps import gaps
from .locking import locked_item
from .mosaics import overlaps
from .policy import choose
from .references import FoundVectors, find_vectors, wrong_years
from .scene import Scene
from .statements import wrong_codes
from .traits import TRAITS
from .tree import AS_USUAL, Reading
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
    asked = _ask(settings, archive, home)
    found = _find(asked)
    chosen = _choose(asked, found)
    locked = _lock(asked, found, chosen)
    made = _make_units(asked, found, chosen, locked)
    lock = _write_down(asked, found, chosen, locked, made)
    if output is not None:
        write_lock(lock, output)
    return lock


@dataclass(frozen=True)
class _Asked:
    """What the recipe asks for, and with what to answer."""

    settings: StageSettings
    archive: Path | None
    unpack_to: Path
    home: Path
    keeps: bool
    """Whether hashes are remembered."""
    area: BaseGeometry
    area_crs: str
    outline: BaseGeometry
    """The area in EPSG:4326."""
    notes: tuple[str, ...]
    sums: Sums
    files: Files
    named: tuple[LockedFile, ...]
    table: PlaceTable | None
    """Points, where the sampling has them."""

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Layer → what its scenes are of."""
        return {name: layer.policy.scenes for name, layer in self.settings.layers.items()}

    @cached_property
    def order(self) -> list[str]:
        """What the scenes of all layers are of, in the order of the lock: images first."""
        names = [*self.settings.images, *self.settings.labels]
        return list(dict.fromkeys(self.kinds[name] for name in names))


@dataclass(frozen=True)
class _Offered:
    """What there is: scenes of the source, files of layers that name theirs, and polygons."""

    source: Found
    own: dict[str, list[Scene]]
    vectors: FoundVectors

    def of(self, layer: str) -> Sequence[Scene]:
        """Among which scenes those of a layer are."""
        return self.own.get(layer, self.source.scenes)


@dataclass(frozen=True)
class _Chosen:
    """Which scenes are used, best first by layer, and why the others are not."""

    scenes: dict[str, list[Scene]]
    excluded: list[Exclusion]


@dataclass(frozen=True)
class _Locked:
    """Scenes as the lock has them, and what they need besides."""

    items: list[LockedItem]
    beside: Beside


@dataclass(frozen=True)
class _Made:
    """The units, and which scenes they use."""

    units: tuple[LockedUnit, ...]
    left_out: dict[str, str]
    items: list[LockedItem]
    unused: list[Exclusion]


def _ask(settings: Path, archive: Path | None, home: Path | None) -> _Asked:
    """Read the recipe, its area, and the files that it names."""
    resolved = read_settings(settings)
    notes: list[str] = []
    area, area_crs = read_area(resolved.area, notes)
    ours = settings.parent.parent
    sums = Sums(home or ours)
    return _Asked(
        resolved, archive, unpack_to=ours / "unpacked", home=home or ours, keeps=home is None,
        area=area, area_crs=area_crs, outline=degrees(area, area_crs), notes=tuple(notes), sums=sums,
        files=Files(resolved.catalog.hash_files, sums), named=_named(resolved, sums),
        table=place_table(resolved, archive),
    )  # fmt: skip


def _find(asked: _Asked) -> _Offered:
    """Look for polygons and scenes."""
    vectors = _vectors(asked)
    source = _searched(asked)
    own = scenes_of_layers(asked.settings, asked.archive, source.scenes, asked.outline)
    return _Offered(source, own, vectors)


def _choose(asked: _Asked, found: _Offered) -> _Chosen:
    """Apply the scene policy of each layer; a layer that needs a scene and has none is an error."""
    settings = asked.settings
    chosen = _Chosen({}, [])
    for name, layer in settings.layers.items():
        scenes = [s for s in found.of(name) if s.sensor == layer.policy.scenes]
        kept, out = choose(scenes, settings.catalog, asked.outline, layer.policy)
        chosen.scenes[name] = kept
        chosen.excluded.extend(exclusion.model_copy(update={"layer": name}) for exclusion in out)
    _told_apart(chosen.scenes, found.own)
    chosen.excluded.extend(left_over(found.source, asked.order, _named_elsewhere(settings, found)))
    dated = [name for name, layer in settings.images.items() if layer.policy.dated]
    years = {s.datetime[:4] for name in dated for s in chosen.scenes[name]}
    if errors := wrong_years(settings.labels, {int(year) for year in years if year}):
        raise together(errors)
    for name in _required(settings, found.vectors):
        kind = asked.kinds[name]
        hints = [] if chosen.scenes[name] else swapped(asked.outline, found.of(name), kind)
        _require(name, kind, chosen.scenes[name], chosen.excluded, hints)
    return chosen


def _lock(asked: _Asked, found: _Offered, chosen: _Chosen) -> _Locked:
    """Open the chosen scenes, and find what they need besides; all that is wrong is told at once."""
    settings, raw = asked.settings, raw_layers(asked.settings)
    items, errors = _opened(settings, chosen.scenes, asked.files)
    errors += shared_pixels(items)
    for name, label in settings.labels.items():
        own = {(scene.sensor, scene.id) for scene in chosen.scenes[name]}
        errors += wrong_codes([i for i in items if (i.sensor, i.id) in own], label.crosswalk)
    if settings.catalog.missing_slices == "error":
        for name in raw:
            scenes = chosen.scenes[name]
            errors += missing_slices(scenes, found.source.scenes, chosen.excluded, asked.outline)
    items, beside, faults = find_beside([*raw.values()], asked.archive, items, asked.files)
    errors += faults
    if asked.keeps:
        asked.sums.save()
    if errors:
        raise together(errors)
    return _Locked(items, beside)


def _make_units(asked: _Asked, found: _Offered, chosen: _Chosen, locked: _Locked) -> _Made:
    """Say which scenes make which units."""
    ids = {name: [scene.id for scene in scenes] for name, scenes in chosen.scenes.items()}
    units, left_out, boxes = locked_units(
        asked.settings, locked.items, ids, found.vectors, asked.area, asked.area_crs, asked.table
    )
    used = {(asked.kinds[n], i) for unit in units for n, own in unit.items.items() for i in own}
    unused = [
        Exclusion(id=item.id, sensor=item.sensor, reason="its pixels meet no patch of the area")
        for item in locked.items
        if (item.sensor, item.id) not in used
    ]
    if not units:
        reasons = [f"unit {unit}: {reason}" for unit, reason in left_out.items()]
        raise _empty("no unit has scenes of all layers", [*chosen.excluded, *unused], reasons)
    if errors := locked.beside.check(boxes):
        raise together(errors)
    items = [item for item in locked.items if (item.sensor, item.id) in used]
    return _Made(units, left_out, items, unused)


def _write_down(
    asked: _Asked, found: _Offered, chosen: _Chosen, locked: _Locked, made: _Made
) -> Lock:
    """All of it as a lock, in an order that nothing else decides."""
    settings, beside = asked.settings, locked.beside
    needed = {item.orbit_file for item in made.items}
    rank = {kind: number for number, kind in enumerate((*asked.order, "other"))}
    excluded = map(printable, (*chosen.excluded, *made.unused))
    lock = Lock(
        name=settings.name,
        source=settings.catalog.source,
        units=made.units,
        items=tuple(sorted(made.items, key=lambda item: (rank[item.sensor], item.id))),
        scenes=asked.kinds,
        heights=beside.heights,
        geoid=beside.geoid,
        orbits=tuple(file for file in beside.orbits if file.href in needed),
        vectors=found.vectors.vectors,
        named=asked.named,
        excluded=tuple(
            sorted(
                excluded,
                key=lambda e: (rank.get(e.sensor, len(rank)), e.id, e.reason, e.layer or ""),
            )
        ),
        places_left_out=places_left_out(
            asked.table, made.units, made.left_out, asked.area, asked.area_crs
        ),
        units_left_out=made.left_out,
        latitude=middle_latitude(settings.sampling, asked.area, asked.area_crs),
        gaps=gaps(made.items, made.units, settings.catalog.period, _series(settings)),
        notes=(*asked.notes, *overlaps(settings, chosen.scenes, made.items)),
    )
    return with_steps(lock, settings.images)


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
    if path is None:
        return None
    table = read_place_table(settings.sampling, path)
    _check_tasks(settings, table)
    return table


def _check_tasks(settings: StageSettings, table: PlaceTable) -> None:
    """Refuse before any work what no place can be classed by."""
    given = {settings.sampling.rename.get(name, name): name for name in table.columns.column_names}
    for task, column in columns_of(settings.tasks, given).items():
        values = table.columns.column(given[column]).unique().to_pylist()
        legend = load_task_legend(settings.tasks[task].legend)
        codes = sorted({code_text(value) for value in values} - {""})
        if all(legend.class_of(code) == OUTSIDE for code in codes):
            raise InputError(
                f"tasks.{task}: no code of the column {column} ({', '.join(codes[:8]) or 'all empty'}) "
                f"has a class in the legend {settings.tasks[task].legend}; correct column or legend"
            )


def _series(settings: StageSettings) -> dict[str, str]:
    """Layers whose passes make a series, with what these are of; the best few dates a tile are none."""
    few = settings.catalog.scenes_per_tile is not None
    return {
        name: layer.policy.scenes
        for name, layer in settings.images.items()
        if layer.time == "series" and not (few and layer.policy.clouds)
    }


def _required(settings: StageSettings, vectors: FoundVectors) -> list[str]:
    """Layers that every unit needs a scene of; polygons stand in for maps."""
    return [name for name in settings.layers if settings.required(name) and not vectors.of(name)]


def _vectors(asked: _Asked) -> FoundVectors:
    """Polygons and networks of all layers of labels."""
    found = [
        find_vectors(
            layer, asked.area, asked.area_crs, asked.files, archive=asked.archive,
            unpack_to=asked.unpack_to, layer=name,
        )
        for name, layer in asked.settings.labels.items()
    ]  # fmt: skip
    return FoundVectors(
        tuple(vector for part in found for vector in part.vectors),
        {name: boxes for part in found for name, boxes in part.boxes.items()},
    )


def _searched(asked: _Asked) -> Found:
    """Scenes that the source offers, and those that the recipe describes; nothing of our own results."""
    settings, archive = asked.settings, asked.archive
    described = described_scenes(settings.catalog.rasters, level_of(settings))
    policies = [layer.policy for layer in settings.layers.values()]
    reflectance = next((p.reflectance for p in policies if p.reflectance), AS_USUAL.reflectance)
    how = Reading(raw=any(p.raw for p in policies), reflectance=reflectance)
    images = [scene for scene in described if not TRAITS[scene.sensor].codes]
    known = {file for scene in images for file in scene.named}
    if settings.catalog.source == "simulated":
        if archive is None or not archive.is_dir():
            raise InputError(
                f"{archive}: no simulated archive here; run `terrapatch simulate` first"
            )
        found = search([archive], how, described=known, besides=asked.home)
        # What else lies there is the archive's own: its maps, heights, polygons.
        unread = tuple(e for e in found.excluded if e.sensor != "other")
        found = replace(found, excluded=unread, unknown=())
    else:
        paths = [Path(path) for path in settings.catalog.paths]
        found = search(paths, how, described=known, besides=asked.home)
    return replace(found, scenes=(*found.scenes, *described))


def _told_apart(chosen: dict[str, list[Scene]], maps: Collection[str]) -> None:
    """Give maps of several layers that share a name, but no pixels, names of their own."""
    first: dict[str, Scene] = {}
    for name in maps:
        for number, scene in enumerate(chosen[name]):
            other = first.setdefault(scene.id, scene)
            if other != scene:
                chosen[name][number] = replace(scene, id=f"{scene.id}_{name}")


def _named_elsewhere(settings: StageSettings, found: _Offered) -> set[str]:
    """Absolute paths of files that are used, and no scene of the catalogue."""
    names = [settings.area.file]
    for layer in settings.layers.values():
        if needs := layer.policy.auxiliary:
            names += [needs.geoid, *needs.heights]
    own = (scene for scenes in found.own.values() for scene in scenes)
    maps = (scene for scene in found.source.scenes if TRAITS[scene.sensor].codes)
    names += [file for scene in (*maps, *own) for file in scene.named]
    for vector in found.vectors.vectors:
        names += [vector.href, *(file.href for file in vector.files)]
    return {os.path.abspath(name) for name in names if name is not None}


def _opened(
    settings: StageSettings, chosen: Mapping[str, Sequence[Scene]], files: Files
) -> tuple[list[LockedItem], list[TerrapatchError]]:
    """Open all chosen scenes, each once for all layers; the broken ones are told with all else."""
    scenes: dict[tuple[str, str], Scene] = {}
    bands: dict[tuple[str, str], dict[str, None]] = {}
    for name, own in chosen.items():
        for scene in own:
            key = scene.sensor, scene.id
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
