# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2 Level-1C and Level-2A products in ESA's SAFE form, as folders or zip archives.

Source: Sentinel-2 Products Specification Document, issues 13 (before December 2016: long names,
several granules a product) and 14.2 (first Level-2A: nodes that end in _2A) to 15.0 (baseline
04.00 and later, with radiometric offsets); compact naming since December 2016.

Laws:
1. The radiometric offset comes from the product's own metadata. A product of before baseline
   04.00 has none; a later one without the node is refused, never guessed.
2. Bands are taken at their native pixel size; pixels where DN = 0 are not observed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from ..errors import SceneError
from ..grid import geobox_from_dict, split_at_antimeridian
from ..records import since_offset
from ..settings import PROBABILITIES, S2_BANDS
from .product import SENTINEL_LICENCE, footprint_of, iso_utc, lacking_bands, platform_name
from .scene import BandFile, Grid, Numbers, Scene, Transform
from .statements import Statement
from .tree import AS_USUAL, Reading, Tree, parse, sound, text_of

SCENES = "sentinel2"
"""What the scenes are of."""

METADATA = re.compile(
    r"MTD_MSIL(?P<level>1C|2A)\.xml|S2[A-Z]_(?:OPER|USER)_MTD_SAFL(?P<old>1C|2A)_.*\.xml"
)
"""Names that make a folder a product; the second form is that of before December 2016."""

PRODUCT_NAME = re.compile(
    r"S2[A-Z]_(?:MSIL(?:1C|2A)_\d{8}T\d{6}_|(?:OPER|USER)_PRD_MSIL(?:1C|2A)_)"
)
"""How names of products begin; patches of BigEarthNet begin like that as well."""

NEEDS = "MTD_MSIL2A.xml or MTD_MSIL1C.xml"
"""Metadata without which there is no product, for messages."""

AMAZON = (
    "of a Sentinel-2 tile in the layout of Amazon's buckets, without its product's metadata: the "
    "radiometric offset is not known; fetch the SAFE product, or describe the files under "
    "catalog.rasters with add_offset"
)
_AMAZON_TILE = re.compile(r"/\d{1,2}/[C-X]/[A-Z]{2}/\d{4}/\d{1,2}/\d{1,2}/\d(?:/R\d0m)?$")

lacking = lacking_bands
"""The error for bands that a product does not have."""

_TILE_METADATA = re.compile(
    r"GRANULE/[^/]+/(?:MTD_TL|S2[A-Z]_(?:OPER|USER)_MTD_L(?:1C|2A)_TL_[^/]*)\.xml"
)
_OWN_URI = re.compile(r"S2[A-Z]_[\w.-]+")

_BAND_ORDER = tuple(S2_BANDS)
"""Bands by `band_id` of the metadata. Source: Products Specification, Spectral_Information."""

_IMAGE = re.compile(r"_(B\d[\dA]|SCL)(?:_L2A_TL_\w+?)?(?:_(10|20|60)m)?\.(?:jp2|tif)$")
_QUALITY = re.compile(r"/QI_DATA/MSK_(CLD|SNW)PRB_(20)m\.(?:jp2|tif)$")
_TILE = re.compile(r"_(T\d{2}[A-Z]{3})_")
_QUANTIFICATION = {
    "L1C": ("QUANTIFICATION_VALUE",),
    "L2A": ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
}
"""Nodes by level; the second one stands in the first Level-2A products."""


def is_metadata(name: str) -> bool:
    """Whether a file of that name makes its folder a product."""
    return METADATA.fullmatch(name) is not None


def is_product(names: Collection[str]) -> bool:
    """Whether a folder that holds these files and folders is a product."""
    return any(map(is_metadata, names))


def is_named(name: str) -> bool:
    """Whether a folder or archive of that name must be a product, whatever it holds."""
    return name.lower().endswith((".safe", ".zip")) and PRODUCT_NAME.match(name) is not None


def unread(_how: Reading, _tree: Tree | None = None) -> str | None:
    """Why products of the family, or this one, are not read; None: they are."""
    return None


def stray_folder(names: Collection[str]) -> str | None:
    """Why a folder of these names, which is no product, holds none that can be read, if so."""
    return f"files {AMAZON}" if {"tileInfo.json", "metadata.xml"} <= {*names} else None


def stray_file(path: Path) -> str | None:
    """What a raster by its path is of that cannot be read without its product, if anything."""
    return AMAZON if _AMAZON_TILE.search(path.parent.as_posix()) else None


