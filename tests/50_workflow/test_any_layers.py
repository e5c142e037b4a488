# SPDX-License-Identifier: Apache-2.0
"""Everything behind the stacks takes the layers that there are: labels of any number, any pixel size."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import zarr

from made.variants import with_coarse_radar, with_elevation, with_two_labels, without_labels
from terrapatch.errors import StorageError
from terrapatch.layouts import layouts
from terrapatch.patches import patches
from terrapatch.publish import publish, report
from terrapatch.recipe import read_settings
from terrapatch.splits import splits
from terrapatch.tables import read_geoparquet, write_geoparquet
from terrapatch.training import require_passed, training
from terrapatch.training.grids import onto


def published(tree):
    """Layout, statistics, card, models and report of a tree, as the verbs make them."""
    r = tree.results
    layouts(tree.built(), tree.settings("layouts"), Path(r.dataset))
    publish(tree.built(), tree.settings("publish"))
    training(tree.built(), tree.settings("training"))
    report(tree.built(), tree.settings("publish"), Path(r.report))
    card = (Path(r.dataset) / "README.md").read_text("utf-8")
    return card, Path(r.report).read_text("utf-8"), json.loads(Path(r.metrics).read_text("utf-8"))


def unit_table(tree, folder, unit):
    """What the stage `patches` says of a unit of a tree."""
    r = tree.results
    mine = tree.table[tree.table["unit"] == unit].reset_index(drop=True)
    columns = ["patch_id", "unit", "row", "col", "y_px", "x_px", "size_px", "geometry"]
    write_geoparquet(mine[columns], folder / "footprints.parquet")
    layers = read_settings(tree.settings("patches")).layers
    patches(
        [Path(r.lock)], unit, folder / "footprints.parquet",
        {name: Path(r.stack(unit, name)) for name in layers}, tree.settings("patches"),
        folder / f"{unit}.parquet", folder / f"{unit}_dates.parquet",
    )  # fmt: skip
    return read_geoparquet(folder / f"{unit}.parquet")


def statistics_of(tree):
    return json.loads(Path(tree.results.statistics).read_text("utf-8"))


FOREST = {"training": {"models": ["forest"], "pixels_per_class": 50, "trees": 5}}


def test_a_dataset_without_labels_goes_all_the_way(tmp_path):
    tree = without_labels(tmp_path / "tree")
    card, page, metrics = published(tree)
    assert statistics_of(tree)["classes"] == {}
    assert sorted(p.name for p in Path(tree.results.dataset).glob("*.zarr")) == [
        "sentinel1.zarr", "sentinel2.zarr",
    ]  # fmt: skip
    assert (Path(tree.results.dataset) / "classes.csv").read_text("utf-8").count("\n") == 1
    assert "## Classes" not in card
    assert "labels" not in card.split("## How it was made")[0]
    assert "semantic-segmentation" not in card
    assert "The recipe has no layer of labels." in page
    assert "neither a layer of labels nor a task" in metrics["skipped"]
    assert not metrics["required"]
    require_passed(Path(tree.results.metrics), Path(tree.results.passed))
    assert Path(tree.results.passed).is_file()


def test_two_layers_of_labels_stand_side_by_side(tmp_path):
    tree = with_two_labels(
        tmp_path / "tree", FOREST | {"training": {**FOREST["training"], "target": "label"}}
    )
    settings = tree.settings("training")
    plain = json.loads(settings.read_text("utf-8"))
    plain["training"]["target"] = "crops"
    settings.write_text(json.dumps(plain), encoding="utf-8")
    card, page, metrics = published(tree)
    figures = statistics_of(tree)["classes"]
    assert list(figures) == ["crops", "label"]
    assert figures["crops"] == figures["label"]
    root = Path(tree.results.dataset)
    first, second = (
        zarr.open_group(root / f"{name}.zarr", mode="r") for name in ("label", "crops")
    )
    np.testing.assert_array_equal(first["data"][:], second["data"][:])
    classes = pd.read_csv(root / "classes.csv")
    assert classes.groupby("layer").size().to_dict() == {"crops": 21, "label": 21}
    for part in ("### label l2", "### crops l1", "crops = zarr.open_group"):
        assert part in card
    for part in ("Labels label l2", "Labels crops l1", "Pixels of crops l2"):
        assert part in page
    assert metrics["target"] == "crops"
    assert metrics["models"]["forest"]["macro_f1"] > 0


def test_a_layer_of_larger_pixels_keeps_them_and_says_so(tmp_path):
    tree = with_coarse_radar(tmp_path / "tree", FOREST)
    card, page, metrics = published(tree)
    root = Path(tree.results.dataset)
    written = zarr.open_group(root / "sentinel1.zarr", mode="r")["data"]
    assert written.shape[-1] == 16
    assert zarr.open_group(root / "sentinel2.zarr", mode="r")["data"].shape[-1] == 32
    ids = tree.kept["patch_id"].tolist()
    for number, name in enumerate(ids):
        np.testing.assert_array_equal(written[number, 0], tree.pixels["sentinel1"][name])
    record = json.loads(Path(tree.results.layout).read_text("utf-8"))["layers"]
    assert record["sentinel1"]["pixel"] == 2 * record["sentinel2"]["pixel"]
    figures = statistics_of(tree)["layers"]
    assert figures["sentinel1"]["pixels"][0] * 4 == figures["sentinel2"]["pixels"][0]
    assert "16 px of" in card
    assert "16 px of" in page
    assert metrics["inputs"] == ["sentinel2", "sentinel1"]
    assert metrics["models"]["forest"]["macro_f1"] > 0.2


def test_a_kind_without_a_row_is_told_and_shown_by_its_values(tmp_path):
    tree = with_elevation(tmp_path / "tree")
    table = unit_table(tree, tmp_path, tree.kept["unit"].iloc[0])
    assert all(list(days) == [] for days in table["dates_dem"])
    card, page, metrics = published(tree)
    assert "| dem | 1 bands: height (metres) |" in card
    assert "`dem`" in card or "dem" in card.split("## Layout")[0]
    assert "dem: height" in page
    assert statistics_of(tree)["layers"]["dem"]["values"]["unit"] == "metres"
    assert metrics["inputs"] == ["sentinel2", "sentinel1", "dem"]
    assert zarr.open_group(Path(tree.results.dataset) / "dem.zarr", mode="r")["data"].shape[2] == 1


def test_files_of_a_published_layout_have_the_pixel_of_their_own_layer(tmp_path):
    tree = with_coarse_radar(tmp_path / "tree", {"layouts": {"name": "cerradata4mm"}})
    root = tmp_path / "out"
    layouts(tree.built(), tree.settings("layouts"), root)
    optical = sorted((root / "msi_images").iterdir())
    radar = sorted((root / "sar_images").iterdir())
    masks = sorted((root / "semantic_14c").iterdir())
    assert len(optical) == len(radar) == len(tree.kept)
    for first, second, third in zip(optical, radar, masks, strict=True):
        with (
            rasterio.open(first) as fine,
            rasterio.open(second) as coarse,
            rasterio.open(third) as mask,
        ):
            assert fine.shape == mask.shape == (32, 32)
            assert coarse.shape == (16, 16)
            assert coarse.bounds == fine.bounds == mask.bounds


def test_the_table_of_a_unit_takes_stacks_on_the_same_ground_alone(tmp_path):
    """Layers twice as coarse belong to the footprints; shifted ones, or of other sides, do not."""
    tree = with_coarse_radar(tmp_path / "tree")
    unit = tree.kept["unit"].iloc[0]
    table = unit_table(tree, tmp_path, unit)
    mine = tree.table[tree.table["unit"] == unit].set_index("patch_id")
    for row in table.itertuples():
        assert row.hash_sentinel1 == mine.loc[row.patch_id, "hash_sentinel1"]
        assert row.hash_label == mine.loc[row.patch_id, "hash_label"]
        assert row.valid_sentinel1 == 1
    node = Path(tree.results.stack(unit, "sentinel1")) / "zarr.json"
    for shift in (0.5, 1e-3):
        plain = json.loads(node.read_text("utf-8"))
        geobox = plain["attributes"]["terrapatch"]["geobox"]
        geobox["transform"][2] += shift * geobox["transform"][0]
        (tmp_path / "kept.json").write_bytes(node.read_bytes())
        node.write_text(json.dumps(plain), encoding="utf-8")
        with pytest.raises(StorageError, match="another grid"):
            unit_table(tree, tmp_path, unit)
        node.write_bytes((tmp_path / "kept.json").read_bytes())


@pytest.mark.parametrize(
    ("make", "labels"), [(without_labels, ()), (with_two_labels, ("label", "crops"))]
)
def test_columns_and_splits_are_those_of_the_layers_there_are(tmp_path, make, labels):
    tree = make(tmp_path / "tree")
    units = list(dict.fromkeys(tree.table["unit"]))
    paths = []
    for unit in units:
        table = unit_table(tree, tmp_path, unit)
        paths.append(tmp_path / f"{unit}.parquet")
        for kind in ("valid", "hash"):
            found = [n for n in table.columns if n.startswith(f"{kind}_")]
            assert found == [f"{kind}_{n}" for n in ("sentinel2", "sentinel1", *labels)]
        counts = [n for n in table.columns if n.startswith("counts_")]
        assert counts == [f"counts_{name}_{level}" for name in labels for level in ("l2", "l1")]
    settings = tree.settings("splits")
    plain = json.loads(settings.read_text("utf-8"))
    plain["splits"] |= {"block_m": 700, "buffer_m": 0}
    settings.write_text(json.dumps(plain), encoding="utf-8")
    splits(paths, settings, tmp_path / "manifest.parquet", tmp_path / "splits.json")
    found = pd.read_parquet(tmp_path / "manifest.parquet", columns=["split"])
    assert set(found["split"].dropna()) == {"train", "val", "test"}


@pytest.mark.parametrize(("own", "size"), [(4, 8), (8, 4), (6, 4), (5, 5)])
def test_inputs_come_onto_the_pixels_of_the_labels(own, size):
    rng = np.random.default_rng(1)
    values = rng.random((2, 3, own, own), np.float32)
    valid = rng.random((2, own, own)) > 0.2
    found, seen = onto(values, valid, size)
    assert found.shape == (2, 3, size, size)
    for patch in range(2):
        for y in range(size):
            for x in range(size):
                if own % size == 0:  # all pixels in it, and their mean
                    k = own // size
                    part = (slice(y * k, y * k + k), slice(x * k, x * k + k))
                    wanted = valid[patch][part].all()
                    value = values[patch][:, *part].mean(axis=(1, 2)) if wanted or k == 1 else 0
                else:  # the one that its centre lies in
                    at = tuple(int((i + 0.5) * own / size) for i in (y, x))
                    wanted, value = valid[patch][at], values[patch][:, *at]
                assert seen[patch, y, x] == wanted
                np.testing.assert_allclose(found[patch, :, y, x], value, rtol=1e-6)


def test_finer_decibels_are_averaged_as_power():
    values = np.array([[[[0.0, 10.0], [10.0, 10.0]]]], np.float32)
    found, seen = onto(values, np.ones((1, 2, 2), bool), 1, decibel=True)
    assert seen.all()
    assert found.item() == pytest.approx(10 * np.log10(31 / 4), rel=1e-6)
