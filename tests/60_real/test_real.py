# SPDX-License-Identifier: Apache-2.0
"""Genuine products, from scene files to stacks and to a whole dataset."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml

from made.recipes import resolve, with_layers
from terrapatch.catalog import plan
from terrapatch.kinds import stack
from terrapatch.lock import write_lock
from terrapatch.paths import Results
from terrapatch.recipe import write_settings
from terrapatch.sampling import sampling
from terrapatch.stacks import open_stack
from terrapatch.tables import read_geoparquet


def stacks(folder, recipe, modalities=("sentinel2",)):
    """Plan, place and stack: results folder, lock, and per modality a list of opened stacks."""
    resolved = resolve({"name": "real", "images": list(modalities), **recipe})
    r = Results(f"{folder}/real")
    write_settings(resolved, Path(r.root) / "settings")
    lock = plan(Path(r.settings("plan")))
    write_lock(lock, r.lock)
    found = {modality: [] for modality in modalities}
    for unit in lock.units:
        footprints = Path(r.footprints(unit.id))
        sampling(Path(r.lock), unit.id, Path(r.settings("sampling")), footprints)
        for modality in modalities:
            output = Path(r.stack(unit.id, modality))
            settings = Path(r.stack_settings(modality))
            stack(Path(r.lock), unit.id, modality, footprints, settings, output, threads=2)
            found[modality].append(open_stack(output))
    return r, lock, found


def area_of(path, shrink=0.0):
    """Bounding box of a raster in degrees."""
    from rasterio.warp import transform_bounds

    with rasterio.open(path) as dataset:
        left, bottom, right, top = dataset.bounds
        inner = (left + shrink, bottom + shrink, right - shrink, top - shrink)
        return list(transform_bounds(dataset.crs, "EPSG:4326", *inner))


def constant_map(folder, bbox):
    """A map of one class over a box, so that a plan is complete."""
    from odc.geo.geobox import GeoBox

    from terrapatch.rasters import write_geotiff

    west, south, east, north = bbox
    box = GeoBox.from_bbox((west - 0.1, south - 0.1, east + 0.1, north + 0.1), "EPSG:4326", shape=8)
    write_geotiff(folder / "map.tif", np.full(box.shape, 11, np.uint8), box)
    return str(folder / "map.tif")


def values_at(path, geobox, window, size):
    """Pixels of a file at a patch's place, where both lie on one lattice."""
    with rasterio.open(path) as dataset:
        x, y = geobox["transform"][2], geobox["transform"][5]
        step = dataset.transform.a
        col = round((x - dataset.transform.c) / step) + window[1]
        row = round((dataset.transform.f - y) / step) + window[0]
        return dataset.read(window=((row, row + size), (col, col + size)))


def test_l1c_safe_of_two_dates_keeps_its_pixels_on_the_native_grid(shared_data, tmp_path):
    folder = shared_data / "s2_l1c_safe"
    bands = ["B02", "B8A", "B11", "B10"]
    first = next(folder.glob("S2A_MSIL1C_20240120*/GRANULE/*/IMG_DATA/*_B02.jp2"))
    bbox = area_of(first, 40)
    recipe = {
        "area": {"bbox": bbox},
        "catalog": {
            "source": "local", "cloud_percent": 100,
            "paths": [str(p) for p in folder.glob("S2?_MSIL1C_2024*.SAFE")],
            "period": ["2024-01-01", "2024-12-31"],
        },
        "sampling": {"crs": "EPSG:32631", "resolution": 10, "size_px": 8, "area_rule": "intersects"},
        "sentinel2": {"level": "L1C", "bands": bands, "harmonise": True},
        "label": {"path": constant_map(tmp_path, bbox)},
    }  # fmt: skip
    r, lock, found = stacks(tmp_path, recipe)
    scenes = [item for item in lock.items if item.sensor == "sentinel2"]
    assert {item.tile for item in scenes} == {"T31TCJ"}
    assert all(asset.add_offset == -1000 for s in scenes for asset in s.assets.values())
    best = scenes[0]
    assert best.cloud_percent == min(s.cloud_percent for s in scenes)
    stack = found["sentinel2"][0]
    footprints = read_geoparquet(r.footprints(lock.units[0].id))
    data = stack.read(slice(None))
    source = stack.read(slice(None), "source")
    assert (source == 1).mean() > 0.5
    for number, row in enumerate(footprints.itertuples()):
        for band, name in enumerate(bands):
            raw = values_at(best.assets[name].href, stack.info.geobox, (row.y_px, row.x_px), 8)
            if raw.shape[1:] != (8, 8):
                continue  # the patch reaches over the crop
            seen = source[number, 0] == 1
            expected = np.maximum(raw[0].astype(int) - 1000, 1)
            assert np.array_equal(data[number, 0, band][seen], expected[seen])


