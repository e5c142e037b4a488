# SPDX-License-Identifier: Apache-2.0
"""Three small regions of two domains with all modalities of FLAIR-HUB, up to the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from terrapatch.acquisitions import join_dates
from terrapatch.files import write_json
from terrapatch.grid import geobox_to_dict
from terrapatch.layers import Values
from terrapatch.legend import load_legend
from terrapatch.lock import write_lock
from terrapatch.patches import patches
from terrapatch.paths import SPLITS, Built, Results
from terrapatch.recipe import read_settings, resolve, write_settings
from terrapatch.records import Lock, LockedItem, LockedUnit
from terrapatch.stacks import StackInfo, create_stack
from terrapatch.tables import write_geoparquet
from terrapatch.times import with_steps

TEN = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
REGIONS = {
    "D012-2019_AF-S1-27": (2, 3),
    "D012-2019_UN-S2-4": (1, 2),
    "D059062-2021_AF-S1-27": (1, 1),
}
"""Unit → rows and columns of patches; two regions of different domains have one name."""
SPLIT = ("train", "val", "test")
WORLD = {"type": "Polygon", "coordinates": [[[-1, -1], [1, -1], [1, 1], [-1, -1]]]}
OPTICAL = ("01-14T10:51:01Z", "03-02T10:50:59Z", "03-02T22:00:00Z", "07-20T10:51:01Z")
RADAR = {"ascending": ("02-03T17:40:00Z", "02-15T17:40:00Z"),
         "descending": ("01-30T05:50:00Z", "02-11T05:50:00Z", "11-11T05:50:00Z")}  # fmt: skip
SIDE, PIXEL = 10, 10.24


def _labels(folder: Path) -> dict[str, Any]:
    """Legends of the modalities' sizes, and the two layers of labels."""
    head = "level,code,abbrev,name,parent,color,published_pixels"
    cosia = [f"cosia,{k},c{k},class {k},,#0000{k:02x}," for k in range(19)]
    sizes = {"lv3": 46, "lv2": 31, "lv1": 23}
    parents = {"lv3": lambda k: k * 31 // 46, "lv2": lambda k: k * 23 // 31, "lv1": lambda _: ""}
    lpis = [
        f"{level},{k},{level}{k},class {k},{parents[level](k)},#0000{k:02x},"
        for level, count in sizes.items()
        for k in range(count)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    layers = {}
    for name, rows in (("cosia", cosia), ("lpis", lpis)):
        path = folder / f"{name}.csv"
        path.write_text("\n".join([head, *rows]) + "\n", "utf-8")
        layers[name] = {"kind": "labels", "legend": str(path), "edges": "none", "pixel_m": 0.2}
    return layers


def recipe(folder: Path) -> dict[str, Any]:
    """The recipe of the regions, but for their sampling: the manifest says where patches lie."""
    radar = {"kind": "sentinel1", "time": "series", "pixel_m": 10.24}

    def raster(pixel_m: float, dtype: str, *bands: str, **more: Any) -> dict[str, Any]:
        return {"kind": "raster", "path": "*.tif", "pixel_m": pixel_m, "dtype": dtype,
                "bands": list(bands), **more}  # fmt: skip

    return {
        "name": "regions", "area": {"bbox": [2, 44, 3, 45]}, "catalog": {"source": "simulated"},
        "sampling": {"crs": "EPSG:2154", "resolution": PIXEL, "size_px": SIDE},
        "layers": {
            "aerial": raster(0.2, "uint8", "R", "G", "B", "NIR"),
            "pan": raster(0.4, "uint8", "PAN"),
            "dem": raster(0.2, "float32", "DSM", "DTM", unit="metres"),
            "spot": raster(1.6, "uint16", "R", "G", "B", "NIR"),
            "sentinel2": {"kind": "sentinel2", "bands": TEN, "time": "series", "pixel_m": 10.24},
            # Names of the stack's bands are those of its description; here dates count alone.
            "sentinel2_mask": {"kind": "sentinel2", "bands": TEN[:2], "time": "series", "pixel_m": 10.24},
            "sentinel1_asc": {**radar, "orbit": "ascending"},
            "sentinel1_desc": {**radar, "orbit": "descending"},
            **_labels(folder),
        },
        "patches": {"require": {"sentinel2": {"valid": 0.9}, "sentinel2_mask": {"valid": 0},
                                "lpis": {"valid": 0}}},
        "layouts": {"name": "flairhub"},
        "publish": {"title": "Regions", "authors": ["A. Person"], "quicklooks": 0},
    }  # fmt: skip


@dataclass(frozen=True)
class Regions:
    """Where the tree lies, and the arrays that it was made from."""

    results: Results
    table: gpd.GeoDataFrame
    """The manifest."""
    data: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """Unit and layer → (patch, time, band, y, x); of labels bands from the finest level on."""
    source: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """(patch, time, y, x)."""
    times: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def built(self, **changes: Any) -> Built:
        """Paths of what was made."""
        return replace(Built.of(self.results), **changes)

    def settings(self, stage: str) -> Path:
        return Path(self.results.settings(stage))

    @property
    def kept(self) -> gpd.GeoDataFrame:
        return self.table[self.table["kept"]].reset_index(drop=True)

    def number(self, patch: str) -> tuple[str, int]:
        """Unit of a patch, and its position there."""
        unit = patch.rpartition("_")[0]
        return unit, self.table.loc[self.table["unit"] == unit, "patch_id"].tolist().index(patch)

    def dates(self, patch: str, layer: str) -> list[int]:
        """Steps that a patch has: those with at least 90 % of Sentinel-2, all of radar."""
        unit, number = self.number(patch)
        layer = "sentinel2" if layer == "sentinel2_mask" else layer
        seen = (self.source[unit, layer][number] > 0).mean(axis=(1, 2))
        return [step for step, share in enumerate(seen) if share >= 0.9]


Change = Callable[[str, StackInfo], StackInfo]


def make_regions(
    root: Path, *, shard: int = 2, units: dict[str, tuple[int, int]] | None = None,
    leave_out: tuple[str, ...] = (), change: Change = lambda _, info: info,
    folds: bool = True, **sections: Any,
) -> Regions:  # fmt: skip
    """Write the tree.

    The first patch of each region misses its second optical date; the second misses a pixel of its
    first one. A third of the first patch has no parcel. The last patch of the first region has no
    label, and is dropped.

    Args:
        root: where.
        shard: patches in a shard.
        units: regions, those of `REGIONS` if absent.
        leave_out: layers that are not there.
        change: layer, description of a stack → another one, of the same shape.
        folds: whether the manifest has the split columns of five folds.
        sections: sections of the recipe, in place of its own.
    """
    plain = recipe(root / "legends") | sections
    plain["layers"] = {n: s for n, s in plain["layers"].items() if n not in leave_out}
    plain["patches"] = {"require": {n: r for n, r in plain["patches"]["require"].items()
                                    if n in plain["layers"]}}  # fmt: skip
    results = Results(str(root))
    write_settings(resolve(plain), root / "settings")
    rng = np.random.default_rng(5)
    made = Regions(results, gpd.GeoDataFrame())
    units = REGIONS if units is None else units
    locked, items, flown = [], {}, {}
    for place, (unit, shape) in enumerate(units.items()):
        left, top = 600_000 + 1024 * place, 6_400_000
        side = SIDE * PIXEL
        box = GeoBox(
            (shape[0] * SIDE, shape[1] * SIDE), Affine(PIXEL, 0, left, 0, -PIXEL, top), "EPSG:2154"
        )
        ids = _footprints(results, unit, box, shape)
        found: dict[str, tuple[str, ...]] = {}
        for name in plain["layers"]:
            info = change(name, _info(name, unit, ids, left, top, side, shape, shard, root))
            _fill(made, info, unit, name, rng, last=place == 0)
            _write(made, info, unit, name)
            # Moments of a day are passes of their own where the track is known.
            facts = info.passes or ({},) * len(info.times)
            flown |= {i: fact for step, fact in zip(info.items, facts, strict=True) for i in step}
            if name not in ("cosia", "lpis"):
                found[name] = tuple(i for step in info.items for i in step)
            items |= {i: (info.kind, t) for step, t in zip(info.items, info.times, strict=True)
                      for i in step}  # fmt: skip
        locked.append(LockedUnit(id=unit, geobox=geobox_to_dict(box), first_row=0, first_col=0,
                                 items=found))  # fmt: skip
    lock = Lock(
        name="regions", source="simulated", units=tuple(locked),
        scenes={name: layer["kind"] for name, layer in plain["layers"].items() if layer["kind"] != "labels"},
        items=tuple(
            LockedItem(id=i, sensor="reference" if kind == "labels" else kind, level="x",
                       datetime=time if kind != "labels" else "2019-01-01T00:00:00Z", footprint=WORLD,
                       assets={}, platform=flown[i].get("platform"),
                       orbit_direction=flown[i].get("direction"),
                       relative_orbit=flown[i].get("relative_orbit"))
            for i, (kind, time) in items.items()
        ),
    )  # fmt: skip
    write_lock(with_steps(lock, read_settings(results.settings("plan")).images), results.lock)
    for unit in units:
        patches(
            [Path(results.lock)], unit, Path(results.footprints(unit)),
            {name: Path(results.stack(unit, name)) for name in plain["layers"]},
            Path(results.settings("patches")), Path(results.patches(unit)), Path(results.dates_of(unit)),
        )  # fmt: skip
    return _joined(made, list(units), folds)


def _joined(made: Regions, units: list[str], folds: bool) -> Regions:
    """The manifest with its splits, and the table of all dates."""
    import pandas as pd

    results = made.results
    tables = [gpd.read_parquet(results.patches(unit)) for unit in units]
    table = gpd.GeoDataFrame(pd.concat(tables, ignore_index=True))
    words = [SPLIT[n % 3] for n in range(len(table))]
    words[4:5] = [None] * len(words[4:5])
    words = [w if kept else None for w, kept in zip(words, table["kept"], strict=True)]
    table["split"] = words
    for fold in range(1, 6) if folds else ():
        table[f"split_{fold}"] = [
            None if w is None else SPLIT[(SPLIT.index(w) + fold - 1) % 3] for w in words
        ]
    table["block"], table["split_reason"] = "k0", None
    write_geoparquet(table, results.manifest)
    sizes = {s: int((table["split"] == s).sum()) for s in SPLITS}
    write_json(results.splits, {
        "method": "blocks", "splits": {s: {"patches": n, "share": 0.3, "wanted": 0.3} for s, n in sizes.items()},
        "patches": {"all": len(table), "kept": int(table["kept"].sum()), "dropped": 1, "buffer": 0},
        "dropped_reasons": {},
        "blocks": {"side_m": 102.4, "count": 1, "per_split": {"train": 1, "val": 1, "test": 1}},
        "leakage": {"buffer_m": 0.0, "blocks": {}, "published": {"error": "too few patches"}},
    })  # fmt: skip
    join_dates([results.dates_of(unit) for unit in units], results.dates)
    return replace(made, table=table)


def _footprints(
    results: Results, unit: str, box: GeoBox, shape: tuple[int, int]
) -> tuple[str, ...]:
    rows = []
    for row in range(shape[0]):
        for col in range(shape[1]):
            y, x = row * SIDE, col * SIDE
            part = box[y : y + SIDE, x : x + SIDE]
            rows.append({
                "patch_id": f"{unit}_{row}-{col}", "unit": unit, "row": row, "col": col, "y_px": y,
                "x_px": x, "size_px": SIDE, "geometry": shapely.box(*part.boundingbox.bbox),
            })  # fmt: skip
    write_geoparquet(gpd.GeoDataFrame(rows, geometry="geometry", crs="EPSG:2154"),
                     results.footprints(unit))  # fmt: skip
    return tuple(row["patch_id"] for row in rows)


PIXELS = {"aerial": 0.2, "pan": 0.4, "dem": 0.2, "spot": 1.6, "cosia": 0.2, "lpis": 0.2}
BANDS = {
    "aerial": ("R", "G", "B", "NIR"), "pan": ("PAN",), "dem": ("DSM", "DTM"),
    "spot": ("R", "G", "B", "NIR"), "sentinel2": tuple(TEN), "sentinel2_mask": ("SNWPRB", "CLDPRB"),
    "sentinel1_asc": ("VV", "VH"), "sentinel1_desc": ("VV", "VH"), "cosia": ("cosia",),
    "lpis": ("lv3", "lv2", "lv1"),
}  # fmt: skip
DTYPES = {"dem": "float32", "spot": "uint16", "sentinel2": "uint16", "sentinel1_asc": "float32",
          "sentinel1_desc": "float32"}  # fmt: skip
DAYS = {"aerial": "06-18T00:00:00Z", "spot": "05-30T00:00:00Z", "dem": "06-18T00:00:00Z"}


def _info(
    name: str, unit: str, ids: tuple[str, ...], left: float, top: float, side: float,
    shape: tuple[int, int], shard: int, root: Path,
) -> StackInfo:  # fmt: skip
    year = unit.partition("_")[0][-4:]
    pixel = PIXELS.get(name, PIXEL)
    size = round(side / pixel)
    box = GeoBox(
        (shape[0] * size, shape[1] * size), Affine(pixel, 0, left, 0, -pixel, top), "EPSG:2154"
    )
    kind, values, passes = "raster", Values("as delivered"), ()
    times = (f"{year}-{DAYS[name]}"[:10],) if name in DAYS else ("none",)
    if name in ("sentinel2", "sentinel2_mask"):
        kind = "sentinel2"
        times = tuple(f"{year}-{t}" for t in OPTICAL)
        passes = ({"direction": "descending", "relative_orbit": 51, "platform": "S2A"},) * len(
            times
        )
        values = Values("reflectance", scale=1e-4, nodata=0.0)
        if name == "sentinel2_mask":
            values = Values("percent")
    elif name.startswith("sentinel1"):
        kind, values = "sentinel1", Values("linear power")
        way = "ascending" if name.endswith("asc") else "descending"
        times = tuple(f"{year}-{t}" for t in RADAR[way])
        passes = ({"direction": way, "relative_orbit": 59, "platform": "S1A"},) * len(times)
    elif name in ("cosia", "lpis"):
        kind, values, times = "labels", Values("codes of a legend", nodata=255), ("reference",)
    elif name == "dem":
        values = Values("metres")
    return StackInfo(
        layer=name, kind=kind, unit=unit, geobox=geobox_to_dict(box), bands=BANDS[name], patch_ids=ids,
        size_px=size, times=times, items=tuple((f"{name} {t}",) for t in times),
        dtype=DTYPES.get(name, "uint8"), values=values, shard_patches=shard, series=bool(passes),
        passes=passes,
    )  # fmt: skip


def _fill(
    made: Regions, info: StackInfo, unit: str, name: str, rng: np.random.Generator, *, last: bool
) -> None:
    shape = (len(info.patch_ids), len(info.times), len(info.bands), info.size_px, info.size_px)
    source = np.ones((*shape[:2], *shape[-2:]), np.uint8)
    if name in ("cosia", "lpis"):
        fine = rng.integers(0, {"cosia": 19, "lpis": 46}[name], (shape[0], 1, *shape[-2:]))
        if name == "lpis":
            fine[0, :, : info.size_px // 3] = 255
        elif last:
            fine[-1] = 255
        legend = load_legend(str(Path(made.results.root) / "legends" / f"{name}.csv"))
        data = np.stack([legend.derive(level.name)[fine] for level in legend.levels], 2)
        source = (fine != 255).astype(np.uint8)
    elif name == "sentinel2_mask":
        data = rng.integers(0, 101, shape) * rng.integers(0, 2, shape)
        data[:, -1] = 100  # all of the last date is cloud
    elif name.startswith("sentinel1"):
        data = rng.gamma(4, 0.02, shape)
    elif name == "dem":
        data = rng.normal(300, 20, shape)
    else:
        data = rng.integers(1, 256 if info.dtype == "uint8" else 9000, shape)
    if name == "sentinel2":
        source[0, 1] = 0
        if len(source) > 1:
            source[1, 0, 3, 5] = 0
        data = data * (source[:, :, None] > 0)
    made.data[unit, name] = data.astype(info.dtype)
    made.source[unit, name], made.times[unit, name] = source, info.times


def _write(made: Regions, info: StackInfo, unit: str, name: str) -> None:
    data, source = made.data[unit, name], made.source[unit, name]
    with create_stack(made.results.stack(unit, name), info) as writer:
        for number, part in enumerate(info.shards):
            for time in range(len(info.times)):
                where = (slice(part.start, part.stop), time)
                writer.write(
                    number,
                    time,
                    np.ascontiguousarray(data[where]),
                    np.ascontiguousarray(source[where]),
                )


KEYS = {
    "aerial": "image_aerial_rgbi", "pan": "image_aerial_rlt_pan", "dem": "image_dem_elev",
    "spot": "image_spot_rgbi", "sentinel2": "image_sentinel2",
    "sentinel2_mask": "mask_sentinel2_snowcloud", "sentinel1_asc": "image_sentinel1_asc",
    "sentinel1_desc": "image_sentinel1_desc",
}  # fmt: skip
"""Layer → key of a sample of torchgeo."""
LEVELS = {"land_cover": ("cosia", 0, 18), "crop_type": ("lpis", 2, 22), "crop_type_2": ("lpis", 1, 30),
          "crop_type_3": ("lpis", 0, 45)}  # fmt: skip
"""Type of torchgeo's dataset → layer, level from the finest on, and what a missing label becomes."""


def truth_of(made: Regions) -> dict[str, np.ndarray]:
    """`{patch}/{key}` → the pixels that a sample is to have, of all kept patches."""
    found = {}
    for patch in made.kept["patch_id"]:
        unit, number = made.number(patch)
        for layer, key in KEYS.items():
            if (unit, layer) not in made.data:
                continue
            pixels = made.data[unit, layer][number]
            series = layer.startswith("sentinel")
            found[f"{patch}/{key}"] = pixels[made.dates(patch, layer)] if series else pixels[0]
        for kind, (layer, level, last) in LEVELS.items():
            if (unit, layer) not in made.data:
                continue
            codes = made.data[unit, layer][number, 0, level]
            found[f"{patch}/{kind}"] = np.where(codes == 255, last, codes)
    return found
