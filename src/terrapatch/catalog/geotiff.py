# SPDX-License-Identifier: Apache-2.0
"""Plain raster files: namings that are known, and those a recipe describes.

A new naming is one row in `NAMINGS`. Files that no row knows stand in the recipe, under
`catalog.rasters`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from ..access import Access, bytes_of, portable
from ..errors import InputError, RecipeError
from ..rasters import Header
from ..settings import RasterSource
from .bandnames import ALSO, band_name, chosen_bands, in_decibel
from .mapbands import map_band, named_band
from .product import (
    SENTINEL_LICENCE,
    file_geobox,
    footprint_of,
    header_of,
    iso_utc,
    platform_name,
)
from .scene import BandFile, Numbers, Scene
from .statements import Statement, of_header, statement
from .traits import TRAITS


@dataclass(frozen=True)
class Naming:
    """A naming of files, one band a file, in one folder.

    Groups of `pattern`: `scene` (the common part), `band`, `start`; and where the name has them
    `platform`, `tile`, `orbit`, `made`, `frame` (burst or cut-out: names the ground).
    """

    name: str
    pattern: re.Pattern[str]
    sensor: Literal["sentinel2", "sentinel1"]
    level: str
    scale: Literal["linear", "db"] = "linear"
    unusable: str | None = None


NAMINGS = (
    # Source: OPERA RTC-S1 product specification, file naming: burst, start, made, platform.
    Naming(
        "OPERA RTC-S1",
        re.compile(
            r"(?P<scene>OPERA_L2_RTC-S1_(?P<frame>T(?P<orbit>\d{3})-\d{6}-IW\d)_"
            r"(?P<start>\d{8}T\d{6})Z_(?P<made>\d{8}T\d{6})Z_(?P<platform>S1[A-Z])_\d+_v[\d.]+)_"
            r"(?P<band>VV|VH|HH|HV)\.tif"
        ),
        "sentinel1",
        "RTC",
    ),
    # Source: BigEarthNet-MM guide: σ0 in dB, terrain-corrected.
    Naming(
        "BigEarthNet-S1",
        re.compile(
            r"(?P<scene>(?P<platform>S1[A-Z])_IW_GRDH_1SDV_(?P<start>\d{8}T\d{5,6})_"
            r"(?P<frame>(?P<tile>\d{2}[A-Z]{3})_\d+_\d+))_(?P<band>VV|VH)\.tif"
        ),
        "sentinel1",
        "RTC",
        scale="db",
    ),
    # Source: BigEarthNet guide: Level-2A of 2017 and 2018, of before baseline 04.00: no offset.
    # Names of version 1 write the time as a number: T93020 is 09:30:20.
    Naming(
        "BigEarthNet-S2",
        re.compile(
            r"(?P<scene>(?P<platform>S2[A-Z])_MSIL2A_(?P<start>\d{8}T\d{5,6})_"
            r"(?:N9999_R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})_)?(?P<frame>\d+_\d+))_"
            r"(?P<band>B\d[\dA])\.tif"
        ),
        "sentinel2",
        "L2A",
    ),
    Naming(
        "Sentinel-2 band files",
        re.compile(
            r"(?P<scene>T(?P<tile>\d{2}[A-Z]{3})_(?P<start>\d{8}T\d{6}))_"
            r"(?P<band>B\d[\dA])(?:_\d0m)?\.(?:jp2|tif)"
        ),
        "sentinel2",
        "L1C",
        unusable="band files without their product's metadata: the radiometric offset is not "
        "known; add an entry to catalog.rasters with add_offset",
    ),
)
"""Known namings; the first match wins."""


def named_scenes(paths: Sequence[Path]) -> tuple[list[Scene], list[Path]]:
    """Group files of known names to scenes.

    Args:
        paths: raster files.

    Returns:
        The scenes, and the files that no naming knows.
    """
    groups: dict[tuple[str, Path, str], dict[str, Path]] = {}
    first: dict[tuple[str, Path, str], tuple[Naming, re.Match[str]]] = {}
    unknown = []
    for path in paths:
        hits = ((f, f.pattern.fullmatch(path.name)) for f in NAMINGS)
        naming, match = next(((f, m) for f, m in hits if m), (None, None))
        if naming is None or match is None:
            unknown.append(path)
            continue
        key = (naming.name, path.parent, match["scene"])
        groups.setdefault(key, {})[match["band"]] = path
        first.setdefault(key, (naming, match))
    return [_named_scene(*first[key], bands) for key, bands in groups.items()], unknown


def _named_scene(naming: Naming, match: re.Match[str], bands: Mapping[str, Path]) -> Scene:
    part = match.groupdict()
    path = bands[min(bands)]
    traits = TRAITS[naming.sensor]
    usual = replace(traits.usual, unit=naming.scale) if traits.power else traits.usual
    files = {b: BandFile(Access(str(p)), numbers=Numbers(usual=usual)) for b, p in bands.items()}
    tile = part.get("tile") or _labelled_tile(path.parent / f"{part['scene']}_labels_metadata.json")
    return Scene(
        id=part["scene"],
        sensor=naming.sensor,
        level=naming.level,
        datetime=iso_utc(_padded(part["start"])),
        footprint=footprint_of(file_geobox(str(path))),
        bands=files,
        family="geotiff",
        where=str(path.parent),
        named=tuple(os.path.abspath(file) for file in bands.values()),
        tile=f"T{tile}" if tile else None,
        platform=platform_name(part["platform"]) if part.get("platform") else None,
        relative_orbit=int(part["orbit"]) if part.get("orbit") else None,
        datatake="_".join([part["start"], part.get("frame") or ""]),
        generation=iso_utc(part["made"]) if part.get("made") else "",
        licence=SENTINEL_LICENCE,
        polarisations=tuple(sorted(bands)) if traits.power else (),
        processor="esa" if traits.reflectance else None,
        unusable=naming.unusable,
    )


def _padded(start: str) -> str:
    day, time = start.split("T")
    return f"{day}T{time:0>6}"


def _labelled_tile(path: Path) -> str | None:
    """Tile of a BigEarthNet patch, from the source product that its label file names."""
    try:
        source = str(json.loads(bytes_of(path))["tile_source"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    match = re.search(r"_T(\d{2}[A-Z]{3})_", source)
    return match[1] if match else None


def described_scenes(sources: Sequence[RasterSource], level: str) -> list[Scene]:
    """Scenes that the recipe describes by hand (`catalog.rasters`), in its order.

    Args:
        sources: entries of the recipe.
        level: Sentinel-2 level where an entry does not say it.

    Raises:
        RecipeError: entries that leave the offset or the bands open, all of them at once.
        InputError: a file does not exist.
    """
    findings: list[str] = []
    scenes = []
    described: dict[int, Mapping[str, BandFile]] = {}
    for number, source in enumerate(sources):
        if source.sensor == "reference":
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
        family="geotiff",
        where=path,
        origin=_origin(path, {"map": pixels}),
        named=(os.path.abspath(file),),
    )


def raster_scene(
    path: Path, bands: Sequence[str], nodata: float | None, setting: str
) -> Scene:  # fmt: skip
    """A plain raster of a layer.

    Args:
        path: the file.
        bands: names of its bands, in its order.
        nodata: value of missing pixels where the file does not declare it.
        setting: the layer's place in the recipe, for messages.

    Raises:
        RecipeError: the file has another number of bands.
        GridError: the file has no CRS.
    """
    header = header_of(str(path))
    if header.count != len(bands):
        raise RecipeError(
            f"{setting}.bands: {path} has {header.count} bands, and {len(bands)} are named: "
            f"{', '.join(bands)}"
        )
    numbers = Numbers((Statement(f"{setting} says", nodata),))
    files = {
        band: BandFile(Access(str(path)), number, numbers)
        for number, band in enumerate(bands, start=1)
    }
    return Scene(
        id=path.stem,
        sensor="raster",
        level="raster",
        datetime="",
        footprint=footprint_of(file_geobox(str(path))),
        bands=files,
        family="geotiff",
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
    assert source.sensor != "reference"
    found, bands = chosen_bands(source, _header(source))
    nameless = not bands and not found
    if "{band}" in source.path:
        for band in bands:
            path = source.path.replace("{band}", band)
            told = band_name(_texts(source, band).get(1), source.sensor)
            if told not in (None, band, ALSO.get(band)):
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
    if band == "SCL":
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
    assert source.sensor != "reference"
    return {
        band: BandFile(
            Access(str(_existing(source.path.replace("{band}", band)))),
            number,
            Numbers(
                _said(source, band, where, _texts(source, band).get(number)),
                TRAITS[source.sensor].usual,
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
        family="geotiff",
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
