# SPDX-License-Identifier: Apache-2.0
"""Python of the data card runs as printed, in the dataset's folder, and gives what it says.

Readers are the genuine ones (rasterio, zarr, h5py, geopandas, pandas); terratorch's where it is
installed, and its contracts (`made.terratorch_contract`, `made.sen4map_contract`) elsewhere; torchgeo's
likewise (`made.flairhub_contract`).
"""

import json
import re
import sys
import types
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from made import flairhub_contract, sen4map_contract, terratorch_contract
from made.cards import snippets
from made.flairhub import KEYS as FLAIRHUB_KEYS
from made.flairhub import make_regions
from made.flairhub import truth_of as flairhub_truth
from made.multisenge import SIZE, make_tiles
from made.results import make_tree
from made.sen4map import make_survey
from terrapatch.acquisitions import DATES, write_dates
from terrapatch.layouts import layouts
from terrapatch.paths import Built
from terrapatch.publish import publish
from terrapatch.stacks import open_stack


def finish(results, **given):
    r = results
    publish(Built.of(r), Path(r.settings("publish")))
    return Path(r.dataset)


def made_tiles(root, **recipe):
    tiles = make_tiles(root, **recipe)
    layouts(tiles.built(), tiles.settings("layouts"), Path(tiles.results.dataset))
    return tiles, finish(tiles.results)


def made_tree(root, **recipe):
    tree = make_tree(root, recipe=recipe)
    layouts(tree.built(), tree.settings("layouts"), Path(tree.results.dataset))
    return tree, finish(tree.results)


def run(block, dataset, monkeypatch):
    """What a block leaves behind, run in the folder of the dataset."""
    names = {}
    with monkeypatch.context() as patch:
        patch.chdir(dataset)
        exec(compile(block, "README.md", "exec"), names)
    return names


@pytest.fixture
def terratorch(monkeypatch):
    """The genuine package, or its contract under its name."""
    try:
        import terratorch.datasets  # noqa: F401
    except ImportError:
        module = types.ModuleType("terratorch.datasets")
        module.GenericMultimodalSegmentationDataset = (
            terratorch_contract.GenericMultimodalSegmentationDataset
        )
        module.Sen4MapDatasetMonthlyComposites = sen4map_contract.Sen4MapDatasetMonthlyComposites
        monkeypatch.setitem(sys.modules, "terratorch", types.ModuleType("terratorch"))
        monkeypatch.setitem(sys.modules, "terratorch.datasets", module)


def check_samples(train, dataset, monkeypatch, classes, sensors, missing):
    """Every train patch is a sample; its files are of one patch; nothing in it is NaN."""
    table = gpd.read_parquet(dataset / "patches.parquet")
    assert len(train) == (table["split"] == "train").sum() > 3
    seen, replaced = set(), 0
    monkeypatch.chdir(dataset)
    for number in range(len(train)):
        sample = train[number]
        assert list(sample["image"]) == list(sensors)
        names = sample["filename"]
        places = {re.search(r"(\d+_\d+|\d{10})\.tif$", names[key])[1] for key in names}
        assert len(places) == 1
        seen.add(str(names["mask"]))
        for key, folder in sensors.items():
            values = np.asarray(sample["image"][key])
            assert np.isfinite(values).all()
            with rasterio.open(names[key]) as file:
                assert Path(names[key]).parent.name == folder
                pixels = file.read()
                hole = pixels == file.nodata
            # Bands stand first in ours and after terratorch's transform.
            np.testing.assert_allclose(values, np.where(hole, 0, pixels), rtol=1e-6)
            replaced += int(hole.sum())
        mask = np.asarray(sample["mask"])
        assert -1 <= mask.min() <= mask.max() < classes
        with rasterio.open(names["mask"]) as file:
            codes, nodata = file.read(1).astype(int), file.nodata
        truth = codes - 1 if nodata == 0 else np.where(codes == nodata, -1, codes)
        np.testing.assert_array_equal(mask, truth)
    assert len(seen) == len(train)
    assert (replaced > 0) == missing


@pytest.mark.parametrize("folders", ["kaggle", "loader"])
@pytest.mark.usefixtures("terratorch")
def test_snippets_of_cerradata4mm(tmp_path, monkeypatch, folders):
    tree, dataset = made_tree(
        tmp_path / "tree", layouts={"name": "cerradata4mm", "folders": folders}
    )
    (plain,), (generic,) = snippets(dataset)
    names = run(plain, dataset, monkeypatch)
    first = tree.kept.iloc[0]
    np.testing.assert_array_equal(names["pixels"], tree.pixels["sentinel2"][first.patch_id])
    assert names["bands"][:2] == ("B01", "B02")
    train = run(generic, dataset, monkeypatch)["train"]
    optical = {"kaggle": "msi_images", "loader": "opt_images"}[folders]
    check_samples(
        train, dataset, monkeypatch, 14, {"S2": optical, "S1": "sar_images"}, missing=False
    )


