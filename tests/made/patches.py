# SPDX-License-Identifier: Apache-2.0
"""Small locks, footprints, stacks and label rasters built by hand."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from made.recipes import resolve
from terrapatch.grid import geobox_to_dict
from terrapatch.layers import Values
from terrapatch.lock import write_lock
from terrapatch.rasters import read_header, write_geotiff
from terrapatch.recipe import write_settings
from terrapatch.records import Lock, LockedAsset, LockedItem, LockedUnit
from terrapatch.stacks import StackInfo, create_stack
from terrapatch.tables import write_geoparquet

WORLD = {"type": "Polygon", "coordinates": [[[-1, -1], [1, -1], [1, 1], [-1, -1]]]}


def settings_folder(folder, **changes):
    """Settings files of a small recipe with some sections changed."""
    recipe = resolve(
        {
            "name": "small",
            "area": {"bbox": [0, 0, 1, 1]},
            "catalog": {"source": "simulated"},
            **changes,
        }
    )
    write_settings(recipe, Path(folder))
    return Path(folder)


def map_item(path, name="map", **asset):
    """A reference map as the lock records it."""
    header = read_header(str(path))
    fields = {
        "href": str(path),
        "crs": header.crs,
        "transform": header.transform,
        "shape": header.shape,
        "dtype": header.dtype,
        "nodata": header.nodata,
    }
    return LockedItem(
        id=name,
        sensor="reference",
        level="map",
        datetime="2022-01-01T00:00:00Z",
        footprint=WORLD,
        assets={"map": LockedAsset(**(fields | asset))},
    )


def scene_item(name, sensor, day):
    """A scene without files."""
    return LockedItem(
        id=name, sensor=sensor, level="L2A", datetime=f"{day}T10:00:00Z", footprint=WORLD, assets={}
    )


def small_lock(folder, geobox, items, unit="u1"):
    """A lock with one unit."""
    by_sensor = {}
    for item in items:
        by_sensor.setdefault(item.sensor, []).append(item.id)
    lock = Lock(
        name="small",
        source="local",
        units=(
            LockedUnit(
                id=unit,
                geobox=geobox_to_dict(geobox),
                first_row=0,
                first_col=0,
                items={sensor: tuple(ids) for sensor, ids in by_sensor.items()},
            ),
        ),
        items=tuple(items),
    )
    path = Path(folder) / "lock.json"
    write_lock(lock, path)
    return path


def write_footprints(path, geobox, size, stride=None, unit="u1"):
    """Windows over a geobox, row by row, as the sampling writes them."""
    stride = stride or size
    rows, cols = ((length - size) // stride + 1 for length in geobox.shape)
    table = []
    for row in range(rows):
        for col in range(cols):
            y, x = row * stride, col * stride
            box = geobox[y : y + size, x : x + size].boundingbox
            table.append(
                {
                    "patch_id": f"r{row:05d}_c{col:05d}",
                    "unit": unit,
                    "row": row,
                    "col": col,
                    "y_px": y,
                    "x_px": x,
                    "size_px": size,
                    "geometry": shapely.box(*box.bbox),
                }
            )
    frame = gpd.GeoDataFrame(table, geometry="geometry", crs=str(geobox.crs))
    write_geoparquet(frame, path)
    return frame


def write_stack(path, geobox, ids, *, data, source, items, modality="sentinel2", shard=3,
                incidence=None, **about):  # fmt: skip
    """A stack of one or more dates: data (patch, time, band, y, x), source (patch, time, y, x)."""
    info = StackInfo(
        layer=modality,
        kind=modality,
        unit="u1",
        geobox=geobox_to_dict(geobox),
        bands=tuple(f"b{n}" for n in range(data.shape[2])),
        patch_ids=tuple(ids),
        size_px=data.shape[-1],
        times=tuple(f"t{n}" for n in range(data.shape[1])),
        items=tuple(tuple(step) for step in items),
        dtype=data.dtype.name,
        values=Values("reflectance", scale=1e-4, nodata=0.0),
        shard_patches=shard,
        **{"series": "passes" in about} | about,
    )
    with create_stack(path, info) as writer:
        for number, patches in enumerate(info.shards):
            part = slice(patches.start, patches.stop)
            for time in range(data.shape[1]):
                writer.write(number, time, data[part, time], source[part, time])
        if incidence is not None:
            writer.write_incidence(incidence)
    return info


def write_labels(path, geobox, ids, corners, size, layers, bands, unit="u1", shard=3):
    """The label stack of a unit, cut from (band, y, x) layers on its grid."""
    info = StackInfo(
        layer="label", kind="labels", unit=unit, geobox=geobox_to_dict(geobox), bands=tuple(bands),
        patch_ids=tuple(ids), size_px=size, times=("reference",), items=(("reference",),),
        dtype="uint8", values=Values("codes of a legend", nodata=255), shard_patches=shard,
    )  # fmt: skip
    cut = np.empty((len(ids), len(layers), size, size), np.uint8)
    for patch, (y, x) in zip(cut, corners, strict=True):
        patch[:] = layers[:, y : y + size, x : x + size]
    with create_stack(path, info) as writer:
        for number, patches in enumerate(info.shards):
            data = np.ascontiguousarray(cut[patches.start : patches.stop])
            writer.write(number, 0, data, (data[:, 0] != 255).astype("uint8"))


def utm_geobox(shape, left=300_000, top=9_100_000, resolution=10):
    """A grid in UTM zone 22 south."""
    from affine import Affine

    return GeoBox(shape, Affine(resolution, 0, left, 0, -resolution, top), "EPSG:32722")


def write_map(path, codes, geobox, nodata=None):
    """A reference map as a GeoTIFF."""
    write_geotiff(path, np.asarray(codes), geobox, nodata=nodata)
    return path
