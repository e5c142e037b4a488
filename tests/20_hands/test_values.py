# SPDX-License-Identifier: Apache-2.0
"""From numbers in files to values: masks, nodata, gains and power, before any kernel."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from made.scenes import Unit, all_corners, item, pixels, write_asset
from terrapatch.heights import HeightModel
from terrapatch.heights.geoid import geoid_raster
from terrapatch.labels.label import CodeTable, fill_labels
from terrapatch.legend import Crosswalk, load_legend

CRS = "EPSG:32631"
HERE = Affine(10, 0, 500_000, 0, -10, 4_982_400)
BOX = GeoBox((32, 32), HERE, CRS)
HOLE = np.s_[10:18, 12:20]


def cut(folder, asset, *, sensor="sentinel2", **settings):
    """The stack of one band on the file's own grid: values and source as images."""
    band = "B04" if sensor == "sentinel2" else "VV"
    unit = Unit(folder / "unit", BOX, all_corners(BOX.shape, 16), 16)
    wanted = (
        {"bands": [band]} if sensor == "sentinel2" else {"polarisations": [band], "level": "RTC"}
    )
    stack = unit.build([item("a", {band: asset}, sensor=sensor)], **(wanted | settings))
    return pixels(stack)[0], pixels(stack, "source")


def masked(folder, array, how, *, hole=HOLE, fill=1, **locked):
    """A raster whose file says by a mask, not by a value, that a hole is missing."""
    array = array.copy()
    array[hole] = fill
    valid = np.full(array.shape, 255, np.uint8)
    valid[hole] = 0
    path = folder / f"{how}.tif"
    if how == "alpha":
        asset = write_asset(
            path, np.stack([array, valid.astype(array.dtype)]), HERE, CRS, jp2=False
        )
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = [
                rasterio.enums.ColorInterp.gray,
                rasterio.enums.ColorInterp.alpha,
            ]
        return asset.model_copy(update={"mask": 2, "size": None} | locked)
    asset = write_asset(path, array, HERE, CRS, jp2=False)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how == "internal"), rasterio.open(path, "r+") as dst:
        dst.write_mask(valid)
    assert (folder / "beside.tif.msk").exists() == (how == "beside")
    if how == "vrt":
        from rasterio.shutil import copy

        with rasterio.open(path) as dataset:
            copy(dataset, folder / "a.vrt", driver="VRT")
        asset = asset.model_copy(update={"href": str(folder / "a.vrt")})
    return asset.model_copy(update={"mask": 0, "size": None} | locked)


def slope(dtype="uint16"):
    rows, cols = np.mgrid[:32, :32]
    return (400 + 20 * rows + 3 * cols).astype(dtype)


@pytest.mark.parametrize("how", ["internal", "beside", "vrt", "alpha"])
@pytest.mark.parametrize("kernel", ["nearest", "cubic"])
def test_what_a_mask_excludes_is_missing(tmp_path, how, kernel):
    asset = masked(tmp_path, slope(), how)
    data, source = cut(tmp_path, asset, kernel=kernel)
    hole = np.zeros(BOX.shape, bool)
    hole[HOLE] = True
    assert np.array_equal(source == 0, hole)
    assert (data[hole] == 0).all()
    assert np.array_equal(data[~hole], slope()[~hole])


def test_a_mask_does_not_bleed_through_a_kernel(tmp_path):
    moved = HERE * Affine.translation(0.4, 0.4)
    asset = masked(tmp_path, slope(), "internal", fill=60_000, transform=tuple(moved)[:6])
    with rasterio.open(asset.href, "r+") as dataset:
        dataset.transform = moved
    data, source = cut(tmp_path, asset, kernel="bilinear")
    assert (source[9:19, 11:21] == 0).any()
    assert data[source > 0].max() < 1200


def test_a_mask_over_floats_with_a_scale(tmp_path):
    asset = masked(tmp_path, slope("float32") / 10_000, "internal", quantification=1.0)
    data, source = cut(tmp_path, asset, kernel="nearest")
    assert (source[HOLE] == 0).all()
    assert np.array_equal(data[source > 0], slope()[source > 0])


