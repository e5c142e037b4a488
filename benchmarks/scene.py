# SPDX-License-Identifier: Apache-2.0
"""The input of the Sentinel-2 benchmark: one full simulated tile, cut as one unit.

The archive is simulated once and kept. The unit is the largest rectangle of whole patches on the
recipe's grid inside the tile, so that every chain has the same output and no edge to argue about.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
from odc.geo.geobox import GeoBox

from measure import SMALL
from terrapatch.grid import Unit, geobox_to_dict, snapped_geobox
from terrapatch.lock import read_lock, write_lock
from terrapatch.places import patch_windows
from terrapatch.records import Lock, LockedAsset, LockedItem, LockedUnit
from terrapatch.settings import Sentinel2Settings
from terrapatch.times import with_steps

HERE = Path(__file__).parent
SIZE_PX = 128


@dataclass(frozen=True)
class Input:
    """What the chains are given."""

    lock: Path
    footprints: Path
    settings: Path
    unit: str
    item: LockedItem
    geobox: GeoBox
    patches: int
    bands: tuple[str, ...]


def prepare(folder: Path) -> Input:
    """Simulate the tile if it is not there, and write lock and footprints of the benchmark."""
    results = folder / "bench"
    if not (results / "lock.json").is_file():
        crop = ["--set", "simulate.whole_tiles=false"] if SMALL else []
        for verb in (
            ["settings", HERE / "bench.yaml", "--output", folder, *crop],
            ["simulate", results, "--threads", "2"],
            ["plan", "--results", results],
        ):
            subprocess.run([sys.executable, "-m", "terrapatch.cli", *map(str, verb)], check=True)
    planned = read_lock(results / "lock.json")
    item = next(i for i in planned.items if i.sensor == "sentinel2")
    settings = results / "settings" / "stack" / "sentinel2.json"
    plain = json.loads(settings.read_text())
    bands = tuple(plain["layers"]["sentinel2"]["bands"])
    grid = json.loads((results / "settings" / "plan.json").read_text())["sampling"]
    geobox = inner_grid(item.assets["B02"], grid["crs"], grid["resolution"])
    unit = Unit("tile", geobox, 0, 0)
    windows = patch_windows(unit, size_px=SIZE_PX, stride_px=SIZE_PX)
    columns = {
        "patch_id": [f"r{w.row:05d}_c{w.col:05d}" for w in windows],
        **{name: [getattr(w, name) for w in windows] for name in ("row", "col", "y_px", "x_px", "size_px")},
    }  # fmt: skip
    pq.write_table(pa.table(columns), folder / "footprints.parquet")
    locked = LockedUnit(
        id="tile", geobox=geobox_to_dict(geobox), first_row=0, first_col=0,
        items={"sentinel2": (item.id,)},
    )  # fmt: skip
    lock = Lock(name="bench", source="simulated", units=(locked,), items=(item,))
    layer = Sentinel2Settings(**plain["layers"]["sentinel2"])
    write_lock(with_steps(lock, {"sentinel2": layer}), folder / "lock.json")
    return Input(
        folder / "lock.json", folder / "footprints.parquet", settings, "tile", item, geobox,
        len(windows), bands,
    )  # fmt: skip


def inner_grid(asset: LockedAsset, crs: str, resolution: float) -> GeoBox:
    """The largest rectangle of whole patches of the grid that lies inside an asset."""
    a, _, left, _, e, top = asset.transform
    height, width = asset.shape
    right, bottom = left + a * width, top + e * height
    there = pyproj.Transformer.from_crs(asset.crs, crs, always_xy=True)
    steps = range(101)
    west, east = (
        [there.transform(x, top + (bottom - top) * n / 100)[0] for n in steps]
        for x in (left, right)
    )
    north, south = (
        [there.transform(left + (right - left) * n / 100, y)[1] for n in steps]
        for y in (top, bottom)
    )
    outer = snapped_geobox((max(west), max(south), min(east), min(north)), crs, resolution)
    rows, cols = ((length - 4) // SIZE_PX * SIZE_PX for length in outer.shape)
    return outer[2 : 2 + rows, 2 : 2 + cols]
