# SPDX-License-Identifier: Apache-2.0
"""Layout multisenge: names, JSON, pixels and tables against what they were made from."""

import fnmatch
import hashlib
import json
import re
from dataclasses import asdict
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import tifffile

from made.multisenge import RELEASED, S1_PASSES, S2_DATES, SIZE, STRIDE, TEN, make_tiles
from terrapatch.errors import IncompleteError, RecipeError, StorageError
from terrapatch.layers import DECIBEL, LayoutRecord, Values
from terrapatch.layouts import layouts
from terrapatch.layouts.multisenge import to_int16
from terrapatch.legend import load_legend
from terrapatch.publish import publish
from terrapatch.publish.deviations import deviations
from terrapatch.recipe import read_settings
from terrapatch.records import Lock
from terrapatch.stacks import open_stack
from terrapatch.tables import read_geoparquet

NAME = re.compile(r"\d{2}[A-Z]{3}_\d{8}_S[12]_\d+_\d+\.tif")
"""RECIPES §7: names that the release's JSON files hold."""

# The first JSON file of the release in the order of names, but for its lists. A fact of the format.
WKT = (
    'PROJCS["WGS 84 / UTM zone 31N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,'
    '298.257223563,AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,'
    'AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
    'AUTHORITY["EPSG","4326"]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",3],'
    'PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],'
    'PARAMETER["false_northing",0],UNIT["metre",1,AUTHORITY["EPSG","9001"]],'
    'AXIS["Easting",EAST],AXIS["Northing",NORTH],AUTHORITY["EPSG","32631"]]'
)


def build(tiles, output, **changes):
    settings = changes.pop("settings", tiles.settings("layouts"))
    threads = changes.pop("threads", 1)
    layouts(tiles.built(**changes), settings, output, threads=threads)
    return output


