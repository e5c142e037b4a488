# SPDX-License-Identifier: Apache-2.0
"""Reference maps with several bands: the one with the codes is chosen, or the choice is asked for."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from terrapatch.catalog.described import described_scenes, map_scene
from terrapatch.errors import RecipeError, SceneError
from terrapatch.rasters import read_header
from terrapatch.settings import LabelsSettings, RasterSource

YEARS = ("classification_2020", "classification_2021", "classification_2022")


def write(path, names, *, alpha=False, count=None):
    count = count or len(names) + alpha
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=3, count=count, dtype="uint8", crs="EPSG:32631",
        transform=Affine(10, 0, 500_000, 0, -10, 5_000_000),
    ) as dataset:  # fmt: skip
        for band in range(1, count + 1):
            dataset.write(np.full((3, 4), band, np.uint8), band)
        for band, name in enumerate(names, start=1):
            if name:
                dataset.set_band_description(band, name)
        if alpha:
            dataset.colorinterp = [ColorInterp.gray] * (count - 1) + [ColorInterp.alpha]
    return str(path)


def band_of(scene):
    return scene.bands["map"].band


def test_several_bands_are_listed(tmp_path):
    path = write(tmp_path / "m.tif", YEARS)
    with pytest.raises(RecipeError, match=r"3 bands \(1 'classification_2020', 2 .*band"):
        map_scene(path)
    unnamed = write(tmp_path / "u.tif", [None, None])
    with pytest.raises(RecipeError, match=r"2 bands \(1, 2\)"):
        map_scene(unnamed)
    colours = write(tmp_path / "rgba.tif", [None] * 3, alpha=True)
    with pytest.raises(RecipeError, match=r"3 bands \(1, 2, 3\)"):
        map_scene(colours)


@pytest.mark.parametrize(
    ("band", "number"),
    [("classification_2022", 3), ("Classification_2021", 2), (2, 2), ("3", 3), (1, 1)],
)
def test_one_is_chosen_by_name_or_number(tmp_path, band, number):
    path = write(tmp_path / "m.tif", YEARS)
    scene = map_scene(path, band=band)
    assert band_of(scene) == number
    assert scene.id == f"m_{number}"
    entry = {"sensor": "reference", "path": path, "date": "2022-01-01", "bands": [str(band)]}
    (again,) = described_scenes([RasterSource(**entry)], "L2A")
    assert band_of(again) == number


@pytest.mark.parametrize("band", ["classification_2023", 4, "0", "", 0])
def test_a_band_that_is_not_there_is_an_error(tmp_path, band):
    path = write(tmp_path / "m.tif", YEARS)
    with pytest.raises(RecipeError, match=r"no band .* its bands are 1 'classification_2020'"):
        map_scene(path, band=band)


def test_names_that_two_bands_have_choose_none(tmp_path):
    path = write(tmp_path / "m.tif", ["lc", "LC", "x"])
    assert band_of(map_scene(path, band="LC")) == 2
    with pytest.raises(RecipeError, match="no band 'Lc'"):
        map_scene(path, band="Lc")


def test_one_band_needs_no_choice_and_alpha_is_none(tmp_path):
    assert band_of(map_scene(write(tmp_path / "a.tif", ["lc"]))) == 1
    scene = map_scene(write(tmp_path / "b.tif", [None], alpha=True))
    assert band_of(scene) == 1
    unnamed = write(tmp_path / "c.tif", [None])
    assert band_of(map_scene(unnamed, band="landcover")) == 1  # nothing speaks against the name
    with pytest.raises(RecipeError, match="no band 'other'"):
        map_scene(str(tmp_path / "a.tif"), band="other")


def test_each_date_is_an_entry_of_its_own(tmp_path):
    path = write(tmp_path / "m.tif", YEARS)
    entry = {"sensor": "reference", "path": path, "date": "2022-01-01", "bands": list(YEARS[:2])}
    with pytest.raises(
        RecipeError, match=r"catalog\.rasters\.0\.bands: a map has one band of codes"
    ):
        described_scenes([RasterSource(**entry)], "L2A")
    both = [RasterSource(**entry | {"bands": [year]}) for year in YEARS[1:]]
    assert [scene.id for scene in described_scenes(both, "L2A")] == ["m_2", "m_3"]


def test_a_band_belongs_to_a_path():
    with pytest.raises(ValueError, match=r"band chooses a band of path"):
        LabelsSettings(band=2)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_with_datasets_inside_are_named(tmp_path):
    path = tmp_path / "two.gpkg"
    for name in ("a", "b"):
        with rasterio.open(
            path, "w", driver="GPKG", width=8, height=8, count=1, dtype="uint8", crs="EPSG:32631",
            transform=Affine(10, 0, 500_000, 0, -10, 5_000_000), raster_table=name,
            append_subdataset="YES" if name == "b" else "NO",
        ) as dataset:  # fmt: skip
            dataset.write(np.ones((1, 8, 8), "uint8"))
    with pytest.raises(
        SceneError, match=r"two\.gpkg: holds no pixels itself, but several datasets"
    ):
        read_header(str(path))
