# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2 Level-2A products of Theia (processor MAJA), as folders or zip archives.

Source: CNES/CESBIO, Theia's Sentinel-2 Level-2A product format (`METADATA_MUSCATE`), and a genuine
`MTD_ALL.xml` of format 1.16.

Laws:
1. What a product holds is what its metadata list: a file that they list and the product lacks is
   an error.
2. Reflectance is DN / quantification (10000) without any offset, small negative values are
   measurements; nodata is the metadata's own value (−10000).
3. The metadata's outline is the grid's, also where a swath ends inside: `EDG` tells what was seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from ..crs import GEOGRAPHIC
from ..errors import SceneError
from ..grid import geobox_from_dict, reprojected
from ..rasters import read_bands
from ..settings import S2_BANDS
from .product import file_geobox, footprint_of, iso_utc, missing_bands, platform_name
from .scene import BandFile, Grid, Numbers, Scene
from .statements import Statement
from .tree import AS_USUAL, Reading, Tree, parse, sound, text_of

SCENES = "sentinel2"
"""What the scenes are of."""

PRODUCT_NAME = re.compile(
    r"SENTINEL2[A-Z]_\d{8}-\d{6}-\d{3}_L2A_T\d{2}[A-Z]{3}(?:_[A-Z](?:_V[\d-]+)?)?"
)
"""Names of products; archives may leave the version out."""

METADATA = re.compile(rf"{PRODUCT_NAME.pattern}_MTD_ALL\.xml")

NEEDS = "…_MTD_ALL.xml"
"""Metadata without which there is no product, for messages."""

NATURES = {"FRE": "Flat_Reflectance", "SRE": "Surface_Reflectance"}
"""How the metadata call reflectances with and without the correction of slopes."""

MASKS = ("EDG", "CLM", "MG2")
"""Masks that can be assets: image edge, clouds, geophysical; all of them at 10 m."""

LICENCE = "Etalab Open Licence 2.0 (Theia value-added products); modified Copernicus Sentinel data"

_MASK_FILE = re.compile(r"_(EDG|CLM|MG2)_R1\.tif$")
_GROUPS = {10: "R1", 20: "R2"}
"""How the metadata call the grids, by pixel size in m."""
_ORBITS = 143
"""Relative orbits of Sentinel-2."""
_FIRST_ORBIT = {"Sentinel-2A": 3, "Sentinel-2B": -26}
"""Relative orbit = (absolute orbit + this − 1) mod 143 + 1. Source: pairs in ESA's metadata."""
_STRIP = 1024
"""Rows of the edge mask looked at together."""


def is_metadata(name: str) -> bool:
    """Whether a file of that name makes its folder a product."""
    return METADATA.fullmatch(name) is not None


def is_product(names: Collection[str]) -> bool:
    """Whether a folder that holds these files and folders is a product."""
    return any(map(is_metadata, names))


def is_named(name: str) -> bool:
    """Whether a folder or archive of that name must be a product, whatever it holds."""
    whole = re.sub(r"\.zip$", "", name, flags=re.IGNORECASE)
    return PRODUCT_NAME.fullmatch(whole) is not None


def unread(_how: Reading, _tree: Tree | None = None) -> str | None:
    """Why products of the family, or this one, are not read; None: they are."""
    return None


def read_tree(tree: Tree, how: Reading = AS_USUAL) -> list[Scene]:
    """The scene of a product.

    Args:
        tree: its files.
        how: which images give the bands.

    Raises:
        SceneError: metadata are missing, broken or lack what is needed.
    """
    main = next((name for name in tree.names if METADATA.fullmatch(name)), None)
    if main is None:
        raise SceneError(
            f"{tree.path}: the product lacks its metadata ({NEEDS}); fetch it again, or "
            "describe its files under catalog.rasters"
        )
    with sound(tree):
        return [_scene(tree, main, how.reflectance)]


def _scene(tree: Tree, main: str, reflectance: str) -> Scene:
    root, where = parse(tree, main), tree.where(main)
    text = partial(text_of, root, where)
    if text("PRODUCT_LEVEL") != "L2A":
        raise SceneError(f"{where}: a product of level {text('PRODUCT_LEVEL')}; only L2A is read")
    platform = platform_name(text("PLATFORM"))
    grid = _grid(root, "R1", where)
    if grid is None:
        raise SceneError(f"{where}: metadata without geoposition of R1; fetch the product again")
    acquired = iso_utc(text("ACQUISITION_DATE"))
    cloud = next(
        (e.text for e in root.iter("QUALITY_INDEX") if e.get("name") == "CloudPercent"), None
    )
    return Scene(
        id=text("PRODUCT_ID"),
        sensor=SCENES,
        level="L2A",
        datetime=acquired,
        footprint=footprint_of(geobox_from_dict(asdict(grid))),
        bands=_bands(root, tree, main, reflectance),
        family="maja",
        where=str(tree.path),
        tile=f"T{text('GEOGRAPHICAL_ZONE').removeprefix('T')}",
        platform=platform,
        processing_baseline=text("PRODUCT_VERSION"),
        relative_orbit=relative_orbit(platform, int(text("ORBIT_NUMBER"))),
        cloud_percent=float(cloud) if cloud else None,
        datatake=f"{platform}_{acquired}",
        generation=iso_utc(text("PRODUCTION_DATE")),
        licence=LICENCE,
        processor="theia",
        grid=grid,
    )