def hashes(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def dataset(tiles):
    return build(tiles, Path(tiles.results.dataset), threads=2)


def patches_of(tiles):
    """(unit, x, y, number in the unit's stacks) of all kept patches, from windows alone."""
    for unit in ("31UGQ", "32ULV"):
        for number in range(12):
            if (unit, number) != ("31UGQ", 11):  # its label lacks a pixel
                yield unit, number % 4 * STRIDE, number // 4 * STRIDE, number


def expected(tiles, unit, number):
    """Days that a patch has, by the rules of the release: modality → day → (step, image)."""
    days = {"S2": {}, "S1": {}}
    source = tiles.source[unit, "sentinel2"][number]
    for step, time in enumerate(S2_DATES if unit == "31UGQ" else S2_DATES[1:]):
        if source[step].all():
            days["S2"][time[:10].replace("-", "")] = step
    source = tiles.source[unit, "sentinel1"][number]
    for step, (time, *_) in enumerate(S1_PASSES):
        share = (source[step] > 0).mean()
        day = time[:10].replace("-", "")
        if 1 - share <= 0.95:  # "dropped above 95 % zeros"
            best = days["S1"].get(day)
            if best is None or share > (source[best] > 0).mean():
                days["S1"][day] = step
    return days


def test_names_are_those_of_the_release_and_nothing_is_missing_or_more(tiles, dataset):
    wanted = {"ground_reference": set(), "s2": set(), "s1": set(), "labels": set()}
    for unit, x, y, number in patches_of(tiles):
        wanted["ground_reference"].add(f"{unit}_GR_{x}_{y}.tif")
        wanted["labels"].add(f"{unit}_{x}_{y}.json")
        for sensor, days in expected(tiles, unit, number).items():
            wanted[sensor.lower()] |= {f"{unit}_{day}_{sensor}_{x}_{y}.tif" for day in days}
    for folder, names in wanted.items():
        assert {p.name for p in (dataset / folder).iterdir()} == names, folder
    assert all(NAME.fullmatch(name) for folder in ("s1", "s2") for name in wanted[folder])


def test_series_differ_in_length_from_patch_to_patch(tiles, dataset):
    counts = [len(expected(tiles, u, n)["S2"]) for u, _, _, n in patches_of(tiles)]
    assert set(counts) == {1, 2, 3}


def test_json_is_flat_and_has_the_four_strings_in_their_order(tiles, dataset):
    for unit, x, y, number in patches_of(tiles):
        text = (dataset / "labels" / f"{unit}_{x}_{y}.json").read_text("utf-8")
        found = json.loads(text)
        assert text == json.dumps(found)  # one line, as Python's json writes it
        assert list(found) == ["corresponding_s2", "corresponding_s1", "projection", "labels"]
        assert all(isinstance(value, str) for value in found.values())
        for key, sensor in (("corresponding_s2", "S2"), ("corresponding_s1", "S1")):
            days = expected(tiles, unit, number)[sensor]
            names = [f"{unit}_{day}_{sensor}_{x}_{y}.tif" for day in sorted(days)]
            assert found[key].split(";") == names
            assert all((dataset / sensor.lower() / name).is_file() for name in names)
        truth = tiles.labels[unit][y : y + SIZE, x : x + SIZE]
        assert found["labels"] == ";".join(str(code) for code in np.unique(truth))


def test_projection_is_the_text_of_the_release(dataset):
    found = json.loads((dataset / "labels" / "31UGQ_0_0.json").read_text("utf-8"))
    assert found["projection"] == WKT
    other = json.loads((dataset / "labels" / "32ULV_17_34.json").read_text("utf-8"))
    assert 'AUTHORITY["EPSG","32632"]]' in other["projection"]


def test_pixels_places_and_form_of_images(tiles, dataset):
    for unit, x, y, number in patches_of(tiles):
        left, top = {"31UGQ": 699_960, "32ULV": 300_000}[unit] + 10 * x, 5_500_020 - 10 * y
        for sensor, days in expected(tiles, unit, number).items():
            modality = {"S2": "sentinel2", "S1": "sentinel1"}[sensor]
            for day, step in days.items():
                truth = tiles.data[unit, modality][number, step]
                path = dataset / sensor.lower() / f"{unit}_{day}_{sensor}_{x}_{y}.tif"
                with rasterio.open(path) as file:
                    assert tuple(file.transform)[:6] == (10, 0, left, 0, -10, top)
                    assert file.crs.to_epsg() == {"31UGQ": 32631, "32ULV": 32632}[unit]
                    assert file.descriptions == (TEN if sensor == "S2" else ("VV", "VH"))
                    assert set(file.dtypes) == {"int16" if sensor == "S2" else "float32"}
                    assert file.nodata == (-10000 if sensor == "S2" else 0)
                    pixels = file.read()
                if sensor == "S2":
                    truth = np.minimum(truth, 32767)
                np.testing.assert_array_equal(pixels, truth)


def test_masks_are_bytes_that_plain_readers_open(tiles, dataset):
    for unit, x, y, _ in patches_of(tiles):
        path = dataset / "ground_reference" / f"{unit}_GR_{x}_{y}.tif"
        truth = tiles.labels[unit][y : y + SIZE, x : x + SIZE]
        mask = tifffile.imread(path)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, truth)
        with rasterio.open(path) as file:
            assert (file.count, file.nodata) == (1, 0)


def test_of_two_passes_of_a_day_the_more_complete_image_has_the_name(tiles, dataset):
    table = pd.read_parquet(dataset / "images.parquet")
    double = table[(table["sensor"] == "S1") & (table["date"] == date(2020, 1, 3))]
    for patch, rows in double.groupby("id"):
        assert rows["direction"].tolist() == ["descending", "ascending"], patch
        # Patch 3 of each tile: its ascending image has one line.
        winner = 0 if patch in ("31UGQ_51_0", "32ULV_51_0") else 1
        assert rows["file"].notna().tolist() == [winner == 0, winner == 1]
    summary = json.loads((dataset / ".layout.json").read_text("utf-8"))
    assert summary["same_day"] == double["id"].nunique() == 23


