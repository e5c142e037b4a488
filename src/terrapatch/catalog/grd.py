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
from binascii import crc_hqx
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import shapely
from shapely.geometry.base import BaseGeometry

from ..archives import members, open_archive
from ..errors import SceneError
from ..grid import split_at_antimeridian
from .product import SENTINEL_LICENCE, iso_utc, lacking_bands, platform_name
from .scene import BandFile, Numbers, Scene, Slice
from .statements import Statement
from .tree import AS_USUAL, Reading, Tree, archive_trees, folder_tree, parse, sound, text_of

SCENES = "sentinel1"
"""What the scenes are of."""

PRODUCT_NAME = re.compile(r"S1[A-Z]_(?:IW|S[1-6]|EW|WV|EN|N[1-6])_(?:GRD|SLC|OCN|RAW)")
"""How names of Sentinel-1 products begin."""

MANIFEST = "manifest.safe"
NEEDS = MANIFEST
"""Metadata without which there is no product, for messages."""

lacking = lacking_bands
"""The error for bands that a product does not have."""

_RAW = "raw Sentinel-1 product in radar geometry: geocoded backscatter is needed"
_AUXILIARY = re.compile(r"S1[A-Z]_OPER_AUX_", re.IGNORECASE)
_MEASUREMENT = re.compile(r"s1[a-z]-(?:iw|ew|s[1-6]|wv)\d?-(?:grd|slc|ocn)-")

_NAME = re.compile(
    r"(?P<kind>S1[A-Z]_\w{2}_\w{4}_\w{4})_(?P<start>\d{8}T\d{6})_\d{8}T\d{6}_(?P<orbit>\d{6})_"
    r"[0-9A-F]{6}_[0-9A-F]{4}(?:_COG)?"
)
_FILE = re.compile(
    r"(?P<folder>measurement|annotation|annotation/calibration)/(?P<kind>calibration-|noise-|)"
    r"(?:s1[a-z]-)?(?:iw|s[1-6]|ew|wv)\d?-(?:grd-)?(?P<band>[hv]{2})(?:-[^/]*)?\.(?:xml|tiff)"
)
"""Files of a product; Amazon's copies are called `iw-vv` in place of the whole name."""

_SIDECARS = ("annotation", "calibration", "noise")
_KINDS = ("GRD", "SLC", "OCN", "RAW")


def is_metadata(name: str) -> bool:
    """Whether a file of that name may make its folder a product; other families have it, too."""
    return name == MANIFEST


def is_product(names: Collection[str]) -> bool:
    """Whether a folder that holds these files and folders is a product."""
    return MANIFEST in names and not {"annotation", "measurement"}.isdisjoint(names)


def is_named(name: str) -> bool:
    """Whether a folder or archive of that name must be a product, whatever it holds."""
    return name.lower().endswith((".safe", ".zip")) and PRODUCT_NAME.match(name) is not None


def unread(how: Reading, tree: Tree | None = None) -> str | None:
    """Why products of the family, or this one, are not read; None: they are.

    Raises:
        SceneError: no manifest, or one that is broken.
    """
    if not how.raw:
        return _RAW
    kind = "GRD" if tree is None else product_kind(tree)
    return None if kind == "GRD" else f"raw Sentinel-1 product of another kind than GRD ({kind})"


def is_beside(name: str) -> bool:
    """Whether a file of that name goes with products and is no find of its own: orbits."""
    return _AUXILIARY.match(name) is not None


def stray_file(path: Path) -> str | None:
    """What a raster by its path is of that cannot be read without its product, if anything."""
    if any(map(_MEASUREMENT.match, (path.name, path.parent.name))):
        return "of Sentinel-1 SAFE, which is not read"
    return None


def uncovered(_scene: Scene, _area: BaseGeometry) -> float | None:
    """Share of an area that the image does not show: nothing tells it."""
    return None


