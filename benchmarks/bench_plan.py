# SPDX-License-Identifier: Apache-2.0
"""Plan and dry run of a large dataset: 35,000 scenes, 800 units, two sensors.

Usage: bench_plan.py [--folder FOLDER] [--repeats N] [--output docs/benchmarks.md] [--small]

`run.py --only plan` calls this. The catalogue is made up, and real to the plan: STAC items over 800
MGRS tiles whose assets are GeoTIFF files of full size without a pixel in them, one file a place and
hard links to it for all dates and bands. The plan finds, chooses, opens and hashes all of them; the
dry run is that of all jobs behind it. About five minutes on two cores, and half a gigabyte of disk.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import yaml
from affine import Affine
from odc.geo.geobox import GeoBox

from measure import SMALL, Cost, run
from terrapatch.catalog.product import footprint_of
from terrapatch.grid import GEOGRAPHIC, mgrs_tile_geobox, mgrs_tiles, reprojected

BEGIN, END = "<!-- begin: benchmarks/bench_plan.py -->", "<!-- end: benchmarks/bench_plan.py -->"
AREA = (3.0, 44.0, 6.0, 46.0) if SMALL else (0.0, 36.0, 36.0, 62.0)
"""West, south, east, north."""
TILES, DATES = (6, 3) if SMALL else (800, 34)
FRAMES, PASSES = (2, 4) if SMALL else (12, 16), 2 if SMALL else 41
"""Sentinel-1: columns and rows of images, and how often each was taken."""
BANDS, POLARISATIONS = ("B02", "B03", "B04", "B08"), ("VV", "VH")
NAMES = {
    "plan": "plan: find, choose, open and hash; lock and slices",
    "again": "plan: the same again, nothing changed",
    "dry": "dry run of all jobs behind the plan",
}
RECIPE: dict[str, Any] = {
    "name": "many",
    "area": {"bbox": list(AREA)},
    "catalog": {
        "source": "local", "cloud_percent": 50, "period": ["2022-01-01", "2022-12-31"],
    },
    "sampling": {"kind": "tiles", "size_px": 256, "area_rule": "intersects"},
    "layers": {
        "sentinel2": {"kind": "sentinel2", "bands": list(BANDS), "time": "series"},
        "ascending": {"kind": "sentinel1", "level": "RTC", "orbit": "ascending", "time": "series"},
        "descending": {"kind": "sentinel1", "level": "RTC", "orbit": "descending", "time": "series"},
        "label": {"kind": "labels", "crosswalk": "terraclass_cerrado", "legend": "cerradata4mm"},
    },
    "layouts": {"name": "native"},
    "training": {"required": False},
}  # fmt: skip


def catalogue(folder: Path) -> Path:
    """Write items and files, and the recipe beside them.

    Returns:
        The recipe's path.
    """
    recipe = folder / "many.yaml"
    if recipe.is_file():
        return recipe
    tiles = mgrs_tiles(shapely.box(*AREA))
    for number in range(TILES):
        tile = tiles[number * len(tiles) // TILES]
        place(folder / "sentinel2" / tile, mgrs_tile_geobox(tile), sentinel2(tile), BANDS)
    for number in range(FRAMES[0] * FRAMES[1]):
        frame = folder / "sentinel1" / f"frame{number:03d}"
        place(frame, frame_geobox(number), sentinel1(number), POLARISATIONS)
    west, south, east, north = AREA
    shape = round((north - south) * 100), round((east - west) * 100)
    (folder / "reference").mkdir()
    write(folder / "reference" / "map.tif",
          GeoBox(shape, Affine(0.01, 0, west, 0, -0.01, north), GEOGRAPHIC), "uint8")  # fmt: skip
    plain = json.loads(json.dumps(RECIPE))
    plain["catalog"]["paths"] = [str(folder / name) for name in ("sentinel2", "sentinel1")]
    plain["layers"]["label"]["path"] = str(folder / "reference" / "map.tif")
    recipe.write_text(yaml.safe_dump(plain, sort_keys=False))
    return recipe


def sentinel2(tile: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ids and properties of a tile's items: every tenth day, clouds from 0 to 49 percent."""
    for number in range(DATES):
        day = datetime.date(2022, 1, 4) + datetime.timedelta(10 * number)
        yield f"S2A_{tile}_{day:%Y%m%d}", {
            "datetime": f"{day}T10:56:21Z", "platform": "sentinel-2a", "grid:code": f"MGRS-{tile[1:]}",
            "eo:cloud_cover": (number * 7 + sum(map(ord, tile))) % 50,
            "s2:processing_baseline": "05.10", "sat:relative_orbit": 94,
            "s2:datatake_id": f"GS2A_{day:%Y%m%d}T105621_{number:06d}_N05.10",
            "s2:generation_time": f"{day}T18:00:00Z",
        }  # fmt: skip


