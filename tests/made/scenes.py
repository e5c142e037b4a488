"""Small scenes, locks, footprints and settings for tests of the sensor stages."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from terrapatch.grid import geobox_to_dict
from terrapatch.lock import write_lock
from terrapatch.records import Lock, LockedAsset, LockedItem, LockedUnit
from terrapatch.settings import RasterSettings, Sentinel1Settings, Sentinel2Settings
from terrapatch.stacks import open_stack
from terrapatch.times import with_steps

JP2 = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}


def write_asset(path, array, transform, crs, *, block=64, jp2=True, **locked):
    """Write (y, x) or (band, y, x) as JP2 (lossless) or tiled GeoTIFF; its entry in the lock."""
    bands = array[None] if array.ndim == 2 else array
    side = {"blockxsize": block, "blockysize": block}
    profile = JP2 if jp2 else {"driver": "GTiff", "tiled": True, "compress": "deflate"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", count=len(bands), dtype=bands.dtype, height=bands.shape[1],
        width=bands.shape[2], crs=crs, transform=transform, **profile, **side,
    ) as dataset:  # fmt: skip
        dataset.write(bands)
    return LockedAsset(
        href=str(path), size=path.stat().st_size, crs=crs, transform=tuple(transform)[:6],
        shape=bands.shape[1:], dtype=bands.dtype.name, **locked,
    )  # fmt: skip


def item(name, assets, *, sensor="sentinel2", day="2022-06-18", footprint=None):
    """A locked scene; its footprint is the outline of its first asset if not given."""
    if footprint is None:
        first = next(iter(assets.values()))
        height, width = first.shape
        corners = [
            Affine(*first.transform) * p for p in ((0, 0), (width, 0), (width, height), (0, height))
        ]
        there = pyproj.Transformer.from_crs(first.crs, "EPSG:4326", always_xy=True)
        footprint = shapely.geometry.mapping(
            shapely.Polygon([there.transform(*corner) for corner in corners])
        )
    return LockedItem(
        id=name, sensor=sensor, level="L2A" if sensor == "sentinel2" else "RTC",
        datetime=f"{day}T13:30:00Z", footprint=footprint, assets=assets,
    )  # fmt: skip


@dataclass
class Unit:
    """A unit on disk: lock, footprints; `build` runs a stage on it."""

    folder: Path
    geobox: GeoBox
    corners: list[tuple[int, int]]
    size_px: int
    name: str = "b000_000"

    def build(self, items, *, threads=1, output="out.zarr", **settings):
        """Write lock, footprints and settings, run the stage, open its stack."""
        from terrapatch.kinds import stack

        sensor = items[0].sensor if items else settings.pop("sensor", "sentinel2")
        self.folder.mkdir(parents=True, exist_ok=True)
        lock, footprints, path = (
            self.folder / name for name in ("lock.json", "footprints.parquet", "settings.json")
        )
        unit = LockedUnit(
            id=self.name, geobox=geobox_to_dict(self.geobox), first_row=0, first_col=0,
            items={sensor: tuple(i.id for i in items)},
        )  # fmt: skip
        kinds = {
            "sentinel2": Sentinel2Settings,
            "sentinel1": Sentinel1Settings,
            "raster": RasterSettings,
        }
        section = kinds[sensor]
        layer = section(**settings)
        plan = Lock(name="t", source="local", units=(unit,), items=tuple(items))
        write_lock(with_steps(plan, {sensor: layer}), lock)
        write_footprints(footprints, self.corners, self.size_px)
        layers = {sensor: layer.model_dump(mode="json")}
        path.write_text(json.dumps({"name": "t", "mode": "corrected", "layers": layers}))
        target = self.folder / output
        stack(lock, self.name, sensor, footprints, path, target, threads)
        return open_stack(target)


def write_footprints(path, corners, size_px):
    ys, xs = [y for y, _ in corners], [x for _, x in corners]
    pq.write_table(
        pa.table(
            {
                "patch_id": [f"r{y:05d}_c{x:05d}" for y, x in corners],
                "row": ys, "col": xs, "y_px": ys, "x_px": xs,
                "size_px": pa.array([size_px] * len(ys), pa.int64()),
            }
        ),
        path,
    )  # fmt: skip


def all_corners(shape, size_px):
    """Corners of all whole patches, row by row."""
    return [
        (y, x)
        for y in range(0, shape[0] - size_px + 1, size_px)
        for x in range(0, shape[1] - size_px + 1, size_px)
    ]


def pixels(stack, name="data"):
    """All patches put back in their places: (band, y, x), or (y, x) for `source` and `scl`."""
    values = stack.read(slice(None), name)[:, 0]
    height, width = stack.info.geobox["shape"]
    whole = np.zeros((*values.shape[1:-2], height, width), values.dtype)
    size = stack.info.size_px
    for patch_id, patch in zip(stack.info.patch_ids, values, strict=True):
        y, x = (int(part[1:]) for part in patch_id.split("_"))
        whole[..., y : y + size, x : x + size] = patch
    return whole


def centres(geobox):
    """Map coordinates of all pixel centres: x (y, x), y (y, x)."""
    rows, cols = np.mgrid[: geobox.shape[0], : geobox.shape[1]]
    return geobox.affine * (cols + 0.5, rows + 0.5)


def source_coordinates(geobox, asset):
    """Exact (PROJ per pixel) row and column in an asset, first pixel's centre at (0, 0)."""
    x, y = centres(geobox)
    there = pyproj.Transformer.from_crs(str(geobox.crs), asset.crs, always_xy=True)
    col, row = ~Affine(*asset.transform) * there.transform(x, y)
    return row - 0.5, col - 0.5


