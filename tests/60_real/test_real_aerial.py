# SPDX-License-Identifier: Apache-2.0
"""A genuine aerial image (TreeSatAI, 0.2 m, four bands) as a layer of plain rasters."""

import shutil

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from made.scenes import Unit
from terrapatch.catalog.described import raster_scene
from terrapatch.catalog.files import Files
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.product import file_geobox, header_of
from terrapatch.errors import SceneError
from terrapatch.settings import RasterSettings

BANDS = ("B1", "B2", "B3", "B4")


@pytest.fixture
def image(shared_data, tmp_path):
    """A copy, which may be changed."""
    found = sorted((shared_data / "s1s2_treesat_series").glob("*.tif"))
    if not found:
        pytest.skip("no aerial image among the real samples")
    return shutil.copyfile(found[0], tmp_path / "aerial.tif")


def locked(path):
    layer = RasterSettings(path=str(path), bands=BANDS, date="2019-06-01")
    found = raster_scene(path, header_of(str(path)), layer, "layers.aerial")
    return locked_item(found, layer.bands, Files(hash_files=False))


def test_a_band_that_the_file_calls_alpha_is_not_taken_for_a_measurement(image):
    with pytest.raises(SceneError, match=r"band 4 is wanted.*alpha band.*gdal_edit"):
        locked(image)


def test_pixels_on_the_files_own_grid_are_the_files(image, tmp_path):
    with rasterio.open(image, "r+") as file:
        file.colorinterp = [
            ColorInterp.red,
            ColorInterp.green,
            ColorInterp.blue,
            ColorInterp.undefined,
        ]
        truth = file.read()
    box = file_geobox(str(image))
    unit = Unit(tmp_path / "unit", box, [(0, 0), (0, 152), (152, 0), (152, 152)], 152)
    item = locked(image)
    assert item.datetime == "2019-06-01T00:00:00Z"
    stack = unit.build([item], path="x", bands=BANDS, kernel="nearest", dtype="uint8")
    data = stack.read(slice(None))[:, 0]
    for patch, (top, left) in zip(data, unit.corners, strict=True):
        np.testing.assert_array_equal(patch, truth[:, top : top + 152, left : left + 152])
    assert (stack.read(slice(None), "source") == 1).all()