def sentinel1(frame: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ids and properties of the items of a place: every sixth day, both directions in turn."""
    column, row = frame % FRAMES[0], frame // FRAMES[0]
    for number in range(PASSES):
        moment = datetime.datetime(2022, 1, 3, 17) + datetime.timedelta(
            days=6 * number + column, seconds=25 * row
        )
        yield f"S1A_IW_GRDH_1SDV_{moment:%Y%m%dT%H%M%S}_{frame:03d}_rtc", {
            "datetime": f"{moment.isoformat()}Z", "platform": "sentinel-1a",
            "sat:relative_orbit": 1 + column + 20 * (number % 2),
            "sat:orbit_state": ("ascending", "descending")[number % 2],
        }  # fmt: skip


def frame_geobox(frame: int) -> GeoBox:
    """Where the images of a place lie: 25,000 × 17,000 px of 10 m in the zone of its middle."""
    column, row = frame % FRAMES[0], frame // FRAMES[0]
    west, south, east, north = AREA
    lon = west + (column + 0.5) * (east - west) / FRAMES[0]
    lat = south + (row + 0.5) * (north - south) / FRAMES[1]
    crs = f"EPSG:{32601 + int((lon + 180) // 6)}"
    middle = reprojected(shapely.box(lon, lat, lon + 1e-6, lat + 1e-6), GEOGRAPHIC, crs).centroid
    left, top = round(middle.x - 125_000, -1), round(middle.y + 85_000, -1)
    return GeoBox((17_000, 25_000), Affine(10, 0, left, 0, -10, top), crs)


def place(
    folder: Path, geobox: GeoBox, items: Iterable[tuple[str, dict[str, Any]]], names: Iterable[str]
) -> None:
    """Items of one place in one file, and a folder with files for each."""
    # As few points as products' own outlines have.
    geometry = json.loads(shapely.to_geojson(shapely.simplify(footprint_of(geobox), 1e-3)))
    folder.mkdir(parents=True)
    first = folder.with_suffix(".first")
    write(first, geobox, "uint16" if "B02" in names else "float32")
    features = []
    for name, properties in items:
        (folder / name).mkdir()
        for band in names:
            os.link(first, folder / name / f"{band}.tif")
        features.append({
            "type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": geometry,
            "properties": properties, "collection": "many",
            "assets": {band: {"href": f"{name}/{band}.tif"} for band in names},
        })  # fmt: skip
    first.unlink()
    whole = {"type": "FeatureCollection", "features": features}
    (folder / "items.json").write_text(json.dumps(whole))


def write(path: Path, geobox: GeoBox, dtype: str) -> None:
    """A GeoTIFF of full size that holds no pixel."""
    height, width = geobox.shape
    side = {"tiled": True, "blockxsize": 2048, "blockysize": 2048, "sparse_ok": True}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=height, width=width, dtype=dtype,
        crs=str(geobox.crs), transform=geobox.affine, nodata=0, **side,
    ):  # fmt: skip
        pass


def measured(folder: Path, recipe: Path, repeats: int) -> tuple[dict[str, list[Cost]], str]:
    """Run the chains in turn; what they cost, and what came of them in words."""
    costs: dict[str, list[Cost]] = {name: [] for name in NAMES}
    terrapatch = [sys.executable, "-m", "terrapatch.cli"]
    output = ["--output", folder / "results"]
    for _ in range(repeats):
        shutil.rmtree(folder / "results", ignore_errors=True)
        for name, found in costs.items():
            verb = ["build", recipe, *output, "--", "--dry-run"]
            words = verb if name == "dry" else ["plan", recipe, *output]
            cost = run([*terrapatch, *words], folder / f"{name}.log")
            found.append(cost)
            print(f"{name:12} wall {cost.wall_s:6.1f} s  CPU {cost.cpu_s:6.1f} s (user "
                  f"{cost.user_s:.1f}, system {cost.system_s:.1f})  peak {cost.peak_mib:.0f} MiB  "
                  f"load before {cost.load:.1f}", flush=True)  # fmt: skip
    return costs, sizes(folder)


def sizes(folder: Path) -> str:
    """How much was planned, and how large what jobs read of it is."""
    results = folder / "results" / "many"
    lock = json.loads((results / "lock.json").read_text())
    slices = [path.stat().st_size / 1024 for path in (results / "plan").rglob("*.json")]
    jobs = re.findall(r"^total +(\d+)$", (folder / "dry.log").read_text(), re.M)[-1]
    whole = (results / "lock.json").stat().st_size / 2**20
    scenes = sum(item["sensor"] != "reference" for item in lock["items"])
    links = sum(len(item["assets"]) for item in lock["items"])
    return (
        f"{scenes} scenes of {links} files → {len(lock['units'])} units × "
        f"{len(RECIPE['layers'])} layers, {jobs} jobs in the dry run. The lock has {whole:.0f} MiB; "
        f"of the {len(slices)} slices, of which a job reads one, half are below "
        f"{np.median(slices):.1f} KiB, the largest has {max(slices):.0f} KiB"
    )


def table(costs: dict[str, list[Cost]]) -> str:
    """Markdown table of medians."""
    lines = [
        "| chain | wall s | CPU s | peak MiB | load before |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, runs in costs.items():
        wall, cpu, peak, load = (
            statistics.median(getattr(c, field) for c in runs)
            for field in ("wall_s", "cpu_s", "peak_mib", "load")
        )
        lines.append(f"| {NAMES[name]} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {load:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument(
        "--small", action="store_true", help="so few scenes that nothing is measured"
    )
    args = parser.parse_args()
    folder = (args.folder / "plan").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    costs, found = measured(folder, catalogue(folder), args.repeats)
    text = f"{found}. Two cores; median of {args.repeats}.\n\n{table(costs)}"
    print(f"\n{text}")
    if not SMALL and args.output.is_file():
        old = args.output.read_text(encoding="utf-8")
        head, tail = old.split(BEGIN)[0], old.split(END)[1]
        args.output.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
