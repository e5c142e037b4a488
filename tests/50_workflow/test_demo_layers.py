# SPDX-License-Identifier: Apache-2.0
"""A dataset of many layers, from recipe to report: three kinds, three pixel sizes, two legends."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from terrapatch.lock import read_lock

HERE = Path(__file__).parent
SIZE_M = 640
PIXELS = {"sentinel2": 10, "s1_ascending": 20, "s1_descending": 20, "heights": 5}
LABELS = {"label": 10, "water": 10}


def recipe():
    plain = yaml.safe_load((HERE / "demo-layers.yaml").read_text())
    for key in ("legend", "crosswalk"):
        plain["layers"]["water"][key] = str(HERE / plain["layers"]["water"][key])
    return plain


@pytest.fixture(scope="module")
def built(builds):
    return builds.build(recipe()) / "results" / "demo-layers"


def opened(built, layer):
    return xr.open_zarr(built / "dataset" / f"{layer}.zarr", consolidated=False)


def test_every_layer_has_its_own_pixels_on_the_same_ground(built):
    patches = pd.read_parquet(built / "dataset" / "patches.parquet")
    assert len(patches) > 20
    for layer, pixel in (PIXELS | LABELS).items():
        data = opened(built, layer)["data"]
        assert data.shape[0] == len(patches), layer
        assert data.shape[-2:] == (SIZE_M // pixel,) * 2, layer


def test_the_two_directions_show_other_passes(built):
    lock = read_lock(built / "lock.json")
    directions = {
        layer: {item.orbit_direction for item in lock.scenes_of(layer)} for layer in PIXELS
    }
    assert directions["s1_ascending"] == {"ascending"}
    assert directions["s1_descending"] == {"descending"}
    up, down = (opened(built, f"s1_{word}ending")["data"][0].values for word in ("asc", "desc"))
    assert not np.array_equal(up, down)


def test_the_heights_are_those_of_the_archive(built):
    import rasterio

    with rasterio.open(built / "archive" / "dem" / "heights.tif") as dataset:
        low, high = (float(f(dataset.read(1))) for f in (np.min, np.max))
    heights = opened(built, "heights")["data"].values
    assert low - 1 <= heights.min() < heights.max() <= high + 1
    assert np.isfinite(heights).all()


def test_two_legends_stand_side_by_side_and_agree_about_water(built):
    label, water = (opened(built, name)["data"].values[:, 0, 0] for name in LABELS)
    seen = (label != 255) & (water != 255)
    assert seen.any()
    assert set(np.unique(water[seen])) <= {0, 1}
    np.testing.assert_array_equal(label[seen] == 3, water[seen] == 1)


def test_tables_statistics_report_and_models_know_all_layers(built):
    manifest = pd.read_parquet(built / "manifest.parquet")
    for layer in PIXELS:
        assert {f"valid_{layer}", f"sources_{layer}", f"hash_{layer}"} <= set(manifest.columns)
    assert {"counts_label_l2", "counts_water_wet"} <= set(manifest.columns)
    assert "valid_sentinel1" not in manifest.columns
    statistics = json.loads((built / "dataset" / "statistics.json").read_text())
    assert set(PIXELS) <= set(statistics["layers"])
    page = (built / "report" / "index.html").read_text()
    assert all(layer in page for layer in PIXELS)
    metrics = json.loads((built / "validation" / "metrics.json").read_text())
    assert metrics["inputs"] == list(PIXELS)