def test_a_whole_downscaled_product_in_a_zip_keeps_its_swath_edge(shared_data, tmp_path):
    (path,) = (shared_data / "s2_l1c_safe").glob("*T56JMM*.zip")
    bbox = [152.0, -30.7, 153.1, -29.8]
    recipe = {
        "area": {"bbox": bbox},
        "catalog": {"source": "local", "paths": [str(path)],
                    "period": ["2018-01-01", "2018-12-31"]},
        "sampling": {"crs": "EPSG:32756", "resolution": 250, "size_px": 64},
        "sentinel2": {"level": "L1C", "bands": ["B02", "B03", "B04", "B08", "B11"]},
        "label": {"path": constant_map(tmp_path, bbox)},
    }  # fmt: skip
    _, lock, found = stacks(tmp_path, recipe)
    assert lock.items[0].processing_baseline.replace(".", "") == "0206"
    source = np.concatenate([s.read(slice(None), "source") for s in found["sentinel2"]])
    data = np.concatenate([s.read(slice(None)) for s in found["sentinel2"]])
    missing = (source == 0).mean()
    assert 0.02 < missing < 0.6  # 26 % of the whole scene is beyond the swath
    assert (data[:, :, 0][source == 0] == 0).all()
    assert (data[:, :, 0][source == 1] >= 1).all()
    assert 300 < np.median(data[:, :, 0][source == 1]) < 3000


def test_a_cog_set_with_its_stac_item_is_stacked(shared_data, tmp_path):
    folder = shared_data / "s2_l2a_cog"
    path = next(folder.rglob("B02.tif"))
    bbox = area_of(path, 20_000)
    recipe = {
        "area": {"bbox": bbox},
        "catalog": {"source": "local", "paths": [str(folder)],
                    "period": ["2020-02-01", "2020-02-28"]},
        "sampling": {"crs": "EPSG:32629", "resolution": 100, "size_px": 128},
        "sentinel2": {"bands": ["B02", "B03", "B04", "B08"], "scl": True, "kernel": "nearest"},
        "label": {"path": constant_map(tmp_path, bbox)},
    }  # fmt: skip
    r, lock, found = stacks(tmp_path, recipe)
    stack = found["sentinel2"][0]
    item = lock.items_of(lock.units[0].id, "sentinel2")[0]
    assert all(asset.add_offset == 0 for asset in item.assets.values())  # baseline 02.14
    row = read_geoparquet(r.footprints(lock.units[0].id)).iloc[0]
    raw = values_at(item.assets["B04"].href, stack.info.geobox, (row.y_px, row.x_px), 128)[0]
    data = stack.read(slice(0, 1))[0, 0, 2]
    seen = stack.read(slice(0, 1), "source")[0, 0] == 1
    assert seen.mean() > 0.99
    assert np.array_equal(data[seen], raw[seen])
    assert set(np.unique(stack.read(slice(0, 1), "scl"))) <= set(range(12))


