# SPDX-License-Identifier: Apache-2.0
"""Scenes of plain rasters that the recipe describes: under `catalog.rasters`, or as a layer's files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from ..access import Access, portable
from ..errors import InputError, RecipeError
from ..grid import geobox_from_dict
from ..rasters import Header
from ..recipe import StageSettings
from ..settings import RasterSettings, RasterSource
from ..vectors import indexed_paths, source_paths
from .bandnames import band_name, chosen_bands, in_decibel
from .mapbands import map_band, named_band
from .mosaics import check_alike
from .product import file_geobox, footprint_of, header_of, iso_utc, no_crs, platform_name
from .scene import BandFile, Numbers, Scene
from .statements import SILENT, Statement, of_header, statement
from .traits import TRAITS


def described_scenes(sources: Sequence[RasterSource], level: str) -> list[Scene]:
    """Scenes that the recipe describes by hand (`catalog.rasters`), in its order.

    Args:
        sources: entries of the recipe.
        level: of products where neither kind nor entry says it.

    Raises:
        RecipeError: entries that leave the offset or the bands open, all of them at once.
        InputError: a file does not exist.
    """
    findings: list[str] = []
    scenes = []
    described: dict[int, Mapping[str, BandFile]] = {}
    for number, source in enumerate(sources):
        if TRAITS[source.sensor].codes:
            setting = f"catalog.rasters.{number}.bands"
            scenes.append(
                map_scene(
                    source.path, day=source.date, scene_id=source.id, nodata=source.nodata,
                    band=named_band(source.bands, setting), setting=setting,
                )
            )  # fmt: skip
            continue
        where = f"catalog.rasters.{number}"
        found, bands = _open_points(source)
        findings += [f"  {where}.{text}" for text in found]
        if not found:
            described[number] = _described_files(source, bands, where)
            scenes.append(_described_scene(source, described[number], level))
    findings += _claims(sources, described)
    if findings:
        raise RecipeError(f"{len(findings)} finding(s):\n" + "\n".join(findings))
    return scenes


def level_of(settings: StageSettings) -> str:
    """The level of described scenes where neither kind nor entry says it: that of the first layer."""
    policies = [layer.policy for layer in settings.layers.values()]
    asked = (p.level for p in policies if p.level and TRAITS[p.scenes].level is None)
    return next(asked, "")


def scenes_of_layers(
    settings: StageSettings, archive: Path | None, found: Sequence[Scene], area: BaseGeometry
) -> dict[str, list[Scene]]:
    """Layer → files that it could be made of, for layers that name theirs themselves.

    Args:
        settings: of the stage.
        archive: the embedded archive, where there is one.
        found: scenes of the catalogue: maps among them stand for all layers of labels.
        area: in EPSG:4326; files of an index that lie elsewhere are left out.

    Returns:
        Files in the order of the recipe.

    Raises:
        InputError: no such file.
        RecipeError: a file has other bands than the recipe says.
        GridError: a file has no CRS, or another one or another pixel size than the layer's others.
    """
    return {
        name: files(name, layer, settings, archive, found, area)
        for kind, files in _OWN_FILES.items()
        for name, layer in settings.layers.items()
        if layer.kind == kind
    }


def _maps(
    _name: str, layer: Any, settings: StageSettings, archive: Path | None, found: Sequence[Scene],
    _area: BaseGeometry,
) -> list[Scene]:  # fmt: skip
    """Maps of the catalogue, and the layer's own."""
    maps = [scene for scene in found if scene.sensor == layer.policy.scenes]
    # The archive's own map stands in where a layer names no reference at all.
    stands_in = settings.catalog.source == "simulated" and not layer.vectors and archive
    own = sorted((archive / "reference").glob("*.tif")) if archive and stands_in else []
    named = source_paths(layer.path, archive) if layer.path is not None else None
    paths = [str(path) for path in own] if named is None else named
    return [*maps, *(map_scene(path, band=layer.band) for path in paths)]


def _rasters(
    name: str, layer: Any, _settings: StageSettings, archive: Path | None, _found: Sequence[Scene],
    area: BaseGeometry,
) -> list[Scene]:  # fmt: skip
    """The files of a layer of plain rasters; the header of each is read once."""
    setting = f"layers.{name}"
    if layer.index is not None:
        (index,) = source_paths(layer.index, archive)
        paths = indexed_paths(Path(index), layer.column, area, setting)
    else:
        entries = (layer.path,) if isinstance(layer.path, str) else layer.path
        paths = list(dict.fromkeys(p for each in entries for p in source_paths(each, archive)))
    headers = {path: header_of(str(_existing(path))) for path in paths}
    check_alike(headers, setting)
    return [raster_scene(Path(path), header, layer, setting) for path, header in headers.items()]


