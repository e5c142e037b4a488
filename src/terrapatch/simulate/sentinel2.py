# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2 Level-2A products of the landscape.

Laws:
1. There is one truth a datatake: 12 bands at 10 m on the tile's grid. Bands of 20 and 60 m are
   means of its pixels, so all bands of a product are aligned exactly.
2. DN 0 is nodata and nothing else: valid pixels are at least 1 (1 + offset).
3. Products of the same datatake and tile differ by their offset alone.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import grid, rasters
from ..compiled import kernel
from ..crs import GEOGRAPHIC
from ..progress import track
from .facts import FILE_BANDS
from .landscape import (
    Landscape,
    feature_numbers,
    ground_places,
    in_swath,
    swath_part,
    track_mask,
)
from .noise import hash01
from .safe_metadata import Content, Product, write_metadata
from .schedule import Pass2
from .sky import Sky, make_sky, sun_position, through, veil
from .surface import greenness, optical_ground

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

RESOLUTIONS = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B09"),
}
"""Bands by native pixel size in metres."""

STRIP_PX = 120
"""Rows made at a time: a multiple of 6, so that 20 m and 60 m pixels stay whole."""


def scene_geobox(tile: str, outline: BaseGeometry | None) -> GeoBox | None:
    """10 m grid of a scene: the whole tile, or its part around an outline.

    Args:
        tile: MGRS name.
        outline: polygon in EPSG:4326; absent: the whole tile.

    Returns:
        a crop of the tile's grid at multiples of 60 m; None where the outline is outside.
    """
    whole = grid.mgrs_tile_geobox(tile)
    if outline is None:
        return whole
    if outline.is_empty or not grid.tile_footprint(tile).intersects(outline):
        return None
    moved = grid.reprojected(outline, GEOGRAPHIC, str(whole.crs))
    part = moved.intersection(whole.extent.geom)
    if part.area == 0:
        return None
    left, bottom, right, top = part.bounds
    x, y = whole.affine.c, whole.affine.f
    cols = slice(math.floor((left - x) / 60) * 6, math.ceil((right - x) / 60) * 6)
    rows = slice(math.floor((y - top) / 60) * 6, math.ceil((y - bottom) / 60) * 6)
    return whole[rows, cols]


Raster = tuple[str, NDArray[Any], int]
"""Path inside a product, pixels, pixel size in metres."""