@pytest.mark.parametrize(
    ("dtype", "quantification", "offset", "right"),
    [
        ("uint16", 10_000, -100, lambda n: n - 100.0),
        ("uint16", 1000, 0, lambda n: n * 10.0),
        ("uint16", 1000, -100, lambda n: (n - 100.0) * 10),
        ("uint16", 40_000, 0, lambda n: n / 4.0),
        ("int16", 5000, -50, lambda n: (n - 50.0) * 2),
        ("float32", 1, 0, lambda n: n * 10_000.0),
        ("float64", 100, 0.5, lambda n: (n + 0.5) * 100),
    ],
)
@pytest.mark.parametrize("out", ["uint16", "int16", "float32"])
def test_numbers_are_brought_to_10000_times_reflectance(
    tmp_path, dtype, quantification, offset, right, out
):
    unit = {"float32": 10_000, "float64": 100}.get(dtype, 1)
    numbers = (slope() / unit).astype(dtype)
    asset = write_asset(tmp_path / "a.tif", numbers, HERE, CRS, jp2=False, nodata=None,
                        quantification=quantification, add_offset=offset)  # fmt: skip
    data, source = cut(tmp_path, asset, kernel="nearest", dtype=out)
    assert source.all()
    wanted = right(numbers.astype(float))
    if out != "float32":
        assert np.abs(data - np.floor(wanted + 0.5)).max() <= (1 if dtype == "float32" else 0)
    else:
        assert data == pytest.approx(wanted, rel=1e-6)


