# SPDX-License-Identifier: Apache-2.0
"""`multisenge-sample` by the command, in both modes: raw Theia, GRD, OCSGE2 and BD TOPO in, dataset out."""

import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from made.builds import terrapatch
from terrapatch.paths import Built, Results
from terrapatch.publish.facts import read_facts
from terrapatch.publish.pages import prose

TILES = {"31UGQ": 32631, "32ULV": 32632}
QUICK = {
    "extends": "multisenge-sample",
    "simulate": {"passes": 3, "s1_passes": 2},
    "training": {"models": ["forest"], "trees": 10, "required": False},
    "publish": {"quicklooks": 1},
}


@pytest.mark.parametrize("mode", ["corrected", "published"])
def test_the_sample_is_built_from_raw_products_as_the_release_was(builds, mode):
    results = builds.build({"name": "ms", "mode": mode} | QUICK) / "results" / "ms"
    files_are_those_of_the_release_and_json_names_all_of_them(results, mode)
    the_tidy_table_says_of_each_image_what_its_name_cannot(results)
    labels_are_nearer_the_truth_than_the_polygons_were(results)
    card_and_report_say_what_was_done(results, mode)
    if mode == "corrected":
        tiles_overlap_no_more(results)


def files_are_those_of_the_release_and_json_names_all_of_them(results, mode):
    dataset, step = results / "dataset", {"corrected": 256, "published": 257}[mode]
    labels = sorted((dataset / "labels").glob("*.json"))
    assert labels
    images = {sensor: set() for sensor in ("s1", "s2")}
    for path in labels:
        tile, x, y = re.fullmatch(r"(\d{2}[A-Z]{3})_(\d+)_(\d+)", path.stem).groups()
        assert tile in TILES
        assert int(x) % step == 0
        assert int(y) % step == 0
        text = json.loads(path.read_text())
        assert list(text) == ["corresponding_s2", "corresponding_s1", "projection", "labels"]
        assert all(isinstance(value, str) for value in text.values())
        for sensor in images:
            names = text[f"corresponding_{sensor}"].split(";")
            assert len(set(names)) == len(names) > 0
            pattern = rf"{tile}_2020\d{{4}}_{sensor.upper()}_{x}_{y}\.tif"
            assert all(re.fullmatch(pattern, name) for name in names)
            images[sensor] |= set(names)
        with rasterio.open(dataset / "ground_reference" / f"{tile}_GR_{x}_{y}.tif") as mask:
            assert (mask.dtypes, mask.shape, mask.count) == (("uint8",), (256, 256), 1)
            assert mask.crs.to_epsg() == TILES[tile]
            codes = sorted(set(np.unique(mask.read(1)).tolist()))
        assert ";".join(map(str, codes)) == text["labels"]
        assert set(codes) <= set(range(1, 15))  # whole labels, no class 0
    for sensor, names in images.items():
        assert {path.name for path in (dataset / sensor).glob("*.tif")} == names
        with rasterio.open(dataset / sensor / min(names)) as image:
            form = {"s2": (10, "int16", -10000), "s1": (2, "float32", 0)}[sensor]
            assert (image.count, image.dtypes[0], image.nodata) == form
            assert image.compression.name == {"corrected": "zstd", "published": "lzw"}[mode]


def the_tidy_table_says_of_each_image_what_its_name_cannot(results):
    table = pd.read_parquet(results / "dataset" / "images.parquet")
    radar = table[table["sensor"].str.lower().str.contains("1")]
    assert set(radar["direction"]) == {"ascending", "descending"}
    assert radar["incidence_deg"].between(29, 47).all()
    assert set(radar["platform"]) == {"Sentinel-1A"}
    assert radar["relative_orbit"].nunique() == 2
    named = set(table["file"].dropna())
    files = {path.name for path in (results / "dataset").glob("s[12]/*.tif")}
    assert {Path(name).name for name in named} == files


def card_and_report_say_what_was_done(results, mode):
    """The sentences of settings and lock, in both; the settings are those of the build."""
    facts = read_facts(Built.of(Results(str(results))), results / "settings" / "publish.json")
    settings = facts.settings
    card = (results / "dataset" / "README.md").read_text("utf-8")
    page = (results / "report" / "index.html").read_text("utf-8")
    for step in facts.methods:
        assert step.text in card, step.name
        assert str(prose(step.text)) in page, step.name
    radar = settings.layers["sentinel1"]
    assert f"kernel {radar.kernel}, on linear power" in card
    assert (radar.radiometry, "Calibrated to σ⁰" in card) == ("sigma0", True)
    assert (radar.speckle, radar.border_cut == "s1tiling") == ("multitemporal", mode == "published")
    assert "multitemporal (Quegan and Yu), 3 × 3 px" in card
    assert ("S1Tiling's fixed cuts" in card) is (mode == "published")
    assert [f"`{entry.step}`: " in card for entry in settings.layers["label"].clean].count(
        False
    ) == 0
    assert "simulated" in card
    assert "IGN" not in card


def tiles_overlap_no_more(results):
    table = gpd.read_parquet(results / "manifest.parquet")
    kept = table[table["kept"]].to_crs("EPSG:3035")
    assert set(kept["unit"]) == set(TILES)
    first, second = (kept[kept["unit"] == unit].geometry for unit in TILES)
    shared = [a.intersection(b).area for a in first for b in second]
    assert max(shared) < 200.0  # two pixels
    dropped = table[~table["kept"]]["dropped_reason"]
    assert dropped.str.startswith("overlap: shows ground of").any()


def labels_are_nearer_the_truth_than_the_polygons_were(results):
    """The archive knows the true classes; 96 % of the faulty polygons' pixels are right."""
    for unit in TILES:
        done = terrapatch("labels", "results/ms", unit, cwd=results.parents[1])
        assert done.returncode == 0, done.stderr
        truth_path = results / "archive" / "truth" / f"{unit}.tif"
        with (
            rasterio.open(truth_path) as truth,
            rasterio.open(results / "labels" / f"{unit}.tif") as labels,
        ):
            expected = truth.read(1)
            window = rasterio.windows.from_bounds(*truth.bounds, labels.transform)
            found = labels.read(1, window=window.round_offsets().round_lengths())
        known = ~np.isin(expected, (0, 255)) & (found != 255)
        assert known.mean() > 0.5
        assert (found == expected)[known].mean() > 0.965
