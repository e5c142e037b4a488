# SPDX-License-Identifier: Apache-2.0
"""What is said of a series is true of its published files, which are read back here.

The truth of a figure is the dataset as a user has it: GeoTIFFs read with rasterio, and Zarr groups
read with zarr. Nothing here looks into `stacks/`, but to see that published pixels come from there.
"""

import hashlib
import json
import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import zarr

from made.multisenge import TEN, make_tiles
from terrapatch.acquisitions import best_of_day, published_dates, read_dates
from terrapatch.errors import StorageError
from terrapatch.layouts import layouts
from terrapatch.legend import load_legend
from terrapatch.publish import publish
from terrapatch.publish.statistics import PERCENTILES
from terrapatch.samples import published
from terrapatch.stacks import open_stack
from terrapatch.training.inputs import Task, composite, open_samples, read_batches

S1_TIMES = ("2020-01-03T05:40:00Z", "2020-01-03T17:30:00Z", "2020-02-02T17:30:00Z")


def build(tiles):
    r = tiles.results
    layouts(tiles.built(), tiles.settings("layouts"), Path(r.dataset), threads=2)
    publish(tiles.built(), tiles.settings("publish"), threads=2)
    return Path(r.dataset), json.loads(Path(r.statistics).read_text("utf-8"))


def assert_figures(figures, pixels, exact):
    """Figures of statistics.json are those of numpy on (pixel, band) values."""
    for number, band in enumerate(figures["bands"]):
        values = pixels[:, number].astype(np.float64)
        assert figures["pixels"][number] == values.size, band
        for key, wanted in (("mean", values.mean()), ("std", values.std()), ("min", values.min()),
                            ("max", values.max())):  # fmt: skip
            assert figures[key][number] == pytest.approx(wanted, rel=6e-9), (band, key)
        for q in PERCENTILES:
            assert figures["percentiles"][str(q)][number] == pytest.approx(
                np.percentile(values, q), rel=1e-12 if exact else 2e-3
            ), (band, q)


def published_pixels(folder, names, nodata):
    """(pixel, band) of the files, without those that the nodata tag calls missing."""
    found = []
    for name in names:
        with rasterio.open(folder / name) as file:
            assert file.nodata == nodata
            pixels = file.read()
        pixels = pixels.reshape(len(pixels), -1)
        found.append(pixels[:, (pixels != nodata).all(axis=0)].T)
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("dtype", "patches"),
    [
        ("uint16", {"require": {"sentinel1": {"valid": 0.05}}}),
        (
            "int16",
            {"require": {"sentinel2": {"valid": 0.5}, "sentinel1": {"valid": 0.5}}},
        ),
        (
            "uint16",
            {"require": {"sentinel2": {"valid": 0.99, "dates": 2}}},
        ),
    ],
)
def test_statistics_of_multisenge_are_those_of_its_files(tmp_path, dtype, patches):
    tiles = make_tiles(tmp_path / "tree", dtype=dtype, patches=patches)
    # Values that Int16 cuts off would differ for another reason.
    dataset, statistics = build(tiles)
    images = pd.read_parquet(dataset / "images.parquet").dropna(subset="file")
    train = images[images["split"] == "train"]
    counts = train["sensor"].value_counts()
    dates = pd.read_parquet(tiles.results.dates)
    assert counts["S2"] + counts["S1"] < len(dates)
    for sensor, modality, nodata in (("S2", "sentinel2", -10000), ("S1", "sentinel1", 0)):
        names = train.loc[train["sensor"] == sensor, "file"]
        pixels = published_pixels(dataset / sensor.lower(), names, nodata)
        figures = statistics["layers"][modality]
        if dtype == "uint16" and sensor == "S2":
            stacked = [figures["bands"].index(band) for band in TEN]
            assert stacked == list(range(10))
            keep = [0, *range(2, 10)]  # B03 has two values that Int16 cannot hold
            figures = {
                key: {q: [v[k] for k in keep] for q, v in value.items()} if key == "percentiles"
                else [value[k] for k in keep] if isinstance(value, list) else value
                for key, value in figures.items()
            }  # fmt: skip
            pixels = pixels[:, keep]
        assert_figures(figures, pixels, exact=sensor == "S2")


