"""A dataset of three small rasters that a whole build can make in seconds, and how to build it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
import yaml
from rasterio.transform import from_origin

from made.recipes import with_layers

TERRAPATCH = [sys.executable, "-m", "terrapatch.cli"]
UGLY = "out put/$(touch pwned); 'x\" `touch pwned` & [a-c]*?#%20ü"
"""A folder whose name no shell must see unquoted."""
BOX = (3.0, 44.99, 3.016, 45.001)
"""In degrees; 126 × 122 px of 10 m."""


BANDS = ("B02", "B03", "B04", "B08")


def small_recipe(folder: Path, bands=BANDS, **changes) -> Path:
    """Write the rasters and `small.yaml`, with sections changed; the recipe's path."""
    rng = np.random.default_rng(3)
    side = 160
    row, col = np.mgrid[:side, :side]
    land = (row // 20 + col // 20) % 2  # pasture beside forest

    def write(name, bands):
        with rasterio.open(
            folder / name, "w", driver="GTiff", count=len(bands), width=side, height=side,
            dtype=bands.dtype, crs="EPSG:32631", transform=from_origin(499_900, 4_983_400, 10, 10),
        ) as dataset:  # fmt: skip
            dataset.write(bands)

    noise = rng.normal(1, 0.05, (len(bands), side, side))
    levels = np.linspace(500, 2500, len(bands))[:, None, None]
    write("s2.tif", ((levels + 900 * land) * noise)
          .astype(np.uint16))  # fmt: skip
    write("s1.tif", ((0.05 + 0.1 * land) * noise[:2]).astype(np.float32))
    write("map.tif", np.where(land, 11, 1).astype(np.uint8)[None])
    plain = {
        "name": "small",
        "area": {"bbox": list(BOX)},
        "catalog": {
            "source": "local",
            "rasters": [
                {"sensor": "sentinel2", "path": "s2.tif", "bands": list(bands),
                 "date": "2020-05-01", "level": "L2A", "add_offset": 0},
                {"sensor": "sentinel1", "path": "s1.tif", "bands": ["VV", "VH"],
                 "date": "2020-05-02"},
                {"sensor": "reference", "path": "map.tif", "date": "2020-01-01"},
            ],
        },
        "sampling": {"crs": "EPSG:32631", "resolution": 10, "size_px": 24, "unit_patches": 8},
        "sentinel2": {"bands": list(bands)},
        "sentinel1": {"level": "RTC"},
        "splits": {"block_m": 300, "buffer_m": 0},
        "training": {"models": ["forest"], "trees": 5, "required": False},
        "publish": {"quicklooks": 2},
    }  # fmt: skip
    for key, value in changes.items():
        merge = isinstance(value, dict) and isinstance(plain.get(key), dict)
        plain[key] = plain[key] | value if merge else value
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(with_layers(plain), sort_keys=False), encoding="utf-8")
    return path


def terrapatch(*words, cwd, **environment):
    """Run a command as a person would; its result with output as text."""
    return subprocess.run(
        [*TERRAPATCH, *words], cwd=cwd, env=os.environ | environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