def brute_bilinear(pixels_in, row, col, nodata=0):
    """Bilinear by the textbook in float64; NaN where missing or outside."""
    height, width = pixels_in.shape
    values = pixels_in.astype(float)
    values[pixels_in == nodata] = np.nan
    inside = (row >= -0.5) & (row <= height - 0.5) & (col >= -0.5) & (col <= width - 0.5)
    r, c = np.floor(row).astype(int), np.floor(col).astype(int)
    total = np.zeros(row.shape)
    for dr in (0, 1):
        for dc in (0, 1):
            weight = np.abs(1 - dr - (row - r)) * np.abs(1 - dc - (col - c))
            value = values[np.clip(r + dr, 0, height - 1), np.clip(c + dc, 0, width - 1)]
            total += np.where(weight == 0, 0, weight * value)
    return np.where(inside, total, np.nan)


def brute_mean(pixels_in, row, col, nodata=0):
    """The mean over each pixel's area in float64; NaN where missing or outside.

    Sides are those of the grid's pixel along rows and columns of the file, at least one pixel of it
    (which is bilinear): place by place from the coordinates, without lattice or cells.
    """
    sides = []
    for place in (row, col):
        along = np.sqrt(sum(step**2 for step in np.gradient(place)))
        sides.append(np.where(along > 1.01, along, 1.0))
    values = pixels_in.astype(float)
    values[pixels_in == nodata] = np.nan
    total, weights = np.zeros(row.shape), np.zeros(row.shape)
    first = [np.floor(p - s / 2 + 0.5).astype(int) for p, s in zip((row, col), sides, strict=True)]
    inside = np.ones(row.shape, bool)
    for place, side, size in zip((row, col), sides, pixels_in.shape, strict=True):
        rim = np.where(side > 1, side / 2, 0) - 0.5
        inside &= (place >= rim) & (place <= size - 1 - rim)
    for down in range(int(np.ceil(sides[0].max())) + 1):
        for across in range(int(np.ceil(sides[1].max())) + 1):
            weight, at = 1.0, []
            for step, start, place, side, size in zip(
                (down, across), first, (row, col), sides, pixels_in.shape, strict=True
            ):
                low = np.maximum(place - side / 2, start + step - 0.5)
                high = np.minimum(place + side / 2, start + step + 0.5)
                weight = weight * np.clip(high - low, 0, None)
                at.append(np.clip(start + step, 0, size - 1))
            total += np.where(weight < 1e-6, 0, weight * values[tuple(at)])
            weights += weight
    return np.where(inside, total / weights, np.nan)