def test_the_earlier_pass_wins_where_both_are_whole(tmp_path):
    tiles = make_tiles(tmp_path / "tree", grid=(2, 4))
    for unit in ("31UGQ", "32ULV"):
        assert tiles.source[unit, "sentinel1"].shape[1] == 3
    path = Path(tiles.results.dates)
    dates = pd.read_parquet(path)
    dates["valid"], dates["kept"] = 1.0, True
    dates.sample(frac=1, random_state=1).to_parquet(path)  # in any order
    manifest = tiles.built().manifest  # whose hashes are of other dates
    rows = gpd.read_parquet(manifest)
    rows[["hash_sentinel2", "hash_sentinel1"]] = None
    rows.to_parquet(manifest)
    table = pd.read_parquet(build(tiles, tmp_path / "out") / "images.parquet")
    double = table[(table["sensor"] == "S1") & (table["date"] == date(2020, 1, 3))]
    assert (double["file"].notna() == (double["direction"] == "descending")).all()


def test_the_tidy_table_has_a_row_for_every_kept_date(tiles, dataset):
    table = pd.read_parquet(dataset / "images.parquet")
    dates = pd.read_parquet(dataset / "dates.parquet")
    assert len(table) == dates["kept"].sum()
    assert (~dates["kept"]).any()
    named = table.dropna(subset="file")
    for sensor, folder in (("S2", "s2"), ("S1", "s1")):
        names = named.loc[named["sensor"] == sensor, "file"]
        assert sorted(names) == sorted(p.name for p in (dataset / folder).iterdir())
    row = table[table["file"] == "31UGQ_20200202_S1_0_17.tif"]
    assert row.empty  # patch 4 saw nothing on that day
    row = table[table["file"] == "32ULV_20200202_S1_17_17.tif"].iloc[0]
    assert row[["id", "tile", "x", "y"]].tolist() == ["32ULV_17_17", "32ULV", 17, 17]
    assert row["products"].tolist() == [f"S1{k}_2020-02-02T17:30:00" for k in "ab"]
    assert row[["direction", "relative_orbit", "platform"]].tolist() == ["ascending", 88, "S1A"]
    assert row["incidence_deg"] == 38.5
    assert row["valid"] == 1 / 16
    assert pd.isna(row["scene_cloud_percent"])
    optical = table[table["sensor"] == "S2"]
    assert (optical["scene_cloud_percent"] == 4.5).all()
    assert optical["cloud"].isna().all()
    manifest = read_geoparquet(tiles.results.manifest).set_index("patch_id")
    splits = manifest.loc[table["id"], "split"]
    assert table["split"].fillna("-").tolist() == splits.fillna("-").tolist()


def test_cloud_of_a_patch_is_counted_where_the_scene_classification_is_kept(tmp_path):
    tiles = make_tiles(tmp_path / "tree", scl=True)
    table = pd.read_parquet(build(tiles, tmp_path / "out") / "images.parquet")
    optical = table[table["sensor"] == "S2"]
    assert len(optical)
    for row in optical.itertuples():
        number = row.y // STRIDE * 4 + row.x // STRIDE
        steps = S2_DATES if row.tile == "31UGQ" else S2_DATES[1:]
        scl = tiles.data[row.tile, "scl"][number, steps.index(row.time)]
        assert row.cloud == pytest.approx(((scl >= 8) & (scl <= 10)).mean(), abs=1e-12)
    assert table.loc[table["sensor"] == "S1", "cloud"].isna().all()


def test_split_files_name_all_files_of_a_patch_and_of_no_other(tiles, dataset):
    manifest = read_geoparquet(tiles.results.manifest)
    files = [p.name for f in ("s1", "s2", "ground_reference") for p in (dataset / f).iterdir()]
    for split in ("train", "val", "test"):
        lines = (dataset / "splits" / f"{split}.txt").read_text("utf-8").splitlines()
        rows = manifest[manifest["split"] == split]
        assert lines == [f"{r.unit}_*_{r.x_px}_{r.y_px}" for r in rows.itertuples()]
        for line, row in zip(lines, rows.itertuples(), strict=True):
            # As the generic reader of terratorch matches: line and ending together.
            found = [name for name in files if fnmatch.fnmatch(name, f"{line}.tif")]
            wanted = [
                n for n in files if re.fullmatch(rf"{row.unit}_.*_{row.x_px}_{row.y_px}\.tif", n)
            ]
            assert found == wanted
            assert len(found) >= 3