def relative_orbit(platform: str, number: int) -> int | None:
    """The track (1..143) of an orbit; None for platforms whose numbering is not known.

    Theia states the orbit since launch. Numbers up to 143 are tracks already: both satellites'
    first ten days gave no Level-2A.
    """
    if number <= _ORBITS:
        return number
    first = _FIRST_ORBIT.get(platform)
    return None if first is None else (number + first - 1) % _ORBITS + 1


def _crs(root: ET.Element, where: str) -> str:
    return f"EPSG:{text_of(root, where, 'HORIZONTAL_CS_CODE').removeprefix('EPSG:')}"


def _grid(root: ET.Element, group_id: str, where: str) -> Grid | None:
    """The product's grid of 10 m (`R1`) or 20 m (`R2`)."""
    group = root.find(f".//Group_Geopositioning[@group_id='{group_id}']")
    if group is None:
        return None
    left, top, dx, dy, rows, cols = (
        float(text_of(group, where, key))
        for key in ("ULX", "ULY", "XDIM", "YDIM", "NROWS", "NCOLS")
    )
    return Grid(_crs(root, where), (dx, 0.0, left, 0.0, dy, top), (int(rows), int(cols)))


def _bands(root: ET.Element, tree: Tree, main: str, reflectance: str) -> dict[str, BandFile]:
    """Files of bands (`B02` …) and masks (`EDG` …); those of the other reflectance as `SRE_B02`."""
    where, crs = tree.where(main), _crs(root, tree.where(main))
    grids: dict[int, dict[str, Any]] = {}
    for size, group in _GROUPS.items():
        grid = _grid(root, group, where)
        grids[size] = {"transform": grid.transform, "shape": grid.shape} if grid else {}
    try:
        with sound(tree):
            quantification = float(text_of(root, where, "REFLECTANCE_QUANTIFICATION_VALUE"))
            said = Statement(f"{main} says", _nodata(root, where), 0.0, quantification)
            numbers, codes = Numbers((said,)), Numbers()
    except SceneError as error:
        numbers = codes = Numbers(fault=str(error))
    found = {
        mask: BandFile(tree.place(name), numbers=codes, crs=crs, **grids[10], dtype="uint8")
        for mask, name in _masks(root, tree).items()
    }
    for kind in NATURES:
        for band, name in _images(root, tree, kind).items():
            key = band if kind == reflectance else f"{kind}_{band}"
            found[key] = BandFile(
                tree.place(name), numbers=numbers, crs=crs, **grids.get(S2_BANDS[band], {}),
                dtype="int16",
            )  # fmt: skip
    return found


def lacking(scene: Scene, missing: Sequence[str]) -> SceneError:
    """The error for what a product lacks, with the remedy that fits."""
    for mask in [band for band in missing if band in MASKS]:
        setting = "mask_edg: false" if mask == "EDG" else f"mask_{mask.lower()}: []"
        return SceneError(
            f"{scene.where}: the product lacks the mask {mask} (MASKS/…_{mask}_R1.tif); fetch it "
            f"again, or set sentinel2.{setting}"
        )
    other = next(
        (k for k in NATURES if all(f"{k}_{band}" in scene.bands for band in missing)), None
    )
    if other is not None:
        this = next(kind for kind in NATURES if kind != other)
        return SceneError(
            f"{scene.where}: the product has {', '.join(missing)} as {other} only, not as "
            f"{this}; fetch it again, or set reflectance: {other}"
        )
    have = [band for band in S2_BANDS if band in scene.bands]
    return missing_bands(scene.id, scene.where, missing, have)


def _nodata(root: ET.Element, where: str) -> float:
    for node in root.iter("SPECIAL_VALUE"):
        if node.get("name") == "nodata":
            return float(node.text or "")
    raise SceneError(f"{where}: metadata without the nodata value; fetch the product again")


def _images(root: ET.Element, tree: Tree, kind: str) -> dict[str, str]:
    """Images of a reflectance by band (`B02` …), as far as they are there."""
    found = {}
    for image in root.iter("Image"):
        if image.findtext(".//NATURE") == NATURES[kind]:
            for node in image.iter("IMAGE_FILE"):
                band = re.sub(r"^B(\d)$", r"B0\1", node.get("band_id", ""))
                name = (node.text or "").strip()
                if band in S2_BANDS and name in tree.names:
                    found[band] = name
    return found


def _masks(root: ET.Element, tree: Tree) -> dict[str, str]:
    """Masks of 10 m by kind, as far as they are there; several bits share one file."""
    names = ((node.text or "").strip() for node in root.iter("MASK_FILE"))
    hits = ((_MASK_FILE.search(name), name) for name in names if name in tree.names)
    return {match[1]: name for match, name in hits if match}


def uncovered(scene: Scene, area: BaseGeometry) -> float:
    """Share of the product's pixels in an area (EPSG:4326) that the edge mask excludes.

    Raises:
        SceneError: the product has no edge mask, or it cannot be read.
    """
    if "EDG" not in scene.bands:
        raise lacking(scene, ["EDG"])
    href = scene.bands["EDG"].href
    geobox = file_geobox(href)
    there = reprojected(area, GEOGRAPHIC, str(geobox.crs))
    inside = excluded = 0
    for top in range(0, geobox.shape[0], _STRIP):
        strip = geobox[top : min(top + _STRIP, geobox.shape[0]), :]
        if not there.intersects(strip.extent.geom):
            continue
        within = geometry_mask([there], strip.shape, strip.affine, invert=True)
        edge = read_bands(href, (slice(top, top + strip.shape[0]), slice(0, strip.shape[1])))[0]
        inside += int(np.count_nonzero(within))
        excluded += int(np.count_nonzero(within & (edge != 0)))
    return excluded / inside if inside else 0.0
