# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2 Level-2A products of the landscape in the form of Theia (MAJA).

Source: as `catalog.maja`: Theia's product format and a genuine `MTD_ALL.xml`.

Laws:
1. The pixels are those of the SAFE product of the same datatake and tile: DN without offset,
   −10000 where that has 0. Files do not record nodata, as genuine ones do not; metadata do.
2. Metadata list what was written, and nothing else: FRE images and the masks CLM, EDG, MG2.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import rasters
from ..crs import GEOGRAPHIC
from .facts import rows
from .safe_metadata import Product, sun_angles, template
from .sentinel2 import RESOLUTIONS, Rendered, percent_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

NODATA = -10_000

VERSION = "2.2"
"""Version of the products' format, as names and metadata have it."""

GROUPS = {"R1": 10, "R2": 20}
"""Pixel sizes by the metadata's names of groups."""

MASKS = (
    ("Detailed_Cloud", "CLM", None), ("Edge", "EDG", None), ("Water", "MG2", 1), ("Cloud", "MG2", 2),
    ("Snow", "MG2", 3), ("Cloud_Shadow", "MG2", 4), ("Topography_Shadow", "MG2", 5),
    ("Hidden_Surface", "MG2", 6), ("Sun_Too_Low", "MG2", 7), ("Tangent_Sun", "MG2", 8),
)  # fmt: skip
"""Nature of a mask, its file, and its bit there, counted from 1."""


def name_of(product: Product) -> str:
    """Name of a product's folder and the beginning of its files' names."""
    moment = product.tile_sensing
    return (
        f"SENTINEL{product.scene.platform[1:]}_{moment:%Y%m%d-%H%M%S}-"
        f"{moment.microsecond // 1000:03d}_L2A_{product.tile}_C_V{VERSION.replace('.', '-')}"
    )


def short(band: str) -> str:
    """Theia's name of a band: B2 for B02."""
    return f"B{int(band[1:])}" if band[1:].isdigit() else band


def orbit_number(product: Product) -> int:
    """The orbit since launch nearest to the datatake's that has its track.

    Source: orbits and tracks in ESA's metadata: they differ by −3 (S2A) or 26 (S2B) modulo 143.
    """
    scene = product.scene
    shift = (scene.relative_orbit + {"S2A": -3, "S2B": 26}[scene.platform] - scene.orbit) % 143
    return scene.orbit + shift - (143 if shift > 71 and scene.orbit > 143 else 0)


def cloud_mask(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bits of CLM from scene classes: (y, x) uint8.

    Bit 0: clouds and shadows, 1: clouds, 2: found on one date, 4: thinnest clouds, 5: shadows,
    7: high clouds.
    """
    cloud, shadow, thin = np.isin(classes, (8, 9)), classes == 3, classes == 10
    bits = (cloud | shadow) * 1 + cloud * (2 + 4) + shadow * 32 + thin * (16 + 128)
    return np.asarray(bits, np.uint8)


def ground_mask(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bits of MG2 from scene classes: (y, x) uint8. Bit 0: water, 1: clouds, 3: shadows."""
    bits = (classes == 6) * 1 + np.isin(classes, (8, 9)) * 2 + (classes == 3) * 8
    return np.asarray(bits, np.uint8)


def masks_of(pixels: Rendered) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """All masks by kind and group, (y, x) uint8. EDG is 1 where nothing was seen."""
    found = {}
    for kind, mask in (("CLM", cloud_mask(pixels.classes)), ("MG2", ground_mask(pixels.classes))):
        found[kind, "R1"] = mask.repeat(2, axis=0).repeat(2, axis=1)
        found[kind, "R2"] = mask
    for group, band in (("R1", "B02"), ("R2", "B05")):
        found["EDG", group] = (pixels.bands[band] == 0).astype(np.uint8)
    return found


def write_product(folder: Path, product: Product, pixels: Rendered, threads: int) -> Path:
    """Write a product.

    Args:
        folder: where the product's folder is made.
        product: tile, datatake and grid; its processing gives the date of production.
        pixels: what it shows.
        threads: files encoded at a time; the bytes do not depend on it.

    Returns:
        the product's folder.
    """
    name = name_of(product)
    root = folder / name
    boxes = {r: product.geobox.zoom_out(r / 10) for r in GROUPS.values()}
    jobs: list[tuple[Path, NDArray[Any], GeoBox]] = [
        (root / f"{name}_FRE_{short(band)}.tif", pixels.bands[band], boxes[r])
        for r in GROUPS.values()
        for band in RESOLUTIONS[r]
    ]
    jobs += [
        (root / "MASKS" / f"{name}_{kind}_{group}.tif", mask, boxes[GROUPS[group]])
        for (kind, group), mask in masks_of(pixels).items()
    ]

    def write(job: tuple[Path, NDArray[Any], GeoBox]) -> None:
        path, array, geobox = job
        if array.dtype == np.uint16:  # a band
            array = np.where(array > 0, array, NODATA).astype(np.int16)
        rasters.write_geotiff(path, array, geobox, tile=512, predictor=2)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, jobs))
    text = template("MTD_ALL.xml").render(_facts(product, pixels))
    (root / f"{name}_MTD_ALL.xml").write_text(text + "\n", encoding="utf-8")
    return root


def _facts(product: Product, pixels: Rendered) -> dict[str, Any]:
    from pyproj import Transformer

    geobox, name = product.geobox, name_of(product)
    (zenith, azimuth), grids = sun_angles(product)
    left, bottom, right, top = (round(edge) for edge in geobox.extent.geom.bounds)
    degrees = Transformer.from_crs(str(geobox.crs), GEOGRAPHIC, always_xy=True)
    corners = {
        "upperLeft": (left, top), "upperRight": (right, top), "lowerRight": (right, bottom),
        "lowerLeft": (left, bottom), "center": ((left + right) // 2, (bottom + top) // 2),
    }  # fmt: skip
    table = {row["band"]: row for row in rows("bands")}
    epsg = geobox.crs.to_epsg()
    return {
        "name": name, "version": VERSION, "tile": product.tile, "nodata": NODATA,
        "platform": f"SENTINEL{product.scene.platform[1:]}", "orbit": orbit_number(product),
        "acquired": f"{product.tile_sensing:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        "produced": f"{product.processing.generated:%Y-%m-%dT%H:%M:%S}.000Z",
        "groups": {g: [short(b) for b in RESOLUTIONS[r]] for g, r in GROUPS.items()},
        "sizes": {
            g: {"step": r, "rows": geobox.shape[0] * 10 // r, "cols": geobox.shape[1] * 10 // r}
            for g, r in GROUPS.items()
        },
        "bands": sorted(
            ({**table[b], "name": short(b)} for r in GROUPS.values() for b in RESOLUTIONS[r]),
            key=lambda row: int(row["band_id"]),
        ),
        "masks": MASKS, "epsg": epsg, "left": left, "top": top,
        "zone": f"WGS 84 / UTM zone {epsg % 100}{'N' if epsg < 32700 else 'S'}",
        "corners": [
            (corner, x, y, *(f"{angle:.6f}" for angle in degrees.transform(x, y)))
            for corner, (x, y) in corners.items()
        ],
        "zenith": f"{zenith:.4f}", "azimuth": f"{azimuth:.4f}", "sun_grids": grids,
        "cloud": round(sum(percent_of(pixels.classes)[8:11])),
    }  # fmt: skip
