# SPDX-License-Identifier: Apache-2.0
"""Published files against the arrays that they were made from, read by other libraries."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import tifffile
import zarr

from made.results import RESOLUTION, make_tree
from terrapatch.acquisitions import DATES, write_dates
from terrapatch.errors import IncompleteError, InputError, RecipeError, StorageError
from terrapatch.layouts import layouts
from terrapatch.legend import load_legend
from terrapatch.settings import L2A_12
from terrapatch.stacks import create_stack, open_stack
from terrapatch.tables import write_geoparquet

FOLDERS = ("msi_images", "sar_images", "semantic_7c", "semantic_14c", "edge_7c", "edge_14c")
SOURCES = {
    "msi_images": ("sentinel2", None), "sar_images": ("sentinel1", None),
    "semantic_14c": ("label", 0), "semantic_7c": ("label", 1),
    "edge_14c": ("label", 2), "edge_7c": ("label", 3),
}  # fmt: skip
MS, SAR = r"parrot_beak_ms_(\d{10})\.tif", r"parrot_beak_sar_(\d{10})\.tif"
NAMES = {
    "msi_images": MS, "opt_images": MS, "sar_images": SAR,
    "semantic_7c": r"mask_parrot_beak_7classes_(\d{10})\.tif",
    "semantic_14c": r"parrot_beak_terraclass_classes_14c_(\d{10})\.tif",
    "edge_7c": r"parrot_beak_edge_classes_7c_(\d{10})\.tif",
    "edge_14c": r"parrot_beak_edge_classes_14c_(\d{10})\.tif",
}  # fmt: skip


def settings_with(tree, **changes):
    path = tree.settings("layouts")
    plain = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        section, _, name = key.partition("__")
        (plain["layers"] if section in plain["layers"] else plain)[section][name] = value
    other = path.with_name(f"layouts-{len(list(path.parent.iterdir()))}.json")
    other.write_text(json.dumps(plain), encoding="utf-8")
    return other


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def ids_of(folder: Path) -> list[str]:
    found = [re.fullmatch(NAMES[folder.name], p.name) for p in sorted(folder.glob("*.tif"))]
    assert all(found), folder
    return [match[1] for match in found]


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("tree"), size_px=128, patches=(2, 6), unit_patches=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def published(tree):
    output = Path(tree.results.dataset)
    layouts(tree.built(), tree.settings("layouts"), output, threads=2)
    return output


@pytest.fixture(scope="module")
def native(small):
    output = Path(small.results.root) / "native"
    layouts(small.built(), settings_with(small, layouts__name="native"), output)
    return output


def id_of(row):
    return f"{row.row:05d}{row.col:05d}"


def test_every_folder_has_the_ids_of_all_kept_patches(tree, published):
    wanted = [id_of(row) for row in tree.kept.itertuples()]
    assert "0000000000" not in wanted  # the dropped patch
    for folder in FOLDERS:
        assert sorted(wanted) == ids_of(published / folder), folder


def test_a_loader_that_sorts_each_folder_and_pairs_by_position_gets_matching_files(published):
    lists = [ids_of(published / folder) for folder in FOLDERS]
    for together in zip(*lists, strict=True):
        assert len(set(together)) == 1
    assert lists[0] == sorted(lists[0], key=int)


def test_ids_stand_where_the_tools_of_the_authors_look_for_them(published):
    for folder, position in (
        ("msi_images", 3),
        ("sar_images", 3),
        ("edge_7c", 5),
        ("edge_14c", 5),
        ("semantic_14c", 5),
    ):
        for path in (published / folder).iterdir():
            assert re.fullmatch(r"\d{10}", path.stem.split("_")[position]), path.name


@pytest.mark.parametrize("folder", FOLDERS)
def test_pixels_are_those_of_stack_and_label_raster(tree, published, folder):
    kind, layer = SOURCES[folder]
    prefix = NAMES[folder].split("(")[0]
    for row in tree.kept.itertuples():
        truth = tree.pixels[kind][row.patch_id]
        truth = truth if layer is None else truth[layer : layer + 1]
        found = read(published / folder / f"{prefix}{id_of(row)}.tif")
        np.testing.assert_array_equal(truth, found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_form_of_the_files_is_the_published_one(tree, published, folder):
    bands = {"msi_images": 12, "sar_images": 2}.get(folder, 1)
    row = next(tree.kept.itertuples())
    with rasterio.open(next((published / folder).glob(f"*_{id_of(row)}.tif"))) as dataset:
        assert dataset.shape == (128, 128)
        assert dataset.dtypes == ("float32" if "images" in folder else "int32",) * bands
        assert dataset.crs.to_epsg() == 4326
        assert tuple(dataset.transform)[:6] == pytest.approx(row.transform, abs=1e-15)
        assert dataset.transform.a == RESOLUTION
        assert dataset.nodata == (0 if "images" in folder else 255)
        if folder == "msi_images":
            assert dataset.descriptions == L2A_12
        if folder == "sar_images":
            assert dataset.descriptions == ("VV", "VH")


def test_masks_open_without_codecs_and_hold_only_codes_of_their_level(published):
    for folder, most in (("semantic_14c", 13), ("semantic_7c", 6), ("edge_7c", 1), ("edge_14c", 1)):
        for path in (published / folder).iterdir():
            mask = tifffile.imread(path)
            assert mask.shape == (128, 128)
            assert mask.dtype == np.int32
            assert 0 <= mask.min() <= mask.max() <= most


def test_the_mask_of_7_classes_is_the_image_of_that_of_14(published):
    table = load_legend("cerradata4mm").derive("l1")
    fine = sorted((published / "semantic_14c").iterdir())
    coarse = sorted((published / "semantic_7c").iterdir())
    for a, b in zip(fine, coarse, strict=True):
        np.testing.assert_array_equal(table[tifffile.imread(a)], tifffile.imread(b))


def test_split_files_name_the_patches_of_each_split_and_no_others(tree, published):
    for split in ("train", "val", "test"):
        rows = tree.kept[tree.kept["split"] == split]
        wanted = [f"*_{id_of(row)}" for row in rows.itertuples()]
        lines = (published / "splits" / f"{split}.txt").read_text("utf-8").splitlines()
        assert lines == wanted
        for line in lines:  # as the generic reader matches them
            assert len(list((published / "msi_images").glob(f"{line}.tif"))) == 1


def test_a_patch_in_the_buffer_is_published_but_in_no_split(published):
    assert (published / "msi_images" / "parrot_beak_ms_0000100001.tif").is_file()
    for path in (published / "splits").iterdir():
        assert "0000100001" not in path.read_text("utf-8")


def test_the_table_of_patches_leads_from_ids_to_places(tree, published):
    table = gpd.read_parquet(published / "patches.parquet")
    assert table["id"].tolist() == [id_of(row) for row in tree.kept.itertuples()]
    assert table["patch_id"].tolist() == tree.kept["patch_id"].tolist()
    assert table.crs.to_epsg() == 4326


def test_the_class_table_has_every_class_and_its_parent(published):
    lines = (published / "classes.csv").read_text("utf-8").splitlines()
    assert lines[0] == "layer,level,code,abbrev,name,parent_level,parent,color"
    assert len(lines) == 1 + 14 + 7
    assert "label,l2,13,Df,Deforestation 2022,l1,2,#cd0000" in lines
    assert "label,l1,2,Ag,Agriculture,,,#e6206c" in lines


def test_the_summary_counts_files_and_splits(tree, published):
    summary = json.loads((published / ".layout.json").read_text("utf-8"))
    assert summary["layout"] == "cerradata4mm"
    assert summary["patches"] == len(tree.kept) == 11
    assert summary["files"] == dict.fromkeys(sorted(FOLDERS), 11)
    assert sum(summary["splits"].values()) == 10
    assert summary["bytes"] == sum(p.stat().st_size for p in published.rglob("*.tif"))


def test_folders_of_the_loaders_differ_in_the_optical_one_alone(small, tmp_path):
    layouts(small.built(), small.settings("layouts"), tmp_path / "a")
    layouts(small.built(), small.settings("layouts"), tmp_path / "b", folders="loader")
    kaggle, loader = hashes(tmp_path / "a"), hashes(tmp_path / "b")
    for own in (".layout.json", ".terrapatch"):  # names of folders stand in both
        kaggle.pop(own)
        loader.pop(own)
    assert loader == {k.replace("msi_images", "opt_images"): v for k, v in kaggle.items()}


@pytest.mark.parametrize("name", ["cerradata4mm", "native"])
def test_bytes_do_not_depend_on_threads_or_shards(small, tmp_path, name):
    settings = settings_with(small, layouts__name=name)
    layouts(small.built(), settings, tmp_path / "one", threads=1)
    layouts(small.built(), settings, tmp_path / "three", threads=3)
    other = make_tree(tmp_path / "tree", shard_patches=7)
    layouts(other.built(), settings, tmp_path / "shards", threads=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "three") == hashes(tmp_path / "shards")


@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_other_compressions_hold_the_same_pixels(small, tmp_path, compression):
    settings = settings_with(small, layouts__compression=compression)
    layouts(small.built(), settings, tmp_path / "out")
    row = next(small.kept.itertuples())
    path = tmp_path / "out" / "msi_images" / f"parrot_beak_ms_{id_of(row)}.tif"
    np.testing.assert_array_equal(small.pixels["sentinel2"][row.patch_id], read(path))
    with rasterio.open(path) as dataset:
        assert dataset.profile.get("compress", "none") == compression


def test_an_old_dataset_is_replaced_as_a_whole(small, tmp_path):
    output = tmp_path / "out"
    layouts(small.built(), small.settings("layouts"), output, folders="loader")
    assert (output / "opt_images").is_dir()
    layouts(small.built(), small.settings("layouts"), output)
    assert not (output / "opt_images").exists()
    # Files of others stay, and a folder of others is refused.
    (output / "notes.txt").write_bytes(b"mine")
    layouts(small.built(), small.settings("layouts"), output)
    assert (output / "notes.txt").read_bytes() == b"mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        layouts(small.built(), small.settings("layouts"), other)


def test_native_stacks_hold_all_units_in_the_order_of_the_manifest(small, native):
    for name in ("sentinel2", "sentinel1", "label"):
        group = zarr.open_group(str(native / f"{name}.zarr"), mode="r")
        info = group.attrs["terrapatch"]
        assert list(info["patch_ids"]) == small.kept["patch_id"].tolist()
        for number, patch_id in enumerate(small.kept["patch_id"]):
            found = group["data"][number, 0]
            np.testing.assert_array_equal(small.pixels[name][patch_id], found)
    assert list(info["bands"]) == ["l2", "l1", "edge_l2", "edge_l1"]


def test_native_sources_count_the_scenes_of_the_whole_dataset(small, native):
    group = zarr.open_group(str(native / "sentinel2.zarr"), mode="r")
    (items,) = group.attrs["terrapatch"]["items"]
    assert items == ["sentinel2-scene-1", "sentinel2-scene-b000_000", "sentinel2-scene-b000_001"]
    for number, unit in enumerate(small.kept["unit"]):
        source = group["source"][number, 0]
        own = 1 + items.index(f"sentinel2-scene-{unit}")
        assert (source[:, 1::2] == 1).all()
        assert (source[:, ::2] == own).all()


def several_steps(tree, labels, *, series):
    """Give the radar stack of each unit time steps of these labels; patch → label → pixels.

    The manifest gets their hashes, and the tree a table of dates.
    """
    rng = np.random.default_rng(3)
    pixels, sums = {}, {}
    dates = {name: [] for name in DATES}
    for unit, times in labels.items():
        path = Path(tree.results.stack(unit, "sentinel1"))
        info = open_stack(path).info
        data = rng.random((len(info.patch_ids), len(times), 2, 32, 32), np.float32)
        down = ["T17" in t or "descending" in t for t in times]
        several = replace(
            info,
            times=tuple(times),
            items=tuple((f"S1 {t}",) for t in times),
            series=series,
            passes=tuple({"direction": ("ascending", "descending")[d]} for d in down),
        )
        with create_stack(path, several) as writer:
            for number, part in enumerate(several.shards):
                for time in range(len(times)):
                    piece = data[part.start : part.stop, time]
                    writer.write(number, time, piece, np.ones_like(piece[:, 0], np.uint8))
        for patch, values in zip(info.patch_ids, data, strict=True):
            pixels[patch] = dict(zip(times, values, strict=True))
            sums[patch] = hashlib.sha256(values.tobytes()).hexdigest()
            for time in times:
                row = {
                    "patch_id": patch,
                    "unit": unit,
                    "layer": "sentinel1",
                    "time": time,
                    "kept": True,
                }
                for name in DATES:
                    dates[name].append(row.get(name))
    write_dates(dates, tree.results.dates)
    described = tree.table.assign(hash_sentinel1=tree.table["patch_id"].map(sums))
    write_geoparquet(described, tree.results.manifest)
    return pixels


def test_native_series_have_the_passes_of_all_units(tmp_path):
    tree = make_tree(tmp_path / "tree")
    moments = {"b000_000": ["2021-01-01T05:00:00Z", "2021-01-07T05:00:00Z"],
               "b000_001": ["2021-01-01T05:00:00Z", "2021-01-04T17:00:00Z", "2021-01-13T05:00:00Z"]}  # fmt: skip
    pixels = several_steps(tree, moments, series=True)
    settings = settings_with(tree, layouts__name="native")
    layouts(tree.built(), settings, tmp_path / "out", threads=2)
    stack = open_stack(tmp_path / "out" / "sentinel1.zarr")
    assert stack.info.joined == tuple((label,) for label in stack.info.times)
    assert stack.info.times == tuple(sorted({t for times in moments.values() for t in times}))
    assert [p["direction"][0] for p in stack.info.passes] == ["a", "d", "a", "a"]
    found, source = stack.read(slice(None)), stack.read(slice(None), "source")
    for number, patch in enumerate(stack.info.patch_ids):
        for time, label in enumerate(stack.info.times):
            known = label in pixels[patch]
            assert (source[number, time] == known).all()
            np.testing.assert_array_equal(found[number, time], pixels[patch].get(label, 0))


def test_rows_of_dates_name_the_image_where_units_have_other_days(tmp_path):
    """One image a direction: the day of one unit's ascending image is that of the other's descending."""
    tree = make_tree(tmp_path / "tree")
    days = {"b000_000": ["2021-01-01 ascending", "2021-01-02 descending"],
            "b000_001": ["2021-01-02 ascending", "2021-01-01 descending"]}  # fmt: skip
    pixels = several_steps(tree, days, series=False)
    settings = settings_with(tree, layouts__name="native")
    built = replace(tree.built(), dates=Path(tree.results.dates))
    layouts(built, settings, tmp_path / "out", threads=2)
    stack = open_stack(tmp_path / "out" / "sentinel1.zarr")
    assert stack.info.joined == tuple(zip(*days.values(), strict=True))
    assert stack.info.times == tuple(" | ".join(labels) for labels in stack.info.joined)
    found, dates = stack.read(slice(None)), pd.read_parquet(tmp_path / "out" / "dates.parquet")
    assert len(dates) == 2 * len(stack.info.patch_ids)
    for row in dates.itertuples():
        (step,) = [n for n, labels in enumerate(stack.info.joined) if row.time in labels]
        here = found[stack.info.patch_ids.index(row.patch_id), step]
        np.testing.assert_array_equal(here, pixels[row.patch_id][row.time])


def test_native_label_sources_say_where_a_label_is(native):
    group = zarr.open_group(str(native / "label.zarr"), mode="r")
    labels, source = group["data"][:], group["source"][:]
    np.testing.assert_array_equal(labels[:, :, 0] != 255, source == 1)


def test_native_split_files_name_patch_ids(small, native):
    train = (native / "splits" / "train.txt").read_text("utf-8").splitlines()
    assert train == small.kept.loc[small.kept["split"] == "train", "patch_id"].tolist()


def test_a_legend_without_both_levels_is_refused_with_all_findings(small, tmp_path):
    legend = tmp_path / "own.csv"
    rows = "\n".join(f"crop,{k},c{k},class {k},,#00000{k}," for k in range(9))
    legend.write_text(f"level,code,abbrev,name,parent,color,published_pixels\n{rows}\n", "utf-8")
    settings = settings_with(small, label__legend=str(legend), label__edges="none")
    with pytest.raises(RecipeError) as caught:
        layouts(small.built(), settings, tmp_path / "out")
    for text in ("l1, l2", "edges", "layouts.name: native"):
        assert text in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_rows_and_columns_that_repeat_are_refused(small, tmp_path):
    table = small.table.copy()
    table["row"] = 0
    write_geoparquet(table, tmp_path / "manifest.parquet")
    built = small.built(manifest=tmp_path / "manifest.parquet")
    with pytest.raises(RecipeError, match="ids are not unique"):
        layouts(built, small.settings("layouts"), tmp_path / "out")


def test_nothing_kept_is_an_error_that_names_the_reasons(small, tmp_path):
    table = small.table.assign(kept=False, dropped_reason="label: 3.0 % observed < 100 %")
    write_geoparquet(table, tmp_path / "manifest.parquet")
    built = small.built(manifest=tmp_path / "manifest.parquet")
    with pytest.raises(IncompleteError, match=r"none of 24 .*label: 3\.0 %"):
        layouts(built, small.settings("layouts"), tmp_path / "out")


def test_folder_names_of_another_layout_are_refused(small, tmp_path):
    settings = settings_with(small, layouts__name="native")
    with pytest.raises(InputError, match="one form only"):
        layouts(small.built(), settings, tmp_path / "out", folders="loader")


def test_a_damaged_stack_leaves_nothing_behind(tmp_path):
    tree = make_tree(tmp_path / "tree")
    shards = sorted((Path(tree.results.stacks) / "b000_001" / "sentinel1.zarr").rglob("c/**/0"))
    chunk = next(p for p in shards if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(StorageError, match="damaged"):
        layouts(tree.built(), tree.settings("layouts"), tmp_path / "out", threads=2)
    assert [p.name for p in tmp_path.iterdir()] == ["tree"]


def test_a_manifest_of_other_patches_is_refused(small, tmp_path):
    table = small.table.copy()
    table.loc[3, "patch_id"] = "r00099_c00099"
    write_geoparquet(table, tmp_path / "manifest.parquet")
    built = small.built(manifest=tmp_path / "manifest.parquet")
    with pytest.raises(StorageError, match="r00099_c00099"):
        layouts(built, small.settings("layouts"), tmp_path / "out")
