# SPDX-License-Identifier: Apache-2.0
"""Plain raster files of known namings.

A new naming is one row in `NAMINGS`. Files that no row knows stand in the recipe, see `described`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..access import Access, bytes_of
from .product import (
    SENTINEL_LICENCE,
    file_geobox,
    footprint_of,
    iso_utc,
    platform_name,
)
from .scene import BandFile, Numbers, Scene
from .traits import TRAITS


@dataclass(frozen=True)
class Naming:
    """A naming of files, one band a file, in one folder.

    Groups of `pattern`: `scene` (the common part), `band`, `start`; and where the name has them
    `platform`, `tile`, `orbit`, `made`, `frame` (burst or cut-out: names the ground).
    """

    name: str
    pattern: re.Pattern[str]
    sensor: str
    """What the files show, a kind of `traits`."""
    level: str
    scale: Literal["linear", "db"] = "linear"
    processor: str | None = None
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
        processor="esa",
    ),
    Naming(
        "Sentinel-2 band files",
        re.compile(
            r"(?P<scene>T(?P<tile>\d{2}[A-Z]{3})_(?P<start>\d{8}T\d{6}))_"
            r"(?P<band>B\d[\dA])(?:_\d0m)?\.(?:jp2|tif)"
        ),
        "sentinel2",
        "L1C",
        processor="esa",
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
        processor=naming.processor,
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