@pytest.mark.parametrize("wanted", [("sentinel2", "sentinel1"), ("sentinel1",), ("sentinel2",)])
@pytest.mark.usefixtures("terratorch")
def test_snippets_of_multisenge(tmp_path, monkeypatch, wanted):
    _, dataset = made_tiles(
        tmp_path / "tree", images=list(wanted),
        patches={"require": {name: {"valid": 0.05 if name == "sentinel1" else 0.5} for name in wanted}},
    )  # fmt: skip
    (plain,), (generic,) = snippets(dataset)
    names = run(plain, dataset, monkeypatch)
    images = pd.read_parquet(dataset / "images.parquet")
    sensor = {"sentinel2": "S2", "sentinel1": "S1"}[wanted[0]]
    mine = images[(images["id"] == images["id"].iloc[0]) & (images["sensor"] == sensor)]
    assert len(names["pixels"]) == mine["file"].notna().sum() >= 2
    assert all(p.shape[-2:] == (SIZE, SIZE) for p in names["pixels"])
    for image, valid in zip(names["pixels"], mine.dropna(subset="file")["valid"], strict=True):
        assert (~np.ma.getmaskarray(image)).mean() == pytest.approx(valid)
    train = run(generic, dataset, monkeypatch)["train"]
    sensors = {"S2": "s2", "S1": "s1"}
    chosen = {s: f for s, f in sensors.items() if f"sentinel{s[1]}" in wanted}
    # Partly seen dates are what turned a loss into NaN.
    check_samples(train, dataset, monkeypatch, 14, chosen, missing="sentinel1" in wanted)


@pytest.mark.usefixtures("terratorch")
def test_snippets_of_sen4map(tmp_path, monkeypatch):
    survey = make_survey(tmp_path / "tree")
    layouts(survey.built(), survey.settings("layouts"), Path(survey.results.dataset))
    dataset = finish(survey.results)
    (plain,), (generic,) = snippets(dataset)
    names = run(plain, dataset, monkeypatch)
    first = str(survey.kept["point_id"].iloc[0])
    data, scl = survey.pixels(first)
    np.testing.assert_array_equal(names["red"], data[:, 2])
    np.testing.assert_array_equal(names["classes"], scl)
    assert names["days"] == sorted(names["days"])
    assert len(names["days"]) == len(data)
    assert names["cover"] == survey.kept["lc1"].iloc[0]
    train = run(generic, dataset, monkeypatch)["train"]
    assert len(train) == (survey.kept["split"] == "train").sum() > 3
    for number in range(len(train)):
        sample = train[number]
        assert sample["image"].shape == (10, 12, 15, 15)
        assert int(sample["label"]) in range(9)


@pytest.mark.parametrize("labels", ["cosia", "lpis"])
def test_snippets_of_flairhub(tmp_path, monkeypatch, labels):
    left = ("lpis", "dem") if labels == "cosia" else ("cosia", "sentinel2", "sentinel2_mask")
    made = make_regions(tmp_path / "tree", leave_out=left)
    layouts(made.built(), made.settings("layouts"), Path(made.results.dataset))
    dataset = finish(made.results)
    (plain,), (block,) = snippets(dataset)
    names = run(plain, dataset, monkeypatch)
    patch = made.kept["patch_id"].iloc[0]
    unit, _ = made.number(patch)
    layer = "sentinel2" if labels == "cosia" else "sentinel1_asc"
    steps = made.dates(patch, layer)
    np.testing.assert_array_equal(names["series"], made.data[unit, layer][0, steps])
    times = made.times[unit, layer]
    assert names["days"] == [times[n][:10].replace("-", "") for n in steps]
    truth = flairhub_truth(made)
    kind = {"cosia": "land_cover", "lpis": "crop_type"}[labels]
    np.testing.assert_array_equal(names["labels"][0], truth[f"{patch}/{kind}"])
    try:
        import torchgeo.datasets  # noqa: F401
    except ImportError:
        module = types.ModuleType("torchgeo.datasets")
        module.FLAIRHUB = flairhub_contract.FLAIRHUB
        monkeypatch.setitem(sys.modules, "torchgeo", types.ModuleType("torchgeo"))
        monkeypatch.setitem(sys.modules, "torchgeo.datasets", module)
    train = run(block, dataset, monkeypatch)["train"]
    assert len(train) == (made.kept["split"] == "train").sum() > 1
    monkeypatch.chdir(dataset)
    for number in range(len(train)):
        assert set(train[number]) == {"mask"} | {
            key for name, key in FLAIRHUB_KEYS.items() if name not in left
        }


