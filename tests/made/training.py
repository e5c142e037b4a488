# SPDX-License-Identifier: Apache-2.0
"""A small dataset on disk, built by hand: stacks, label rasters, manifest, statistics, settings."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter
from shapely.geometry import box

from made.patches import write_labels
from made.recipes import with_layers
from terrapatch.grid import geobox_to_dict
from terrapatch.layers import Values
from terrapatch.legend import load_legend
from terrapatch.paths import Built, Results
from terrapatch.settings import LayoutsSettings, TrainingSettings
from terrapatch.stacks import StackInfo, create_stack
from terrapatch.tables import write_geoparquet

S2 = ("B03", "B04", "B08", "B11")
S1 = ("VV", "VH")

# By code of level l2: pasture, primary vegetation, water, urban. Levels l1: 0, 1, 5, 4.
SPECTRA = {0: (900, 1100, 2600, 2900), 1: (500, 400, 3400, 1500), 3: (700, 400, 250, 120),
           5: (1400, 1600, 2000, 2300)}  # fmt: skip
POWER = {0: (0.08, 0.02), 1: (0.2, 0.06), 3: (0.01, 0.002), 5: (0.4, 0.05)}


@dataclass
class Dataset:
    root: Path
    manifest: Path
    stacks: Path
    statistics: Path
    settings: Path

    def built(self, **changes):
        """Paths of what was made; there is no table of dates, patches have one image."""
        mine = {"manifest": self.manifest, "stacks": self.stacks, "statistics": self.statistics}
        return replace(Built.of(Results(str(self.root))), dates=None, **{**mine, **changes})


def landscape(rng, shape, codes, sigma=6):
    """Smooth blobs of `codes`: the largest of smoothed noises wins."""
    noises = [gaussian_filter(rng.standard_normal(shape), sigma) for _ in codes]
    return np.array(codes, np.uint8)[np.argmax(noises, axis=0)]


def make_dataset(
    root, *, seed=0, size=32, grid=(4, 4), units=2, codes=(0, 1, 3, 5), splits=None,
    labels="true", decibel=False, times=1, shards=(5, 3), settings=None, images=None,
    s2=S2, hole=None,
):  # fmt: skip
    """Write a dataset.

    Args:
        splits: patch number (over all units) → split or None; default 10/3/3 of every 16.
        labels: `true`: pixels follow the labels; `random`: labels of another landscape.
        shards: patches per shard of the two stacks.
        hole: patch number whose first quarter was not observed by Sentinel-1.
    """
    rng = np.random.default_rng(seed)
    legend = load_legend("cerradata4mm")
    rows_, cols_ = grid
    count = rows_ * cols_
    splits = splits or (lambda n: "train" if n % 16 < 10 else "val" if n % 16 < 13 else "test")
    records, all_pixels = [], {"sentinel2": [], "sentinel1": []}
    for number in range(units):
        unit = f"b000_{number:03d}"
        shape = (rows_ * size, cols_ * size)
        transform = Affine(10, 0, 300_000 + number * shape[1] * 10, 0, -10, 9_000_000)
        geobox = GeoBox(shape, transform, "EPSG:32723")
        truth = landscape(rng, shape, codes)
        shown = truth if labels == "true" else landscape(rng, shape, codes)
        optical, radar = _pixels(rng, truth, s2, decibel)
        derived = legend.derive("l1")[shown]
        windows = [(r * size, c * size) for r in range(rows_) for c in range(cols_)]
        ids = [f"r{r // size:05d}_c{number * cols_ + c // size:05d}" for r, c in windows]
        write_labels(root / "stacks" / unit / "label.zarr", geobox, ids, windows, size,
                     np.stack([shown, derived]), ("l2", "l1"), unit)  # fmt: skip
        for modality, array, bands, shard in (
            ("sentinel2", optical, s2, shards[0]), ("sentinel1", radar, S1, shards[1]),
        ):  # fmt: skip
            data = np.stack([array[:, y : y + size, x : x + size] for y, x in windows])
            source = np.ones((count, size, size), np.uint8)
            if hole is not None and modality == "sentinel1" and 0 <= hole - number * count < count:
                source[hole - number * count, : size // 2, : size // 2] = 0
                data[hole - number * count, :, : size // 2, : size // 2] = 0
            value = {
                "sentinel2": Values("reflectance", scale=1e-4, nodata=0.0),
                "sentinel1": Values("dB", decibel=True) if decibel else Values("linear power"),
            }[modality]
            info = StackInfo(
                layer=modality, kind=modality, unit=unit, geobox=geobox_to_dict(geobox), bands=tuple(bands),
                patch_ids=tuple(ids), size_px=size, times=tuple(str(t) for t in range(times)),
                items=(("scene",),) * times, dtype=data.dtype.name, values=value,
                shard_patches=shard,
            )  # fmt: skip
            with create_stack(root / "stacks" / unit / f"{modality}.zarr", info) as writer:
                for s, members in enumerate(info.shards):
                    part = slice(members.start, members.stop)
                    for t in range(times):
                        writer.write(s, t, data[part], source[part])
            all_pixels[modality].append(data)
        for i, ((y, x), patch_id) in enumerate(zip(windows, ids, strict=True)):
            records.append(
                {"patch_id": patch_id, "unit": unit, "row": y // size, "col": x // size,
                 "y_px": y, "x_px": x, "size_px": size, "kept": True,
                 "split": splits(number * count + i),
                 "shown": shown[y : y + size, x : x + size], "geometry": box(x, -y - size, x + size, -y)}
            )  # fmt: skip
    classes = _class_figures(records, legend)
    _statistics(root / "statistics.json", all_pixels, {"sentinel2": s2, "sentinel1": S1}, classes)
    for record in records:
        del record["shown"]
    write_geoparquet(gpd.GeoDataFrame(records, crs="EPSG:32723"), root / "manifest.parquet")
    write_settings(root / "settings.json", settings or {}, images)
    return Dataset(root, root / "manifest.parquet", root / "stacks",
                   root / "statistics.json", root / "settings.json")  # fmt: skip


def write_settings(path, training, images=None):
    label = {"label": {"legend": "cerradata4mm"}}
    path.write_text(
        json.dumps(
            {"name": "hand-made", "layers": with_layers(label, images or ["sentinel2", "sentinel1"])["layers"],
             "tasks": {}, "training": TrainingSettings(**training).model_dump(mode="json"),
             "layouts": {"name": LayoutsSettings().name}}
        )
    )  # fmt: skip


def _pixels(rng, truth, s2, decibel):
    spectra = np.zeros((256, len(s2)))
    power = np.ones((256, len(S1)))
    for code, values in SPECTRA.items():
        spectra[code] = np.resize(values, len(s2))
        power[code] = POWER[code]
    light = np.moveaxis(spectra[truth], -1, 0)
    light = light + rng.normal(0, 150, light.shape)
    optical = np.clip(np.rint(light), 1, 65535).astype(np.uint16)
    # Speckle of four looks.
    echo = np.moveaxis(power[truth], -1, 0) * rng.gamma(4, 1 / 4, (len(S1), *truth.shape))
    radar = (10 * np.log10(echo) if decibel else echo).astype(np.float32)
    return optical, radar


def _class_figures(records, legend):
    train = [r["shown"].ravel() for r in records if r["split"] == "train"]
    fine = np.concatenate([np.zeros(0, np.uint8), *train])
    found = {}
    for level in legend.levels:
        codes = legend.derive(level.name)[fine]
        pixels = [int((codes == code).sum()) for code in level.codes]
        least = min((n for n in pixels if n), default=1)
        weights = [least / n if n else 0.0 for n in pixels]
        found[level.name] = {"pixels": {"train": pixels}, "weights": weights}
    return found


def _statistics(path, pixels, bands, classes):
    modalities = {}
    for name, parts in pixels.items():
        data = np.concatenate(parts).astype(np.float64)
        axes = (0, 2, 3)
        logs = np.log(np.maximum(data, 1e-6))
        modalities[name] = {
            "bands": list(bands[name]),
            "mean": data.mean(axes).tolist(), "std": data.std(axes).tolist(),
            "min": data.min(axes).tolist(), "max": data.max(axes).tolist(),
            "log_mean": logs.mean(axes).tolist(), "log_std": logs.std(axes).tolist(),
        }  # fmt: skip
    path.write_text(json.dumps({"layers": modalities, "classes": {"label": classes}}))
