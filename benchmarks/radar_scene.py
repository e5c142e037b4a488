# SPDX-License-Identifier: Apache-2.0
"""The input of the Sentinel-1 benchmark: one full simulated slice, and an MGRS tile inside it.

Orbit, frame, annotation, calibration and noise come from the simulator's own writers, as for the
embedded archive. Pixels are speckle over square fields plus the annotated noise, with the
simulator's borders: content costs nothing, so none is drawn. Heights are a fractal relief on a
grid of one arc second, counted from the ellipsoid. All is simulated once and kept.
"""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from measure import SMALL
from terrapatch.catalog.files import Files
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.compiled import kernel
from terrapatch.grid import Unit, geobox_to_dict, mgrs_tile_geobox
from terrapatch.lock import write_lock
from terrapatch.places import patch_windows
from terrapatch.records import Lock, LockedItem, LockedUnit
from terrapatch.settings import Sentinel1Settings
from terrapatch.simulate import grd, grd_metadata
from terrapatch.simulate.grd_tables import AMPLITUDE, luts, noise_plane
from terrapatch.simulate.noise import fractal_field, hash01
from terrapatch.simulate.passage import Passage, earth_fixed, make_passage
from terrapatch.simulate.schedule import Pass1
from terrapatch.simulate.sentinel1 import POLARISATIONS, speckle
from terrapatch.times import with_steps

TILE = "T31TCJ"
SIZE_PX = 256
AHEAD_M = (38_000.0, 88_000.0)
"""East and north of the tile's centre: where the slices meet, so that the second holds the tile."""
HEIGHT_M = 400.0
PLAIN_WINDOWS_PX = (128, 256) if SMALL else (1024, 2048)
"""Sides of the windows that plain sarsen corrects: two, so that its fixed costs can be told."""


@dataclass(frozen=True)
class RadarInput:
    """What the chains are given."""

    product: Path
    item: LockedItem
    dem: Path
    """Heights, one arc second."""
    geobox: GeoBox
    """The whole tile, or a bit of it."""
    window_dems: dict[int, Path]
    """For sides of a window in the tile's middle: the same heights on the window's own grid.
    sarsen gives its result on the grid of its heights."""
    folder: Path

    def unit(self, share: float = 1.0, bands: tuple[str, ...] = POLARISATIONS) -> "Stage":
        """The first rows of patches of the tile as a unit of their own."""
        windows = patch_windows(Unit("tile", self.geobox, 0, 0), size_px=SIZE_PX, stride_px=SIZE_PX)
        rows = 1 + max(w.row for w in windows)
        last = max(1, round(rows * share))
        geobox = self.geobox[: last * SIZE_PX, :]
        windows = [w for w in windows if w.row < last]
        folder = self.folder / f"unit-{last}-{'-'.join(bands)}"
        folder.mkdir(exist_ok=True)
        names = ("row", "col", "y_px", "x_px", "size_px")
        columns = {
            "patch_id": [f"r{w.row:05d}_c{w.col:05d}" for w in windows],
            **{name: [getattr(w, name) for w in windows] for name in names},
        }
        pq.write_table(pa.table(columns), folder / "footprints.parquet")
        locked = LockedUnit(
            id="tile", geobox=geobox_to_dict(geobox), first_row=0, first_col=0,
            items={"sentinel1": (self.item.id,)},
        )  # fmt: skip
        section = Sentinel1Settings(
            level="GRD", radiometry="sigma0", denoise=True, dem=(str(self.dem),),
            polarisations=bands,
        )  # fmt: skip
        lock = Lock(name="bench", source="local", units=(locked,), items=(self.item,))
        write_lock(with_steps(lock, {"sentinel1": section}), folder / "lock.json")
        plain = {
            "name": "bench", "mode": "corrected",
            "layers": {"sentinel1": section.model_dump(mode="json")},
        }  # fmt: skip
        (folder / "settings.json").write_text(json.dumps(plain))
        return Stage(
            folder / "lock.json", folder / "footprints.parquet", folder / "settings.json",
            len(windows) * SIZE_PX**2,
        )  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """What the stage is called with."""

    lock: Path
    footprints: Path
    settings: Path
    pixels: int

    @property
    def arguments(self) -> list[str | Path]:
        """In the order of the stage."""
        return [self.lock, self.footprints, self.settings, "tile"]


def prepare(folder: Path) -> RadarInput:
    """Simulate slice and heights if they are not there."""
    folder = folder / "sentinel1"
    folder.mkdir(parents=True, exist_ok=True)
    geobox = mgrs_tile_geobox(TILE)
    if SMALL:
        geobox = geobox[5000:5768, 5000:5768]
    dem = folder / "dem" / "heights.tif"
    windows = {side: folder / f"heights_{side}.tif" for side in PLAIN_WINDOWS_PX}
    if not all(path.is_file() for path in windows.values()):
        dem.parent.mkdir(exist_ok=True)
        _write_heights(dem, geobox)
        for side, path in windows.items():
            start = (geobox.shape[0] - side) // 2
            _write_on_grid(path, dem, geobox[start : start + side, start : start + side])
    done = folder / "product.txt"
    if not done.is_file():
        done.write_text(_write_product(folder / "grd", geobox))
    product = folder / "grd" / done.read_text()
    item = locked_item(read_product(product), POLARISATIONS, Files(False))
    return RadarInput(product, item, dem, geobox, windows, folder)


