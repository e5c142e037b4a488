# SPDX-License-Identifier: Apache-2.0
"""Sentinel-1 backscatter of the landscape, terrain-corrected as public collections serve it.

Laws:
1. One pass sees all zones of the area on one UTM grid of 10 m: that of its own scene centre.
2. Pixels are linear γ⁰, float32; NaN outside the swath, greater than 0 inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import grid, rasters
from ..compiled import kernel
from ..crs import GEOGRAPHIC
from .landscape import Landscape, feature_numbers, ground_places, in_swath, swath_part
from .noise import hash01
from .schedule import Pass1
from .surface import greenness, impulse_response, radar_ground

if TYPE_CHECKING:
    from datetime import datetime

    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

POLARISATIONS = ("VV", "VH")

LOOKS = 4.4
"""Equivalent number of looks of a ground range detected IW product. Source: S1 Product Definition."""

_SIDE_WEIGHT = 0.1787
"""Speckle is exponential noise under weights (a, 1 − 2a, a) in both directions, which leaves
1 / (2a² + (1 − 2a)²)² = 4.4 looks and neighbours that are somewhat alike."""

IMPULSE_POWER = 40.0
"""γ⁰ of a point target at its peak; it is coherent, so speckle does not touch it."""

STRIP_PX = 256


@dataclass(frozen=True)
class GeocodedPass:
    """One pass on its grid."""

    item: Pass1
    geobox: GeoBox

    @property
    def end(self) -> datetime:
        """25 s later: the length of a slice."""
        from datetime import timedelta

        return self.item.start + timedelta(seconds=25)

    @property
    def name(self) -> str:
        """Identifier as a collection of corrected products has it."""
        item = self.item
        datatake = f"{(item.orbit * 7919 + 351) % 0x1000000:06X}"
        return (
            f"S1A_IW_GRDH_1SDV_{item.start:%Y%m%dT%H%M%S}_{self.end:%Y%m%dT%H%M%S}_"
            f"{item.orbit:06d}_{datatake}_rtc"
        )

    def file(self, polarisation: str) -> str:
        """File name of one polarisation."""
        return f"{self.name}_{polarisation.lower()}.tif"


def scene_geobox(outline: BaseGeometry, crs: str) -> GeoBox:
    """10 m grid around an outline given in EPSG:4326."""
    bounds = grid.reprojected(outline, GEOGRAPHIC, crs).bounds
    return grid.snapped_geobox(bounds, crs, 10.0)


def backscatter(
    landscape: Landscape, item: Pass1, geobox: GeoBox, green: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Pixels of a pass on any part of a 10 m grid: (2, y, x) float32, VV and VH, NaN outside.

    Args:
        landscape: what lies there.
        item: the pass.
        geobox: where.
        green: greenness of the features on that day.
    """
    x, y = ground_places(landscape, geobox)
    out = radar_ground(
        landscape, x, y, feature_numbers(landscape, geobox), green, item.wet_db
    )  # fmt: skip
    relief = landscape.relief
    # What the terrain correction leaves behind: slopes that face the sensor are a little brighter.
    towards = -1.0 if item.direction == "descending" else 1.0
    facing = towards * relief.at(relief.slope_x, x, y) - 0.18 * relief.at(relief.slope_y, x, y)
    out *= np.clip(1 + 1.6 * facing, 0.6, 1.6).astype(np.float32)
    a = geobox.affine
    seed = landscape.seed * 1000 + 600 + 2 * item.number + (item.direction == "ascending")
    height, width = geobox.shape
    for band in range(2):
        out[band] *= speckle(round(-a.f / 10), round(a.c / 10), height, width, seed + 100 * band)
    bright = impulse_response(landscape, x, y)
    if bright is not None:
        out += IMPULSE_POWER * np.where(bright > 1e-4, bright, 0)
    out[:, ~in_swath(landscape, item.edge, x, y)] = np.nan
    return out


@kernel
def speckle(row0: int, col0: int, rows: int, cols: int, seed: int) -> NDArray[np.float32]:
    """Speckle of mean 1 on an absolute pixel lattice: (rows, cols) float32."""
    raw = np.empty((rows + 2, cols + 2), np.float32)
    for r in range(rows + 2):
        for c in range(cols + 2):
            raw[r, c] = -np.log(hash01(col0 + c, row0 + r, seed) + 1e-10)
    side, middle = _SIDE_WEIGHT, 1 - 2 * _SIDE_WEIGHT
    out = np.empty((rows, cols), np.float32)
    for r in range(rows):
        for c in range(cols):
            total = 0.0
            for i in range(3):
                line = side * (raw[r + i, c] + raw[r + i, c + 2]) + middle * raw[r + i, c + 1]
                total += line * (middle if i == 1 else side)
            out[r, c] = total
    return out


def write_scene(
    folder: Path, landscape: Landscape, scene: GeocodedPass, north: bool
) -> BaseGeometry | None:
    """Write a pass as one GeoTIFF a polarisation.

    Args:
        folder: where.
        landscape: what is seen.
        scene: pass and grid.
        north: whether the area lies on the northern hemisphere.

    Returns:
        outline of the valid pixels in EPSG:4326; None (and no file) where nothing is seen.
    """
    outline = swath_part(landscape, scene.item.edge, scene.geobox)
    if outline is None:
        return None
    green = greenness(landscape, scene.item.start, north)
    pixels = np.empty((2, *scene.geobox.shape), np.float32)
    for top in range(0, scene.geobox.shape[0], STRIP_PX):
        strip = scene.geobox[top : min(top + STRIP_PX, scene.geobox.shape[0]), :]
        pixels[:, top : top + strip.shape[0]] = backscatter(landscape, scene.item, strip, green)
    for polarisation, plane in zip(POLARISATIONS, pixels, strict=True):
        rasters.write_geotiff(
            folder / scene.file(polarisation), plane, scene.geobox, nodata=float("nan"),
            descriptions=[polarisation], predictor=3, tile=512,
            tags={
                "DATETIME": f"{scene.item.start:%Y-%m-%dT%H:%M:%SZ}",
                "ORBIT_DIRECTION": scene.item.direction,
                "POLARISATION": polarisation,
                "RELATIVE_ORBIT": str(scene.item.relative_orbit),
                "UNIT": "linear gamma nought",
            },
        )  # fmt: skip
    return outline
