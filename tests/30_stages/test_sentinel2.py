# SPDX-License-Identifier: Apache-2.0
"""The Sentinel-2 stage: radiometry, scene classes, kernels from the settings, real products."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from made.scenes import (
    Unit,
    all_corners,
    brute_bilinear,
    brute_mean,
    item,
    pixels,
    source_coordinates,
    write_asset,
)
from terrapatch.errors import GridError, RecipeError, SceneError, SourceError
from terrapatch.grid import geobox_from_dict, snapped_geobox
from terrapatch.kinds import stack
from terrapatch.layers import Values
from terrapatch.rasters import read_header, read_window
from terrapatch.records import LockedAsset

UTM = "EPSG:32722"
GRID = GeoBox((64, 64), Affine(10, 0, 600_000, 0, -10, 9_000_000), UTM)


def ten(folder, name, array, **locked):
    return write_asset(folder / f"{name}.jp2", array, GRID.affine, UTM, **{"nodata": 0, **locked})


def twenty(folder, name, array, **locked):
    transform = Affine(20, 0, 600_000, 0, -20, 9_000_000)
    return write_asset(folder / f"{name}.jp2", array, transform, UTM, **{"nodata": 0, **locked})


@pytest.fixture
def unit(tmp_path):
    return Unit(tmp_path / "unit", GRID, all_corners(GRID.shape, 32), 32)


def steps():
    """DN from missing and darkest to saturated, in blocks of 8 rows."""
    values = np.array([0, 1, 900, 1000, 1001, 3000, 40_000, 65_535], np.uint16)
    return np.repeat(values, 8)[:, None] * np.ones((1, 64), np.uint16)


def test_the_products_offset_is_added_and_valid_pixels_stay_above_nodata(tmp_path, unit):
    asset = ten(tmp_path, "B02", steps(), add_offset=-1000)
    stack = unit.build([item("A", {"B02": asset})], bands=("B02",))
    assert stack.info.values == Values("reflectance", scale=1e-4, nodata=0)
    assert pixels(stack)[0, ::8, 0].tolist() == [0, 1, 1, 1, 1, 2000, 39_000, 64_535]
    assert (pixels(stack, "source")[::8, 0] > 0).tolist() == [False] + 7 * [True]


def test_without_harmonising_the_dn_stay_as_delivered(tmp_path, unit):
    asset = ten(tmp_path, "B02", steps(), add_offset=-1000)
    stack = unit.build([item("A", {"B02": asset})], bands=("B02",), harmonise=False)
    np.testing.assert_array_equal(pixels(stack)[0], steps())
    assert stack.info.values.offset is None
    assert "offset" in stack.info.values.text


def test_each_asset_has_its_own_offset(tmp_path, unit):
    array = np.full((64, 64), 3000, np.uint16)
    assets = {
        "B02": ten(tmp_path, "B02", array, add_offset=-1000),
        "B03": ten(tmp_path, "B03", array, add_offset=0),
        "B04": ten(tmp_path, "B04", array, add_offset=200),
    }
    stack = unit.build([item("A", assets)], bands=("B04", "B02", "B03"))
    assert [set(np.unique(band)) for band in pixels(stack)] == [{3200}, {2000}, {3000}]


def test_zero_is_missing_even_if_the_lock_names_no_nodata(tmp_path, unit):
    asset = ten(tmp_path, "B02", steps(), nodata=None)
    stack = unit.build([item("A", {"B02": asset})], bands=("B02",))
    assert (pixels(stack, "source")[:8] == 0).all()


def test_float_stacks_keep_fractions(tmp_path, unit):
    coarse = np.random.default_rng(0).integers(1, 9000, (32, 32)).astype(np.uint16)
    asset = twenty(tmp_path, "B05", coarse, add_offset=-500)
    scene = item("A", {"B05": asset})
    exact = pixels(unit.build([scene], bands=("B05",), dtype="float32", output="f.zarr"))[0]
    whole = pixels(unit.build([scene], bands=("B05",), output="u.zarr"))[0]
    expected = np.maximum(brute_bilinear(coarse, *source_coordinates(GRID, asset)) - 500, 1)
    np.testing.assert_allclose(exact, expected, atol=1e-2)
    assert exact.dtype == np.float32
    np.testing.assert_array_equal(whole, np.floor(exact + 0.5))
    assert (exact % 1 > 0).any()


def test_one_missing_band_makes_the_pixel_missing_in_all(tmp_path, unit):
    full, gap = np.full((64, 64), 500, np.uint16), np.full((32, 32), 600, np.uint16)
    gap[4, 6] = 0
    assets = {"B02": ten(tmp_path, "B02", full), "B05": twenty(tmp_path, "B05", gap)}
    stack = unit.build([item("A", assets)], bands=("B02", "B05"), kernel="nearest")
    missing = np.zeros((64, 64), bool)
    missing[8:10, 12:14] = True
    np.testing.assert_array_equal(pixels(stack, "source") == 0, missing)
    np.testing.assert_array_equal(pixels(stack)[0] == 0, missing)


def classes(folder):
    """Vegetation, with a cloud and its shadow."""
    scl = np.full((32, 32), 4, np.uint8)
    scl[2:6, 2:6] = 9
    scl[10:12, 20:24] = 3
    return scl, twenty(folder, "SCL", scl)


def test_scene_classes_are_kept_where_asked_and_never_mixed(tmp_path, unit):
    scl, asset = classes(tmp_path)
    assets = {"B02": ten(tmp_path, "B02", steps()), "SCL": asset}
    stack = unit.build([item("A", assets)], bands=("B02",), scl=True)
    expected = scl.repeat(2, 0).repeat(2, 1)
    expected[:8] = 0  # no data: no class
    np.testing.assert_array_equal(pixels(stack, "scl"), expected)
    assert stack.info.scl


def test_masked_classes_are_filled_from_the_next_scene(tmp_path, unit):
    scl, asset = classes(tmp_path)
    clear = np.full((32, 32), 5, np.uint8)
    scenes = [
        item(name, {"B02": ten(tmp_path / name, "B02", np.full((64, 64), dn, np.uint16)), "SCL": c})
        for name, dn, c in (
            ("cloudy", 5000, asset),
            ("clear", 300, twenty(tmp_path / "clear", "SCL", clear)),
        )
    ]
    masked = np.isin(scl, [3, 9]).repeat(2, 0).repeat(2, 1)
    stack = unit.build(scenes, bands=("B02",), mask_scl=(3, 9), scl=True)
    np.testing.assert_array_equal(pixels(stack, "source"), np.where(masked, 2, 1))
    np.testing.assert_array_equal(pixels(stack)[0], np.where(masked, 300, 5000))
    np.testing.assert_array_equal(pixels(stack, "scl"), np.where(masked, 5, 4))
    alone = unit.build(scenes[:1], bands=("B02",), mask_scl=(3, 9), output="alone.zarr")
    np.testing.assert_array_equal(pixels(alone, "source") == 0, masked)
    assert "scl" not in alone.group


def test_upsampling_first_is_the_order_of_steps_of_the_setting(tmp_path):
    coarse = np.random.default_rng(0).integers(1, 9000, (64, 64)).astype(np.uint16)
    asset = twenty(tmp_path, "B05", coarse)
    geobox = snapped_geobox(
        (-50.0885, -9.0585, -50.0805, -9.0505), "EPSG:4326", 8.983152841195215e-05
    )
    unit = Unit(tmp_path / "unit", geobox, all_corners(geobox.shape, 64), 64)
    stack = unit.build([item("A", {"B05": asset})], bands=("B05",), upsample_first="nearest")
    fine = asset.model_copy(
        update={"transform": (10, 0, 600_000, 0, -10, 9_000_000), "shape": (128, 128)}
    )
    expected = brute_bilinear(coarse.repeat(2, 0).repeat(2, 1), *source_coordinates(geobox, fine))
    filled = pixels(stack, "source") > 0
    assert filled.sum() > 4000
    difference = np.abs(pixels(stack)[0] - expected)[filled]
    # Pixels repeated make steps: a thousandth of a pixel is ten DN there.
    assert difference.max() < 12
    assert difference.mean() < 0.6


def test_upsampling_first_of_degrees_is_refused(tmp_path):
    transform = Affine(2e-4, 0, -50, 0, -2e-4, -9)
    asset = write_asset(tmp_path / "B05.jp2", np.ones((64, 64), np.uint16), transform, "EPSG:4326")
    geobox = snapped_geobox((-49.999, -9.009, -49.991, -9.001), "EPSG:4326", 1e-4)
    with pytest.raises(GridError, match="upsample_first: null"):
        Unit(tmp_path / "unit", geobox, [(0, 0)], 16).build(
            [item("A", {"B05": asset})], bands=("B05",), upsample_first="cubic"
        )


def test_products_in_a_zip_are_read_in_place_and_checked_by_the_archive(tmp_path, unit):
    asset = ten(tmp_path, "B02", steps())
    archive = tmp_path / "product.SAFE.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(asset.href, "product.SAFE/IMG_DATA/B02.jp2")
    inside = asset.model_copy(
        update={
            "href": f"/vsizip/{archive}/product.SAFE/IMG_DATA/B02.jp2",
            "size": archive.stat().st_size,
        }
    )
    scene = item("A", {"B02": inside})
    np.testing.assert_array_equal(pixels(unit.build([scene], bands=("B02",)))[0], steps())
    wrong = inside.model_copy(update={"size": 1})
    with pytest.raises(SourceError, match=r"product\.SAFE\.zip: changed"):
        unit.build([item("A", {"B02": wrong})], bands=("B02",))
    archive.unlink()
    with pytest.raises(SourceError, match=r"product\.SAFE\.zip: no longer there"):
        unit.build([scene], bands=("B02",))


def test_scl_is_asked_of_every_scene(tmp_path, unit):
    with pytest.raises(SceneError, match="A: has no SCL"):
        unit.build([item("A", {"B02": ten(tmp_path, "B02", steps())})], bands=("B02",), scl=True)


def test_settings_that_are_no_settings_are_refused(tmp_path):
    (tmp_path / "s.json").write_text('{"name": "t"')
    with pytest.raises(RecipeError):
        stack(tmp_path / "l", "u", "sentinel2", tmp_path / "f", tmp_path / "s.json", tmp_path / "o")


def locked(path):
    header = read_header(str(path))
    return LockedAsset(
        href=str(path), size=path.stat().st_size, crs=header.crs, transform=header.transform,
        shape=header.shape, dtype=header.dtype, nodata=0,
    )  # fmt: skip


def test_a_real_cog_set_comes_through_the_warp_as_the_textbook_says(shared_data, tmp_path):
    folder = shared_data / "s2_l2a_cog" / "S2A_29RKH_20200219_0_L2A"
    bands = ("B01", "B02", "B8A")
    assets = {band: locked(folder / f"{band}.tif") for band in (*bands, "SCL")}
    geobox = snapped_geobox((-11.9, 24.35, -11.5, 24.75), "EPSG:4326", 1e-3)
    unit = Unit(tmp_path / "unit", geobox, all_corners(geobox.shape, 64), 64)
    stack = unit.build([item("A", assets)], bands=bands, scl=True, threads=2)
    source = pixels(stack, "source")
    for place, band in enumerate(bands):
        asset = assets[band]
        array = read_window(asset, (slice(0, asset.shape[0]), slice(0, asset.shape[1])))
        expected = brute_mean(array, *source_coordinates(geobox, asset))
        found = pixels(stack)[place]
        # Pixels of 111 m: cells of the lattice are 7 km wide, and errors 0.007 px in place of 0.0006.
        assert np.abs(found - expected)[source > 0].max() < 6
        assert not np.isnan(expected[source > 0]).any()
    assert source[: 6 * 64, : 6 * 64].mean() > 0.99
    assert set(np.unique(pixels(stack, "scl"))) <= set(range(12))


@pytest.mark.parametrize("day", ["20240120", "20240305"])
def test_real_l1c_crops_are_copied_on_their_own_grid(shared_data, tmp_path, day):
    found = sorted(
        (shared_data / "s2_l1c_safe").glob(f"S2?_MSIL1C_{day}*.SAFE/**/IMG_DATA/*_B0[48].jp2")
    )
    if len(found) != 2:
        pytest.skip("these crops are not among the samples")
    assets = {path.stem[-3:]: locked(path) for path in found}
    first = assets["B04"]
    geobox = geobox_from_dict(
        {"crs": first.crs, "transform": first.transform, "shape": first.shape}
    )
    unit = Unit(tmp_path / "unit", geobox, [(0, 0), (14, 14)], 16)
    stack = unit.build([item("A", assets)], bands=("B04", "B08"), kernel="cubic")
    for place, band in enumerate(("B04", "B08")):
        whole = read_window(assets[band], (slice(0, 30), slice(0, 30)))
        for (y, x), patch in zip(unit.corners, stack.read(slice(None))[:, 0, place], strict=True):
            np.testing.assert_array_equal(patch, whole[y : y + 16, x : x + 16])


def test_stages_can_be_called_with_plain_paths(tmp_path, unit):
    stack = unit.build([item("A", {"B02": ten(tmp_path, "B02", steps())})], bands=("B02",))
    assert stack.path == Path(unit.folder / "out.zarr")
    assert (stack.info.layer, stack.info.kind) == ("sentinel2", "sentinel2")
    assert stack.info.unit == "b000_000"