@pytest.mark.parametrize("wanted", [("sentinel2", "sentinel1"), ("sentinel1",)])
def test_snippets_of_the_native_layout_of_a_series(tmp_path, monkeypatch, wanted):
    tiles, dataset = made_tiles(
        tmp_path / "tree", images=list(wanted), layouts={"name": "native"},
        units=("32ULV", "31UGQ"),
    )  # fmt: skip
    (plain,), generic = snippets(dataset)
    assert not generic
    names = run(plain, dataset, monkeypatch)
    first = names["patches"].iloc[0]
    unit, modality = first.unit, wanted[0]
    dates = pd.read_parquet(tiles.results.dates)
    mine = dates[(dates["patch_id"] == first.patch_id) & (dates["layer"] == modality)]
    times = open_stack(tiles.results.stack(unit, modality)).info.times
    steps = [times.index(time) for time in mine.loc[mine["kept"], "time"]]
    truth = tiles.data[unit, modality][0, steps]
    np.testing.assert_array_equal(names["images"], truth)
    np.testing.assert_array_equal(names["seen"], tiles.source[unit, modality][0, steps] > 0)
    np.testing.assert_array_equal(names["label"], tiles.labels[unit][:SIZE, :SIZE])


def test_the_snippet_of_the_native_layout_of_a_mosaic(tmp_path, monkeypatch):
    tree = make_tree(tmp_path / "tree", recipe={"layouts": {"name": "native"}})
    names, count = tree.kept["patch_id"].tolist(), len(tree.kept)
    columns = {key: [None] * count for key in DATES}
    times = [
        open_stack(tree.results.stack(unit, "sentinel2")).info.times[0]
        for unit in tree.kept["unit"]
    ]
    columns |= {
        "patch_id": names, "unit": tree.kept["unit"].tolist(), "layer": ["sentinel2"] * count,
        "time": times, "valid": [1.0] * count,
        "kept": [True] * count,
    }  # fmt: skip
    write_dates(columns, tree.results.dates)
    layouts(Built.of(tree.results), tree.settings("layouts"), Path(tree.results.dataset))
    dataset = finish(tree.results)
    (plain,), _ = snippets(dataset)
    found = run(plain, dataset, monkeypatch)
    np.testing.assert_array_equal(found["images"], tree.pixels["sentinel2"][names[0]][None])
    np.testing.assert_array_equal(found["label"], tree.pixels["label"][names[0]][0])
    assert found["seen"].all()


def test_the_card_says_which_mode_fits_loaders_with_statistics_of_their_own(tmp_path):
    _, dataset = made_tree(tmp_path / "corrected")
    card = (dataset / "README.md").read_text("utf-8")
    assert 'this dataset is in mode\n`corrected`, so give those loaders `norm="none"`' in card
    _, dataset = made_tree(tmp_path / "published", mode="published")
    card = (dataset / "README.md").read_text("utf-8")
    assert "this dataset is in mode\n`published`.\n" in card
    for harmonise, text in ((True, "has no +1000 offset"), (False, "keeps the +1000 offset")):
        _, dataset = made_tree(
            tmp_path / str(harmonise), layouts={"name": "native"},
            sentinel2={"harmonise": harmonise},
        )  # fmt: skip
        assert f"Sentinel-2 {text}" in (dataset / "README.md").read_text("utf-8")


def test_the_contract_refuses_what_the_original_refuses(tmp_path, monkeypatch):
    """The reader's argument names are those of terratorch; today's card lacked two of them."""
    reader = terratorch_contract.GenericMultimodalSegmentationDataset
    old = {"data_root": {}, "label_data_root": "", "image_grep": {}, "label_grep": ".tif",
           "split": "", "allow_substring_file_names": True}  # fmt: skip
    with pytest.raises(TypeError, match=r"missing \['image_modalities', 'num_classes'\]"):
        reader(**old)
    with pytest.raises(TypeError, match=r"unexpected \['img_grep'\]"):
        reader(**old, img_grep="", num_classes=1, image_modalities=[])
    tiles, dataset = made_tiles(tmp_path / "tree", grid=(2, 4))
    settings = json.loads(Path(tiles.results.settings("layouts")).read_text("utf-8"))
    assert settings["layouts"]["name"] == "multisenge"
    monkeypatch.chdir(dataset)
    _, (generic,) = snippets(dataset)
    careless = generic.replace("no_data_replace=0, ", "")
    assert careless != generic
    names = {}
    module = types.ModuleType("terratorch.datasets")
    module.GenericMultimodalSegmentationDataset = reader
    monkeypatch.setitem(sys.modules, "terratorch", types.ModuleType("terratorch"))
    monkeypatch.setitem(sys.modules, "terratorch.datasets", module)
    exec(careless, names)
    train = names["train"]
    assert any(np.isnan(train[n]["image"]["S1"]).any() for n in range(len(train)))
