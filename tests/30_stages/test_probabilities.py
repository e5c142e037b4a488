# SPDX-License-Identifier: Apache-2.0
"""Probabilities of snow and clouds: a layer of its own beside the reflectances."""

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pydantic import ValidationError

from made.catalog import make_safe, write_raster
from made.scenes import Unit, all_corners
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.sentinel2 import asset_names
from terrapatch.errors import SceneError
from terrapatch.rasters import read_window
from terrapatch.records import LockedAsset
from terrapatch.settings import Sentinel2Settings

BANDS = ("SNWPRB", "CLDPRB")
LEFT, TOP, SIDE_M = 500_000.0, 4_982_400.0, 2_400
GRID = GeoBox.from_bbox((LEFT, TOP - SIDE_M, LEFT + SIDE_M, TOP), crs="EPSG:32631", resolution=10)


def product(folder, *, day="20220115", masks=BANDS, missing=(0, 0), seed=1, **about):
    """A product with masks of its own; in the first columns nothing was seen."""
    root = make_safe(folder, scl=True, start=f"{day}T105341", **about)
    (granule,) = (root / "GRANULE").iterdir()
    rng, shape = np.random.default_rng(seed), (120, 120)
    for name in masks:
        pixels = rng.integers(0, 101, shape).astype("uint8")
        pixels[rng.random(shape) < 0.3] = 0
        write_raster(granule / "QI_DATA" / f"MSK_{name}_20m.jp2", left=LEFT, top=TOP, res=20, size=120,
                     dtype="uint8", value=pixels)  # fmt: skip
    classes = rng.integers(1, 12, shape).astype("uint8")
    classes[:, missing[0] : missing[1]] = 0
    (scl,) = granule.rglob("*_SCL_*")
    write_raster(scl, left=LEFT, top=TOP, res=20, size=120, dtype="uint8", value=classes)
    return root


def locked(folder):
    (scene,) = search([folder]).scenes
    wanted = Sentinel2Settings(bands=BANDS).wanted("esa")
    return locked_item(scene, wanted, Files(hash_files=False))


def whole(asset: LockedAsset):
    """A mask of 20 m on the 10 m grid, read at once."""
    rows, cols = asset.shape
    return read_window(asset, (slice(0, rows), slice(0, cols))).repeat(2, 0).repeat(2, 1)


def mosaic(stack, name, time=0):
    """Patches of 80 x 80 px put together again: (band, y, x)."""
    rows = stack.read(slice(None), name, time)
    rows = rows if rows.ndim == 4 else rows[:, None]
    return rows.reshape(3, 3, -1, 80, 80).transpose(2, 0, 3, 1, 4).reshape(-1, 240, 240)


def built(folder, items, **settings):
    return Unit(folder, GRID, all_corners(GRID.shape, 80), 80).build(items, bands=BANDS, **settings)


def test_a_single_image_is_the_first_product_that_saw_the_ground(tmp_path):
    first = locked(product(tmp_path / "a", missing=(0, 40)))
    second = locked(product(tmp_path / "b", day="20220125", seed=2))
    stack = built(tmp_path / "unit", [first, second])
    seen = whole(first.assets["SCL"]) > 0
    data, source = mosaic(stack, "data"), mosaic(stack, "source")[0]
    np.testing.assert_array_equal(source, np.where(seen, 1, 2))
    for n, band in enumerate(BANDS):
        truth = np.where(seen, whole(first.assets[band]), whole(second.assets[band]))
        np.testing.assert_array_equal(data[n], truth)
    assert (data[:, source > 0] == 0).mean() > 0.2, "0 is a value"
    info = stack.info
    assert (info.dtype, info.values.unit, info.values.nodata) == ("uint8", "percent", None)
    assert info.values.offset == 0


def test_a_series_has_an_image_a_date_and_masked_classes_are_missing(tmp_path):
    items = [
        locked(product(tmp_path / "a", missing=(0, 40))),
        locked(product(tmp_path / "b", day="20220125", seed=2)),
    ]
    stack = built(tmp_path / "unit", items, time="series", mask_scl=(8, 9), harmonise=False)
    assert len(stack.info.times) == 2
    for time, item in enumerate(items):
        good = ~np.isin(whole(item.assets["SCL"]), (0, 8, 9))
        np.testing.assert_array_equal(mosaic(stack, "source", time)[0] > 0, good)
        for n, band in enumerate(BANDS):
            data = mosaic(stack, "data", time)[n]
            np.testing.assert_array_equal(data, np.where(good, whole(item.assets[band]), 0))


def test_all_of_zero_is_no_reason_to_refuse_a_scene(tmp_path):
    root = product(tmp_path / "a")
    for path in root.rglob("MSK_*"):
        zeros = np.zeros((120, 120), "uint8")
        write_raster(path, left=LEFT, top=TOP, res=20, size=120, dtype="uint8", value=zeros)
    stack = built(tmp_path / "unit", [locked(root)])
    assert (mosaic(stack, "source") == 1).all()
    assert not mosaic(stack, "data").any()


def test_a_product_without_a_mask_is_told(tmp_path):
    root = product(tmp_path, masks=("CLDPRB",))
    with pytest.raises(SceneError, match=r"lacks the band\(s\) SNWPRB .*leave these bands out"):
        locked(root)


def test_offsets_and_scales_of_the_reflectances_are_not_theirs(tmp_path):
    item = locked(product(tmp_path))
    for band in BANDS:
        asset = item.assets[band]
        assert (asset.add_offset, asset.gain, asset.nodata) == (0, 1, None)


def test_what_is_usual_for_them_stands_where_the_recipe_is_silent():
    assert (Sentinel2Settings(bands=BANDS).kernel, Sentinel2Settings(bands=BANDS).dtype) == (
        "nearest",
        "uint8",
    )
    assert Sentinel2Settings(bands=["CLDPRB"], kernel="bilinear").kernel == "bilinear"
    assert Sentinel2Settings(bands=["B04"]).kernel == "bilinear"
    assert asset_names("SNWPRB")[-1] == "snow"
    assert asset_names("CLDPRB")[-1] == "cloud"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"bands": ["B04", "SNWPRB"]}, "bands: SNWPRB are percent.*layer of their own"),
        ({"bands": ["CLDPRB"], "dtype": "uint16"}, "dtype: probabilities are uint8"),
        ({"bands": ["CLDPRB"], "upsample_first": "cubic"}, "upsample_first: not for"),
        ({"bands": ["CLDPRB"], "level": "L1C"}, "ESA's Level-2A alone"),
        ({"bands": ["CLDPRB"], "processor": "theia"}, "ESA's Level-2A alone"),
        ({"bands": ["B04"], "dtype": "uint8"}, "dtype: uint8 is for probabilities"),
    ],
)
def test_what_does_not_go_together_is_refused(said, told):
    with pytest.raises(ValidationError, match=told):
        Sentinel2Settings(**said)