def test_statistics_of_native_series_count_complete_dates_alone(tmp_path):
    tiles = make_tiles(tmp_path / "tree", layouts={"name": "native"})
    dataset, statistics = build(tiles)
    table = gpd.read_parquet(dataset / "patches.parquet")
    dates = pd.read_parquet(dataset / "dates.parquet")
    train = {name: n for n, name in enumerate(table["patch_id"]) if table["split"][n] == "train"}
    for modality in ("sentinel2", "sentinel1"):
        group = zarr.open_group(str(dataset / f"{modality}.zarr"), mode="r")
        chosen = dates[dates["kept"] & (dates["layer"] == modality)]
        times = group.attrs["terrapatch"]["times"]
        found = []
        for row in chosen.itertuples():
            if row.patch_id in train:
                place = train[row.patch_id], times.index(row.time)
                pixels = group["data"][place].reshape(group["data"].shape[2], -1)
                found.append(pixels[:, group["source"][place].ravel() > 0].T)
        pixels = np.concatenate(found)
        assert_figures(statistics["layers"][modality], pixels, exact=modality == "sentinel2")
        observed = sum(int((group["source"][n] > 0).sum()) for n in train.values())
        assert len(pixels) < observed  # what is left out has pixels, too


def test_each_row_of_the_native_dates_points_at_the_image_it_is_about(tmp_path):
    # The second tile lacks the first optical date: its steps are not those of the dataset.
    tiles = make_tiles(tmp_path / "tree", layouts={"name": "native"})
    dataset, _ = build(tiles)
    dates = pd.read_parquet(dataset / "dates.parquet")
    moved = 0
    for modality in ("sentinel2", "sentinel1"):
        group = zarr.open_group(str(dataset / f"{modality}.zarr"), mode="r")
        info = group.attrs["terrapatch"]
        numbers = {patch: number for number, patch in enumerate(info["patch_ids"])}
        for row in dates[dates["layer"] == modality].itertuples():
            step = info["times"].index(row.time)
            assert info["joined"][step] == [row.time]
            own = open_stack(tiles.results.stack(row.unit, modality)).info
            place = own.patch_ids.index(row.patch_id), own.times.index(row.time)
            moved += place[1] != step
            np.testing.assert_array_equal(
                group["data"][numbers[row.patch_id], step],
                tiles.data[row.unit, modality][place],
            )
            seen = tiles.source[row.unit, modality][place] > 0
            np.testing.assert_array_equal(group["source"][numbers[row.patch_id], step] > 0, seen)
            assert row.valid == seen.mean()
    assert moved == 2 * 12


def test_native_steps_of_one_unit_without_its_neighbours(tmp_path):
    tiles = make_tiles(tmp_path / "tree", units=("32ULV",), layouts={"name": "native"})
    dataset, _ = build(tiles)
    dates = pd.read_parquet(dataset / "dates.parquet")
    info = open_stack(dataset / "sentinel2.zarr").info
    assert set(dates.loc[dates["layer"] == "sentinel2", "time"]) == set(info.times)
    assert len(info.times) == 2


def test_scenes_days_and_hashes_of_the_manifest_are_those_of_published_dates(tmp_path):
    tiles = make_tiles(tmp_path / "tree", layouts={"name": "native"})
    dataset, _ = build(tiles)
    table = gpd.read_parquet(dataset / "patches.parquet").set_index("patch_id")
    dates = pd.read_parquet(dataset / "dates.parquet")
    lost = 0
    for modality in ("sentinel2", "sentinel1"):
        group = zarr.open_group(str(dataset / f"{modality}.zarr"), mode="r")
        numbers = {p: n for n, p in enumerate(group.attrs["terrapatch"]["patch_ids"])}
        for patch, rows in dates[dates["layer"] == modality].groupby("patch_id"):
            kept = rows[rows["kept"]]
            steps = [group.attrs["terrapatch"]["times"].index(time) for time in kept["time"]]
            scenes = list(dict.fromkeys(s for row in kept["scenes"] for s in row))
            assert list(table.loc[patch, f"sources_{modality}"]) == scenes
            days = sorted({time[:10] for time in kept["time"]})
            assert list(table.loc[patch, f"dates_{modality}"]) == days
            pixels = group["data"].oindex[numbers[patch], steps]
            digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes())
            assert table.loc[patch, f"hash_{modality}"] == digest.hexdigest()
            lost += len(rows) - len(kept)
    assert lost == 9