def _write_heights(path: Path, geobox: GeoBox) -> None:
    west, south, east, north = geobox.geographic_extent.boundingbox
    step = 1 / 3600
    left, top = (round(v / step) * step for v in (west - 0.02, north + 0.02))
    shape = tuple(round((b - a + 0.04) / step) for a, b in ((south, north), (west, east)))
    x = np.arange(shape[1]) * 22.5  # about metres; the relief does not care
    y = np.arange(shape[0]) * 30.9
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": 1, "height": shape[0],
        "width": shape[1], "crs": "EPSG:4979", "transform": Affine(step, 0, left, 0, -step, top),
        "tiled": True, "compress": "deflate", "predictor": 3,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for row in range(0, shape[0], 256):
            part = y[row : row + 256]
            relief = fractal_field(x[None, :], part[:, None], 9_000.0, 6, 3)
            heights = (HEIGHT_M + 160.0 * relief).astype(np.float32)
            file.write(heights, 1, window=Window(0, row, shape[1], len(part)))


def _write_on_grid(path: Path, dem: Path, window: GeoBox) -> None:
    """Heights of a grid's pixels, bilinear: input of plain sarsen, none of its time."""
    with (
        rasterio.open(dem) as source,
        WarpedVRT(
            source, crs=str(window.crs), transform=window.affine, height=window.shape[0],
            width=window.shape[1], resampling=Resampling.bilinear,
        ) as there,
        rasterio.open(
            path, "w", driver="GTiff", dtype="float32", count=1, height=window.shape[0],
            width=window.shape[1], crs=str(window.crs), transform=window.affine,
        ) as file,
    ):  # fmt: skip
        file.write(there.read(1), 1)


def passage_of(geobox: GeoBox) -> Passage:
    """A descending pass whose second slice holds the tile."""
    box = geobox.boundingbox
    x, y = (box.left + box.right) / 2 + AHEAD_M[0], (box.bottom + box.top) / 2 + AHEAD_M[1]
    there = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    orbit = 43_999
    item = Pass1(
        0, datetime(2022, 6, 18, 6, 0, 3), "descending", orbit, (orbit - 73) % 175 + 1, 0.0, None
    )
    if not SMALL:
        return make_passage(item, there.transform(x, y), HEIGHT_M, None, 0.0)
    # Here the slices meet north of the bit, and show no more than it.
    x, north = x - AHEAD_M[0], box.top + 2_000
    corners = np.array([(box.left, box.bottom), (box.right, box.bottom), (box.left, north),
                        (box.right, north)])  # fmt: skip
    shown = earth_fixed(*there.transform(*corners.T), np.full(4, HEIGHT_M))
    return make_passage(item, there.transform(x, north - 1_000), HEIGHT_M, shown, 0.0)


def _write_product(folder: Path, geobox: GeoBox) -> str:
    passage = passage_of(geobox)
    part = passage.slices[1]
    product = grd_metadata.make_product(
        passage, part, lambda lines, _: np.full(lines.shape, HEIGHT_M)
    )
    tables = luts(passage, part)
    root = folder / product.name
    (root / "measurement").mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff", "dtype": "uint16", "count": 1, "width": passage.samples,
        "height": part.lines, "blockysize": 1, "crs": "EPSG:4326",
        "gcps": [
            rasterio.control.GroundControlPoint(
                float(p.line), float(p.sample), p.lon, p.lat, p.height, str(k + 1)
            )
            for k, p in enumerate(product.points)
        ],
    }  # fmt: skip
    images = [
        rasterio.open(root / "measurement" / f"{product.file(p)}.tiff", "w", **profile)
        for p in POLARISATIONS
    ]
    for image in images:
        image.update_tags(**product.tags)

    def strip(top: int) -> np.ndarray:
        rows = min(512, part.lines - top)
        line, width = part.first + top, passage.samples
        noise = noise_plane(tables, part, line, 0, rows, width)
        valid = grd._valid(passage, line, 0, rows, width)
        out = np.empty((2, rows, width), np.uint16)
        for band in range(2):
            _numbers(
                noise, speckle(line, 0, rows, width, 7 + band), valid,
                (0.12, 0.025)[band] * AMPLITUDE**2, line, out[band],
            )  # fmt: skip
        return out

    with ThreadPoolExecutor(2) as pool:
        tops = range(0, part.lines, 512)
        for begin in range(0, len(tops), 4):  # a few at a time: strips are large
            some = tops[begin : begin + 4]
            for top, numbers in zip(some, pool.map(strip, some), strict=True):
                for image, plane in zip(images, numbers, strict=True):
                    image.write(plane, 1, window=Window(0, top, *plane.shape[::-1]))
    for image in images:
        image.close()
    sums = dict.fromkeys(POLARISATIONS, (200.0, 100.0))  # nothing reads them
    grd_metadata.write_metadata(root, product, tables, sums)
    return product.name


@kernel
def _numbers(noise, speckle, valid, power, line, out):  # type: ignore[no-untyped-def]
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            field = 0.3 + 1.4 * hash01(x >> 6, (line + y) >> 6, 11)
            value = math.sqrt((power * field + noise[y, x]) * speckle[y, x])
            out[y, x] = np.uint16(min(max(value + 0.5, 1.0), 65535.0)) if valid[y, x] else 0