def test_bands_of_three_resolutions_nest_exactly(shared_data, tmp_path):
    folder = shared_data / "s2_l1c_crop_brandenburg" / "IMG_DATA"
    bbox = area_of(folder / "T33UUU_20170216T102101_B02.jp2", 700)
    bands = ["B01", "B02", "B05", "B11"]
    recipe = {
        "area": {"bbox": bbox},
        "catalog": {
            "source": "local",
            "rasters": [{
                "sensor": "sentinel2", "level": "L1C", "date": "2017-02-16", "add_offset": 0,
                "path": str(folder / "T33UUU_20170216T102101_{band}.jp2"), "bands": bands,
            }],
        },
        "sampling": {"crs": "EPSG:32633", "resolution": 10, "size_px": 96},
        "sentinel2": {"level": "L1C", "bands": bands, "kernel": "bilinear", "dtype": "float32"},
        "label": {"path": constant_map(tmp_path, bbox)},
    }  # fmt: skip
    r, lock, found = stacks(tmp_path, recipe)
    stack = found["sentinel2"][0]
    item = lock.items_of(lock.units[0].id, "sentinel2")[0]
    x0, y0 = stack.info.geobox["transform"][2], stack.info.geobox["transform"][5]
    for number, row in enumerate(read_geoparquet(r.footprints(lock.units[0].id)).itertuples()):
        data = stack.read(slice(number, number + 1))[0, 0]
        raw = values_at(item.assets["B02"].href, stack.info.geobox, (row.y_px, row.x_px), 96)[0]
        assert np.array_equal(data[1], raw)
        for band in (0, 2, 3):
            asset = item.assets[bands[band]]
            with rasterio.open(asset.href) as dataset:
                coarse = dataset.read(1).astype(float)
            step = asset.transform[0]
            ys = (asset.transform[5] - (y0 - (row.y_px + np.arange(96) + 0.5) * 10)) / step - 0.5
            xs = ((x0 + (row.x_px + np.arange(96) + 0.5) * 10) - asset.transform[2]) / step - 0.5
            i, j = np.floor(ys).astype(int)[:, None], np.floor(xs).astype(int)[None]
            fy, fx = ys[:, None] - i, xs[None] - j
            expected = (
                coarse[i, j] * (1 - fy) * (1 - fx) + coarse[i, j + 1] * (1 - fy) * fx
                + coarse[i + 1, j] * fy * (1 - fx) + coarse[i + 1, j + 1] * fy * fx
            )  # fmt: skip
            assert np.allclose(data[band], np.maximum(expected, 1), atol=0.01)


def test_sentinel1_and_sentinel2_of_bigearthnet_lie_on_each_other(shared_data, tmp_path):
    root = shared_data / "s1s2_bigearthnet"
    path = next(root.glob("BigEarthNet-S2-Example/*_36_85/*_B02.tif"))
    bbox = area_of(path, 50)
    recipe = {
        "area": {"bbox": bbox},
        "catalog": {"source": "local", "paths": [str(root)],
                    "period": ["2017-06-01", "2017-06-30"]},
        "sampling": {"crs": "EPSG:32629", "resolution": 10, "size_px": 32},
        "sentinel2": {"bands": ["B02", "B08", "B11"]},
        "label": {"path": constant_map(tmp_path, bbox)},
    }  # fmt: skip
    r, lock, found = stacks(tmp_path, recipe, ("sentinel2", "sentinel1"))
    unit = lock.units[0].id
    row = read_geoparquet(r.footprints(unit)).iloc[0]
    for modality, band, number in (("sentinel2", "B08", 1), ("sentinel1", "VH", 1)):
        stack = found[modality][0]
        item = lock.items_of(unit, modality)[0]
        place = (row.y_px, row.x_px)
        raw = values_at(item.assets[band].href, stack.info.geobox, place, 32)[0]
        if modality == "sentinel1":
            raw = 10 ** (raw / 10)
        data = stack.read(slice(0, 1))[0, 0, number]
        assert np.allclose(data, raw, rtol=1e-5)
    vh = np.concatenate([s.read(slice(None))[:, 0, 1].ravel() for s in found["sentinel1"]])
    assert 1e-3 < np.median(vh) < 1e-1


def test_a_radar_series_of_two_bursts_keeps_to_its_own_ground(shared_data, tmp_path):
    folder = shared_data / "s1_rtc_series"
    files = sorted(folder.glob("*292322-IW2_20211119*VV.tif"))
    bbox = area_of(files[0], 200)
    recipe = {
        "area": {"bbox": bbox},
        "catalog": {"source": "local", "paths": [str(folder)],
                    "period": ["2021-01-01", "2025-12-31"]},
        "sampling": {"crs": "EPSG:32611", "resolution": 30, "size_px": 32},
        "label": {"path": constant_map(tmp_path, bbox)},
    }  # fmt: skip
    _, lock, found = stacks(tmp_path, recipe, ("sentinel1",))
    used = lock.items_of(lock.units[0].id, "sentinel1")
    assert len(used) == 21
    assert all("292322" in item.id for item in used)
    assert [i.datetime for i in used] == sorted(i.datetime for i in used)
    stack = found["sentinel1"][0]
    data, source = stack.read(slice(None)), stack.read(slice(None), "source")
    assert (source > 0).mean() > 0.95
    assert (data[:, :, 0][source > 0] > data[:, :, 1][source > 0]).mean() > 0.95  # VV over VH