def test_offsets_that_begin_alike_are_told_apart():
    names = ["31UGQ_20200101_S2_257_514.tif", "31UGQ_20200101_S2_257_5140.tif",
             "31UGQ_20200101_S2_2570_514.tif", "32UGQ_20200101_S2_257_514.tif"]  # fmt: skip
    assert fnmatch.filter(names, "31UGQ_*_257_514.tif") == names[:1]


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "zstd"])
def test_compressions_hold_the_same_pixels(tiles, dataset, tmp_path, compression):
    settings = json.loads(tiles.settings("layouts").read_text("utf-8"))
    settings["layouts"]["compression"] = compression
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    output = build(tiles, tmp_path / "out", settings=path)
    plain = {"zstd": "deflate"}.get(compression, compression)
    for folder, wanted in (("s2", compression), ("s1", compression), ("ground_reference", plain)):
        for file in sorted((dataset / folder).iterdir()):
            with rasterio.open(file) as a, rasterio.open(output / folder / file.name) as b:
                np.testing.assert_array_equal(a.read(), b.read())
                assert b.profile.get("compress", "none") == wanted


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_other_number_types_of_the_stack(tmp_path, dtype):
    tiles = make_tiles(tmp_path / "tree", dtype=dtype, patches={"require": {"sentinel2": {"valid": 0.5}, "sentinel1": {"valid": 0.05}}})  # fmt: skip
    output = build(tiles, tmp_path / "out")
    unit, x, y, number = "31UGQ", 17, 0, 1
    with rasterio.open(output / "s2" / f"{unit}_20200305_S2_{x}_{y}.tif") as file:
        pixels = file.read()
    truth, seen = (d[unit, "sentinel2"][number, 0] for d in (tiles.data, tiles.source))
    assert (~seen.astype(bool)).sum() == 1
    np.testing.assert_array_equal(pixels[:, seen > 0], truth[:, seen > 0])
    assert (pixels[:, seen == 0] == -10000).all()
    if dtype == "int16":
        assert (pixels[:, seen > 0] < 0).any()  # dark surfaces after correction stay


def test_int16_at_its_limits():
    seen = np.array([[True, True, True, True, True, False]])
    pixels = np.array([[[0.0, 0.5, 1.5, -20_000.0, 70_000.0, 5.0]]], np.float32)
    assert to_int16(pixels, seen).tolist() == [[[0, 0, 2, -9999, 32767, -10000]]]
    pixels = np.array([[[1, 32767, 32768, 65535, 2, 0]]], np.uint16)
    assert to_int16(pixels, seen).tolist() == [[[1, 32767, 32767, 32767, 2, -10000]]]
    pixels = np.array([[[-9999, -10000, -1, 32767, 2, 7]]], np.int16)
    assert to_int16(pixels, seen).tolist() == [[[-9999, -9999, -1, 32767, 2, -10000]]]
    assert to_int16(pixels, None).tolist() == [[[-9999, -9999, -1, 32767, 2, 7]]]


def test_bands_stand_in_natural_order_whatever_the_stack_has(tmp_path):
    mixed = ("B08", "B04", "B03", "B02", "B12", "B11", "B8A", "B07", "B06", "B05")
    tiles = make_tiles(tmp_path / "tree", bands=mixed, grid=(2, 4))
    output = build(tiles, tmp_path / "out")
    with rasterio.open(output / "s2" / "32ULV_20200708_S2_0_0.tif") as file:
        assert file.descriptions == TEN
        truth = np.minimum(tiles.data["32ULV", "sentinel2"][0, 0], 32767)
        np.testing.assert_array_equal(file.read(), truth[[mixed.index(b) for b in TEN]])


def test_bytes_do_not_depend_on_threads_or_shards(tiles, dataset, tmp_path):
    one = build(tiles, tmp_path / "one")
    other = make_tiles(tmp_path / "tree", shard=7)
    assert hashes(dataset) == hashes(one) == hashes(build(other, tmp_path / "two", threads=3))


