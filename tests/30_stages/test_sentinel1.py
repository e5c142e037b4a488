# SPDX-License-Identifier: Apache-2.0
"""The Sentinel-1 stage: power and decibel, missing pixels, real products."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from made.scenes import (
    Unit,
    all_corners,
    brute_bilinear,
    brute_mean,
    item,
    source_coordinates,
    write_asset,
)
from made.scenes import pixels as placed
from terrapatch.errors import SceneError
from terrapatch.grid import geobox_from_dict, snapped_geobox
from terrapatch.layers import Values
from terrapatch.rasters import read_header, read_window
from terrapatch.records import LockedAsset

UTM = "EPSG:32722"
GRID = GeoBox((64, 64), Affine(10, 0, 600_000, 0, -10, 9_000_000), UTM)
TWENTY = Affine(20, 0, 600_000, 0, -20, 9_000_000)


def raster(path, array, transform=GRID.affine, **locked):
    return write_asset(path, array, transform, UTM, jp2=False, **{"nodata_nan": True, **locked})


def scene(assets, name="S1"):
    return item(name, assets, sensor="sentinel1")


def power(seed, *shape):
    return np.random.default_rng(seed).gamma(4, 0.02, shape).astype(np.float32)


@pytest.fixture
def unit(tmp_path):
    return Unit(tmp_path / "unit", GRID, all_corners(GRID.shape, 32), 32)


def test_linear_power_on_the_same_grid_is_copied_bit_by_bit(tmp_path, unit):
    arrays = {"VV": power(0, 64, 64), "VH": power(1, 64, 64)}
    assets = {band: raster(tmp_path / f"{band}.tif", a) for band, a in arrays.items()}
    stack = unit.build([scene(assets)], polarisations=("VH", "VV"))
    np.testing.assert_array_equal(placed(stack), np.stack([arrays["VH"], arrays["VV"]]))
    assert stack.info.values == Values("linear power")
    assert stack.info.bands == ("VH", "VV")


def test_bands_of_one_file_are_told_apart(tmp_path, unit):
    both = np.stack([power(0, 64, 64), power(1, 64, 64)])
    asset = raster(tmp_path / "s1.tif", both)
    assets = {"VV": asset, "VH": asset.model_copy(update={"band": 2})}
    np.testing.assert_array_equal(placed(unit.build([scene(assets)])), both)


def test_decibel_are_turned_into_power_before_the_kernel(tmp_path, unit):
    coarse = power(0, 32, 32)
    as_power = raster(tmp_path / "p.tif", coarse, TWENTY)
    as_db = raster(tmp_path / "d.tif", 10 * np.log10(coarse), TWENTY, scale="db")
    from_power, from_db = (
        placed(unit.build([scene({"VV": asset})], polarisations=("VV",), output=f"{n}.zarr"))
        for n, asset in enumerate((as_power, as_db))
    )
    np.testing.assert_allclose(from_db, from_power, rtol=1e-5)
    expected = brute_bilinear(coarse, *source_coordinates(GRID, as_power), nodata=np.nan)
    np.testing.assert_allclose(from_power[0], expected, rtol=1e-5)
    wrong = 10 ** (brute_bilinear(10 * np.log10(coarse), *source_coordinates(GRID, as_power)) / 10)
    assert np.abs(wrong / expected - 1).max() > 0.01  # averaging dB is another thing


def test_decibel_come_out_with_a_floor_and_missing_pixels_as_zero(tmp_path, unit):
    array = power(0, 64, 64)
    array[0, :4] = [np.nan, 0.0, -0.001, 1.0]
    array[1, 0] = 1e-9
    asset = raster(tmp_path / "VV.tif", array)
    stack = unit.build([scene({"VV": asset})], polarisations=("VV",), scale="db")
    found, source = placed(stack)[0], placed(stack, "source")
    np.testing.assert_allclose(found[0, :4], 0, atol=1e-5)
    assert source[0, :4].tolist() == [0, 0, 0, 1]
    assert found[1, 0] == pytest.approx(-70)
    np.testing.assert_allclose(found[2:], 10 * np.log10(array[2:]), rtol=1e-4, atol=1e-4)
    assert stack.info.values == Values("dB", decibel=True)


def test_zero_and_negative_power_were_not_measured(tmp_path, unit):
    array = power(0, 64, 64)
    array[3, :2] = [0.0, -0.002]
    asset = raster(tmp_path / "VV.tif", array)
    stack = unit.build([scene({"VV": asset})], polarisations=("VV",))
    np.testing.assert_array_equal(placed(stack)[0], np.maximum(array, 0))
    np.testing.assert_array_equal(placed(stack, "source") == 0, array <= 0)


@pytest.mark.parametrize("scale", ["linear", "db"])
def test_the_named_nodata_is_missing(tmp_path, unit, scale):
    array = power(0, 64, 64) if scale == "linear" else 10 * np.log10(power(0, 64, 64))
    array[10:20, 30:40] = -9999
    asset = raster(tmp_path / "VV.tif", array, nodata=-9999, nodata_nan=False, scale=scale)
    stack = unit.build([scene({"VV": asset})], polarisations=("VV",), kernel="cubic")
    np.testing.assert_array_equal(placed(stack, "source") == 0, array == -9999)
    assert (placed(stack)[0][array == -9999] == 0).all()


def test_gaps_are_filled_from_the_next_scene_in_both_polarisations(tmp_path, unit):
    first = power(0, 2, 64, 64)
    first[1, 5, 5] = np.nan
    second = power(1, 2, 64, 64)
    scenes = []
    for name, pair in (("a", first), ("b", second)):
        asset = raster(tmp_path / f"{name}.tif", pair)
        scenes.append(scene({"VV": asset, "VH": asset.model_copy(update={"band": 2})}, name))
    stack = unit.build(scenes, threads=2)
    expected = first.copy()
    expected[:, 5, 5] = second[:, 5, 5]
    np.testing.assert_array_equal(placed(stack), expected)
    assert placed(stack, "source")[5, 5] == 2


def test_a_missing_polarisation_is_named(tmp_path, unit):
    with pytest.raises(SceneError, match="S1: has no VH"):
        unit.build([scene({"VV": raster(tmp_path / "VV.tif", power(0, 64, 64))})])


def test_a_truncated_geotiff_is_named_and_leaves_no_stack(tmp_path, unit):
    asset = raster(tmp_path / "VV.tif", power(0, 64, 64)).model_copy(update={"size": None})
    path = tmp_path / "VV.tif"
    path.write_bytes(path.read_bytes()[:-6000])
    with pytest.raises(SceneError, match=r"VV\.tif: cannot be read"):
        unit.build([scene({"VV": asset})], polarisations=("VV",))
    assert not [p for p in unit.folder.iterdir() if "zarr" in p.name]


def locked(path, **fields):
    header = read_header(str(path))
    return LockedAsset(
        href=str(path), size=path.stat().st_size, crs=header.crs, transform=header.transform,
        shape=header.shape, dtype=header.dtype, **fields,
    )  # fmt: skip


def whole(asset):
    return read_window(asset, (slice(0, asset.shape[0]), slice(0, asset.shape[1])))


def test_a_real_rtc_product_keeps_its_mean_power_through_the_warp(shared_data, tmp_path):
    first = sorted((shared_data / "s1_rtc_series").glob("*T137-292322-IW2_20211119*.tif"))
    assets = {path.stem[-2:]: locked(path, nodata_nan=True) for path in first}
    assert set(assets) == {"VV", "VH"}
    with rasterio.open(first[0]) as dataset:
        lon, lat = dataset.lnglat()
    step = 3e-4
    geobox = snapped_geobox((lon - 0.012, lat - 0.01, lon + 0.012, lat + 0.01), "EPSG:4326", step)
    unit = Unit(tmp_path / "unit", geobox, all_corners(geobox.shape, 32), 32)
    stack = unit.build([scene(assets)])
    source = placed(stack, "source") > 0
    for place, band in enumerate(("VV", "VH")):
        expected = brute_mean(
            whole(assets[band]), *source_coordinates(geobox, assets[band]), np.nan
        )
        found = placed(stack)[place]
        assert np.isfinite(expected[source]).all()
        np.testing.assert_allclose(found[source], expected[source], rtol=0.02, atol=1e-4)
    assert source[: geobox.shape[0] // 32 * 32, : geobox.shape[1] // 32 * 32].all()


def test_a_real_bigearthnet_pair_lies_pixel_on_pixel(shared_data, tmp_path):
    folder = shared_data / "s1s2_bigearthnet" / "BigEarthNet-S1-Example"
    name = "S1A_IW_GRDH_1SDV_20170617T064724_29UPU_36_85"
    paths = {band: folder / name / f"{name}_{band}.tif" for band in ("VV", "VH")}
    assets = {band: locked(path, scale="db") for band, path in paths.items()}
    first = assets["VV"]
    geobox = geobox_from_dict(
        {"crs": first.crs, "transform": first.transform, "shape": first.shape}
    )
    unit = Unit(tmp_path / "unit", geobox, [(0, 0)], 120)
    stack = unit.build([scene(assets)], scale="db")
    for place, band in enumerate(("VV", "VH")):
        np.testing.assert_allclose(placed(stack)[place], whole(assets[band]), rtol=1e-4, atol=1e-4)