def read_tree(tree: Tree, _how: Reading = AS_USUAL) -> list[Scene]:
    """Read the metadata of a product: a scene for each of its tiles.

    Raises:
        SceneError: metadata files are missing, broken or lack what is needed.
    """
    mains = [name for name in tree.names if METADATA.fullmatch(name)]
    tiles = [name for name in tree.names if _TILE_METADATA.fullmatch(name)]
    if not mains or not tiles:
        needed = "GRANULE/*/MTD_TL.xml" if mains else NEEDS
        raise SceneError(f"{tree.path}: the product lacks {needed}; fetch it again")
    if len(mains) > 1:
        raise SceneError(
            f"{tree.path}: metadata of {len(mains)} products in one folder ({', '.join(mains)}); "
            "unpack each product into a folder of its own"
        )
    if len(tiles) == 1:
        with sound(tree):
            return [_scene(tree, mains[0], tiles[0])]
    scenes = []
    for tile in tiles:
        granule = f"{tile.rpartition('/')[0]}/"
        names = tuple(n for n in tree.names if n == mains[0] or n.startswith(granule))
        with sound(tree):
            scenes.append(_of_many(replace(tree, names=names), mains[0], tile))
    return scenes


def _scene(tree: Tree, main: str, tile_file: str) -> Scene:
    product, granule = parse(tree, main), parse(tree, tile_file)
    match = METADATA.fullmatch(main)
    level = f"L{match['level'] or match['old']}" if match else ""
    text = partial(text_of, product, tree.where(main))
    tile = _TILE.search(text_of(granule, tree.where(tile_file), "TILE_ID", "TILE_ID_2A"))
    take = product.find(".//Datatake")
    if take is None or tile is None:
        raise SceneError(f"{tree.where(main)}: no datatake or tile; fetch the product again")
    return Scene(
        id=_id(product, tree.where(main), tree.name),
        sensor=SCENES,
        level=level,
        datetime=iso_utc(text("PRODUCT_START_TIME")),
        footprint=_footprint(product, tree.where(main)),
        bands=_bands(tree, main, level, product, granule, tree.where(tile_file)),
        family="safe",
        where=str(tree.path),
        tile=tile[1],
        platform=platform_name(text("SPACECRAFT_NAME")),
        processing_baseline=text("PROCESSING_BASELINE"),
        relative_orbit=int(text("SENSING_ORBIT_NUMBER")),
        orbit_direction=text("SENSING_ORBIT_DIRECTION").lower(),
        cloud_percent=round(float(text("Cloud_Coverage_Assessment")), 6),
        datatake="_".join(take.get("datatakeIdentifier", "").split("_")[:2]) or None,
        generation=iso_utc(text("GENERATION_TIME")),
        licence=SENTINEL_LICENCE,
        processor="esa",
        grid=_grid(granule, 10, granule.findtext(".//HORIZONTAL_CS_CODE")),
    )


def _of_many(tree: Tree, main: str, tile_file: str) -> Scene:
    """One tile of a product of before December 2016, whose outline is that of all its tiles."""
    scene = _scene(tree, main, tile_file)
    granule, where = parse(tree, tile_file), tree.where(tile_file)
    return replace(
        scene,
        id=f"{scene.id}_{scene.tile}",
        footprint=scene.footprint.intersection(footprint_of(_tile(scene))),
        cloud_percent=round(float(text_of(granule, where, "CLOUDY_PIXEL_PERCENTAGE")), 6),
    )


def _id(product: ET.Element, where: str, folder: str) -> str:
    """The product's name; early ones state an address of a server, or nothing: then the folder's."""
    if PRODUCT_NAME.match(folder) and product.find(".//PRODUCT_URI") is None:
        uri = product.findtext(".//PRODUCT_URI_2A", folder)
    else:
        uri = text_of(product, where, "PRODUCT_URI", "PRODUCT_URI_2A")
    name = re.sub(r"\.(?:safe|zip)$", "", uri.strip().rpartition("/")[2], flags=re.IGNORECASE)
    if not _OWN_URI.fullmatch(name):
        raise SceneError(f"{where}: PRODUCT_URI {uri!r} is no product's name; fetch it again")
    return name


_FOOTPRINT_DEG = 0.005
"""How far outlines in metadata may miss the edge of the pixels: five corners stand for a tile
whose sides are up to 300 m from straight in degrees."""


def uncovered(scene: Scene, area: BaseGeometry) -> float:
    """Share of an area in the product's grid that lies outside the footprint, good to 500 m.

    Raises:
        SceneError: the metadata state no grid.
    """
    part = area.intersection(footprint_of(_tile(scene)))
    if part.area == 0:
        return 0.0
    return float(part.difference(scene.footprint.buffer(_FOOTPRINT_DEG)).area / part.area)


def _tile(scene: Scene) -> GeoBox:
    """The tile's 10 m grid."""
    if scene.grid is None:
        raise SceneError(
            f"{scene.where}: metadata without Size or Geoposition; fetch the product again"
        )
    return geobox_from_dict(asdict(scene.grid))


def _grid(granule: ET.Element, size: int, crs: str | None) -> Grid | None:
    """The tile's grid of pixels of a size in m; None where the metadata do not state it."""
    place, shape = _geoposition(granule, size), _shape(granule, size)
    return Grid(crs.strip(), place, shape) if crs and place and shape else None