def test_the_summary_counts_tiles_as_the_published_table_does(tiles, dataset):
    summary = json.loads((dataset / ".layout.json").read_text("utf-8"))
    assert summary["patches"] == 23
    assert summary["tiles"]["31UGQ"] == {
        "patches": 11, "epsg": 32631, "dates_sentinel2": 3, "dates_sentinel1": 2,
        "x": [0, 51], "y": [0, 34],
    }  # fmt: skip
    assert summary["tiles"]["32ULV"]["dates_sentinel2"] == 2
    for folder, count in summary["files"].items():
        assert count == len(list((dataset / folder).iterdir()))
    assert summary["bytes"] == sum(p.stat().st_size for p in dataset.rglob("*.tif"))
    masks = [tifffile.imread(p) for p in (dataset / "ground_reference").iterdir()]
    for code in range(1, 15):
        assert summary["patches_with_class"][str(code)] == sum((m == code).any() for m in masks)
    table = gpd.read_parquet(dataset / "patches.parquet")
    assert table["id"].tolist() == table["patch_id"].tolist()


def test_what_does_not_fit_is_refused_with_all_findings(tmp_path):
    tiles = make_tiles(tmp_path / "tree", grid=(2, 4))
    settings = json.loads(tiles.settings("layouts").read_text("utf-8"))
    settings["layers"]["label"]["legend"] = "cerradata4mm"
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    period = "2020-03-05/2020-09-01"
    dates = pd.read_parquet(tiles.results.dates)
    dates.replace({"time": {S2_DATES[1]: period}}).to_parquet(tiles.results.dates)
    for unit in ("31UGQ", "32ULV"):
        for modality, change in (
            ("sentinel2", {"series": False}),
            ("sentinel1", {"values": asdict(Values(DECIBEL, decibel=True))}),
        ):
            attributes = Path(tiles.results.stack(unit, modality)) / "zarr.json"
            plain = json.loads(attributes.read_text("utf-8"))
            about = plain["attributes"]["terrapatch"]
            times = [period if time == S2_DATES[1] else time for time in about["times"]]
            about |= change | {"times": times}
            attributes.write_text(json.dumps(plain), encoding="utf-8")
    assert open_stack(tiles.results.stack("31UGQ", "sentinel1")).info.values.decibel
    with pytest.raises(RecipeError) as caught:
        build(tiles, tmp_path / "out", settings=path)
    for text in ("code 0", "2020-03-05/2020-09-01", "value in dB", "layouts.name: native"):
        assert text in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_units_that_are_no_tiles_are_refused(tiles, tmp_path):
    from made.results import make_tree

    tree = make_tree(tmp_path / "tree")
    settings = json.loads(tree.settings("layouts").read_text("utf-8"))
    settings["layouts"]["name"] = "multisenge"
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(RecipeError, match="'b000_000' is none; take tiles"):
        layouts(tree.built(), path, tmp_path / "out")


def test_without_dates_or_with_those_of_others_nothing_is_written(tiles, tmp_path):
    with pytest.raises(IncompleteError, match="table of dates"):
        build(tiles, tmp_path / "out", dates=None)
    dates = pd.read_parquet(tiles.results.dates)
    dates = dates[(dates["patch_id"] != "32ULV_17_17") | (dates["layer"] != "sentinel1")]
    dates.to_parquet(tmp_path / "dates.parquet")
    with pytest.raises(StorageError, match=r"no complete sentinel1 date of patch '32ULV_17_17'"):
        build(tiles, tmp_path / "out", dates=tmp_path / "dates.parquet")
    assert not (tmp_path / "out").exists()


# Deviations from the release ---------------------------------------------------------------------