def test_models_see_the_mean_of_the_published_images(tmp_path):
    tiles = make_tiles(tmp_path / "tree")
    dataset, _ = build(tiles)
    images = pd.read_parquet(dataset / "images.parquet").dropna(subset="file")
    level = load_legend("multisenge").finest
    samples = open_samples(
        tiles.built(), Task(("sentinel2", "sentinel1"), "label", level, one_a_day=True)
    )  # fmt: skip
    compared = 0
    for batch in read_batches(samples, "train"):
        for patch, inputs, valid in zip(batch.patch_ids, batch.inputs, batch.valid, strict=True):
            for sensor, nodata, where in (("S2", -10000, slice(0, 10)), ("S1", 0, slice(10, 12))):
                names = images.loc[(images["id"] == patch) & (images["sensor"] == sensor), "file"]
                pixels = []
                for name in names:
                    with rasterio.open(dataset / sensor.lower() / name) as file:
                        pixels.append(file.read().astype(np.float64))
                stacked = np.ma.masked_equal(np.stack(pixels), nodata).mean(axis=0)
                # B03 of one patch has values that Int16 cannot hold.
                bands = [0, *range(2, 10)] if sensor == "S2" else [0, 1]
                np.testing.assert_allclose(
                    inputs[where][bands][:, valid], stacked.filled(0)[bands][:, valid], rtol=2e-6
                )
                compared += len(names)
    assert compared > 20


def test_samples_take_the_same_images_when_some_patches_are_drawn(tmp_path):
    tiles = make_tiles(tmp_path / "tree")
    samples = open_samples(
        tiles.built(), Task(("sentinel1",), "label", load_legend("multisenge").finest)
    )  # fmt: skip
    whole = {
        p: a
        for b in read_batches(samples, "train")
        for p, a in zip(b.patch_ids, b.inputs, strict=True)
    }
    drawn = [1, 4, 5]
    part = {
        p: a
        for b in read_batches(samples, "train", drawn)
        for p, a in zip(b.patch_ids, b.inputs, strict=True)
    }
    assert len(part) == 3
    for patch, inputs in part.items():
        np.testing.assert_array_equal(inputs, whole[patch])


def test_a_series_without_its_table_of_dates_is_refused(tmp_path):
    tiles = make_tiles(tmp_path / "tree", grid=(2, 4))
    build(tiles)
    Path(tiles.results.dates).unlink()
    with pytest.raises(StorageError, match=r"dates\.parquet: no readable table of dates"):
        publish(tiles.built(), tiles.settings("publish"))
    with pytest.raises(StorageError, match=r"dates\.parquet: no readable table of dates"):
        open_samples(
            tiles.built(dates=None), Task(("sentinel2",), "label", load_legend("multisenge").finest)
        )  # fmt: skip


def test_of_a_day_the_most_complete_image_is_published_then_the_earliest(tmp_path):
    tiles = make_tiles(tmp_path / "tree")
    ids = ["31UGQ_0_0", "31UGQ_51_0"]
    table = gpd.read_parquet(tiles.results.manifest).set_index("patch_id", drop=False)
    here, stacks, path = table.loc[ids], Path(tiles.results.stacks), Path(tiles.results.dates)
    both = published(here, stacks, "sentinel1", path, one_a_day=False)
    assert both.tolist() == [[True, True, True], [True, True, True]]
    one = published(here, stacks, "sentinel1", path, one_a_day=True)
    # Patch 3 of a tile has one line of the ascending pass, others lack lines of the descending one.
    assert one.tolist() == [[False, True, True], [True, False, True]]
    dates = read_dates(tiles.results.dates, ids)
    turned = dates.take(list(range(len(dates)))[::-1])
    np.testing.assert_array_equal(best_of_day(dates), best_of_day(turned)[::-1])
    with pytest.raises(StorageError, match="no complete sentinel1 date of patch 'nowhere'"):
        published_dates(path, ["nowhere"], "sentinel1", one_a_day=True)


def test_a_date_that_the_stack_does_not_know_is_refused(tmp_path):
    tiles = make_tiles(tmp_path / "tree")
    dates = pd.read_parquet(tiles.results.dates)
    dates.replace({"time": {S1_TIMES[1]: "2020-01-04"}}).to_parquet(tmp_path / "dates.parquet")
    table, stacks = gpd.read_parquet(tiles.results.manifest), Path(tiles.results.stacks)
    kept = table[table["kept"]]
    with pytest.raises(StorageError, match="image '2020-01-04' of layer sentinel1 in unit 3"):
        published(kept, stacks, "sentinel1", tmp_path / "dates.parquet", one_a_day=False)


def test_the_mean_of_decibels_is_that_of_powers_of_published_dates_alone():
    power = np.array([0.1, 0.4, 100.0], np.float32)
    data = (10 * np.log10(power)).reshape(1, 3, 1, 1, 1).astype(np.float32)
    source = np.array([1, 1, 0], np.uint8).reshape(1, 3, 1, 1)
    values, valid = composite(data, source, decibel=True)
    assert valid.all()
    assert values.item() == pytest.approx(10 * math.log10(0.25), rel=1e-6)
