# SPDX-License-Identifier: Apache-2.0
"""A few small regions of the landscape as FLAIR-HUB has them: aerial and older images, heights, SPOT, COSIA.

    rois.gpkg                   layer rois: domain, roi, year; EPSG:2154
    aerial/{DOMAIN}_{ROI}.tif   0.2 m, uint8: red, green, blue, near infrared
    pan/…                       0.4 m, uint8: panchromatic
    elevation/…                 0.2 m, float32 metres above the ellipsoid: surface and terrain model
    spot/…                      1.6 m, uint16, reflectance × 10,000: red, green, blue, near infrared
    cosia/…                     0.2 m, uint8: class of the legend flairhub_cosia

Laws:
1. A region's sides are whole patches of 102.4 m, its corner lies on a whole metre: bounds are exact.
2. All rasters of a region begin in its upper left corner and show the landscape that the scenes show, at the
   centres of their own pixels.
3. As in the genuine rasters some pixels of COSIA have the value 19: a square of 2 m in the corner of the first
   region.

Source: layout and pixels of FLAIR-HUB, RECIPES §4.1 and §4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from .. import rasters
from ..crs import GEOGRAPHIC, transformer
from ..errors import InputError
from ..vectors.geopackage import write_layers
from .facts import FILE_BANDS, covers, rows
from .french import CRS
from .landscape import Landscape, feature_numbers, ground_places, track_mask
from .noise import fractal_field
from .surface import greenness, houses, optical_ground
from .survey import features_at

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

PATCH_M = 102.4
RGBI = ("B04", "B03", "B02", "B08")
SITES = (
    ("town", 2, 2), ("temporary1", 1, 2), ("perennial", 2, 1), ("forest", 1, 1), ("temporary2", 2, 1),
    ("pasture", 1, 1),
)  # fmt: skip
"""Cover in the middle of each region, and its rows and columns of patches."""
DOMAINS = ("D067", "D068")
"""West and east of the landscape's middle."""
SUN = (32.0, 150.0)
"""Zenith and azimuth in degrees: a summer's noon."""
WHITE = (0.30, 0.30, 0.30, 0.60)
"""Reflectance that is 255 in aerial images, by band."""
PAVED, TRACK, ODD = 3, 4, 19
BUILT, STREET = 0.2, -0.6
"""Contrast of cells from which they are buildings, and that of streets."""
ROOF_M = 7.0


@dataclass(frozen=True)
class Region:
    """A region: its names, and where it lies."""

    domain: str
    roi: str
    left: int
    top: int
    rows: int
    cols: int

    def geobox(self, pixel: float) -> GeoBox:
        """Its grid with pixels of so many metres."""
        from affine import Affine
        from odc.geo.geobox import GeoBox

        shape = (round(self.rows * PATCH_M / pixel), round(self.cols * PATCH_M / pixel))
        return GeoBox(shape, Affine(pixel, 0, self.left, 0, -pixel, self.top), CRS)

    @property
    def outline(self) -> BaseGeometry:
        """Rectangle in EPSG:2154."""
        right = self.left + round(self.cols * PATCH_M, 1)
        return shapely.box(self.left, self.top - round(self.rows * PATCH_M, 1), right, self.top)


@cache
def _table() -> dict[str, dict[str, str]]:
    """Cover → row of `data/simulate/cosia.csv`."""
    return {row["cover"]: row for row in rows("cosia")}


def _column(key: str, empty: float) -> NDArray[np.float64]:
    """(cover,) values of a column, in the order of the covers."""
    return np.array([float(_table()[name][key] or empty) for name in covers().names])


def choose(landscape: Landscape, area: BaseGeometry, year: int) -> list[Region]:
    """Regions on the rims of the features of each wanted cover that lie nearest to the landscape's middle.

    Each shows two classes or more.

    Args:
        landscape: among whose features.
        area: polygon on its plane that all regions lie in.
        year: of the domains.

    Raises:
        InputError: none fits into the area.
    """
    features, names = landscape.features, covers().names
    to = transformer(landscape.crs, CRS)
    back = transformer(CRS, landscape.crs)
    found: list[Region] = []
    for cover, high, wide in SITES:
        own = np.flatnonzero(features.cover == names.index(cover))
        middles = shapely.get_coordinates(shapely.point_on_surface(features.geometry[own]))
        seen = features_at(landscape, middles) == own
        own, middles = own[seen], middles[seen]
        order = np.lexsort((own, np.abs(middles).max(axis=1).round(1)))
        for feature, place in zip(own[order], middles[order], strict=True):
            rim = shapely.shortest_line(
                shapely.Point(place), shapely.boundary(features.geometry[feature])
            )
            x, y = shapely.get_coordinates(rim)[-1]
            east, north = to.transform(x, y)
            region = Region(
                f"{DOMAINS[int(x >= 0)]}-{year}",
                f"{_table()[cover]['letter']}{'N' if high == wide else 'A'}-S1-{len(found) + 1}",
                round(east - wide * PATCH_M / 2), round(north + high * PATCH_M / 2), high, wide,
            )  # fmt: skip
            there = shapely.transform(
                region.outline, lambda xy: np.column_stack(back.transform(*xy.T))
            )
            apart = all(not region.outline.intersects(other.outline) for other in found)
            if apart and shapely.contains(area, there) and _varied(landscape, region):
                found.append(region)
                break
    if not found:
        raise InputError(
            "simulate.view: europe: no region of 102.4 m fits into the area; choose a larger one, or leave "
            "the key out"
        )
    return found


