# SPDX-License-Identifier: Apache-2.0
"""Points of a survey in two small tiles of two UTM zones, with a year of Sentinel-2, up to the manifest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import Transformer

from terrapatch.acquisitions import join_dates
from terrapatch.files import write_json
from terrapatch.grid import geobox_to_dict, mgrs_tile_geobox
from terrapatch.layers import Values
from terrapatch.lock import write_lock
from terrapatch.patches import patches
from terrapatch.paths import SPLITS, Built, Results
from terrapatch.recipe import read_settings, resolve, write_settings
from terrapatch.records import Lock, LockedItem, LockedUnit
from terrapatch.stacks import StackInfo, create_stack
from terrapatch.tables import write_geoparquet
from terrapatch.times import with_steps

TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
WORLD = {"type": "Polygon", "coordinates": [[[-1, -1], [1, -1], [1, 1], [-1, -1]]]}
TILES = ("30UXB", "31UCS")
MOMENTS = {
    # Sensed, and when the product was made: in the same month, in another, on a later day.
    "30UXB": (
        ("20180104T110431", "20180104T130500"), ("20180131T110312", "20180201T091500"),
        ("20180301T110311", "20180301T130501"), ("20180316T110312", "20180316T131500"),
        ("20180326T110311", "20180327T000501"), ("20180420T110312", "20180420T130500"),
        ("20180505T110311", "20180505T130500"), ("20180604T110312", "20180604T130500"),
        ("20180614T110311", "20180614T130500"), ("20180704T110312", "20190317T130500"),
        ("20180907T110311", "20180907T201805"), ("20181002T110312", "20181002T130500"),
        ("20181106T110311", "20181106T130500"), ("20181206T110312", "20181231T235959"),
    ),
    "31UCS": (
        ("20180104T110431", "20180104T130501"), ("20180316T110312", "20180401T131500"),
        ("20180321T105021", "20180321T125021"), ("20180704T110312", "20180704T130500"),
    ),
}  # fmt: skip
"""Tile → sensing and making of its products; there is none of August."""
CODES = ("A11", "A22", "E20", "B11", "C10", "C21", "D10", "G11", "H11", "B55", "F40", "B31")
LAND = dict(zip(CODES, (0, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 3), strict=True))
CROPS = {"B11": 0, "B31": 2, "F40": 5, "C10": 6, "C21": 6, "D10": 6, "E20": 7, "B55": 7}
COUNTRIES = {"UK": "United_Kingdom", "FR": "France", "EL": "Greece"}
SIZE = 16


@dataclass(frozen=True)
class Survey:
    """Where the tree lies, and the arrays that it was made from."""

    results: Results
    table: gpd.GeoDataFrame
    """The manifest."""
    data: dict[str, np.ndarray] = field(default_factory=dict)
    """Tile → (patch, time, band, y, x) DN, bands as in `TEN`."""
    scl: dict[str, np.ndarray] = field(default_factory=dict)
    """Tile → (patch, time, y, x)."""
    source: dict[str, np.ndarray] = field(default_factory=dict)

    def built(self, **changes: Any) -> Built:
        """Paths of what was made."""
        return replace(Built.of(self.results), **changes)

    def settings(self, stage: str) -> Path:
        return Path(self.results.settings(stage))

    @property
    def kept(self) -> gpd.GeoDataFrame:
        return self.table[self.table["kept"]].reset_index(drop=True)

    def entries(self, point: str) -> list[tuple[str, int, int]]:
        """Tile, number of the patch there and step of each image of a point, in order of time."""
        found = []
        for tile in TILES:
            ids = self.table.loc[self.table["unit"] == tile, "patch_id"].tolist()
            for number, patch in enumerate(ids):
                if patch.split("_")[0] != point or not self.source[tile][number].any():
                    continue
                found += [
                    (sensed, tile, number, step)
                    for step, (sensed, _) in enumerate(MOMENTS[tile])
                    if self.source[tile][number, step].all()
                ]
        return [entry[1:] for entry in sorted(found)]

    def pixels(self, point: str) -> tuple[np.ndarray, np.ndarray]:
        """(date, band, y, x) DN and (date, y, x) scene classes of a point."""
        entries = self.entries(point)
        return (
            np.stack([self.data[tile][number, step] for tile, number, step in entries]),
            np.stack([self.scl[tile][number, step] for tile, number, step in entries]),
        )


def product(tile: str, step: int) -> str:
    sensed, made = MOMENTS[tile][step]
    return f"S2A_MSIL2A_{sensed}_N0206_R094_T{tile}_{made}"


def make_survey(
    root: Path, *, size: int = SIZE, shard: int = 3, every_tile: bool = False,
    dtype: str = "uint16", bands: tuple[str, ...] = TEN, **recipe: Any,
) -> Survey:  # fmt: skip
    """Write the tree.

    The second patch of each tile misses a pixel of its third date; the last one of the second tile has
    no whole date at all, and is dropped. `every_tile`: the first two points of the second tile are
    those of the first, and patches have the tile behind their names.
    """
    plain = {
        "name": "points", "area": {"bbox": [-1, 50, 2, 53]}, "catalog": {"source": "simulated"},
        "sampling": {"kind": "points", "path": "lucas.csv", "product": "lucas_2018", "size_px": size,
                     "overlap": "all" if every_tile else "first"},
        "layers": {"sentinel2": {"kind": "sentinel2", "bands": list(bands), "scl": True,
                                 "time": "series", "kernel": "nearest", "dtype": dtype}},
        "layouts": {"name": "sen4map"},
        "publish": {"title": "Points", "authors": ["A. Person"], "quicklooks": 2},
    } | recipe  # fmt: skip
    results = Results(str(root))
    write_settings(resolve(plain), root / "settings")
    rng = np.random.default_rng(11)
    ids = {
        tile: [f"{3000 + 2 * n}{3200 + 2 * k}" for n in range(7)] for k, tile in enumerate(TILES)
    }
    if every_tile:
        ids["31UCS"][:2] = ids["30UXB"][:2]
    made = Survey(results, gpd.GeoDataFrame())
    names: dict[str, list[str]] = {}
    units = []
    for tile in TILES:
        names[tile] = [f"{point}_{tile}" if every_tile else point for point in ids[tile]]
        geobox = mgrs_tile_geobox(tile)[: 6 * size, : 6 * size]
        corners = [(int(y), int(x)) for y, x in rng.integers(0, 5 * size, (7, 2))]
        _footprints(results, tile, geobox, names[tile], corners, size)
        _fill(made, tile, size, dtype, bands, rng)
        _write(made, tile, geobox, names[tile], size, dtype, bands, shard)
        steps = range(len(MOMENTS[tile]))
        units.append(LockedUnit(id=tile, geobox=geobox_to_dict(geobox), first_row=0, first_col=0,
                                items={"sentinel2": tuple(product(tile, n) for n in steps)},
                                windows=tuple((n, *c) for n, c in zip(names[tile], corners, strict=True))))  # fmt: skip
    lock = Lock(name="points", source="simulated", units=tuple(units), items=tuple(_items()))
    write_lock(with_steps(lock, read_settings(results.settings("plan")).images), results.lock)
    for tile in TILES:
        patches(
            [Path(results.lock)], tile, Path(results.footprints(tile)),
            {"sentinel2": Path(results.stack(tile, "sentinel2"))}, Path(results.settings("patches")),
            Path(results.patches(tile)), Path(results.dates_of(tile)),
        )  # fmt: skip
    join_dates([results.dates_of(tile) for tile in TILES], results.dates)
    table = pd.concat([gpd.read_parquet(results.patches(tile)) for tile in TILES])
    table = with_columns(table.reset_index(drop=True), [p for tile in TILES for p in ids[tile]])
    write_geoparquet(table, results.manifest)
    write_json(results.splits, _summary(table))
    return replace(made, table=gpd.read_parquet(results.manifest))


def with_columns(table: gpd.GeoDataFrame, points: list[str]) -> gpd.GeoDataFrame:
    """The manifest with the columns of the survey, classes and splits."""
    order = {point: n for n, point in enumerate(dict.fromkeys(points))}
    n = np.array([order[point] for point in points])
    codes = np.array(CODES, object)[n % len(CODES)]
    nuts0 = np.array(["UK", "UK", "FR", "EL"], object)[n % 4]
    longitude, latitude = -0.5 + 0.02 * n, 51.25 + 0.03 * n
    own = {
        "id": 1000 + n, "point_id": np.array(points, np.int64), "year": np.full(len(n), 2018),
        "nuts0": nuts0, "nuts1": [f"{c}1" for c in nuts0], "office_pi": ["0"] * len(n),
        "survey_date": [f"{d:02d}/07/18" for d in 1 + n % 28],
        "gps_lat": latitude + 1e-5, "gps_ew": ["E" if x >= 0 else "W" for x in longitude],
        "gps_long": np.where(n == 3, np.nan, longitude), "obs_dist": np.round(1.5 + n, 1),
        "lc1": codes, "lc1_label": [f"Cover {c}" for c in codes],
        "lc1_spec": np.array([None if k % 2 else f"{c}a" for k, c in zip(n, codes, strict=True)], object),
        "lc1_perc": ["> 75 %"] * len(n), "lu1": [f"U{100 + k % 7}" for k in n],
        "lu1_label": ["Agriculture «früh»"] * len(n), "parcel_area_ha": ["> 10"] * len(n),
        "revisit": pd.array([None if k == 5 else int(k % 3) for k in n], "Int64"),
        "th_gps_dist": np.linspace(0, 9, len(n)), "th_lat": latitude, "th_long": longitude,
        "class_landcover": np.array([LAND[c] for c in codes], np.int16),
        "class_crops": np.array([CROPS.get(c, -1) for c in codes], np.int16),
    }  # fmt: skip
    geometry = table.pop("geometry")
    table = table.assign(**own)
    split = np.array(["train", "train", "val", "train", "test", "train", None], object)[n % 7]
    table["split"] = np.where(table["kept"], split, None)
    table["block"] = None
    table["split_reason"] = np.where(table["kept"] & (split == None), "buffer", None)  # noqa: E711
    return gpd.GeoDataFrame(table, geometry=geometry, crs="EPSG:4326")


def centre(geobox: Any, corner: tuple[int, int], size: int) -> tuple[float, float]:
    """Longitude and latitude of the middle of the pixel that holds a point."""
    y, x = corner[0] + size // 2 + 0.5, corner[1] + size // 2 + 0.5
    to_degrees = Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    return to_degrees.transform(*(geobox.affine * (x, y)))


def _footprints(results, tile, geobox, names, corners, size):
    boxes = [geobox[y : y + size, x : x + size].boundingbox.bbox for y, x in corners]
    columns = {
        "patch_id": names, "unit": tile, "row": range(len(names)), "col": 0,
        "y_px": [y for y, _ in corners], "x_px": [x for _, x in corners], "size_px": size,
    }  # fmt: skip
    frame = gpd.GeoDataFrame(
        columns, geometry=[shapely.box(*b) for b in boxes], crs=str(geobox.crs)
    )
    write_geoparquet(frame, results.footprints(tile))


def _fill(made, tile, size, dtype, bands, rng):
    dates = len(MOMENTS[tile])
    source = np.ones((7, dates, size, size), np.uint8)
    source[1, 2, 3, 5] = 0
    if tile == TILES[1]:
        source[6, :, 0, 0] = 0
    data = rng.integers(1, 9000, (7, dates, len(bands), size, size)).astype(dtype)
    data[0, 0, :, 0, :3] = [1, 10_000, 65_535] if dtype == "uint16" else [1, 2, 3]
    scl = rng.choice(np.arange(12, dtype=np.uint8), (7, dates, size, size))
    scl[:, 5:6] = 9  # April is cloudy all over
    made.data[tile] = data * (source > 0)[:, :, None]
    made.scl[tile], made.source[tile] = scl * (source > 0), source


def _write(made, tile, geobox, names, size, dtype, bands, shard):
    moments = [f"{pd.Timestamp(sensed).isoformat()}Z" for sensed, _ in MOMENTS[tile]]
    info = StackInfo(
        layer="sentinel2", kind="sentinel2", unit=tile, geobox=geobox_to_dict(geobox), bands=bands,
        patch_ids=tuple(names), size_px=size, times=tuple(moments), dtype=dtype, scl=True,
        items=tuple((product(tile, n),) for n in range(len(moments))), shard_patches=shard,
        series=True, values=Values("reflectance", scale=1e-4, nodata=0.0),
        passes=({"direction": "descending", "relative_orbit": 94, "platform": "Sentinel-2A"},)
        * len(moments),
    )  # fmt: skip
    with create_stack(made.results.stack(tile, "sentinel2"), info) as writer:
        for number, part in enumerate(info.shards):
            for time in range(len(moments)):
                where = (slice(part.start, part.stop), time)
                parts = (made.data[tile], made.source[tile], made.scl[tile])
                writer.write(number, time, *(np.ascontiguousarray(a[where]) for a in parts))


def _items():
    for tile in TILES:
        for step, (sensed, _) in enumerate(MOMENTS[tile]):
            yield LockedItem(
                id=product(tile, step), sensor="sentinel2", level="L2A", tile=f"T{tile}",
                datetime=f"{pd.Timestamp(sensed).isoformat()}Z", footprint=WORLD, assets={},
                platform="Sentinel-2A", relative_orbit=94, orbit_direction="descending",
                cloud_percent=12.5,
            )  # fmt: skip


def _summary(table):
    sizes = {s: int((table["split"] == s).sum()) for s in SPLITS}
    kept = int(table["kept"].sum())
    return {
        "method": "blocks",
        "patches": {"all": len(table), "kept": kept, "dropped": len(table) - kept,
                    "buffer": kept - sum(sizes.values())},
        "dropped_reasons": {}, "leakage": {},
        "splits": {s: {"patches": n, "share": 0.3, "wanted": 0.3} for s, n in sizes.items()},
        "blocks": None,
    }  # fmt: skip