@dataclass(frozen=True, eq=False)
class Datatake:
    """All that a datatake's pixels depend on, besides the grid."""

    landscape: Landscape
    scene: Pass2
    sky: Sky
    sun: tuple[float, float]
    green: NDArray[np.float32]

    def seen(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether places on the plane lie in the swath."""
        return in_swath(self.landscape, self.scene.edge, x, y)


def footprint(datatake: Datatake, geobox: GeoBox) -> BaseGeometry | None:
    """Outline of the swath's part of a grid in EPSG:4326; None where it sees nothing of it."""
    return swath_part(datatake.landscape, datatake.scene.edge, geobox)


def make_datatake(landscape: Landscape, scene: Pass2, lon: float, lat: float) -> Datatake:
    """A datatake over a landscape whose centre is at `lon`, `lat`."""
    sun = sun_position(scene.sensing, lon, lat)
    seed = landscape.seed * 1000 + 300 + scene.number
    reaches = (landscape.size / 2, landscape.reach)
    sky = make_sky(seed, scene.cloud, scene.cirrus, sun, reaches)
    return Datatake(landscape, scene, sky, sun, greenness(landscape, scene.sensing, lat > 0))


def truth(datatake: Datatake, geobox: GeoBox) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the sensor would measure at 10 m, and the haze in between.

    Args:
        datatake: ground, sky and sun.
        geobox: any part of a 10 m UTM grid.

    Returns:
        (12, y, x) float32 reflectance in the order of `facts.FILE_BANDS`, at least 0.0001, NaN
        outside the swath; (3, y, x) float32 opacity of clouds, shadows, cirrus.
    """
    padded = geobox.pad(1)
    x, y = ground_places(datatake.landscape, padded)
    ground = optical_ground(
        datatake.landscape, x, y, feature_numbers(datatake.landscape, padded),
        track_mask(datatake.landscape, padded), datatake.green, datatake.sun,
    )  # fmt: skip
    a = geobox.affine
    out = np.empty((len(FILE_BANDS), *geobox.shape), np.float32)
    x, y = x[1:-1, 1:-1], y[1:-1, 1:-1]
    haze = veil(datatake.sky, x, y)
    _spread(ground, out)
    through(out, haze)
    _noise(out, round(-a.f / 10), round(a.c / 10), datatake.sky.seed)
    out[:, ~datatake.seen(x, y)] = np.nan
    return out, haze


@kernel
def _spread(ground: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Each pixel sees a little of its neighbours: weights 1 4 1 by 1 4 1 (over 36)."""
    bands, rows, cols = out.shape
    for b in range(bands):
        for r in range(rows):
            for c in range(cols):
                total = np.float32(0)
                for i in range(3):
                    line = ground[b, r + i, c] + ground[b, r + i, c + 2]
                    line += 4 * ground[b, r + i, c + 1]
                    total += line * (4 if i == 1 else 1)
                out[b, r, c] = total / 36


@kernel
def _noise(out: NDArray[np.float32], row0: int, col0: int, seed: int) -> None:
    """Noise of the sensor and of the atmospheric correction; sums of two uniform numbers."""
    for b in range(out.shape[0]):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                n = hash01(col0 + c, row0 + r, seed + 7 * b)
                n += hash01(col0 + c, row0 + r, seed + 7 * b + 3) - 1
                out[b, r, c] = max(out[b, r, c] * (1 + 0.02 * n) + 0.003 * n, 0.0001)


def block_mean(array: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Means of square blocks: (band, y, x) → (band, y / side, x / side); NaN where any is NaN."""
    bands, height, width = array.shape
    out = np.empty((bands, height // side, width // side), np.float32)
    _block_mean(array, side, out)
    return out


@kernel
def _block_mean(array: NDArray[np.float32], side: int, out: NDArray[np.float32]) -> None:
    for b in range(out.shape[0]):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                total = 0.0
                for i in range(side):
                    for j in range(side):
                        total += array[b, r * side + i, c * side + j]
                out[b, r, c] = total / (side * side)


def digital_numbers(reflectance: NDArray[np.float32]) -> NDArray[np.uint16]:
    """DN without offset: 10000 × reflectance, rounded, 1 … 20000; 0 where NaN."""
    scaled = np.nan_to_num(np.rint(reflectance * np.float32(10_000)), nan=0.0)
    dn = np.asarray(np.clip(scaled, 1, 20_000), np.uint16)
    dn[np.isnan(reflectance)] = 0
    return dn


def classify(reflectance: NDArray[np.float32], haze: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scene classification as the processor would draw it, from reflectance and opacities.

    Args:
        reflectance: (12, y, x), NaN outside the swath.
        haze: (3, y, x) opacity of clouds, shadows, cirrus.

    Returns:
        (y, x) uint8: 0 nodata, 2 dark, 3 cloud shadow, 4 vegetation, 5 bare, 6 water,
        7 unclassified, 8 and 9 clouds, 10 cirrus.
    """
    band = dict(zip(FILE_BANDS, reflectance, strict=True))
    red, green, near, short = band["B04"], band["B03"], band["B8A"], band["B11"]
    with np.errstate(invalid="ignore"):
        ndvi, ndwi = (near - red) / (near + red), (green - near) / (green + near)
        scl = np.full(red.shape, 7, np.uint8)
        scl[ndvi < 0.26] = 5
        scl[ndvi > 0.34] = 4
        scl[(near < 0.10) & (short < 0.09)] = 2
        scl[(ndwi > 0.05) & (near < 0.12) & (short < 0.10)] = 6
    cloud, dark, thin = haze
    scl[(dark > 0.35) & (scl != 6)] = 3
    scl[thin > 0.035] = 10
    scl[cloud > 0.18] = 8
    scl[cloud > 0.6] = 9
    scl[np.isnan(red)] = 0
    return scl


@dataclass(frozen=True, eq=False)
class Rendered:
    """All rasters of a datatake over a tile, DN without offset."""

    bands: dict[str, NDArray[np.uint16]]
    classes: NDArray[np.uint8]
    """SCL at 20 m."""
    cloud_percent: NDArray[np.uint8]
    """Cloud probability at 20 m."""
    colour: NDArray[np.uint8]
    """(3, y, x) true colour at 60 m."""


def render(datatake: Datatake, geobox: GeoBox, threads: int = 1) -> Rendered:
    """Make all rasters of a datatake over (a crop of) a tile, strip by strip.

    Args:
        datatake: ground, sky and sun.
        geobox: 10 m grid whose sides are multiples of 6 pixels.
        threads: strips made at a time; the pixels do not depend on it.
    """
    height, width = geobox.shape
    bands = {
        band: np.empty((height * 10 // r, width * 10 // r), np.uint16)
        for r, names in RESOLUTIONS.items()
        for band in names
    }
    classes = np.empty((height // 2, width // 2), np.uint8)
    pixels = Rendered(
        bands, classes, np.empty_like(classes), np.empty((3, height // 6, width // 6), np.uint8)
    )
    feature_numbers(datatake.landscape, geobox[:1, :1])  # fills the cache before threads ask it
    with ThreadPoolExecutor(threads) as pool:
        list(
            pool.map(lambda top: _strip(datatake, geobox, top, pixels), range(0, height, STRIP_PX))
        )
    return pixels


def _strip(datatake: Datatake, geobox: GeoBox, top: int, pixels: Rendered) -> None:
    """Make the rows of a strip and put them in their places."""
    strip = geobox[top : min(top + STRIP_PX, geobox.shape[0]), :]
    rows = {r: slice(top * 10 // r, (top + strip.shape[0]) * 10 // r) for r in RESOLUTIONS}
    reflectance, haze = truth(datatake, strip)
    by_size = {10: reflectance, 20: block_mean(reflectance, 2), 60: block_mean(reflectance, 6)}
    for r, names in RESOLUTIONS.items():
        for band in names:
            dn = digital_numbers(by_size[r][FILE_BANDS.index(band)])
            pixels.bands[band][rows[r]] = dn
    opacity = block_mean(haze, 2)
    classes = classify(by_size[20], opacity)
    pixels.classes[rows[20]] = classes
    pixels.cloud_percent[rows[20]] = np.where(classes > 0, np.rint(100 * opacity[0]), 0)
    rgb = by_size[60][[FILE_BANDS.index(b) for b in ("B04", "B03", "B02")]]
    pixels.colour[:, rows[60]] = np.clip(np.nan_to_num(rgb) * (255 / 0.3558), 0, 255)


def write_product(
    folder: Path, product: Product, pixels: Rendered, footprint: BaseGeometry, threads: int
) -> Content:
    """Write a product in the SAFE form.

    Args:
        folder: where the SAFE folder is made.
        product: names, processing and grid.
        pixels: what it shows.
        footprint: outline of its valid pixels in EPSG:4326.
        threads: files encoded at a time; the bytes do not depend on it.

    Returns:
        what its metadata say about its content.
    """
    root = folder / product.name
    images, masks = _files(product, pixels)
    for path, _, _ in (*images, *masks):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    add = np.uint16(product.processing.offset)

    def write(job: Raster) -> None:
        path, array, resolution = job
        box = product.geobox.zoom_out(resolution / 10)
        if array.dtype == np.uint8:
            rasters.write_jp2(root / path, array, box)
        else:  # a band; its shifted form is held by nobody else, so that it can be dropped early
            rasters.write_jp2(root / path, np.where(array > 0, array + add, np.uint16(0)), box)

    with ThreadPoolExecutor(threads) as pool:
        jobs = (*images, *masks)
        steps = pool.map(write, jobs)
        list(track(steps, product.name[:26], len(jobs), "file"))
    kinds = tuple((_mask_kind(path), path) for path, _, _ in masks if "MSK_" in path)
    content = Content(percent_of(pixels.classes), footprint, kinds)
    write_metadata(root, product, content, [path for path, _, _ in images])
    return content


def _mask_kind(path: str) -> str:
    return "_".join(Path(path).name.split("_")[:2])


def _files(product: Product, pixels: Rendered) -> tuple[list[Raster], list[Raster]]:
    """Images and quality masks of a product, bands without offset."""
    images: list[Raster] = [
        (product.image(band, resolution), pixels.bands[band], resolution)
        for resolution, names in RESOLUTIONS.items()
        for band in names
    ]
    coarse = pixels.classes[1::3, 1::3]  # the middle one of three by three
    images.append((product.image("SCL", 20), pixels.classes, 20))
    images.append((product.image("SCL", 60), coarse, 60))
    images.append((product.image("TCI", 60), pixels.colour, 60))
    quality = f"{product.granule}/QI_DATA"
    masks: list[Raster] = [
        (f"{quality}/MSK_CLDPRB_20m.jp2", pixels.cloud_percent, 20),
        (f"{quality}/MSK_SNWPRB_20m.jp2", np.zeros_like(pixels.classes), 20),
        (product.preview, pixels.colour, 60),
    ]
    if product.processing.baseline >= "04.00":
        flags = np.stack([(coarse == 8) | (coarse == 9), coarse == 10, coarse == 11])
        masks.append((f"{quality}/MSK_CLASSI_B00.jp2", flags.astype(np.uint8), 60))
    return images, masks


def percent_of(classes: NDArray[np.uint8]) -> tuple[float, ...]:
    """Percent of each scene class 0..11: nodata of all pixels, the others of the valid ones."""
    counts = np.bincount(classes.ravel(), minlength=12)[:12].astype(float)
    valid = max(counts[1:].sum(), 1.0)
    share = np.concatenate([[counts[0] / counts.sum()], counts[1:] / valid])
    return tuple(float(p) for p in np.round(100 * share, 6))