def release_layout():
    """What `.layout.json` would say of the release itself, from RECIPES §2.4."""
    s1 = dict.fromkeys(RELEASED, 120) | {"31UEQ": 181, "31UER": 181}
    s1 |= dict.fromkeys(("31UGP", "31UGQ", "32TLT", "32ULU"), 119)
    s1 |= dict.fromkeys(("32ULV", "32UMU", "32UMV"), 117)
    s2 = dict(zip(RELEASED, (12, 10, 12, 11, 19, 13, 11, 9, 9, 23, 9, 9, 2, 16), strict=True))
    with_class = (2098, 6264, 2607, 1779, 5445, 7305, 572, 911, 7893, 164, 7889, 77, 2536, 2258)
    shared = {"size_px": 256, "pixel": 10.0}
    return {
        "layout": "multisenge", "patches": 8157, "files": {"s2": 72_033, "s1": 1_012_227},
        "nodata": {}, "splits": {},
        "layers": {
            "sentinel2": {"kind": "sentinel2", "bands": TEN, "dtype": "int16", **shared,
                          "values": Values("reflectance", scale=1e-4)},
            "sentinel1": {"kind": "sentinel1", "bands": ("VV", "VH"), "dtype": "float32", **shared,
                          "values": Values("linear power")},
        },
        "patches_with_class": {str(k): n for k, n in enumerate(with_class, start=1)},
        "tiles": {
            tile: {"patches": n, "epsg": epsg, "dates_sentinel2": s2[tile],
                   "dates_sentinel1": s1[tile], "x": [257 * x0, 257 * x1], "y": [257 * y0, 257 * y1]}
            for tile, (n, epsg, x0, x1, y0, y1) in RELEASED.items()
        },
    }  # fmt: skip


def compared(tiles, layout):
    settings = read_settings(tiles.results.settings("publish"))
    settings = settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"stride_px": 257})})  # fmt: skip
    lock = Lock(name="tiles", source="local", units=(), items=())
    record = LayoutRecord.model_validate(layout)
    found = deviations(settings, {"label": load_legend("multisenge")}, record, {}, lock)[
        "comparison"
    ]
    return {row["what"]: row for row in found}


def test_the_release_itself_differs_in_nothing(tiles):
    rows = compared(tiles, release_layout())
    assert len(rows) == 1 + 2 + 2 + 14 * (1 + 2 + 1 + 4) + 14
    verdicts = {row["verdict"] for what, row in rows.items() if "% of patches" not in what}
    assert verdicts == {"equal"}
    assert all(row["difference"] in (0, None) for row in rows.values())


def test_deviations_say_tile_by_tile_what_differs(tiles):
    layout = release_layout()
    layout["tiles"]["31UGQ"] |= {"patches": 400, "x": [0, 257 * 12], "y": [257 * 3 + 1, 257 * 37]}
    layout["tiles"]["33XYZ"] = layout["tiles"].pop("31TFN")
    layout["patches_with_class"] |= {"7": 0, "9": 4000}
    rows = compared(tiles, layout)
    assert rows["31UGQ patches"]["difference"] == -64
    assert rows["31UGQ patches"]["verdict"] == "86.2 % of the published number"
    assert rows["31UGQ last x offset"]["verdict"] == "-2 windows"
    assert rows["31UGQ first y offset"]["verdict"] == "on another grid of windows"
    assert rows["31TFN patches"]["verdict"] == "absent here"
    assert rows["33XYZ patches"]["verdict"] == "not published"
    assert rows["Vineyards, % of patches with it"]["verdict"] == "absent here"
    assert rows["Grasslands, % of patches with it"]["verdict"] == "less frequent here"


def test_card_and_deviations_of_a_built_dataset(tmp_path):
    tiles = make_tiles(tmp_path / "tree", grid=(2, 4))
    build(tiles, Path(tiles.results.dataset))
    r = tiles.results
    publish(tiles.built(), tiles.settings("publish"), threads=1)
    rows = {
        row["what"]: row for row in json.loads(Path(r.deviations).read_text("utf-8"))["comparison"]
    }
    assert rows["sentinel2 images"]["ours"] == len(list((Path(r.dataset) / "s2").iterdir()))
    card = (Path(r.dataset) / "README.md").read_text("utf-8")
    assert "{tile}_{YYYYMMDD}_S1_{x}_{y}.tif" in card
    assert "reduce_zero_label=True" in card
