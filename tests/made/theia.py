# SPDX-License-Identifier: Apache-2.0
"""Theia products with genuine metadata: the MTD_ALL.xml of the samples around small own rasters."""

import re
import zipfile
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from terrapatch.rasters import write_geotiff

NAME = "SENTINEL2A_20160928-105637-665_L2A_T31UDS_C_V1-0"
CRS = "EPSG:32631"
LEFT, TOP = 450_000, 5_650_020
"""Corner of the crops, on the tile's own grid (399960, 5700000)."""
GROUND = GeoBox((64, 96), Affine(10, 0, LEFT, 0, -10, TOP), CRS)
BANDS = {"B2": 10, "B3": 10, "B4": 10, "B8": 10, "B5": 20, "B6": 20, "B7": 20, "B8A": 20,
         "B11": 20, "B12": 20}  # fmt: skip
NODATA = -10_000


def genuine(shared):
    """The genuine metadata file."""
    return shared / "s2_theia_l2a" / "T31UDS" / NAME / f"{NAME}_MTD_ALL.xml"


def coarse(size):
    """The crop's grid with pixels of that size."""
    return GROUND if size == 10 else GROUND.zoom_out(size / 10)


def pixels(seed, size):
    """Reflectances as MAJA has them: small negatives and zeros among them, no nodata."""
    rng = np.random.default_rng(seed)
    return rng.integers(-60, 6_000, coarse(size).shape).astype(np.int16)


def make_theia(folder, shared, *, day="20160928", tile="T31UDS", cloud=54, kinds=("FRE", "SRE"),
               edge=None, clm=None, mg2=None, version="V1-0", crs=CRS, seed=0):  # fmt: skip
    """A product folder; images are crops of the tile.

    Args:
        folder: where it is made.
        shared: folder of real samples.
        day: acquisition day, YYYYMMDD.
        tile: MGRS name in names and metadata.
        cloud: CloudPercent of the metadata.
        kinds: reflectances to write.
        edge: (y, x) bool at 10 m, outside the image; −10000 there.
        clm: (y, x) uint8 at 10 m, or None: no clouds.
        mg2: likewise.
        version: of the product.
        crs: of the rasters.
        seed: of the pixels.

    Returns:
        The folder, and pixels by kind and band.
    """
    name = NAME.replace("20160928", day).replace("T31UDS", tile).replace("V1-0", version)
    text = genuine(shared).read_text(encoding="utf-8").replace(NAME, name)
    text = text.replace("2016-09-28T10:56:37", f"{day[:4]}-{day[4:6]}-{day[6:]}T10:56:37")
    text = text.replace(
        '<GEOGRAPHICAL_ZONE type="Tile">T31UDS', f'<GEOGRAPHICAL_ZONE type="Tile">{tile}'
    )
    text = text.replace("<PRODUCT_VERSION>1.0", f"<PRODUCT_VERSION>{version[1:].replace('-', '.')}")
    text = re.sub(r'("CloudPercent">)\d+', rf"\g<1>{cloud}", text)
    root = Path(folder) / name
    root.mkdir(parents=True)
    (root / f"{name}_MTD_ALL.xml").write_text(text, encoding="utf-8")
    found = {}
    edge = np.zeros(GROUND.shape, bool) if edge is None else edge
    for place, kind in enumerate(kinds):
        for number, (band, size) in enumerate(BANDS.items()):
            values = pixels(seed * 1000 + 100 * place + number, size)
            step = size // 10
            values[edge.reshape(len(edge) // step, step, -1, step).any(axis=(1, 3))] = NODATA
            box = coarse(size)
            write(root / f"{name}_{kind}_{band}.tif", values, box, crs)
            found[kind, re.sub(r"^B(\d)$", r"B0\1", band)] = values
    masks = {"EDG": edge.astype(np.uint8), "CLM": clm, "MG2": mg2}
    for kind, mask in masks.items():
        mask = np.zeros(GROUND.shape, np.uint8) if mask is None else mask
        write(root / "MASKS" / f"{name}_{kind}_R1.tif", mask, GROUND, crs)
        write(root / "MASKS" / f"{name}_{kind}_R2.tif", mask[::2, ::2], coarse(20), crs)
    return root, found


def write(path, values, box, crs):
    """A tiled GeoTIFF without recorded nodata, as Theia's."""
    write_geotiff(path, values, GeoBox(box.shape, box.affine, crs), tile=32)


def zipped(root):
    """The archive of a product folder, named as Theia names downloads."""
    path = root.parent / f"{root.name.rpartition('_V')[0]}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            archive.write(file, f"{root.name}/{file.relative_to(root).as_posix()}")
    return path
