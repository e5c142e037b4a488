# SPDX-License-Identifier: Apache-2.0
"""A small tree of results made by hand: two units, stacks, labels, manifest, lock, settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from scipy.ndimage import gaussian_filter

from made.patches import write_labels
from made.recipes import resolve
from terrapatch.files import write_json
from terrapatch.grid import geobox_to_dict, snapped_geobox
from terrapatch.layers import Values
from terrapatch.legend import load_legend
from terrapatch.lock import write_lock
from terrapatch.paths import Built, Results
from terrapatch.places import patch_windows
from terrapatch.places.mosaic import mosaic_units
from terrapatch.recipe import write_settings
from terrapatch.records import Exclusion, Lock, LockedAsset, LockedItem, LockedUnit
from terrapatch.settings import L2A_12, Sentinel1Settings, Sentinel2Settings
from terrapatch.stacks import StackInfo, create_stack
from terrapatch.tables import write_geoparquet
from terrapatch.times import with_steps

RESOLUTION = 8.983152838482056e-05
LAYERS = ("l2", "l1", "edge_l2", "edge_l1")


@dataclass(frozen=True)
class Tree:
    """Where it lies, and the truth that it was made from."""

    results: Results
    table: gpd.GeoDataFrame
    pixels: dict[str, dict[str, np.ndarray]]
    """Modality (and `label`) → patch id → (band, y, x)."""

    @property
    def kept(self) -> gpd.GeoDataFrame:
        return self.table[self.table["kept"]].reset_index(drop=True)

    def built(self, **changes: Any) -> Built:
        """Paths of what was made; there is no table of dates, patches have one image."""
        return replace(Built.of(self.results), dates=None, **changes)

    def settings(self, stage: str) -> Path:
        return Path(self.results.settings(stage))


def make_tree(
    root: Path,
    *,
    size_px: int = 32,
    patches: tuple[int, int] = (3, 8),
    unit_patches: int = 4,
    recipe: dict[str, Any] | None = None,
    seed: int = 1,
    shard_patches: int = 4,
) -> Tree:
    """Write the tree; patch r00000_c00000 is dropped, r00001_c00001 lies in a buffer."""
    rng = np.random.default_rng(seed)
    plain = {
        "name": "tiny",
        "area": {"bbox": [-48.1, -6.1, -48.0, -6.0]},
        "catalog": {"source": "simulated"},
        "layouts": {"name": "cerradata4mm"},
        "publish": {"title": "Tiny", "authors": ["A. Person"], "quicklooks": 6},
    } | (recipe or {})
    made = resolve(plain)
    results = Results(str(root))
    write_settings(made, root / "settings")
    height, width = (count * size_px * RESOLUTION for count in patches)
    area = snapped_geobox((-48.1, -6.0 - height, -48.1 + width, -6.0), "EPSG:4326", RESOLUTION)
    units = mosaic_units(area, size_px=size_px, stride_px=size_px, unit_patches=unit_patches)
    legend = load_legend(made.label.legend)
    rows: list[dict[str, Any]] = []
    pixels: dict[str, dict[str, np.ndarray]] = {"sentinel2": {}, "sentinel1": {}, "label": {}}
    for unit in units:
        windows = patch_windows(unit, size_px=size_px, stride_px=size_px)
        ids = tuple(f"r{w.row:05d}_c{w.col:05d}" for w in windows)
        layers = _labels(rng, tuple(unit.geobox.shape), legend)
        corners = [(w.y_px, w.x_px) for w in windows]
        write_labels(
            results.stack(unit.id, "label"), unit.geobox, ids, corners, size_px, layers, LAYERS,
            unit.id, shard_patches,
        )  # fmt: skip
        stacks = {"sentinel2": _optical(rng, layers[0]), "sentinel1": _radar(rng, layers[0])}
        for modality, image in stacks.items():
            cut = np.stack([_cut(image, w) for w in windows])
            _write_stack(results, unit, modality, ids, cut, shard_patches)
            pixels[modality] |= dict(zip(ids, cut, strict=True))
        for window, patch_id in zip(windows, ids, strict=True):
            pixels["label"][patch_id] = _cut(layers, window)
            seen = {key: found[patch_id] for key, found in pixels.items()}
            rows.append(_row(unit, window, patch_id, seen, legend))
    table = gpd.GeoDataFrame(rows, geometry="geometry", crs="EPSG:4326")
    table = table.sort_values(["unit", "row", "col"]).reset_index(drop=True)
    write_geoparquet(table, results.manifest)
    write_json(results.splits, _summary(table))
    layers = {"sentinel2": Sentinel2Settings(), "sentinel1": Sentinel1Settings()}
    write_lock(with_steps(_lock(units), layers), results.lock)
    return Tree(results, table, pixels)


def _cut(image: np.ndarray, window: Any) -> np.ndarray:
    y, x, size = window.y_px, window.x_px, window.size_px
    return np.ascontiguousarray(image[:, y : y + size, x : x + size])


def _labels(rng: np.random.Generator, shape: tuple[int, int], legend: Any) -> np.ndarray:
    field = np.stack([gaussian_filter(rng.normal(size=shape), 6) for _ in legend.finest.codes])
    field[:3] *= 1.5
    fine = np.asarray(legend.finest.codes, np.uint8)[field.argmax(0)]
    coarse = legend.derive("l1")[fine] if len(legend.levels) > 1 else fine
    return np.stack([fine, coarse, _edges(fine), _edges(coarse)])


def _edges(codes: np.ndarray) -> np.ndarray:
    edge = np.zeros(codes.shape, np.uint8)
    edge[:, :-1] |= codes[:, :-1] != codes[:, 1:]
    edge[:-1] |= codes[:-1] != codes[1:]
    return edge


def _optical(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    spectra = np.random.default_rng(5).integers(300, 4000, (256, 12))
    noise = rng.normal(0, 60, (12, *codes.shape))
    return np.clip(spectra[codes].transpose(2, 0, 1) + noise, 1, 20000).astype(np.uint16)


def _radar(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    power = np.random.default_rng(6).uniform(0.01, 0.3, (256, 2))
    speckle = rng.gamma(4, 0.25, (2, *codes.shape))
    return (power[codes].transpose(2, 0, 1) * speckle).astype(np.float32)


def _write_stack(
    results: Results, unit: Any, modality: str, ids: tuple[str, ...], cut: np.ndarray, shard: int
) -> None:
    optical = modality == "sentinel2"
    info = StackInfo(
        layer=modality, kind=modality, unit=unit.id, geobox=geobox_to_dict(unit.geobox),
        bands=L2A_12 if optical else ("VV", "VH"), patch_ids=ids, size_px=cut.shape[-1],
        times=("2022",), items=((f"{modality}-scene-1", f"{modality}-scene-{unit.id}"),),
        dtype=cut.dtype.name, shard_patches=shard,
        values=Values("reflectance", scale=1e-4, nodata=0.0) if optical else Values("linear power"),
    )  # fmt: skip
    source = np.ones((len(ids), *cut.shape[-2:]), np.uint8)
    source[:, :, ::2] = 2
    with create_stack(results.stack(unit.id, modality), info) as writer:
        for number, part in enumerate(info.shards):
            where = slice(part.start, part.stop)
            writer.write(number, 0, np.ascontiguousarray(cut[where]), source[where])


def _row(
    unit: Any, window: Any, patch_id: str, pixels: dict[str, np.ndarray], legend: Any
) -> dict[str, Any]:
    labels = pixels["label"]
    box = unit.geobox[
        window.y_px : window.y_px + window.size_px, window.x_px : window.x_px + window.size_px
    ]
    dropped = patch_id == "r00000_c00000"
    buffered = patch_id == "r00001_c00001"
    split = ["train", "train", "train", "train", "test", "val", "train", "train"][window.col % 8]
    found: dict[str, Any] = {
        "patch_id": patch_id, "unit": unit.id, "row": window.row, "col": window.col,
        "y_px": window.y_px, "x_px": window.x_px, "size_px": window.size_px, "crs": "EPSG:4326",
        "transform": list(box.affine)[:6], "kept": not dropped,
        "dropped_reason": "sentinel2: 91.0 % observed < 100 %" if dropped else None,
        "valid_sentinel2": 0.91 if dropped else 1.0, "valid_sentinel1": 1.0, "valid_label": 1.0,
        "dates_sentinel2": ["2022-06-17"], "dates_sentinel1": ["2022-06-19"],
        "sources_sentinel2": ["sentinel2-scene-1"], "sources_sentinel1": ["sentinel1-scene-1"],
        **{f"hash_{key}": hashlib.sha256(found.tobytes()).hexdigest()
           for key, found in pixels.items()},
        "split": None if dropped or buffered else split,
        "block": f"k{window.col // 2}", "split_reason": "buffer" if buffered else None,
        "geometry": shapely.box(*box.extent.boundingbox.bbox),
    }  # fmt: skip
    for number, level in enumerate(legend.levels):
        counts = np.bincount(labels[number].ravel(), minlength=256)
        found[f"counts_label_{level.name}"] = counts[list(level.codes)].tolist()
    return found


def _summary(table: gpd.GeoDataFrame) -> dict[str, Any]:
    sizes = {s: int((table["split"] == s).sum()) for s in ("train", "val", "test")}
    near = {
        "patches": 3,
        "touching_train": 0.0,
        "nearer_than_buffer": 0.25,
        "min_distance_m": 320.0,
    }
    return {
        "method": "blocks",
        "patches": {"all": len(table), "kept": int(table["kept"].sum()), "dropped": 1, "buffer": 1},
        "dropped_reasons": {"sentinel2": 1},
        "splits": {s: {"patches": n, "share": 0.3, "wanted": 0.3} for s, n in sizes.items()},
        "blocks": {"side_m": 10000.0, "count": 4, "per_split": {"train": 2, "val": 1, "test": 1}},
        "leakage": {
            "buffer_m": 1280.0, "blocks": {"test": near, "val": near},
            "published": {"error": "too few patches"},
        },
    }  # fmt: skip


def _item(item_id: str, sensor: Any, day: str, bands: tuple[str, ...]) -> LockedItem:
    asset = LockedAsset(
        href=f"scenes/{item_id}.tif", crs="EPSG:32722", transform=(10, 0, 0, 0, -10, 0),
        shape=(10, 10), dtype="uint16", add_offset=-1000.0 if sensor == "sentinel2" else 0.0,
    )  # fmt: skip
    return LockedItem(
        id=item_id, sensor=sensor, level="L2A" if sensor == "sentinel2" else "RTC",
        datetime=f"{day}T13:21:00Z", platform="sentinel-2a", processing_baseline="04.00",
        cloud_percent=3.2, footprint=json.loads(shapely.to_geojson(shapely.box(-48.2, -6.2, -47, -5))),
        licence="Copernicus Sentinel data terms", assets=dict.fromkeys(bands, asset),
    )  # fmt: skip


def _lock(units: list[Any]) -> Lock:
    items = [_item("sentinel2-scene-1", "sentinel2", "2022-06-17", L2A_12)]
    items += [_item("sentinel1-scene-1", "sentinel1", "2022-06-19", ("VV", "VH"))]
    for unit in units:
        items += [_item(f"sentinel2-scene-{unit.id}", "sentinel2", "2022-07-02", L2A_12)]
        items += [_item(f"sentinel1-scene-{unit.id}", "sentinel1", "2022-07-01", ("VV", "VH"))]
    return Lock(
        name="tiny", source="simulated", items=tuple(items),
        units=tuple(
            LockedUnit(
                id=unit.id, geobox=geobox_to_dict(unit.geobox), first_row=unit.first_row,
                first_col=unit.first_col,
                items={
                    "sentinel2": ("sentinel2-scene-1", f"sentinel2-scene-{unit.id}"),
                    "sentinel1": ("sentinel1-scene-1", f"sentinel1-scene-{unit.id}"),
                },
            )
            for unit in units
        ),
        excluded=(
            Exclusion(id="sentinel2-cloudy", sensor="sentinel2", reason="cloud 81 % > 60 %"),
            Exclusion(id="sentinel2-copy", sensor="sentinel2", reason="older baseline of <one>"),
        ),
    )  # fmt: skip