def product_kind(tree: Tree) -> str:
    """GRD, SLC, OCN or RAW, by the name of the product or, where it has another, its manifest.

    Raises:
        SceneError: no manifest, or one that is broken.
    """
    if match := re.match(r"S1[A-Z]_\w{2}_(GRD|SLC|OCN|RAW)", tree.name):
        return match[1]
    if MANIFEST not in tree.names:
        raise SceneError(f"{tree.path}: the product lacks {MANIFEST}; fetch it again")
    stated = parse(tree, MANIFEST).findtext(".//{*}productType", "").strip().upper()
    return stated if stated in _KINDS else "unknown"


def read_product(path: Path) -> Scene:
    """The scene of a GRD product, a SAFE folder or a zip archive of one; see `read_tree`."""
    if path.is_dir():
        return read_tree(folder_tree(path))[0]
    with open_archive(path) as archive:
        names = [*members(archive)]
    trees = archive_trees(path, names, is_metadata)
    return read_tree(trees[0] if trees else Tree(path, tuple(names), ""))[0]


def read_tree(tree: Tree, _how: Reading = AS_USUAL) -> list[Scene]:
    """The scene of a GRD product.

    Raises:
        SceneError: no manifest, or one that is broken.
    """
    if MANIFEST not in tree.names:
        raise SceneError(f"{tree.path}: the product lacks {MANIFEST}; fetch it again")
    with sound(tree):
        return [_scene(tree)]


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
        id=_id(tree, root, bands),
        sensor=SCENES,
        level="GRD",
        datetime=iso_utc(text("{*}startTime")),
        footprint=_footprint(root, where),
        bands=_bands(tree),
        family="grd",
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


def _id(tree: Tree, root: ET.Element, bands: Sequence[str]) -> str:
    """The product's name: its folder's or archive's, or, where that was renamed, from the content.

    Names end with the CRC-16 of the manifest (Sentinel-1 Product Specification, naming).
    """
    text = partial(text_of, root, tree.where(MANIFEST))
    start, stop = (datetime.fromisoformat(text(f"{{*}}{key}Time")) for key in ("start", "stop"))
    orbit = int(text("{*}orbitNumber"))
    for name in (tree.name, tree.path.name):
        match = _NAME.match(name)
        if match and int(match["orbit"]) == orbit:
            apart = datetime.fromisoformat(match["start"]) - start.replace(tzinfo=None)
            if abs(apart.total_seconds()) <= 1:  # names are cut or rounded to seconds
                return match[0]
    platform = platform_name(f"{text('{*}platform/{*}familyName')}{text('{*}platform/{*}number')}")
    mode = root.findtext(".//{*}instrumentMode/{*}mode", "IW").strip()
    mode = root.findtext(".//{*}instrumentMode/{*}swath", mode).strip() if mode == "SM" else mode
    kind = f"GRD{'H' if mode == 'IW' or mode[0] == 'S' else 'M'}"
    seen = f"{'D' if len(bands) > 1 else 'S'}{'V' if 'VV' in bands else 'H'}"
    take = f"{int(text('{*}missionDataTakeID')):06X}"
    check = f"{crc_hqx(tree.read(MANIFEST), 0xFFFF):04X}"
    satellite = f"S1{platform[-1]}"
    span = f"{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}"
    return f"{satellite}_{mode}_{kind}_1S{seen}_{span}_{orbit:06d}_{take}_{check}"


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


def _bands(tree: Tree) -> dict[str, BandFile]:
    """Measurements by polarisation, with their annotations as far as they are there."""
    found = _members(tree.names)
    return {
        band: BandFile(
            tree.place(name),
            numbers=Numbers((Statement("GRD products say", nodata=0.0),)),
            sidecars={
                side: tree.place(found[band, side]) for side in _SIDECARS if (band, side) in found
            },
        )
        for (band, kind), name in found.items()
        if kind == "measurement"
    }


def _members(names: Sequence[str]) -> dict[tuple[str, str], str]:
    """Files by polarisation and kind: measurement, annotation, calibration, noise."""
    found: dict[tuple[str, str], str] = {}
    for name in names:
        if match := _FILE.fullmatch(name):
            kind = match["kind"].removesuffix("-") or match["folder"]
            found.setdefault((match["band"].upper(), kind), name)
    return found
