# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2 Level-1C and Level-2A products in ESA's SAFE form, as folders or zip archives.

Source: Sentinel-2 Products Specification Document, issues 14.6 (baseline 02.xx) to 15.0
(baseline 04.00 and later, with radiometric offsets); compact naming since December 2016.

Laws:
1. The radiometric offset comes from the product's own metadata. A product of before baseline
   04.00 has none; a later one without the node is refused, never guessed.
2. Bands are taken at their native pixel size; pixels where DN = 0 are not observed.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import shapely
from shapely.geometry.base import BaseGeometry

from ..errors import SceneError
from ..grid import geobox_from_dict, split_at_antimeridian
from ..recipe import S2_BANDS
from .files import open_archive, read_member
from .scene import (
    SENTINEL_LICENCE,
    BandFile,
    Scene,
    Transform,
    footprint_of,
    iso_utc,
    missing_bands,
    platform_name,
)
from .statements import Statement, since_offset

METADATA = ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml")
"""Names that make a folder a product."""

PRODUCT_NAME = re.compile(r"S2[A-Z]_MSIL(1C|2A)_\d{8}T\d{6}_")

_BAND_ORDER = tuple(S2_BANDS)
"""Bands by `band_id` of the metadata. Source: Products Specification, Spectral_Information."""

_IMAGE = re.compile(r"_(B\d[\dA]|SCL)(?:_(10|20|60)m)?\.(?:jp2|tif)$")
_TILE = re.compile(r"_(T\d{2}[A-Z]{3})_")


@dataclass(frozen=True)
class Tree:
    """Files of one product, in a folder or inside a zip archive."""

    path: Path
    """The SAFE folder, or the archive."""
    names: tuple[str, ...]
    """Files below the product's root, with `/`, sorted."""
    prefix: str | None
    """What stands before the names inside the archive; None for a folder."""

    def read(self, name: str) -> bytes:
        """Bytes of one file."""
        if self.prefix is None:
            return (self.path / name).read_bytes()
        with open_archive(self.path) as archive:
            return read_member(archive, self.path, self.prefix + name)

    def where(self, name: str) -> str:
        """How messages call a file."""
        return f"{self.path}/{name}" if self.prefix is None else f"{self.path}: {name}"

    def place(self, name: str) -> tuple[Path, str | None]:
        """Path and member of a file, as `BandFile` has them."""
        return (self.path / name, None) if self.prefix is None else (self.path, self.prefix + name)


def folder_tree(path: Path) -> Tree:
    """The files of a product folder."""
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return Tree(path, tuple(names), None)


def archive_trees(path: Path, is_metadata: Callable[[str], object]) -> list[Tree]:
    """The products of a zip archive: what lies beside or below a metadata file.

    Args:
        path: the archive.
        is_metadata: whether a file of that name makes its folder a product.

    Raises:
        SceneError: no complete archive.
    """
    with open_archive(path) as archive:
        members = sorted(name for name in archive.namelist() if not name.endswith("/"))
    trees = []
    for root in [m.rpartition("/")[0] for m in members if is_metadata(m.rpartition("/")[2])]:
        prefix = f"{root}/" if root else ""
        names = tuple(m.removeprefix(prefix) for m in members if m.startswith(prefix))
        trees.append(Tree(path, names, prefix))
    return trees


def read_folder(path: Path) -> Scene:
    """The scene of a SAFE folder; see `read_tree`."""
    return read_tree(folder_tree(path))


def read_archive(path: Path) -> list[Scene]:
    """The Sentinel-2 products of a zip archive (none if it holds something else).

    Raises:
        SceneError: the archive or its metadata are broken.
    """
    return [read_tree(tree) for tree in archive_trees(path, METADATA.__contains__)]


def read_tree(tree: Tree) -> Scene:
    """Read the metadata of a product.

    Raises:
        SceneError: metadata files are missing, broken or lack what is needed.
    """
    with sound(tree):
        return _scene(tree)


@contextmanager
def sound(tree: Tree) -> Iterator[None]:
    """Numbers and dates that are none become errors with the product's name."""
    try:
        yield
    except SceneError:
        raise
    except ValueError as error:
        raise SceneError(
            f"{tree.path}: broken metadata ({error}); fetch the product again"
        ) from error


def _scene(tree: Tree) -> Scene:
    main = next((name for name in METADATA if name in tree.names), None)
    tiles = [n for n in tree.names if re.fullmatch(r"GRANULE/[^/]+/MTD_TL\.xml", n)]
    if main is None or not tiles:
        lacking = "MTD_MSIL2A.xml or MTD_MSIL1C.xml" if main is None else "GRANULE/*/MTD_TL.xml"
        raise SceneError(f"{tree.path}: the product lacks {lacking}; fetch it again")
    if len(tiles) > 1:
        raise SceneError(
            f"{tree.path}: {len(tiles)} granules in one product (the form of before December "
            "2016); fetch the single-tile product"
        )
    product, granule = parse(tree, main), parse(tree, tiles[0])
    level = "L2A" if main == METADATA[0] else "L1C"
    text = partial(text_of, product, tree.where(main))
    tile = _TILE.search(text_of(granule, tree.where(tiles[0]), "TILE_ID"))
    take = product.find(".//Datatake")
    if take is None or tile is None:
        raise SceneError(f"{tree.where(main)}: no datatake or tile; fetch the product again")
    outline = _footprint(product, tree.where(main))
    return Scene(
        id=text("PRODUCT_URI").removesuffix(".SAFE"),
        sensor="sentinel2",
        level=level,
        datetime=iso_utc(text("PRODUCT_START_TIME")),
        footprint=outline,
        files=partial(_files, tree, main, tiles[0], level),
        where=str(tree.path),
        tile=tile[1],
        platform=platform_name(text("SPACECRAFT_NAME")),
        processing_baseline=text("PROCESSING_BASELINE"),
        relative_orbit=int(text("SENSING_ORBIT_NUMBER")),
        orbit_direction=text("SENSING_ORBIT_DIRECTION").lower(),
        cloud_percent=round(float(text("Cloud_Coverage_Assessment")), 6),
        datatake="_".join(take.get("datatakeIdentifier", "").split("_")[:2]),
        generation=iso_utc(text("GENERATION_TIME")),
        licence=SENTINEL_LICENCE,
        processor="esa",
        uncovered=partial(_uncovered, tree, tiles[0], outline),
    )