def test_a_real_flood_becomes_a_dataset_with_a_report(shared_data, tmp_path):
    folder = shared_data / "s1s2_water_spain"
    (tmp_path / "water.csv").write_text(
        "level,code,abbrev,name,parent,color\nlabel,0,La,Land,,#c8b582\nlabel,1,Wa,Water,,#1332ff\n"
    )
    (tmp_path / "codes.csv").write_text(
        "source_code,source_name,code\n-1,Not labelled,\n0,Land,0\n1,Water,1\n"
    )
    bands = [
        "B01",
        "B02",
        "B03",
        "B04",
        "B05",
        "B06",
        "B07",
        "B08",
        "B8A",
        "B09",
        "B10",
        "B11",
        "B12",
    ]
    common = {"date": "2019-09-18"}
    recipe = {
        "name": "flood",
        "area": {"bbox": [-0.782, 38.083, -0.736, 38.129]},
        "catalog": {
            "source": "local",
            "rasters": [
                {"sensor": "sentinel2", "path": str(folder / "Spain_7370579_S2Hand.tif"),
                 "level": "L1C", "add_offset": 0, "bands": bands, **common},
                {"sensor": "sentinel1", "path": str(folder / "Spain_7370579_S1Hand.tif"),
                 "scale": "db", "bands": ["VV", "VH"], **common},
                {"sensor": "reference", "path": str(folder / "Spain_7370579_LabelHand.tif"),
                 **common},
            ],
        },
        "sampling": {"size_px": 64},
        "sentinel2": {"level": "L1C", "bands": bands},
        "label": {"legend": "water.csv", "crosswalk": "codes.csv"},
        "patches": {"require": {"label": {"valid": 0.5}}},
        "splits": {"block_m": 1150, "buffer_m": 0},
        "training": {"models": ["forest"], "trees": 20},
        "publish": {"title": "Flood of the Segura", "quicklooks": 4},
    }  # fmt: skip
    (tmp_path / "flood.yaml").write_text(yaml.safe_dump(with_layers(recipe)))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "terrapatch.cli", "build", "flood.yaml", "--cores", "2"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    root = tmp_path / "results" / "flood"
    metrics = json.loads((root / "validation" / "metrics.json").read_text())
    assert metrics["passed"]
    assert metrics["models"]["forest"]["per_class"]["Water"]["iou"] > 0.5
    water = open_stack(root / "dataset" / "label.zarr")
    radar = open_stack(root / "dataset" / "sentinel1.zarr")
    assert water.info.patch_ids == radar.info.patch_ids
    wet = water.read(slice(None))[:, 0, 0] == 1
    vv = radar.read(slice(None))[:, 0, 0]
    # Open water is a mirror to the radar: far darker than land where the label says water.
    assert np.median(vv[wet]) < 0.6 * np.median(vv[~wet])
    assert "Flood of the Segura" in (root / "report" / "index.html").read_text()


@pytest.mark.parametrize("kernel", ["nearest", "cubic"])
def test_a_degree_grid_over_utm_scenes_agrees_with_gdal_on_real_pixels(
    shared_data, tmp_path, kernel
):
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    path = next((shared_data / "s2_l2a_cog").rglob("B08.tif"))
    bbox = area_of(path, 30_000)
    recipe = {
        "area": {"bbox": bbox},
        "catalog": {"source": "local", "paths": [str(shared_data / "s2_l2a_cog")],
                    "period": ["2020-02-01", "2020-02-28"]},
        "sampling": {"resolution": 0.001, "size_px": 64, "unit_patches": 4},
        "sentinel2": {"bands": ["B08"], "kernel": kernel, "dtype": "float32"},
        "label": {"path": constant_map(tmp_path, bbox)},
    }  # fmt: skip
    r, lock, found = stacks(tmp_path, recipe)
    stack = found["sentinel2"][0]
    row = read_geoparquet(r.footprints(lock.units[0].id)).iloc[0]
    a, _, c, _, e, f = stack.info.geobox["transform"]
    transform = rasterio.Affine(a, 0, c + a * row.x_px, 0, e, f + e * row.y_px)
    expected = np.zeros((64, 64), np.float32)
    with rasterio.open(path) as dataset:
        reproject(
            dataset.read(1).astype(np.float32), expected, src_transform=dataset.transform,
            src_crs=dataset.crs, dst_transform=transform, dst_crs="EPSG:4326", src_nodata=0,
            resampling=getattr(Resampling, kernel),
        )  # fmt: skip
    data = stack.read(slice(0, 1))[0, 0, 0]
    # GDAL is off by up to 0.1 px: nearly all pixels agree closely, none is far off.
    step = np.abs(data - expected)
    assert np.median(step) < (1 if kernel == "nearest" else 8)
    assert np.corrcoef(data.ravel(), expected.ravel())[0, 1] > 0.995
