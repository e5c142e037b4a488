# SPDX-License-Identifier: Apache-2.0
"""Small height models, and what the compiled kernels read from them."""

import numpy as np
import rasterio

from terrapatch.sentinel1 import kernels
from terrapatch.sentinel1.geometry import Heights


def write_dem(path, values, transform, crs="EPSG:4326", **profile):
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=values.dtype, crs=crs, transform=transform,
        height=values.shape[0], width=values.shape[1], **profile,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return str(path)


def heights_on(dem, geobox):
    """Heights at the pixel centres of a unit, (y, x)."""
    heights = Heights.of(dem, geobox)
    found = np.empty(geobox.shape)
    v, u = np.empty(geobox.shape[1]), np.empty(geobox.shape[1])
    lattice = heights.lattice
    for y in range(geobox.shape[0]):
        kernels.heights_of_row(heights, lattice.origin[0] + y, lattice.origin[1], v, u, found[y])
    return found
