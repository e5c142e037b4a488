# SPDX-License-Identifier: Apache-2.0
"""Plain sarsen, as its documentation has it: terrain correction of one polarisation, β⁰, bilinear.

The result lies on the grid of the heights. No noise is removed, no σ⁰ made, no patch cut.

Usage: plain_sarsen.py PRODUCT POLARISATION HEIGHTS OUTPUT
"""

import sys
from pathlib import Path

import sarsen

product, polarisation, heights, output = sys.argv[1:]
Path(output).mkdir()
sarsen.terrain_correction(
    sarsen.Sentinel1SarProduct(product, measurement_group=f"IW/{polarisation}"),
    dem_urlpath=heights,
    output_urlpath=f"{output}/tile.tif",
    interp_method="linear",
)