_OWN_FILES = {"labels": _maps, "raster": _rasters}
"""Kinds of layers that name their files themselves."""


def map_scene(
    path: str,
    *,
    day: date | None = None,
    scene_id: str | None = None,
    nodata: float | None = None,
    band: int | str | None = None,
    setting: str = "band",
) -> Scene:
    """A reference map.

    Args:
        path: raster of class codes.
        day: the date that it stands for, if known.
        scene_id: its name; the file's stem if absent.
        nodata: code of unmapped pixels where the file does not declare it.
        band: number or description of the band with the codes, where the file has several.
        setting: where the recipe says the band, for messages.

    Raises:
        InputError: no such file.
        RecipeError: several bands could be meant, or there is no such band.
        GridError: the file has no CRS.
    """
    file = _existing(path)
    header = header_of(path)
    number = map_band(path, header, band, setting=setting)
    name = scene_id or (file.stem if header.count == 1 else f"{file.stem}_{number}")
    said = (Statement("catalog.rasters says", nodata),)
    pixels = BandFile(Access(str(file)), number, Numbers(said))
    return Scene(
        id=name,
        sensor="reference",
        level="map",
        datetime=iso_utc(day.isoformat()) if day else "",
        footprint=footprint_of(file_geobox(path)),
        bands={"map": pixels},
        family="described",
        where=path,
        origin=_origin(path, {"map": pixels}),
        named=(os.path.abspath(file),),
    )


def raster_scene(path: Path, header: Header, layer: RasterSettings, setting: str) -> Scene:
    """A plain raster of a layer.

    Args:
        path: the file.
        header: what it says of itself.
        layer: names of its bands, their numbers, nodata and day.
        setting: the layer's place in the recipe, for messages.

    Raises:
        RecipeError: the file has other bands.
        GridError: the file has no CRS.
    """
    bands, chosen = layer.bands, layer.numbers or tuple(range(1, header.count + 1))
    if len(chosen) != len(bands):
        raise RecipeError(
            f"{setting}.bands: {path} has {header.count} bands, and {len(bands)} are named: "
            f"{', '.join(bands)}; name all, or say which they are (numbers: [1, …])"
        )
    if max(chosen) > header.count:
        raise RecipeError(
            f"{setting}.numbers: {path} has {header.count} bands, and no band {max(chosen)}"
        )
    if header.crs is None:
        raise no_crs(str(path))
    place = {"crs": header.crs, "transform": header.transform, "shape": header.shape}
    numbers = Numbers((Statement(f"{setting} says", layer.nodata),))
    files = {
        band: BandFile(Access(str(path)), number, numbers)
        for number, band in zip(chosen, bands, strict=True)
    }
    return Scene(
        id=path.stem,
        sensor="raster",
        level="raster",
        datetime=iso_utc(layer.date.isoformat()) if layer.date else "",
        footprint=footprint_of(geobox_from_dict(place)),
        bands=files,
        family="described",
        where=str(path),
        origin=_origin(str(path), files),
        named=(os.path.abspath(path),),
    )


def _origin(path: str, files: Mapping[str, BandFile]) -> str:
    """Where the pixels of a scene come from, as `Scene.origin` has it."""
    return f"{portable(Path(path))}#{','.join(str(file.band) for file in files.values())}"


def _claims(
    sources: Sequence[RasterSource], files: Mapping[int, Mapping[str, BandFile]]
) -> list[str]:
    """Entries that claim the pixels, or the id, of another one."""
    found = []
    pixels: dict[tuple[str, Access, int], int] = {}
    ids: dict[tuple[str, str], int] = {}
    for number, bands in files.items():
        source = sources[number]
        claimed = [pixels.setdefault((source.sensor, f.at, f.band), number) for f in bands.values()]
        other = next((n for n in claimed if sources[n].date != source.date), None)
        if other is not None:
            found.append(
                f"  catalog.rasters.{number}.date: {source.path} is described with two dates, "
                f"{sources[other].date} (catalog.rasters.{other}) and {source.date}; pixels are "
                "of one date"
            )
        if source.id is not None:
            other = ids.setdefault((source.sensor, source.id), number)
            if (sources[other].path, sources[other].date) != (source.path, source.date):
                found.append(
                    f"  catalog.rasters.{number}.id: {source.id} is the id of "
                    f"catalog.rasters.{other} as well; give each scene its own"
                )
    return found