_FOOTPRINT_DEG = 0.005
"""How far outlines in metadata may miss the edge of the pixels: five corners stand for a tile
whose sides are up to 300 m from straight in degrees."""


def _uncovered(tree: Tree, tile: str, outline: BaseGeometry, area: BaseGeometry) -> float:
    """Share of an area in the product's grid that lies outside the footprint, good to 500 m."""
    granule, where = parse(tree, tile), tree.where(tile)
    sizes = {node.get("resolution"): node for node in granule.iter("Size")}
    place, size = _geoposition(granule, 10), sizes.get("10")
    if place is None or size is None:
        raise SceneError(f"{where}: metadata without Size or Geoposition; fetch the product again")
    with sound(tree):
        shape = tuple(int(size.findtext(key, "")) for key in ("NROWS", "NCOLS"))
        crs = text_of(granule, where, "HORIZONTAL_CS_CODE")
    grid = geobox_from_dict({"crs": crs, "transform": place, "shape": shape})
    part = area.intersection(footprint_of(grid))
    if part.area == 0:
        return 0.0
    return float(part.difference(outline.buffer(_FOOTPRINT_DEG)).area / part.area)


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
    lacking = [b for b in _BAND_ORDER if b not in found and not (b == "B10" and level == "L2A")]
    if lacking:
        raise SceneError(
            f"{where}: metadata without offset node: baseline {baseline} must have {node} for "
            f"{', '.join(lacking)}; fetch the product again, or describe its files under "
            "catalog.rasters with their add_offset"
        )
    return found


def _files(
    tree: Tree, main: str, tile: str, level: str, bands: Sequence[str]
) -> Mapping[str, BandFile]:
    """Files of the wanted bands, each at its native pixel size."""
    product, granule = parse(tree, main), parse(tree, tile)
    node = "BOA_QUANTIFICATION_VALUE" if level == "L2A" else "QUANTIFICATION_VALUE"
    with sound(tree):
        offsets = band_offsets(product, level, tree.where(main))
        quantification = float(text_of(product, tree.where(main), node))
        if quantification <= 0:
            raise ValueError(f"{node} is {quantification:g}")
    images = _images(tree.names)
    wanted = {band: images.get((band, _native(band)), images.get((band, None))) for band in bands}
    missing = [band for band, name in wanted.items() if name is None]
    if missing:
        have = sorted({band for band, size in images if size in (None, _native(band))})
        raise missing_bands(tree.path.name, str(tree.path), missing, have)
    crs = text_of(granule, tree.where(tile), "HORIZONTAL_CS_CODE")
    return {
        band: BandFile(
            *tree.place(name),
            said=(
                Statement(f"{main} says", 0.0)
                if band == "SCL"
                else Statement(f"{main} says", 0.0, offsets[band], quantification),
            ),
            crs=crs,
            transform=_geoposition(granule, _native(band)),
        )
        for band, name in wanted.items()
        if name is not None
    }


def _images(names: Iterable[str]) -> dict[tuple[str, int | None], str]:
    """Band files by band and pixel size (None where the name does not say it, as in L1C)."""
    found: dict[tuple[str, int | None], str] = {}
    for name in names:
        match = _IMAGE.search(name)
        if match and "/IMG_DATA/" in name:
            found.setdefault((match[1], int(match[2]) if match[2] else None), name)
    return found


def _native(band: str) -> int:
    return 20 if band == "SCL" else S2_BANDS[band]


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


def parse(tree: Tree, name: str) -> ET.Element:
    """Root of an XML file of a product; broken ones become a `SceneError`."""
    try:
        return ET.fromstring(tree.read(name))  # noqa: S314
    except (ET.ParseError, OSError) as error:
        raise SceneError(
            f"{tree.where(name)}: broken metadata ({error}); fetch the product again"
        ) from error


def text_of(root: ET.Element, where: str, tag: str) -> str:
    """Text of the first node of that tag; none is a `SceneError`."""
    node = root.find(f".//{tag}")
    if node is None or not (node.text or "").strip():
        raise SceneError(f"{where}: metadata without {tag}; fetch the product again")
    return str(node.text).strip()


def is_product(folder: Path) -> bool:
    """Whether a folder is a Sentinel-2 product (by its metadata file or its name)."""
    named = folder.suffix == ".SAFE" and PRODUCT_NAME.match(folder.name) is not None
    return named or any((folder / name).is_file() for name in METADATA)


def is_archive(path: Path) -> bool:
    """Whether a zip file is to be read as a product: by its name, or by what it holds."""
    if PRODUCT_NAME.match(path.name):
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] in METADATA for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
