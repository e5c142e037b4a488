# SPDX-License-Identifier: Apache-2.0
"""Sentinel-1 GRD products in ESA's SAFE and COG_SAFE forms, as folders or zip archives.

Source: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), SAFE manifest and naming; COG_SAFE
has the same files with `-cog` before the suffix.

Laws:
1. What a product holds is what its manifest says; a file that the manifest names and the product
   lacks is an error, not a product of fewer polarisations.
2. An asset is a measurement in radar geometry (no CRS, identity transform) with the addresses of
   its annotation, calibration and noise, which the stage reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import shapely
from shapely.geometry.base import BaseGeometry

from ..errors import SceneError
from ..grid import split_at_antimeridian
from .files import open_archive, portable
from .safe import Tree, parse, sound, text_of
from .scene import (
    SENTINEL_LICENCE,
    BandFile,
    Scene,
    Slice,
    iso_utc,
    missing_bands,
    platform_name,
)
from .statements import Statement

PRODUCT_NAME = re.compile(r"S1[A-Z]_(?:IW|S[1-6]|EW|WV)_GRD[FHM]_1")
"""Names of products that are read; the suffix may be .SAFE, .zip or none."""

MANIFEST = "manifest.safe"

_FILE = re.compile(
    r"(?P<folder>measurement|annotation|annotation/calibration)/"
    r"(?P<kind>calibration-|noise-|)s1[a-z]-(?:iw|s[1-6]|ew|wv)\d?-grd-(?P<band>[hv]{2})-"
    r"[^/]*\.(?:xml|tiff)"
)
_SIDECARS = ("annotation", "calibration", "noise")


def read_product(path: Path) -> Scene:
    """The scene of a GRD product, a SAFE folder or a zip archive.

    Raises:
        SceneError: no manifest, or one that is broken; a truncated archive.
    """
    tree = _tree(path)
    if MANIFEST not in tree.names:
        raise SceneError(f"{path}: the product lacks {MANIFEST}; fetch it again")
    with sound(tree):
        return _scene(tree)


def _tree(path: Path) -> Tree:
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        return Tree(path, tuple(names), None)
    with open_archive(path) as archive:
        members = sorted(name for name in archive.namelist() if not name.endswith("/"))
    root = next((m.removesuffix(MANIFEST) for m in members if m.endswith(MANIFEST)), "")
    return Tree(path, tuple(m.removeprefix(root) for m in members if m.startswith(root)), root)


def _scene(tree: Tree) -> Scene:
    root, where = parse(tree, MANIFEST), tree.where(MANIFEST)
    text = partial(text_of, root, where)
    bands = tuple(
        str(e.text).strip() for e in root.iter() if _local(e) == "transmitterReceiverPolarisation"
    )
    orbit = text("{*}relativeOrbitNumber")
    processing = root.find(".//{*}processing")
    software = root.find(".//{*}software")
    if not bands or processing is None or software is None:
        raise SceneError(f"{where}: no polarisations or processing; fetch the product again")
    platform = platform_name(f"{text('{*}platform/{*}familyName')}{text('{*}platform/{*}number')}")
    return Scene(
        id=tree.path.name.removesuffix(".zip").removesuffix(".SAFE"),
        sensor="sentinel1",
        level="GRD",
        datetime=iso_utc(text("{*}startTime")),
        footprint=_footprint(root, where),
        files=partial(_files, tree),
        where=str(tree.path),
        platform=platform,
        processing_baseline=software.get("version"),
        relative_orbit=int(orbit),
        orbit_direction=text("{*}pass").lower(),
        datatake=f"{text('{*}missionDataTakeID')}_{text('{*}orbitNumber')}",
        generation=iso_utc(processing.get("stop") or processing.get("start") or ""),
        licence=SENTINEL_LICENCE,
        slice=_slice(root, where),
        polarisations=bands,
    )


def _slice(root: ET.Element, where: str) -> Slice | None:
    """Place in the datatake; None for products that were not cut into slices."""
    number = root.findtext(".//{*}sliceNumber")
    if number is None:
        return None
    text = partial(text_of, root, where)
    return Slice(
        number=int(number),
        total=int(text("{*}totalSlices")),
        segment=(root.findtext(".//{*}segmentStartTime") or "").strip(),
        start=datetime.fromisoformat(text("{*}startTime")),
        stop=datetime.fromisoformat(text("{*}stopTime")),
    )


def _local(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _footprint(root: ET.Element, where: str) -> BaseGeometry:
    """The ring of the manifest, `latitude,longitude` pairs."""
    pairs = [pair.split(",") for pair in text_of(root, where, "{*}coordinates").split()]
    ring = [(float(longitude), float(latitude)) for latitude, longitude in pairs]
    if len(ring) < 4:
        raise SceneError(f"{where}: a footprint of {len(ring)} points; fetch the product again")
    return split_at_antimeridian(shapely.Polygon(ring))


def _files(tree: Tree, bands: Sequence[str]) -> Mapping[str, BandFile]:
    """Measurements of the wanted polarisations with their annotations."""
    found = _members(tree.names)
    have = sorted({band for band, kind in found if kind == "measurement"})
    missing = [band for band in bands if (band, "measurement") not in found]
    if missing:
        raise missing_bands(tree.path.name, str(tree.path), missing, have)
    for band in bands:
        lacking = [k for k in _SIDECARS if (band, k) not in found and k != "noise"]
        if lacking:
            raise SceneError(
                f"{tree.path}: no {' and no '.join(lacking)} of {band} in the product; "
                "fetch it again"
            )
    return {
        band: BandFile(
            path=tree.path / found[band, "measurement"] if tree.prefix is None else tree.path,
            member=None if tree.prefix is None else tree.prefix + found[band, "measurement"],
            said=(Statement("GRD products say", nodata=0.0),),
            sidecars={
                kind: _address(tree, found[band, kind])
                for kind in _SIDECARS
                if (band, kind) in found
            },
        )
        for band in bands
    }


def _address(tree: Tree, name: str) -> str:
    path = portable(tree.path if tree.prefix is not None else tree.path / name)
    return path if tree.prefix is None else f"/vsizip/{path}/{tree.prefix}{name}"


def _members(names: Sequence[str]) -> dict[tuple[str, str], str]:
    """Files by polarisation and kind: measurement, annotation, calibration, noise."""
    found: dict[tuple[str, str], str] = {}
    for name in names:
        if match := _FILE.fullmatch(name):
            kind = match["kind"].removesuffix("-") or match["folder"]
            found.setdefault((match["band"].upper(), kind), name)
    return found