def _varied(landscape: Landscape, region: Region) -> bool:
    """Whether a region shows more than one class."""
    seen = np.unique(feature_numbers(landscape, region.geobox(6.4)))
    return np.unique(_column("class", 0)[landscape.features.cover[seen]]).size > 1


def write_regions(folder: Path, landscape: Landscape, area: BaseGeometry, year: int) -> None:
    """Write the table of regions and all their rasters.

    Args:
        folder: of the archive.
        landscape: what they show.
        area: polygon on its plane.
        year: of the scenes.

    Raises:
        InputError: no region fits into the area.
        StorageError: a file cannot be written.
    """
    import geopandas as gpd

    regions = choose(landscape, area, year)
    lat = transformer(landscape.crs, GEOGRAPHIC).transform(0.0, 0.0)[1]
    green = greenness(landscape, datetime(year, 6, 20), lat > 0)
    day = {"TIFFTAG_DATETIME": f"{year}:06:20 10:30:00"}
    for number, region in enumerate(regions):
        name = f"{region.domain}_{region.roi}.tif"
        fine = region.geobox(0.2)
        x, y = ground_places(landscape, fine)
        seen, track = feature_numbers(landscape, fine), track_mask(landscape, fine)
        image = _image(landscape, fine, green)
        white = np.array(WHITE, np.float32)[:, None, None]
        _write(folder / "aerial" / name, _bytes(image / white), fine, ("R", "G", "B", "NIR"), day)
        cosia, standing = ground(landscape, x, y, seen, track)
        if not number:
            cosia[:10, :10] = ODD
        _write(folder / "cosia" / name, cosia[None], fine, ("cosia",), day)
        terrain = landscape.relief.heights(x, y)
        heights = np.stack([terrain + standing, terrain]).round(2).astype(np.float32)
        _write(folder / "elevation" / name, heights, fine, ("DSM", "DTM"), day)
        coarse = region.geobox(0.4)
        grey = _image(landscape, coarse, green)[:3].mean(axis=0, dtype=np.float32) / WHITE[0]
        _write(folder / "pan" / name, _bytes(grey)[None], coarse, ("PAN",), {})
        spot = region.geobox(1.6)
        reflectance = np.rint(np.clip(_image(landscape, spot, green), 1e-4, 1.5) * 10_000)
        _write(
            folder / "spot" / name, reflectance.astype(np.uint16), spot, ("R", "G", "B", "NIR"), day
        )
    frame = gpd.GeoDataFrame(
        {
            "domain": [region.domain for region in regions],
            "roi": [region.roi for region in regions],
            "year": np.full(len(regions), year, np.int32),
        },
        geometry=[region.outline for region in regions], crs=CRS,
    )  # fmt: skip
    write_layers(folder / "rois.gpkg", {"rois": frame})


def ground(
    landscape: Landscape,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    seen: NDArray[np.int32],
    track: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Class and height of what stands at places.

    Args:
        landscape: what lies there.
        x: (y, x) places on the plane, metres.
        y: likewise.
        seen: (y, x) feature at each place.
        track: (y, x) where a dirt track runs.

    Returns:
        (y, x) uint8 classes of the legend flairhub_cosia; (y, x) float64 metres above the terrain.
    """
    cover = landscape.features.cover[seen]
    classes = _column("class", 0).astype(np.uint8)[cover]
    tall, rough = _column("height_m", 0)[cover], _column("rough", 0)[cover]
    crowns = fractal_field(x, y, 7.0, 2, landscape.seed + 90)
    standing = tall * np.clip(1 + rough * crowns, 0.05, 2.0)
    settled = np.isin(cover, np.flatnonzero(_column("houses", -1) >= 0))
    cells = houses(x, y, landscape.seed)
    built, street = settled & (cells > BUILT), settled & (cells == STREET)
    classes[track], standing[track] = TRACK, 0.0
    classes[street], standing[street] = PAVED, 0.0
    classes[built] = _column("houses", 0).astype(np.uint8)[cover[built]]
    standing[built] = ROOF_M * (1 + cells[built])
    return classes, standing


def _image(landscape: Landscape, geobox: GeoBox, green: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, y, x) reflectance in red, green, blue and near infrared."""
    x, y = ground_places(landscape, geobox)
    seen, track = feature_numbers(landscape, geobox), track_mask(landscape, geobox)
    found = optical_ground(landscape, x, y, seen, track, green, SUN)
    return found[[FILE_BANDS.index(band) for band in RGBI]]


def _bytes(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Shares of white as bytes; 0 is left to what is missing."""
    return np.clip(np.rint(shares * 255), 1, 255).astype(np.uint8)


def _write(
    path: Path, pixels: NDArray[np.generic], geobox: GeoBox, names: tuple[str, ...], tags: dict[str, str]
) -> None:  # fmt: skip
    """A tiled GeoTIFF with a name a band."""
    predictor = 3 if pixels.dtype == np.float32 else 2 if len(names) > 1 else None
    rasters.write_geotiff(
        path, pixels, geobox, descriptions=names, predictor=predictor, tile=256, tags=tags
    )