def band_offsets(product: ET.Element, level: str, where: str) -> dict[str, float]:
    """What is to be added to the DN of each band before division by the quantification value.

    Args:
        product: root of MTD_MSIL1C.xml or MTD_MSIL2A.xml.
        level: L1C or L2A.
        where: the file, for messages.

    Raises:
        SceneError: baseline 04.00 or later without an offset for every band of the level.
    """
    node = "BOA_ADD_OFFSET" if level == "L2A" else "RADIO_ADD_OFFSET"
    stated = {e.get("band_id"): e.text for e in product.iter(node)}
    numbers = ((band, stated.get(str(n))) for n, band in enumerate(_BAND_ORDER))
    found = {band: float(number) for band, number in numbers if number}
    baseline = text_of(product, where, "PROCESSING_BASELINE")
    if not found and since_offset(baseline) is False:
        return dict.fromkeys(_BAND_ORDER, 0.0)
    open_ones = [b for b in _BAND_ORDER if b not in found and not (b == "B10" and level == "L2A")]
    if open_ones:
        raise SceneError(
            f"{where}: metadata without offset node: baseline {baseline} must have {node} for "
            f"{', '.join(open_ones)}; fetch the product again, or describe its files under "
            "catalog.rasters with their add_offset"
        )
    return found


def _bands(
    tree: Tree, main: str, level: str, product: ET.Element, granule: ET.Element, where: str
) -> dict[str, BandFile]:
    """Files of all bands, each at its native pixel size."""
    crs = granule.findtext(".//HORIZONTAL_CS_CODE", "").strip() or None
    try:
        text_of(granule, where, "HORIZONTAL_CS_CODE")
        numbers = _numbers(tree, main, level, product)
    except SceneError as error:
        numbers = dict.fromkeys((*_BAND_ORDER, "SCL", *PROBABILITIES), Numbers(fault=str(error)))
    images = _images(tree.names)
    sizes = {_native(band) for band in numbers}
    places = {size: (_geoposition(granule, size), _shape(granule, size)) for size in sizes}
    found = {}
    for band in numbers:
        name = images.get((band, _native(band)), images.get((band, None)))
        if name is not None:
            found[band] = BandFile(
                tree.place(name),
                numbers=numbers[band],
                crs=crs,
                transform=places[_native(band)][0],
                shape=places[_native(band)][1],
                dtype="uint16" if band in S2_BANDS else "uint8",
                bare=True,
            )
    return found


def _numbers(tree: Tree, main: str, level: str, product: ET.Element) -> dict[str, Numbers]:
    """What the numbers of each band mean, and the classes'."""
    nodes = _QUANTIFICATION[level]
    with sound(tree):
        offsets = band_offsets(product, level, tree.where(main))
        quantification = float(text_of(product, tree.where(main), *nodes))
        if quantification <= 0:
            raise ValueError(f"{nodes[0]} is {quantification:g}")
    said = f"{main} says"
    measured = {b: Numbers((Statement(said, 0.0, o, quantification),)) for b, o in offsets.items()}
    percent = dict.fromkeys(PROBABILITIES, Numbers())
    return measured | {"SCL": Numbers((Statement(said, 0.0),))} | percent


def _images(names: Iterable[str]) -> dict[tuple[str, int | None], str]:
    """Band files by band and pixel size (None where the name does not say it, as in L1C)."""
    found: dict[tuple[str, int | None], str] = {}
    for name in names:
        match = _IMAGE.search(name)
        if match and "/IMG_DATA/" in name:
            found.setdefault((match[1], int(match[2]) if match[2] else None), name)
        elif quality := _QUALITY.search(name):
            found.setdefault((f"{quality[1]}PRB", int(quality[2])), name)
    return found


def _native(band: str) -> int:
    return S2_BANDS.get(band, 20)


def _shape(granule: ET.Element, size: int) -> tuple[int, int] | None:
    """Rows and columns of the tile in pixels of a size in m."""
    for node in granule.iter("Size"):
        if node.get("resolution") == str(size):
            return int(node.findtext("NROWS", "")), int(node.findtext("NCOLS", ""))
    return None


def _geoposition(granule: ET.Element, size: int) -> Transform | None:
    for node in granule.iter("Geoposition"):
        if node.get("resolution") == str(size):
            left, top, dx, dy = (
                float(node.findtext(k, "nan")) for k in ("ULX", "ULY", "XDIM", "YDIM")
            )
            return dx, 0.0, left, 0.0, dy, top
    return None


def _footprint(product: ET.Element, where: str) -> BaseGeometry:
    """Union of the footprint's outer rings, `latitude longitude` pairs."""
    rings = []
    for node in product.iter("EXT_POS_LIST"):
        numbers = [float(n) for n in (node.text or "").split()]
        if len(numbers) < 8 or len(numbers) % 2:
            raise SceneError(f"{where}: EXT_POS_LIST is no ring; fetch the product again")
        rings.append(shapely.Polygon(list(zip(numbers[1::2], numbers[0::2], strict=True))))
    if not rings:
        raise SceneError(f"{where}: metadata without footprint (EXT_POS_LIST); fetch it again")
    return shapely.union_all([split_at_antimeridian(ring) for ring in rings])
