# SPDX-License-Identifier: Apache-2.0
"""A plain script, as a researcher would write it: read, bring to 10 m, reproject, cut, save.

Usage: plain_rasterio.py OUTPUT WIDTH HEIGHT A B C D E F FILE...
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject

PATCH = 128
output, width, height = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
transform = Affine(*map(float, sys.argv[4:10]))
files = sys.argv[10:]
output.mkdir(parents=True)

with rasterio.open(next(f for f in files if "10m" in f)) as ten:
    shape, source_transform, source_crs = ten.shape, ten.transform, ten.crs

stack = np.zeros((len(files), height, width), np.uint16)
for number, path in enumerate(files):
    with rasterio.open(path) as file:
        band = file.read(1, out_shape=shape, resampling=Resampling.bilinear)
    reproject(
        band, stack[number], src_transform=source_transform, src_crs=source_crs, src_nodata=0,
        dst_transform=transform, dst_crs="EPSG:4326", dst_nodata=0,
        resampling=Resampling.bilinear,
    )  # fmt: skip

for row in range(0, height - PATCH + 1, PATCH):
    for col in range(0, width - PATCH + 1, PATCH):
        patch = stack[:, row : row + PATCH, col : col + PATCH]
        if (patch == 0).any():
            continue
        with rasterio.open(
            output / f"{row}_{col}.tif", "w", driver="GTiff", height=PATCH, width=PATCH,
            count=len(files), dtype="uint16", crs="EPSG:4326", nodata=0, compress="deflate",
            zlevel=1, transform=transform * Affine.translation(col, row),
        ) as file:  # fmt: skip
            file.write(patch)
