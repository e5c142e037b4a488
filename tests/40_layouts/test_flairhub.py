# SPDX-License-Identifier: Apache-2.0
"""Layout flairhub: names, pixels, tables and lists, as readers of others find and read them."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio

from made.flairhub import BANDS, KEYS, LEVELS, REGIONS, TEN, make_regions, truth_of
from made.flairhub_contract import FLAIRHUB, clear_dates, read_list
from terrapatch.errors import IncompleteError, RecipeError
from terrapatch.layers import DECIBEL, Values
from terrapatch.layouts import layouts
from terrapatch.layouts.fit import Form, ImageForm, built, planned
from terrapatch.layouts.flairhub import unfit
from terrapatch.layouts.flairhub.modalities import MODALITIES
from terrapatch.layouts.flairhub.radiometry import statistics
from terrapatch.layouts.sources import open_sources
from terrapatch.legend import load_legend
from terrapatch.lock import read_lock
from terrapatch.recipe import read_settings
from terrapatch.tables import read_geoparquet, write_geoparquet
from terrapatch.vectors.geopackage import ROWS_AT_ONCE, rows_written

ONE = {"D012-2019_AF-S1-27": (1, 2)}
FORM = {
    "AERIAL_RGBI": (512, "uint8", 0.2), "AERIAL-RLT_PAN": (256, "uint8", 0.4),
    "DEM_ELEV": (512, "float32", 0.2), "SPOT_RGBI": (64, "uint16", 1.6),
    "SENTINEL2_TS": (10, "uint16", 10.24), "SENTINEL2_MSK-SC": (10, "uint16", 10.24),
    "SENTINEL1-ASC_TS": (10, "float32", 10.24), "SENTINEL1-DESC_TS": (10, "float32", 10.24),
    "AERIAL_LABEL-COSIA": (512, "uint8", 0.2), "ALL_LABEL-LPIS": (512, "uint8", 0.2),
}  # fmt: skip
"""RECIPES §4.1: side, type and pixel of each modality."""
LAYER = {modality.name: layer for layer, modality in MODALITIES.items()}


class Ours(FLAIRHUB):
    domain_years: ClassVar = {"D012": ["2019"], "D059062": ["2021"]}


def build(regions, output=None, **changes):
    output = Path(regions.results.dataset) if output is None else output
    threads = changes.pop("threads", 1)
    layouts(regions.built(**changes), regions.settings("layouts"), output, threads=threads)
    return output


def hashes(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def table_of(dataset, name):
    path = dataset / "GLOBAL_ALL_MTD" / f"GLOBAL_{name}.gpkg"
    return pyogrio.read_dataframe(path, use_arrow=True)


def box_of(patch):
    """Outline of a patch in EPSG:2154: regions stand every 1024 m (`made.flairhub`)."""
    unit, _, place = patch.rpartition("_")
    row, col = map(int, place.split("-"))
    left = 600_000 + 1024 * list(REGIONS).index(unit) + 102.4 * col
    top = 6_400_000 - 102.4 * row
    return left, top - 102.4, left + 102.4, top


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    return make_regions(tmp_path_factory.mktemp("regions"))


@pytest.fixture(scope="module")
def dataset(regions):
    return build(regions, threads=2)


@pytest.fixture(scope="module")
def truth(regions):
    return truth_of(regions)


def test_the_modalities_are_those_of_the_release():
    found = {m.name: (m.size_px, m.dtype, m.pixel_m) for m in MODALITIES.values()}
    assert found == FORM
    assert FORM.keys() == {m.name for m in MODALITIES.values()}


def test_names_are_those_of_the_release_and_nothing_is_missing_or_more(regions, dataset):
    wanted = set()
    for patch in regions.kept["patch_id"]:
        domain, roi, place = patch.split("_")
        for name in FORM:
            own = f"{domain[:-4]}195X" if name == "AERIAL-RLT_PAN" else domain
            wanted.add(f"{own}_{name}/{roi}/{own}_{name}_{roi}_{place}.tif")
    assert {p.relative_to(dataset).as_posix() for p in dataset.rglob("*.tif")} == wanted
    assert "D059062-2021_SENTINEL2_TS/AF-S1-27/D059062-2021_SENTINEL2_TS_AF-S1-27_0-0.tif" in wanted
    assert not any("AF-S1-27_1-2" in name and "2019" in name for name in wanted)  # has no label


@pytest.mark.parametrize("kind", LEVELS)
def test_torchgeo_gets_the_pixels_that_files_were_made_from(regions, dataset, truth, kind):
    seen = {}
    for split in ("train", "val", "test"):
        samples = Ours(dataset, split=split, dataset_type=kind)
        for number in range(len(samples)):
            patch, sample = samples.files[number][0], samples[number]
            assert patch not in seen
            seen[patch] = split
            np.testing.assert_array_equal(sample["mask"], truth[f"{patch}/{kind}"])
            for key in KEYS.values():
                wanted = truth[f"{patch}/{key}"]
                assert sample[key].shape == wanted.shape
                np.testing.assert_array_equal(sample[key], wanted.astype(np.float32))
            assert len(sample["image_sentinel2"]) == len(sample["mask_sentinel2_snowcloud"])
    kept = regions.kept.dropna(subset="split")
    assert seen == dict(zip(kept["patch_id"], kept["split"], strict=True))
    assert (
        len({truth[f"{p}/image_sentinel2"].shape[0] for p in seen}) > 1
    )  # series differ in length


def test_a_domain_that_is_not_there_is_seen(dataset):
    class Other(FLAIRHUB):
        domain_years: ClassVar = {"D012": ["2020"]}

    with pytest.raises(FileNotFoundError, match="D012-2020_AERIAL_LABEL-COSIA"):
        Other(dataset)


def test_the_authors_loader_gets_dates_pixels_and_both_names(regions, dataset, truth, monkeypatch):
    monkeypatch.chdir(dataset / "csv")
    inputs = list(FORM)[:8]
    seen = 0
    for word, split in (("train", "train"), ("valid", "val"), ("test", "test")):
        folder = "../GLOBAL_ALL_MTD/"
        samples = read_list(f"split_1_{word}.csv", folder, inputs, "AERIAL_LABEL-COSIA", 19)
        mine = regions.kept[regions.kept["split_1"] == split]
        assert [s["patch_id"] for s in samples] == mine["patch_id"].tolist()
        for sample in samples:
            patch = sample["patch_id"]
            unit, _ = regions.number(patch)
            assert sample["label"].sum(axis=0).min() == 1  # each pixel has one class
            np.testing.assert_array_equal(sample["label"].argmax(0), truth[f"{patch}/land_cover"])
            for name in inputs:
                layer = LAYER[name]
                np.testing.assert_array_equal(
                    sample[name].reshape(truth[f"{patch}/{KEYS[layer]}"].shape),
                    truth[f"{patch}/{KEYS[layer]}"],
                )
                if f"{name}_days" in sample:
                    times = regions.times[unit, layer]
                    days = [times[n][:10].replace("-", "") for n in regions.dates(patch, layer)]
                    assert sample[f"{name}_days"] == days == sorted(days)
            # Snow stands before cloud, in percent: the last date is cloud all over.
            assert not clear_dates(sample["SENTINEL2_MSK-SC"])[-1]
            seen += 1
    assert seen == 7


def test_two_passes_of_a_day_are_two_dates(regions, dataset):
    table = table_of(dataset, "SENTINEL2_MTD_DATES").set_index("patch_id")
    whole = json.loads(table.loc["D012-2019_AF-S1-27_0-1", "acquisition_dates"])
    assert whole == {"1": "20190114", "2": "20190302", "3": "20190302", "4": "20190720"}
    assert list(whole) == ["1", "2", "3", "4"]
    first = json.loads(table.loc["D012-2019_AF-S1-27_0-0", "acquisition_dates"])
    assert list(first.values()) == ["20190114", "20190302", "20190720"]  # it misses one


def test_form_and_place_of_the_files(regions, dataset):
    for row in regions.kept.itertuples():
        domain, roi, place = row.patch_id.split("_")
        for name, (size, dtype, pixel) in FORM.items():
            own = f"{domain[:-4]}195X" if name == "AERIAL-RLT_PAN" else domain
            path = dataset / f"{own}_{name}" / roi / f"{own}_{name}_{roi}_{place}.tif"
            layer = LAYER[name]
            dates = len(regions.dates(row.patch_id, layer)) if layer.startswith("sentinel") else 1
            with rasterio.open(path) as file:
                assert file.shape == (size, size)
                assert set(file.dtypes) == {dtype}
                assert file.count == dates * len(BANDS[layer]) or layer == "cosia"
                assert file.crs.to_epsg() == 2154
                assert file.transform.a == -file.transform.e == pytest.approx(pixel, abs=1e-12)
                assert tuple(file.bounds) == pytest.approx(box_of(row.patch_id), abs=1e-6)
                assert file.nodata == (0 if layer in ("sentinel2", "sentinel1_asc", "sentinel1_desc") else None)  # fmt: skip
                if dates == 1 and layer in ("aerial", "dem", "spot", "pan"):
                    assert file.descriptions == BANDS[layer]
                if layer in ("cosia", "lpis"):
                    assert file.profile["compress"] == "deflate"


def test_pixels_without_a_label_have_the_last_class_and_are_counted(regions, dataset):
    record = json.loads((dataset / ".layout.json").read_text("utf-8"))
    assert record["filled"] == {"lpis": 3 * (512 // 3) * 512}
    with rasterio.open(next((dataset / "D059062-2021_ALL_LABEL-LPIS").rglob("*.tif"))) as file:
        first = file.read()[:, 0, 0]
    assert first.tolist() == [22, 30, 45]  # background on levels 1, 2 and 3
    assert record["domains"] == {"D012-2019": 7, "D059062-2021": 1}
    assert record["files"] == dict.fromkeys(sorted(FORM), 8)
    assert record["bytes"] == sum(p.stat().st_size for p in dataset.rglob("*.tif"))


def test_the_table_of_places(regions, dataset):
    table = table_of(dataset, "ALL_MTD_GEOM")
    assert table.columns.tolist() == [
        "patch_id", "patch_xmin", "patch_ymin", "patch_xmax", "patch_ymax", "ROI_id", "ROI_xmin",
        "ROI_ymin", "ROI_xmax", "ROI_ymax", "patch_row", "patch_col", "ROI_nbpatch", "ROI_nbpatchx",
        "ROI_nbpatchy", "geometry",
    ]  # fmt: skip
    assert table.crs.to_epsg() == 2154
    assert table["patch_id"].tolist() == regions.kept["patch_id"].tolist()
    for row, kept in zip(table.itertuples(), regions.kept.itertuples(), strict=True):
        rows, cols = REGIONS[row.ROI_id]
        assert row.patch_id == f"{row.ROI_id}_{row.patch_row}-{row.patch_col}"
        assert (row.ROI_nbpatch, row.ROI_nbpatchx, row.ROI_nbpatchy) == (rows * cols, cols, rows)
        box = (row.patch_xmin, row.patch_ymin, row.patch_xmax, row.patch_ymax)
        assert box == pytest.approx(box_of(kept.patch_id), abs=1e-6)
        assert row.geometry.bounds == pytest.approx(box)
        assert row.ROI_xmin == pytest.approx(row.patch_xmin - 102.4 * row.patch_col)
        assert row.ROI_ymax == pytest.approx(row.patch_ymax + 102.4 * row.patch_row)
        assert row.ROI_xmax - row.ROI_xmin == pytest.approx(102.4 * cols)
        assert row.ROI_ymax - row.ROI_ymin == pytest.approx(102.4 * rows)


def test_splits_have_the_words_of_the_release(regions, dataset):
    table = table_of(dataset, "ALL_MTD_SPLIT")
    words = {"train": "train", "val": "valid", "test": "test"}
    for fold in range(1, 6):
        wanted = [words.get(value, "none") for value in regions.kept[f"split_{fold}"]]
        assert table[f"split_{fold}"].tolist() == wanted
    assert table["split_flairhub"].tolist() == table["split_1"].tolist()
    assert set(table["split_1"]) == {"train", "valid", "test", "none"}
    lists = {p.name for p in (dataset / "csv").iterdir()}
    assert lists == {f"split_{n}_{w}.csv" for n in range(1, 6) for w in words.values()}
    for fold in range(1, 6):
        for word in words.values():
            rows = pd.read_csv(dataset / "csv" / f"split_{fold}_{word}.csv")
            assert rows.columns.tolist() == ["patch_id", *sorted(FORM)]
            mine = table.loc[table[f"split_{fold}"] == word, "patch_id"]
            assert rows["patch_id"].tolist() == mine.tolist()


def test_one_split_is_the_first_fold(tmp_path):
    made = make_regions(tmp_path / "tree", units=ONE, folds=False)
    table = table_of(build(made), "ALL_MTD_SPLIT")
    assert table.columns.tolist() == ["patch_id", "split_1", "split_flairhub", "geometry"]


def test_modalities_say_what_there_is_of_a_patch(tmp_path, dataset):
    names = [modality.name for modality in MODALITIES.values()]
    assert (table_of(dataset, "ALL_MTD_MODALITIES")[names] == 1).all(axis=None)
    few = ("aerial", "pan", "dem", "spot", "sentinel1_desc", "cosia")
    made = make_regions(tmp_path / "tree", units=ONE, leave_out=few)
    output = build(made)
    table = table_of(output, "ALL_MTD_MODALITIES")
    left = {"SENTINEL2_TS", "SENTINEL2_MSK-SC", "SENTINEL1-ASC_TS", "ALL_LABEL-LPIS"}
    assert {name for name in names if table[name].all()} == left
    assert (table[[n for n in names if n not in left]] == 0).all(axis=None)
    assert {p.name.partition("_")[2] for p in output.glob("D*")} == left
    tables = {p.name for p in (output / "GLOBAL_ALL_MTD").iterdir()}
    assert not any("AERIAL" in name or "DESC" in name for name in tables)

    class Few(FLAIRHUB):
        domain_years: ClassVar = {"D012": ["2019"]}

    radar = ["SENTINEL2_TS", "SENTINEL1-ASC_TS"]
    assert set(Few(output, bands=radar, dataset_type="crop_type_3")[0]) == {
        "mask", "image_sentinel2", "image_sentinel1_asc",
    }  # fmt: skip


def test_dates_of_single_images(dataset):
    assert set(table_of(dataset, "AERIAL_MTD_DATES")["date"]) == {"20190618", "20210618"}
    assert set(table_of(dataset, "SPOT_MTD_DATES")["date"]) == {"20190530", "20210530"}
    assert table_of(dataset, "AERIAL-RLT_MTD_DATES")["date"].isna().all()  # nobody knows them


def test_statistics_leave_out_cloud_and_what_was_not_observed(regions, dataset):
    tables = {
        layer: table_of(dataset, f"{name.split('_')[0]}_MTD_RADIO-STATS").set_index("patch_id")
        for name, layer in LAYER.items()
        if layer in ("aerial", "pan", "spot", "sentinel2", "sentinel1_asc", "sentinel1_desc")
    }
    holes = nothing = 0
    for patch in regions.kept["patch_id"]:
        unit, number = regions.number(patch)
        for layer, table in tables.items():
            steps = regions.dates(patch, layer) if layer.startswith("sentinel") else [0]
            found = {
                key: json.loads(table.loc[patch, key]) for key in ("mean", "std", "min", "max")
            }
            assert all(list(v) == [str(n + 1) for n in range(len(steps))] for v in found.values())
            for place, step in enumerate(steps, start=1):
                pixels = regions.data[unit, layer][number, step].astype(float)
                counts = regions.source[unit, layer][number, step] > 0
                holes += (~counts).any()
                if layer == "sentinel2":
                    counts &= regions.data[unit, "sentinel2_mask"][number, step, 1] == 0
                for key, values in found.items():
                    part = [
                        getattr(np, key)(band[counts]) if counts.any() else np.nan
                        for band in pixels
                    ]
                    assert values[str(place)] == pytest.approx(part, rel=1e-5, nan_ok=True)
                nothing += not counts.any()
    assert holes
    assert nothing >= 8


def test_statistics_of_a_table():
    pixels = np.array([[[[1, 2], [3, 100]]], [[[7, 7], [7, 7]]]], np.uint16)
    counted = np.array([[[1, 1], [1, 0]], [[0, 0], [0, 0]]], bool)
    found = statistics(pixels, counted)
    assert found["mean"][0].tolist() == [2]
    assert found["std"][0] == pytest.approx([(2 / 3) ** 0.5])
    assert (found["min"][0], found["max"][0]) == (1, 3)
    assert all(np.isnan(values[1]).all() for values in found.values())


def test_class_counts_are_those_of_the_files(dataset):
    table = table_of(dataset, "AERIAL_MTD_LABEL-COSIA").set_index("patch_id")
    assert table.columns.tolist()[:-1] == [f"class_{n}" for n in range(19)]
    for path in dataset.glob("*_AERIAL_LABEL-COSIA/*/*.tif"):
        patch = path.stem.replace("AERIAL_LABEL-COSIA_", "")
        with rasterio.open(path) as file:
            counts = np.bincount(file.read().ravel(), minlength=19)
        assert table.loc[patch].iloc[:-1].tolist() == counts.tolist()


def test_bytes_do_not_depend_on_threads_shards_or_the_time(regions, dataset, tmp_path):
    wanted = hashes(dataset)
    assert hashes(build(regions, tmp_path / "four", threads=4)) == wanted
    other = make_regions(tmp_path / "tree", shard=5)
    assert hashes(build(other, tmp_path / "shards", threads=3)) == wanted


def test_rows_of_a_geopackage_may_come_in_any_portions(tmp_path):
    from shapely import box

    def frame(rows):
        return gpd.GeoDataFrame(
            {"n": rows}, geometry=[box(n, 0, n + 1, 1) for n in rows], crs="EPSG:2154"
        )

    count = 2 * ROWS_AT_ONCE + 7
    for name, portion in (("one", count), ("few", 300), ("many", ROWS_AT_ONCE + 1)):
        (tmp_path / name).mkdir()
        with rows_written(tmp_path / name / "t.gpkg", "t", frame) as take:
            for start in range(0, count, portion):
                take(list(range(start, min(start + portion, count))))
    files = [(tmp_path / name / "t.gpkg").read_bytes() for name in ("one", "few", "many")]
    assert files[0] == files[1] == files[2]
    assert gpd.read_file(tmp_path / "few" / "t.gpkg")["n"].tolist() == list(range(count))


def without_a_date(name, info):
    """The mask without the date that the series has last."""
    return _without(info, 3) if name == "sentinel2_mask" else info


def _without(info, step):
    def but(values):
        return tuple(v for n, v in enumerate(values) if n != step)

    return replace(info, times=but(info.times), items=but(info.items), passes=but(info.passes))


def test_a_mask_with_other_dates_is_refused(tmp_path):
    made = make_regions(tmp_path / "tree", units=ONE, change=without_a_date)
    with pytest.raises(RecipeError, match=r"sentinel2_mask: has no image of 2019-07-20.*4 dates, 3 of the mask"):  # fmt: skip
        build(made)


def test_a_mask_that_is_not_kept_of_a_date_is_refused(regions, tmp_path):
    dates = pd.read_parquet(regions.results.dates)
    mine = (dates["layer"] == "sentinel2_mask") & (dates["time"] == "2019-01-14T10:51:01Z")
    dates.loc[mine & (dates["patch_id"] == "D012-2019_UN-S2-4_0-1"), "kept"] = False
    dates.to_parquet(tmp_path / "dates.parquet")
    manifest = _without_hashes(regions, tmp_path)
    with pytest.raises(IncompleteError, match=r"D012-2019_UN-S2-4_0-1 .* 2019-01-14.*require\.sentinel2_mask"):  # fmt: skip
        build(regions, tmp_path / "out", dates=tmp_path / "dates.parquet", manifest=manifest)


def _without_hashes(regions, folder):
    """A manifest that says nothing of pixels, for tables of dates that are changed."""
    table = read_geoparquet(regions.results.manifest)
    hashes = [name for name in table.columns if name.startswith("hash_")]
    write_geoparquet(table.drop(columns=hashes), folder / "manifest.parquet")
    return folder / "manifest.parquet"


def test_a_mask_of_more_dates_gives_those_of_the_series(regions, dataset, truth):
    """Where the first patch misses an optical date, the mask has it, and it is not written."""
    patch = "D012-2019_AF-S1-27_0-0"
    unit, number = regions.number(patch)
    assert regions.data[unit, "sentinel2_mask"][number].shape[0] == 4
    assert len(truth[f"{patch}/{KEYS['sentinel2_mask']}"]) == 3


def test_dates_are_needed(regions, tmp_path):
    with pytest.raises(IncompleteError, match=r"dates\.parquet"):
        build(regions, tmp_path / "out", dates=None)


GOOD = ("2019-01-14T10:51:01Z",)


def form_of(**changes):
    """A form that fits, with some of it changed."""
    legends = {
        "cosia": changes.pop("cosia", "19"), "lpis": changes.pop("lpis", "23 31 46"),
    }  # fmt: skip
    images = {
        layer: ImageForm(
            bands=m.bands, dtype=m.dtype, decibel=False, series=m.series,
            times=(GOOD if m.series else ("2019-06-18",),),
            directions=frozenset({m.direction} - {None}),
        )
        for layer, m in MODALITIES.items()
        if not m.classes
    }  # fmt: skip
    for name, change in changes.pop("images", {}).items():
        images[name] = replace(images[name], **change)
    grids = {layer: (m.pixel_m, m.size_px) for layer, m in MODALITIES.items()}
    return Form(**{
        "legends": {n: _legend(n, sizes) for n, sizes in legends.items() if sizes}, "edges": False,
        "tiles": False, "repeats": True, "units": ("D012-2019_AF-S1-27",), "last": (1, 2),
        "images": images, "grids": grids | changes.pop("grids", {}), "regions": True,
    } | changes)  # fmt: skip


def _legend(name, sizes):
    from terrapatch.legend import Legend, LegendClass, Level

    counts = [int(size) for size in sizes.split()][::-1]
    return Legend(name, tuple(
        Level(f"lv{n}", tuple(
            LegendClass(k, f"c{k}", f"c{k}", "#000000", min(k, counts[n + 1] - 1) if n + 1 < len(counts) else None)
            for k in range(count)
        ))
        for n, count in enumerate(counts)
    ))  # fmt: skip


WRONG = {
    "points": ({"regions": False}, "sampling.kind: .* take rois"),
    "_ in a region": ({"units": ("D012-2019_AF_S1",)}, "region 'D012-2019_AF_S1'; .* rename them"),
    "no year": ({"units": ("D012_AF-S1-27",)}, "ends with its year"),
    "one name without a year": (
        {"units": ("D017-2018_AF-S1-1", "D017-2020_AF-S1-1")}, "AERIAL-RLT_PAN, .* leave layers.pan out"
    ),
    "no labels": ({"cosia": "", "lpis": ""}, "give one of cosia, lpis"),
    "codes": ({"cosia": "20"}, r"layers\.cosia\.legend: 'cosia' has a code 19 .* take legend: flairhub_cosia"),
    "levels": ({"lpis": "23 46"}, r"layers\.lpis\.legend: .* has 2 levels; .* take legend: flairhub_lpis"),
    "codes of a level": ({"lpis": "23 32 46"}, "has a code 31 on level lv1; ALL_LABEL-LPIS has 0 to 30"),
    "bands": ({"images": {"dem": {"bands": ("DTM", "DSM")}}}, r"layers\.dem: bands DTM, DSM; .* has DSM, DTM"),
    "order of optical bands": (
        {"images": {"sentinel2": {"bands": tuple(TEN[::-1])}}}, r"layers\.sentinel2: bands B12"
    ),
    "cloud before snow": (
        {"images": {"sentinel2_mask": {"bands": ("CLDPRB", "SNWPRB")}}}, "has SNWPRB, CLDPRB"
    ),
    "dtype": ({"images": {"spot": {"dtype": "uint8"}}}, r"layers\.spot\.dtype: uint8; .* uint16"),
    "single": ({"images": {"sentinel1_asc": {"series": False}}}, r"sentinel1_asc\.time: .* take series"),
    "two dates": (
        {"images": {"spot": {"times": (("2019-05-01", "2019-05-02"),)}}}, r"spot\.time: 2 dates"
    ),
    "offsets": ({"images": {"sentinel2": {"offsets": True}}}, r"sentinel2\.harmonise"),
    "decibel": ({"images": {"sentinel1_desc": {"decibel": True}}}, r"sentinel1_desc\.scale: .* linear"),
    "amplitude": (
        {"images": {"sentinel1_asc": {"unit": "amplitude"}}}, r"sentinel1_asc\.radiometry: amplitude"
    ),
    "direction": (
        {"images": {"sentinel1_asc": {"directions": frozenset({"ascending", "descending"})}}},
        r"sentinel1_asc\.orbit: .* take ascending",
    ),
    "feet": ({"images": {"dem": {"unit": "feet"}}}, r"layers\.dem\.unit: 'feet'; .* unit: metres"),
    "pixel": ({"grids": {"aerial": (0.4, 256)}}, r"layers\.aerial\.pixel_m: .* set pixel_m: 0\.2"),
    "patch": ({"grids": {"sentinel2": (10.24, 20)}}, r"sampling\.size_px: .* 204\.8 m; .* 102\.4 m wide"),
    "two years": (
        {"images": {"sentinel1_asc": {"times": (("2019-12-30T00:00:00Z", "2020-01-05T00:00:00Z"),)}}},
        "dates of 2019, 2020 in one region",
    ),
    "dates of the mask": (
        {"images": {"sentinel2_mask": {"times": (("2019-01-15T10:51:01Z",),)}}}, "has no image of 2019-01-14"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_the_layout_cannot_hold_is_told_with_the_setting_that_mends_it(name):
    changes, text = WRONG[name]
    findings = unfit(
        form_of(**{k: dict(v) if isinstance(v, dict) else v for k, v in changes.items()})
    )
    assert len(findings) == 1, findings
    assert re.search(text, findings[0])


def test_what_fits_is_not_refused():
    assert unfit(form_of()) == []
    assert unfit(form_of(images={"sentinel2_mask": {"dtype": "uint8"}, "dem": {"unit": "m"}})) == []


def test_other_layers_and_a_mask_alone_are_told():
    form = form_of()
    images = dict(form.images)
    found = unfit(replace(form, images={**images, "thermal": images["spot"]}))
    assert len(found) == 1
    assert re.search(
        r"layers\.thermal: the layout has no modality .* it has aerial, pan, .*, lpis", found[0]
    )
    del images["sentinel2"]
    assert unfit(replace(form, images=images)) == [
        "layers.sentinel2_mask: goes with layers.sentinel2, which is not there; add it"
    ]
    legends = {"lpis": form.legends["lpis"]}
    found = unfit(replace(form, images={**form.images, "cosia": images["spot"]}, legends=legends))
    assert found == ["layers.cosia.kind: AERIAL_LABEL-COSIA is of another kind; take labels"]


@pytest.mark.parametrize(
    ("layer", "values", "text"),
    [
        ("sentinel1_asc", Values(DECIBEL, decibel=True), r"sentinel1_asc\.scale"),
        ("sentinel2", Values("reflectance", scale=1e-4, offset=None), r"sentinel2\.harmonise"),
        ("dem", Values("feet"), r"dem\.unit: 'feet'"),
    ],
)
def test_the_stage_refuses_what_stacks_hold(tmp_path, layer, values, text):
    made = make_regions(
        tmp_path / "tree", units=ONE,
        change=lambda name, info: replace(info, values=values) if name == layer else info,
    )  # fmt: skip
    with pytest.raises(RecipeError, match=text):
        build(made)
    assert not Path(made.results.dataset).exists()


def test_the_legends_of_the_test_have_the_sizes_of_the_release(regions):
    folder = Path(regions.results.root) / "legends"
    sizes = {n: [len(level.codes) for level in load_legend(str(folder / f"{n}.csv")).levels]
             for n in ("cosia", "lpis")}  # fmt: skip
    assert sizes == {"cosia": [19], "lpis": [46, 31, 23]}


def test_the_packaged_legends_are_those_that_the_layout_takes(regions):
    form = built(open_sources(regions.built(), read_settings(regions.settings("layouts"))))
    legends = {name: load_legend(f"flairhub_{name}") for name in ("cosia", "lpis")}
    assert unfit(replace(form, legends=legends)) == unfit(form)
    twisted = legends | {"lpis": replace(legends["lpis"], levels=legends["lpis"].levels[1:])}
    assert any("has 2 levels" in finding for finding in unfit(replace(form, legends=twisted)))


def test_the_plan_foretells_what_stacks_hold(regions):
    """Of a recipe of regions; the mask of this tree has names of other bands in its recipe."""
    wanted = read_settings(regions.settings("layouts"))
    sampling = wanted.sampling.model_copy(update={"kind": "rois"})
    wanted = wanted.model_copy(update={"sampling": sampling})
    foretold = planned(wanted, read_lock(regions.results.lock))
    found = built(open_sources(regions.built(), wanted))
    for layer, m in MODALITIES.items():
        assert foretold.grids[layer] == pytest.approx((m.pixel_m, m.size_px))
        assert found.grids[layer] == pytest.approx((m.pixel_m, m.size_px))
    assert foretold.units == found.units
    for layer, images in found.images.items():
        assert foretold.images[layer].series == images.series
        assert foretold.images[layer].directions >= images.directions - {"descending"}
        if MODALITIES[layer].series:
            assert foretold.images[layer].times == images.times
    (finding,) = unfit(planned(wanted, None))
    assert "layers.sentinel2_mask: bands B02, B03; SENTINEL2_MSK-SC has SNWPRB, CLDPRB" in finding
