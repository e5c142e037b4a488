# SPDX-License-Identifier: Apache-2.0
"""Layout sen4map: files, points, attributes, links and key lists against what they were made from.

What readers need is that of RECIPES §5.1; their own reader stands in `made.sen4map_contract`.
"""

import hashlib
import json
import pickle
import re
import time
from pathlib import Path

import geopandas as gpd
import h5py
import numpy as np
import pandas as pd
import pytest

from made.sen4map import (
    CODES,
    COUNTRIES,
    CROPS,
    LAND,
    MOMENTS,
    SIZE,
    TEN,
    TILES,
    make_survey,
    product,
)
from made.sen4map_contract import (
    FIELDS,
    Sen4MapDatasetMonthlyComposites,
    crops,
    land_cover,
    monthly,
)
from terrapatch.errors import IncompleteError, InputError, RecipeError, StorageError
from terrapatch.layouts import check_plan, layouts
from terrapatch.layouts.points import country_names, image_id
from terrapatch.paths import SPLITS
from terrapatch.publish import publish
from terrapatch.recipe import resolve, write_settings
from terrapatch.records import LockedItem

EU_27 = ["AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "EL", "ES", "FI", "FR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"]  # fmt: skip


def build(survey, output, **changes):
    settings = changes.pop("settings", survey.settings("layouts"))
    threads = changes.pop("threads", 1)
    layouts(survey.built(**changes), settings, output, threads=threads)
    return output


def hashes(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def with_settings(survey, path, **changes):
    settings = json.loads(survey.settings("layouts").read_text("utf-8"))
    settings["layouts"] |= changes
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def dataset(survey):
    return build(survey, Path(survey.results.dataset), threads=2)


@pytest.fixture(scope="module")
def points(survey):
    """Rows of the kept points by their ids, as text."""
    return survey.kept.assign(point_id=survey.kept["point_id"].astype(str)).set_index("point_id")


def keys_of(points):
    return {f"Lucas_Point_{name}" for name in points.index}


def opened(dataset, key, points):
    """The dataset of a point in the file of its country."""
    country = COUNTRIES[points.loc[key.rpartition("_")[2], "nuts0"]]
    return h5py.File(dataset / "country-wise" / f"{country}.h5")[key]


# What the release has --------------------------------------------------------------------------


def test_each_country_has_a_file_with_its_points_and_nothing_else(dataset, points):
    names = {path.name for path in (dataset / "country-wise").iterdir()}
    assert names == {f"{COUNTRIES[code]}.h5" for code in set(points["nuts0"])}
    assert len(points) == 13
    for code, name in COUNTRIES.items():
        with h5py.File(dataset / "country-wise" / f"{name}.h5") as file:
            assert set(file.keys()) == keys_of(points[points["nuts0"] == code])
            assert not file.attrs
            assert all(isinstance(point, h5py.Dataset) for point in file.values())


def test_a_point_holds_the_pixels_of_all_its_whole_dates(survey, dataset, points):
    lengths = set()
    for key in sorted(keys_of(points)):
        point = opened(dataset, key, points)
        data, scl = survey.pixels(key.rpartition("_")[2])
        assert point.shape == (len(data), SIZE, SIZE)
        assert point.dtype.names == (*FIELDS, "SCL")
        assert {point.dtype[name].str for name in point.dtype.names} == {"<u2"}
        for number, field in enumerate(FIELDS):
            np.testing.assert_array_equal(point[field], data[:, number])
        np.testing.assert_array_equal(point["SCL"], scl)
        lengths.add(len(data))
    assert lengths == {14, 13, 4, 3}  # a date with a missing pixel is no entry


def test_names_of_images_tell_date_and_tile_and_no_other_month(survey, dataset, points):
    told = []
    for key in sorted(keys_of(points)):
        names = opened(dataset, key, points).attrs["Image_ID"]
        assert isinstance(names, np.ndarray)
        assert all(isinstance(name, str) for name in names.tolist())
        entries = survey.entries(key.rpartition("_")[2])
        assert len(names) == len(entries)
        for name, (tile, _, step) in zip(names.tolist(), entries, strict=True):
            sensed, made = MOMENTS[tile][step]
            assert re.fullmatch(rf"{sensed}_\d{{8}}T\d{{6}}_T{tile}", name)
            assert [f"2018{m:02d}" in name for m in range(1, 13)].count(True) == 1
            told.append(name == f"{sensed}_{made}_T{tile}")
    assert 0 < told.count(False) < told.count(True)  # times of making that mislead gave way


def test_attributes_are_the_columns_of_the_survey(dataset, points):
    ours = re.compile(
        r"(valid|hash|dates|sources|class)_|(y|x|size)_px|(unit|row|col|crs|transform|kept|split|block"
        r"|geometry|patch_id|dropped_reason|split_reason)$"
    )
    columns = [name for name in points.columns if not ours.match(name)]
    assert len(columns) == 21
    for key in sorted(keys_of(points)):
        name = key.rpartition("_")[2]
        attributes = dict(opened(dataset, key, points).attrs)
        assert set(attributes) == {*columns, "point_id", "Image_ID", "Coordinates"}
        assert attributes["point_id"] == int(name)
        for column in columns:
            wanted, found = points.loc[name, column], attributes[column]
            if isinstance(found, str):
                assert found == (wanted if isinstance(wanted, str) else "")
            else:
                np.testing.assert_equal(found, np.nan if pd.isna(wanted) else wanted)
        row = points.loc[name]
        assert attributes["Coordinates"].tolist() == [row["th_long"], row["th_lat"]]
        assert isinstance(attributes["lc1"], str)
        assert isinstance(attributes["lc1_label"], str)
        assert isinstance(attributes["year"], np.int64)
        assert isinstance(attributes["revisit"], np.float64)  # one point has none
    assert points["gps_long"].isna().any()
    assert points["lc1_spec"].isna().any()


@pytest.mark.parametrize("compression", ["none", "deflate", "zstd", "lzw"])
def test_a_point_is_one_read(survey, dataset, points, tmp_path, compression):
    settings = with_settings(survey, tmp_path / "settings.json", compression=compression)
    output = build(survey, tmp_path / "out", settings=settings)
    for key in sorted(keys_of(points)):
        point, other = opened(output, key, points), opened(dataset, key, points)
        np.testing.assert_array_equal(point[()], other[()])
        assert point.chunks == (None if compression == "none" else point.shape)
        assert point.compression == (None if compression == "none" else "gzip")
        if compression == "none":
            assert point.id.get_offset() is not None


# What readers make of it -----------------------------------------------------------------------


def test_label_ids_are_those_of_the_reader():
    wanted = ("A11", "A22", "E20", "B11", "C10", "C21", "D10", "G11", "H11")
    assert [land_cover(code) for code in wanted] == list(range(9))
    assert land_cover("") == 9
    assert {code: land_cover(code) for code in CODES} == LAND
    assert {code: crops(code) for code in CROPS} == CROPS
    with pytest.raises(KeyError):
        crops("A11")


def test_the_reader_gives_monthly_medians(survey, dataset, points):
    for country in COUNTRIES.values():
        with h5py.File(dataset / "country-wise" / f"{country}.h5") as file:
            train = Sen4MapDatasetMonthlyComposites(file, crop_size=15)
            assert len(train) == len(file)
            for key, sample in zip(train.keys, (train[n] for n in range(len(train))), strict=True):
                assert sample["image"].shape == (10, 12, 15, 15)
                assert sample["image"].dtype == np.float32
                assert 0 <= sample["image"].min() < sample["image"].max() <= 1
                assert sample["label"] == points.loc[key.rpartition("_")[2], "class_landcover"]


def test_a_month_is_the_median_of_its_own_dates(survey, dataset, points):
    """March of a point has three dates, April one that is cloudy all over, August none."""
    for tile, name in (("30UXB", "30003200"), ("31UCS", "30003202")):
        data, scl = survey.pixels(name)
        months = list(monthly(opened(dataset, f"Lucas_Point_{name}", points)))
        sensed = [MOMENTS[t][step][0][:6] for t, _, step in survey.entries(name)]
        clear = np.where((scl < 9)[:, None], data, 0).astype(np.float64)

        def median(month, clear=clear, sensed=sensed):
            own = clear[[at == month for at in sensed]] if month in sensed else clear
            return np.quantile(own, 0.5, axis=0, method="lower")

        for number, found in enumerate(months, start=1):
            np.testing.assert_array_equal(found, median(f"2018{number:02d}"))
        if tile == "30UXB":
            assert sensed.count("201801") == 2  # the product of the second was made in February
            assert sensed.count("201803") == 3
            assert not months[3].any()
            np.testing.assert_array_equal(months[1], months[7])  # none in February, nor in August


def test_crop_runs_need_no_other_lists(dataset, points):
    for split in SPLITS:
        keys = pickle.loads((dataset / "keys" / f"{split}_crops_keys.pkl").read_bytes())
        with h5py.File(dataset / "split-wise" / f"{split}.h5") as file:
            some = Sen4MapDatasetMonthlyComposites(
                file, h5data_keys=keys, classification_map="crops"
            )
            labels = [some[n]["label"] for n in range(len(some))]
        assert labels == [points.loc[key.rpartition("_")[2], "class_crops"] for key in keys]
        assert len(labels) > 0


# Splits ----------------------------------------------------------------------------------------


def test_key_lists_are_disjoint_and_name_every_point_of_a_split(dataset, points):
    lists = {
        split: pickle.loads((dataset / "keys" / f"{split}_keys.pkl").read_bytes())
        for split in SPLITS
    }
    for split, keys in lists.items():
        assert type(keys) is list
        assert keys == sorted(keys)
        assert all(type(key) is str for key in keys)
        assert set(keys) == keys_of(points[points["split"] == split])
        text = (dataset / "keys" / f"{split}_keys.txt").read_text("utf-8")
        assert text.split(",") == keys
    together = [key for keys in lists.values() for key in keys]
    assert len(together) == len(set(together))
    without = points["split"].isna()
    assert without.sum() == 1
    assert set(together) == keys_of(points[~without])


def test_lists_of_a_task_hold_its_points_alone(dataset, points):
    for task in ("crops", "landcover"):
        for split in SPLITS:
            keys = pickle.loads((dataset / "keys" / f"{split}_{task}_keys.pkl").read_bytes())
            mine = points[(points["split"] == split) & (points[f"class_{task}"] >= 0)]
            assert keys == sorted(keys_of(mine))
            text = (dataset / "keys" / f"{split}_{task}_keys.txt").read_text("utf-8")
            assert text == ",".join(keys)


def test_split_files_lead_to_the_same_points_from_wherever_one_stands(
    survey, dataset, points, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for split in SPLITS:
        with h5py.File(dataset / "split-wise" / f"{split}.h5") as file:
            assert set(file.keys()) == keys_of(points[points["split"] == split])
            for key in file:
                link = file.get(key, getlink=True)
                assert isinstance(link, h5py.ExternalLink)
                assert not Path(link.filename).is_absolute()
                np.testing.assert_array_equal(file[key]["B8A"], survey.pixels(key[12:])[0][:, 7])
    assert (dataset / "split-wise" / "train.h5").stat().st_size < 10_000


def test_the_dataset_can_be_moved(dataset, points, tmp_path):
    import shutil

    shutil.copytree(dataset, tmp_path / "elsewhere")
    with h5py.File(tmp_path / "elsewhere" / "split-wise" / "train.h5") as file:
        found = Path(file[next(iter(file))].file.filename).resolve()
        assert found.parents[1] == tmp_path / "elsewhere"


def test_the_index_has_a_row_a_point(dataset, points):
    index = pd.read_parquet(dataset / "index.parquet")
    assert list(index.columns) == [
        "id", "country", "lc1", "lu1", "lon", "lat", "T", "split", "class_landcover", "class_crops"
    ]  # fmt: skip
    assert index["id"].tolist() == points.index.tolist()
    for row in index.itertuples():
        with h5py.File(dataset / "country-wise" / f"{row.country}.h5") as file:
            point = file[f"Lucas_Point_{row.id}"]
            assert len(point) == row.T
            assert (row.lc1, row.lu1) == (point.attrs["lc1"], point.attrs["lu1"])
            assert [row.lon, row.lat] == point.attrs["Coordinates"].tolist()
    assert index["split"].fillna("-").tolist() == points["split"].fillna("-").tolist()
    assert index["class_crops"].tolist() == points["class_crops"].tolist()


def test_the_record_says_what_is_there(dataset, points):
    record = json.loads((dataset / ".layout.json").read_text("utf-8"))
    assert record["patches"] == len(points)
    assert record["files"] == {"country-wise": 3, "split-wise": 3}
    assert record["countries"] == {
        COUNTRIES[code]: n for code, n in points["nuts0"].value_counts().items()
    }
    assert record["splits"] == {s: int((points["split"] == s).sum()) for s in SPLITS}
    assert record["layers"]["sentinel2"]["bands"] == list(TEN)
    sizes = [p.stat().st_size for p in (dataset / "country-wise").iterdir()]
    assert record["bytes"] == sum(sizes)
    lines = (dataset / "splits" / "val.txt").read_text("utf-8").splitlines()
    assert set(lines) == keys_of(points[points["split"] == "val"])


# Laws ------------------------------------------------------------------------------------------


def test_bytes_do_not_depend_on_threads_shards_or_the_hour(survey, dataset, tmp_path):
    time.sleep(1.1)  # HDF5 counts in seconds
    one = build(survey, tmp_path / "one")
    other = make_survey(tmp_path / "tree", shard=5)
    assert hashes(dataset) == hashes(one) == hashes(build(other, tmp_path / "three", threads=3))


def test_a_point_in_two_tiles_has_the_dates_of_both(tmp_path):
    survey = make_survey(tmp_path / "tree", every_tile=True)
    output = build(survey, tmp_path / "out", threads=2)
    table = survey.kept
    assert len(set(table["point_id"])) == len(table) - 2
    for point in ("30003200", "30023200"):
        country = COUNTRIES[table.loc[table["point_id"] == int(point), "nuts0"].iloc[0]]
        with h5py.File(output / "country-wise" / f"{country}.h5") as file:
            found = file[f"Lucas_Point_{point}"]
            names, blue = found.attrs["Image_ID"].tolist(), found["B2"]
        data, _ = survey.pixels(point)
        assert len(names) == len(data) == {"30003200": 14 + 4, "30023200": 13 + 3}[point]
        np.testing.assert_array_equal(blue, data[:, 0])
        assert names == sorted(names, key=lambda name: (name[:15], name[-6:]))
        assert {name[-5:] for name in names} == set(TILES)
    index = pd.read_parquet(output / "index.parquet")
    assert len(index) == len(set(table["point_id"]))
    lines = (output / "splits" / "train.txt").read_text("utf-8").splitlines()
    assert len(lines) == len(set(lines)) == (index["split"] == "train").sum()
    one = build(survey, tmp_path / "one")
    assert hashes(output) == hashes(one)


def test_patches_of_a_point_in_different_splits_are_refused(tmp_path):
    survey = make_survey(tmp_path / "tree", every_tile=True)
    path = survey.built().manifest
    table = gpd.read_parquet(path)
    table.loc[table["patch_id"] == "30003200_31UCS", "split"] = "test"
    table.to_parquet(path)
    with pytest.raises(RecipeError, match=r"30003200: .* train and test; .*overlap: first"):
        build(survey, tmp_path / "out")


def test_small_pieces_give_the_same_bytes(survey, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("terrapatch.layouts.sen4map._PIECE_BYTES", 1)
    assert hashes(build(survey, tmp_path / "out", threads=3)) == hashes(dataset)


def test_never_more_than_a_few_pieces_wait(survey, tmp_path, monkeypatch):
    """However slow the writer is: memory does not grow with the number of points."""
    from terrapatch.layouts.sen4map import _Pieces
    from terrapatch.pointfiles import PointFile

    ahead, most = [0], [0]
    encode, write = _Pieces.encode, PointFile.write

    def encoding(self, piece):
        ahead[0] += 1
        most[0] = max(most[0], ahead[0])
        return encode(self, piece)

    def writing(self, *given):
        time.sleep(0.02)
        ahead[0] -= 1  # a piece has one point here
        write(self, *given)

    monkeypatch.setattr("terrapatch.layouts.sen4map._PIECE_BYTES", 1)
    monkeypatch.setattr(_Pieces, "encode", encoding)
    monkeypatch.setattr(PointFile, "write", writing)
    build(survey, tmp_path / "out", threads=2)
    assert 2 <= most[0] <= 4


def test_bands_are_found_by_name_whatever_their_order(tmp_path):
    mixed = ("B08", "B04", "B03", "B02", "B12", "B11", "B8A", "B07", "B06", "B05")
    survey = make_survey(tmp_path / "tree", bands=mixed)
    output = build(survey, tmp_path / "out")
    with h5py.File(output / "country-wise" / "United_Kingdom.h5") as file:
        for field, band in (("B2", "B02"), ("B8", "B08"), ("B8A", "B8A"), ("B12", "B12")):
            wanted = survey.pixels("30003200")[0][:, mixed.index(band)]
            np.testing.assert_array_equal(file["Lucas_Point_30003200"][field], wanted)


def test_large_points_are_read_as_they_are(tmp_path):
    survey = make_survey(tmp_path / "tree", size=64)
    output = build(survey, tmp_path / "out")
    with h5py.File(output / "country-wise" / "United_Kingdom.h5") as file:
        sample = Sen4MapDatasetMonthlyComposites(file, crop_size=15)[0]
        assert sample["image"].shape == (10, 12, 15, 15)
        data, scl = survey.pixels(next(iter(file))[12:])
        centre = int(
            np.where(scl[:2, 32, 32] < 9, data[:2, 0, 32, 32], 0).min()
        )  # January: two dates
        wanted = np.clip((centre - 67) / (2089 - 67), 0, 1)
        assert sample["image"][0, 0, 7, 7] == pytest.approx(wanted, abs=1e-6)


# Names of images -------------------------------------------------------------------------------


def scene(name, moment="2018-01-04T10:54:21Z", tile="T30SYJ"):
    return LockedItem(id=name, sensor="sentinel2", level="L2A", datetime=moment, tile=tile,
                      footprint={"type": "Point", "coordinates": [0, 0]}, assets={})  # fmt: skip


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        # As the product says: sensed, made, tile.
        (scene("S2A_MSIL2A_20180104T105421_N0206_R051_T30SYJ_20180104T144255"),
         "20180104T105421_20180104T144255_T30SYJ"),
        (scene("S2A_MSIL2A_20180104T105421_R051_T30SYJ_20201014T144255"),
         "20180104T105421_20201014T144255_T30SYJ"),
        # Made in another month of the year of the survey: it would count twice.
        (scene("S2B_MSIL2A_20180131T105421_N0206_R051_T30SYJ_20180201T144255"),
         "20180131T105421_20180131T105421_T30SYJ"),
        (scene("S2B_MSIL2A_20171231T105421_N0206_R051_T30SYJ_20180101T144255"),
         "20171231T105421_20171231T105421_T30SYJ"),
        # A time of day that reads as a month.
        (scene("S2B_MSIL2A_20180304T105421_N0206_R051_T30SYJ_20180304T201812"),
         "20180304T105421_20180304T105421_T30SYJ"),
        (scene("x", "2018-03-04T20:18:05Z"), "20180304T000000_20180304T000000_T30SYJ"),
        # Names without times; times with fractions; no tile of its own.
        (scene("S2A_30SYJ_20180104_0_L2A", "2018-01-04T10:54:21.024Z"),
         "20180104T105421_20180104T105421_T30SYJ"),
        (scene("S2A_OPER_PRD_MSIL1C_PDMC_20151206T211310_R022_V20151128T105421_T30SYJ",
               "2015-11-28T10:54:21Z"), "20151128T105421_20151128T105421_T30SYJ"),
        (scene("x", tile=None), "20180104T105421_20180104T105421_T31UCS"),
    ],
)  # fmt: skip
def test_image_ids(item, wanted):
    assert image_id(item, "31UCS") == wanted


def test_products_of_the_survey_hold_the_traps():
    made = [m[:6] != s[:6] or "20180" in m[9:] for t in TILES for s, m in MOMENTS[t]]
    assert made.count(True) >= 3
    assert product("30UXB", 1).endswith("_20180201T091500")


# What is refused -------------------------------------------------------------------------------


def test_all_countries_of_the_survey_have_files():
    names = country_names()
    assert sorted(names) == sorted([*EU_27, "UK"])
    assert names["UK"] == "United_Kingdom"
    assert names["EL"] == "Greece"
    assert len(set(names.values())) == 28
    assert all(re.fullmatch(r"[A-Z][A-Za-z_]+", name) for name in names.values())


def changed(survey, tmp_path, change):
    """The paths of a build with another manifest."""
    table = gpd.read_parquet(survey.results.manifest)
    table = change(table)
    path = tmp_path / "manifest.parquet"
    table.to_parquet(path)
    return {"manifest": path}


def replaced(column, row, value):
    def change(table):
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("code", "text"),
    [("XX", "'XX' of 1 point (for example 30003200)"), ("GB", "'GB'"), (None, "''")],
)
def test_a_code_that_is_no_country_is_refused(survey, tmp_path, code, text):
    with pytest.raises(InputError, match=re.escape(f"nuts0 is {text}")) as caught:
        build(survey, tmp_path / "out", **changed(survey, tmp_path, replaced("nuts0", 0, code)))
    assert "AT, BE" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_point_without_an_id_is_refused(survey, tmp_path):
    def change(table):
        table["point_id"] = table["point_id"].astype("Int64")
        table.loc[2, "point_id"] = pd.NA
        return table

    with pytest.raises(InputError, match=r"point_id of patch '30043200' is empty"):
        build(survey, tmp_path / "out", **changed(survey, tmp_path, change))


def test_ids_may_be_text_or_numbers(survey, dataset, tmp_path):
    def change(table):
        return table.assign(point_id=table["point_id"].astype(str))

    output = build(survey, tmp_path / "out", **changed(survey, tmp_path, change))
    for path in (dataset / "keys").iterdir():
        assert path.read_bytes() == (output / "keys" / path.name).read_bytes()


def test_a_point_without_attributes_has_empty_ones_and_is_in_no_task(survey, tmp_path):
    """It has been visited by nobody; readers give it the class of an empty code."""
    empty = ["lc1", "lc1_label", "lc1_perc", "lu1", "lu1_label", "gps_ew", "gps_lat", "obs_dist"]

    def change(table):
        for name in empty:
            table.loc[0, name] = None
        table.loc[0, ["class_landcover", "class_crops"]] = -1
        return table

    output = build(survey, tmp_path / "out", **changed(survey, tmp_path, change))
    with h5py.File(output / "country-wise" / "United_Kingdom.h5") as file:
        point = file["Lucas_Point_30003200"]
        found = {name: point.attrs[name] for name in empty}
        assert Sen4MapDatasetMonthlyComposites(file, h5data_keys=[point.name])[0]["label"] == 9
    for name, value in found.items():
        assert value == "" if isinstance(value, str) else np.isnan(value), name
    assert isinstance(found["lc1"], str)
    for split in SPLITS:
        for task in ("crops", "landcover"):
            text = (output / "keys" / f"{split}_{task}_keys.txt").read_text("utf-8")
            assert "30003200" not in text
    assert "30003200" in (output / "keys" / "train_keys.txt").read_text("utf-8")


def test_columns_that_every_point_needs_are_asked_for(survey, tmp_path):
    def change(table):
        return table.drop(columns=["nuts0", "th_lat", "th_long"])

    with pytest.raises(
        RecipeError, match="no column nuts0, th_long, th_lat, which the LUCAS survey"
    ):
        build(survey, tmp_path / "out", **changed(survey, tmp_path, change))


def test_other_datasets_are_refused_with_all_findings(tmp_path):
    from made.multisenge import make_tiles

    tiles = make_tiles(tmp_path / "tree", grid=(2, 4))
    settings = json.loads(tiles.settings("layouts").read_text("utf-8"))
    settings["layouts"]["name"] = "sen4map"
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        layouts(tiles.built(), path, tmp_path / "out")
    for text in ("take points", "no column point_id", "leave label out", "sentinel2, sentinel1"):
        assert text in str(caught.value)


def test_what_its_one_layer_lacks_is_told(tmp_path):
    survey = make_survey(tmp_path / "tree", dtype="float32", bands=TEN[:9])
    for tile in TILES:
        attributes = Path(survey.results.stack(tile, "sentinel2")) / "zarr.json"
        plain = json.loads(attributes.read_text("utf-8"))
        about = plain["attributes"]["terrapatch"]
        about |= {"scl": False, "series": False}
        about["values"]["offset"] = None
        attributes.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        build(survey, tmp_path / "out")
    for text in ("bands: B02", "set scl: true", "dtype: float32", "harmonise: true", "take series"):
        assert text in str(caught.value)


LAYER = {
    "kind": "sentinel2", "bands": list(TEN), "scl": True, "time": "series", "kernel": "nearest",
}  # fmt: skip
WRONG = {
    "a mosaic": ({}, {"sampling": {"kind": "mosaic"}}, "sampling.kind: .* take points"),
    "twelve bands": ({"bands": ["B01", *TEN]}, {}, r"layers\.s2\.bands: B01, B02"),
    "no classes": ({"scl": False}, {}, r"layers\.s2\.scl: .* set scl: true"),
    "another type": ({"dtype": "int16"}, {}, r"layers\.s2\.dtype: int16"),
    "offsets": ({"harmonise": False}, {}, r"layers\.s2\.harmonise: "),
    "one image": ({"time": "single"}, {}, r"layers\.s2\.time: .* take series"),
    "labels": ({}, {"layers": {"s2": LAYER, "map": {"kind": "labels", "legend": "multisenge"}}},
               "rasters of labels; leave map out"),
    "radar": ({}, {"layers": {"s2": LAYER, "s1": {"kind": "sentinel1"}}}, "one layer.* has s2, s1"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_the_plan_refuses_before_it_looks_for_scenes(tmp_path, name):
    layer, recipe, text = WRONG[name]
    plain = {
        "name": "points", "area": {"bbox": [-1, 50, 2, 53]}, "catalog": {"source": "simulated"},
        "sampling": {"kind": "tiles", "size_px": 64}, "layers": {"s2": LAYER | layer},
        "layouts": {"name": "sen4map"},
    } | recipe  # fmt: skip
    write_settings(resolve(plain), tmp_path / "settings")
    with pytest.raises(RecipeError, match=text):
        check_plan(tmp_path / "settings" / "layouts.json")


def test_the_deviations_count_points_beside_those_of_the_release(survey, tmp_path):
    output = build(survey, tmp_path / "out")
    places = {"dataset": output, "statistics": output / "statistics.json",
              "deviations": tmp_path / "deviations.json"}  # fmt: skip
    publish(survey.built(**places), survey.settings("publish"))
    rows = json.loads((tmp_path / "deviations.json").read_text("utf-8"))["comparison"]
    found = {row["what"]: (row["published"], row["ours"]) for row in rows}
    assert found == {
        "points": (335_125, 13), "points in train": (234_555, 8), "points in val": (50_284, 2),
        "points in test": (50_286, 2), "points of United Kingdom": (17_253, 7),
    }  # fmt: skip
    assert 234_555 + 50_284 + 50_286 == 335_125  # RECIPES §7


def test_without_dates_or_with_those_of_others_nothing_is_written(survey, tmp_path):
    with pytest.raises(IncompleteError, match="table of dates"):
        build(survey, tmp_path / "out", dates=None)
    dates = pd.read_parquet(survey.results.dates)
    dates[dates["patch_id"] != "30043200"].to_parquet(tmp_path / "dates.parquet")
    manifest = gpd.read_parquet(survey.results.manifest).assign(hash_sentinel2=None)
    manifest.to_parquet(tmp_path / "manifest.parquet")
    changes = {"manifest": tmp_path / "manifest.parquet", "dates": tmp_path / "dates.parquet"}
    with pytest.raises(StorageError, match="no complete sentinel2 date of patch '30043200'"):
        build(survey, tmp_path / "out", **changes)
    dates["scenes"] = [["another"]] * len(dates)
    dates.to_parquet(tmp_path / "dates.parquet")
    with pytest.raises(StorageError, match="scenes that the lock does not know \\(another\\)"):
        build(survey, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()