def test_nodata_is_compared_with_the_file_s_numbers(tmp_path):
    numbers = slope("int16")
    numbers[HOLE] = -9999
    asset = write_asset(tmp_path / "a.tif", numbers, HERE, CRS, jp2=False, nodata=-9999,
                        quantification=1000.0)  # fmt: skip
    data, source = cut(tmp_path, asset, kernel="nearest")
    assert (source[HOLE] == 0).all()
    assert np.count_nonzero(source == 0) == 64
    assert np.array_equal(data[source > 0], 10 * slope()[source > 0])


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "float64"])
def test_decibel_of_every_pixel_type_become_power(tmp_path, dtype):
    rows, cols = np.mgrid[:32, :32]
    db = (-25 + (rows + cols) // 4).astype(dtype)
    db[HOLE] = -99
    asset = write_asset(tmp_path / "a.tif", db, HERE, CRS, jp2=False, nodata=-99, scale="db")
    data, source = cut(tmp_path, asset, sensor="sentinel1", kernel="nearest")
    assert np.count_nonzero(source == 0) == 64
    assert data[source > 0] == pytest.approx(10 ** (db[source > 0].astype(float) / 10), rel=1e-5)


def test_decibel_in_whole_hundredths(tmp_path):
    db = (-2500 + 10 * slope("int16") // 10).astype("int16")
    asset = write_asset(tmp_path / "a.tif", db, HERE, CRS, jp2=False, scale="db", gain=0.01)
    data, _ = cut(tmp_path, asset, sensor="sentinel1", kernel="nearest")
    assert data == pytest.approx(10 ** (db.astype(float) / 1000), rel=1e-5)


@pytest.mark.parametrize(
    ("unit", "value", "dtype"),
    [("linear", 0.0, "float32"), ("linear", -0.001, "float32"), ("linear", np.inf, "float64"),
     ("linear", np.nan, "float32"), ("linear", 0, "uint16"), ("db", -np.inf, "float32"),
     ("db", np.nan, "float32"), ("db", -9999.0, "float32")],
)  # fmt: skip
@pytest.mark.parametrize("scale", ["linear", "db"])
def test_power_that_is_not_above_0_is_missing(tmp_path, unit, value, dtype, scale):
    numbers = slope("float64") / (10_000 if unit == "linear" else -50)
    numbers = slope(dtype) if dtype == "uint16" else numbers.astype(dtype)
    numbers[HOLE] = value
    asset = write_asset(tmp_path / "a.tif", numbers, HERE, CRS, jp2=False, scale=unit)
    data, source = cut(tmp_path, asset, sensor="sentinel1", kernel="nearest", scale=scale)
    assert (source[HOLE] == 0).all()
    assert np.count_nonzero(source == 0) == 64
    assert np.isfinite(data).all()


@pytest.mark.parametrize("how", ["internal", "beside", "alpha"])
def test_a_map_s_mask_means_not_observed(tmp_path, how):
    codes = np.full(BOX.shape, 4, np.uint8)
    asset = masked(tmp_path, codes, how)
    labels = np.full(BOX.shape, 255, np.uint8)
    table = CodeTable.of(Crosswalk("t", {1: 1, 4: 4}, {}), load_legend("cerradata4mm"), None)
    assert not fill_labels(labels, BOX, asset, table, 0)
    assert (labels[HOLE] == 255).all()
    assert np.count_nonzero(labels == 4) == labels.size - 64


@pytest.mark.parametrize("how", ["internal", "beside", "vrt", "alpha"])
def test_a_height_model_s_mask_makes_voids(tmp_path, how):
    asset = masked(tmp_path, slope("int16"), how, fill=9000)
    heights = HeightModel([asset.href], "ellipsoid").read(BOX.pad(-4)).heights
    assert np.count_nonzero(np.isnan(heights)) == 64
    assert np.nanmax(heights) < 1200


def test_a_height_model_s_scale_is_used(tmp_path):
    numbers = slope("int16")
    numbers[HOLE] = -9999
    path = tmp_path / "dem.tif"
    write_asset(path, numbers, HERE, CRS, jp2=False)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets, dataset.nodata = (0.1,), (-5.0,), -9999
    dem = HeightModel([str(path)], "ellipsoid").read(BOX.pad(-4))
    top, left = (round((n - m) / s) for n, m, s in (
        (dem.transform[5], HERE.f, -10), (dem.transform[2], HERE.c, 10)))  # fmt: skip
    here = numbers[top : top + dem.heights.shape[0], left : left + dem.heights.shape[1]]
    assert np.count_nonzero(np.isnan(dem.heights)) == 64
    known = ~np.isnan(dem.heights)
    assert dem.heights[known] == pytest.approx(here[known] * 0.1 - 5.0, abs=1e-4)


def test_a_geoid_raster_s_nodata_and_scale_are_read(tmp_path):
    path = tmp_path / "geoid.tif"
    numbers = np.full((4, 4), 473, np.int16)
    numbers[0] = -999
    write_asset(path, numbers, Affine(1, 0, 0, 0, -1, 48), "EPSG:4326", jp2=False)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.nodata = (0.1,), -999
    found = geoid_raster(str(path))(np.array([1.5, 1.5]), np.array([45.0, 47.5]))
    assert found[0] == pytest.approx(47.3, abs=1e-4)
    assert np.isnan(found[1])


def cirrus(folder, *, level="L1C", offset=0.0, bands=("B04", "B10"), kernel="nearest"):
    """A scene whose B10 is 0 in the hole, and whose other band is 0 in its first rows."""
    red, dark = slope(), slope() // 100
    dark[HOLE] = 0
    red[:4], dark[:4] = 0, 0
    images = {"B04": red, "B10": dark, "B12": dark}
    assets = {
        band: write_asset(folder / f"{band}.tif", images[band], HERE, CRS, jp2=False,
                          add_offset=offset)
        for band in bands
    }  # fmt: skip
    unit = Unit(folder / "unit", BOX, all_corners(BOX.shape, 16), 16)
    scene = item("a", assets).model_copy(update={"level": level})
    stack = unit.build([scene], bands=bands, kernel=kernel, level="L1C", check_values=False)
    return pixels(stack), pixels(stack, "source"), dark


@pytest.mark.parametrize("kernel", ["nearest", "bilinear"])
def test_a_dry_sky_is_not_missing(tmp_path, kernel):
    data, source, dark = cirrus(tmp_path, kernel=kernel)
    assert (source[:4] == 0).all()
    assert source[4:].all()
    assert np.array_equal(data[1][4:], np.maximum(dark[4:], 1))


@pytest.mark.parametrize(
    "how", [{"offset": -2.0}, {"level": "L2A"}, {"bands": ("B04", "B12")}, {"bands": ("B10",)}]
)
def test_zeros_of_other_bands_and_products_are_missing(tmp_path, how):
    _, source, _ = cirrus(tmp_path, **how)
    assert (source[HOLE] == 0).all()
    assert np.count_nonzero(source == 0) == 64 + 4 * 32
