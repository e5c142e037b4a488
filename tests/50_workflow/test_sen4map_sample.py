# SPDX-License-Identifier: Apache-2.0
"""`sen4map-sample` by the command: products and the table of a survey in, HDF5 files by country out."""

import csv
import json
import pickle

import h5py
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from rasterio.windows import Window

from terrapatch.lock import read_lock
from terrapatch.paths import Results

QUICK = {
    "name": "s4m",
    "extends": "sen4map-sample",
    "area": {"bbox": [7.74, 48.53, 7.82, 48.58]},
    "simulate": {"passes": 4},
    "publish": {"quicklooks": 2},
}
FIELDS = {"B2": "B02", "B4": "B04", "B8": "B08"}
"""Bands of 10 m: the pixels of the products, where no kernel can be at fault."""


@pytest.fixture(scope="module")
def built(builds):
    return builds.build(QUICK)


@pytest.fixture(scope="module")
def survey(built):
    path = built / "results/s4m/archive/reference/lucas_2018.csv"
    with path.open(newline="") as file:
        return {row["point_id"]: row for row in csv.DictReader(file)}


def points(built):
    for path in sorted((built / "results/s4m/dataset/country-wise").glob("*.h5")):
        with h5py.File(path) as file:
            for name in file:
                yield path.stem, name.removeprefix("Lucas_Point_"), file[name]


def test_every_point_of_the_area_is_in_the_file_of_its_country_or_has_a_reason(built, survey):
    left, bottom, right, top = QUICK["area"]["bbox"]
    inside = {
        name for name, row in survey.items()
        if left <= float(row["th_long"]) <= right and bottom <= float(row["th_lat"]) <= top
    }  # fmt: skip
    found = {name: country for country, name, _ in points(built)}
    assert len(found) > 20
    names = {"FR": "France", "DE": "Germany"}
    assert all(country == names[survey[name]["nuts0"]] for name, country in found.items())
    lock = read_lock(Results(f"{built}/results/s4m").lock)
    lost = {name: why for why, own in lock.places_left_out.items() for name in own}
    for name in inside - set(found):
        assert lost[name] == "the table has no lc1 of it"
        assert survey[name]["lc1"] == ""
    assert set(found) <= inside


def test_key_lists_of_the_tasks_have_the_points_with_a_class(built, survey):
    crops = ("B1", "B2", "B3", "B4", "B5", "B7", "B8", "C1", "C2", "C3", "D", "E", "F")
    for split in ("train", "val", "test"):
        folder = built / "results/s4m/dataset/keys"
        names, land, crop = (
            set(pickle.loads((folder / f"{split}{task}_keys.pkl").read_bytes()))
            for task in ("", "_landcover", "_crops")
        )
        assert land == names  # points without a land cover are none
        codes = {name: survey[name.removeprefix("Lucas_Point_")]["lc1"] for name in names}
        assert crop == {name for name in names if codes[name].startswith(crops)}


def test_pixels_are_those_of_the_products_around_the_point(built, survey):
    lock = read_lock(Results(f"{built}/results/s4m").lock)
    scenes = {}
    for item in lock.items:
        if item.sensor == "sentinel2":
            scenes[item.datetime[:10].replace("-", ""), item.tile] = item
    seen = 0
    for _, name, point in points(built):
        x, y = float(survey[name]["th_long"]), float(survey[name]["th_lat"])
        images = [str(i) for i in point.attrs["Image_ID"]]
        assert point.shape == (len(images), 64, 64)
        for step, image in enumerate(images):
            item = scenes[image[:8], image.rsplit("_", 1)[1]]
            for field, band in FIELDS.items():
                asset = item.assets[band]
                with rasterio.open(built / asset.href) as file:
                    there = pyproj.Transformer.from_crs(4326, file.crs, always_xy=True)
                    row, col = file.index(*there.transform(x, y))
                    read = file.read(1, window=Window(col - 32, row - 32, 64, 64))
                assert (point[field][step] == np.maximum(read + asset.add_offset, 1)).all()
                seen += 1
    assert seen > 200


def test_attributes_are_the_columns_of_the_survey(built, survey):
    for _, name, point in points(built):
        row, own = survey[name], dict(point.attrs)
        assert {*row, "Image_ID", "Coordinates"} == set(own)
        assert own["Coordinates"].tolist() == [float(row["th_long"]), float(row["th_lat"])]
        for column in ("lc1", "lc1_label", "lu1", "nuts3", "survey_date", "wm"):
            assert own[column] == row[column]
        assert own["point_id"] == int(row["point_id"])


def test_keys_and_index_name_every_point_once(built):
    dataset = built / "results/s4m/dataset"
    index = pd.read_parquet(dataset / "index.parquet")
    names = {name: (country, len(point)) for country, name, point in points(built)}
    assert dict(zip(index["id"].astype(str), zip(index["country"], index["T"], strict=True),
                    strict=True)) == names  # fmt: skip
    keys = {}
    for split in ("train", "val", "test"):
        keys[split] = pickle.loads((dataset / "keys" / f"{split}_keys.pkl").read_bytes())
        with h5py.File(dataset / "split-wise" / f"{split}.h5") as file:
            assert sorted(file) == keys[split]
            assert all(file[name].shape[1:] == (64, 64) for name in file)
    listed = [name for own in keys.values() for name in own]
    assert len(listed) == len(set(listed))
    split = index.set_index("id")["split"].dropna()
    assert set(listed) == {f"Lucas_Point_{name}" for name in split.index}


def test_the_deviation_report_counts_points_beside_those_of_the_release(built):
    report = json.loads((built / "results/s4m/deviations.json").read_text())
    lines = {line["what"]: line for line in report["comparison"]}
    assert lines["points"]["published"] == 335_125
    assert lines["points"]["ours"] == sum(1 for _ in points(built))


def test_a_forest_learns_land_cover_from_months_of_the_pixel(built):
    results = built / "results/s4m"
    report = json.loads((results / "validation/metrics.json").read_text())
    scores = report["models"]["forest"]["points"]
    assert report["target"] == "landcover"
    assert scores["window_3x3"]["overall_accuracy"] >= scores["centre"]["overall_accuracy"] > 0
    page = (results / "report/index.html").read_text()
    assert "points: landcover, by medians of months of the pixel of each" in page
    assert "where one right pixel of 3 × 3 is enough" in page