def _open_points(source: RasterSource) -> tuple[list[str], dict[str, int]]:
    """What an entry must still say before its pixels have a meaning, and its bands by number."""
    found, bands = chosen_bands(source, _header(source))
    nameless = not bands and not found
    if "{band}" in source.path:
        for band in bands:
            path = source.path.replace("{band}", band)
            told = band_name(_texts(source, band).get(1), source.sensor)
            if told not in (None, band, TRAITS[source.sensor].also.get(band)):
                found.append(f"bands: {path} describes its band as {told}, not as {band}")
    traits = TRAITS[source.sensor]
    unknown = [band for band in bands if band not in traits.bands]
    if traits.reflectance and source.add_offset is None and source.offset is None:
        header = _header(source, next(iter(bands), None))
        if header is None or of_header(header, 1, reflectance=True).add_offset is None:
            found.append(
                f"add_offset: {source.path} carries no metadata; say what is to be added to each "
                "DN (0 before baseline 04.00, −1000 since)"
            )
    if nameless:
        found.append(f"bands: name the bands of {source.path}, in the order of the file")
    if unknown:
        found.append(
            f"bands: {unknown} are no bands of {source.sensor}; known are {list(traits.bands)}"
        )
    return found, bands


def _header(source: RasterSource, band: str | None = None) -> Header | None:
    """Header of the entry's file, or of that of a band; None where no band is known yet."""
    if "{band}" in source.path and band is None:
        return None
    path = source.path.replace("{band}", band or "")
    _existing(path)
    return header_of(path)


def _texts(source: RasterSource, band: str) -> dict[int, str | None]:
    """What the file of a band calls its bands, by number."""
    header = _header(source, band)
    return dict(enumerate(header.descriptions, start=1)) if header else {}


def _said(source: RasterSource, band: str, where: str, text: str | None) -> tuple[Statement, ...]:
    """What recipe and description say about the numbers of a band."""
    who, traits = f"{where} says", TRAITS[source.sensor]
    if band in traits.coded:
        return (Statement(who, source.nodata),)
    said = [
        statement(
            who, scale=source.scale, offset=source.offset, nodata=source.nodata, unit=source.unit,
            reflectance=traits.reflectance, floating=True,
        ),
        Statement(who, add_offset=source.add_offset),
    ]  # fmt: skip
    if traits.power and in_decibel(text):
        said.append(Statement(f"the file calls its band {text!r}, which says", unit="db"))
    return tuple(said)


def _described_files(
    source: RasterSource, bands: Mapping[str, int], where: str
) -> dict[str, BandFile]:
    return {
        band: BandFile(
            Access(str(_existing(source.path.replace("{band}", band)))),
            number,
            Numbers(
                _said(source, band, where, _texts(source, band).get(number)),
                SILENT if band in TRAITS[source.sensor].counted else TRAITS[source.sensor].usual,
            ),
        )
        for band, number in bands.items()
    }


def _described_scene(source: RasterSource, files: Mapping[str, BandFile], level: str) -> Scene:
    traits, first = TRAITS[source.sensor], next(iter(files.values())).at.path
    path = Path(source.path)
    # `2022-06-01/{band}.tif` leaves the folder's name.
    stem = path.stem.replace("{band}", "").strip("_-.") or path.parent.name or "scene"
    tile = re.search(r"(?:^|_)(T\d{2}[A-Z]{3})_", f"{Path(source.path).name}_")
    return Scene(
        id=source.id or stem,
        sensor=source.sensor,
        level=traits.level or source.level or level,
        datetime=iso_utc(source.date.isoformat()),
        footprint=footprint_of(file_geobox(first)),
        bands=files,
        family="described",
        where=source.path,
        origin=_origin(source.path, files),
        named=tuple(os.path.abspath(file.at.path) for file in files.values()),
        tile=tile[1] if tile and traits.reflectance else None,
        orbit_direction=source.orbit_direction,
        relative_orbit=source.relative_orbit,
        platform=platform_name(source.platform) if source.platform else None,
        polarisations=tuple(files) if traits.power else (),
    )


def _existing(path: str) -> Path:
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path}: no such file; paths of a recipe are relative to where you run")
    return file
