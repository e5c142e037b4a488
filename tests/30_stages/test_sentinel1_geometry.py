# SPDX-License-Identifier: Apache-2.0
"""Terrain correction of raw Sentinel-1 scenes: coordinates, heights, slices, sampling, bad input."""

import re
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from made.grd import TARGETS, UTM, copy_of, simulate
from made.heights import heights_on, write_dem
from made.orbits import write_orbit
from made.recipes import resolve
from made.scenes import all_corners, brute_bilinear
from made.scenes import pixels as placed
from terrapatch.catalog.files import Files
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.errors import GridError, InputError, RecipeError, SceneError
from terrapatch.heights import Dem, read_dem
from terrapatch.radar.annotation import read_annotation
from terrapatch.radar.doppler import ecef, image_coordinates, locate
from terrapatch.radar.luts import read_calibration, read_noise
from terrapatch.sentinel1.geometry import GroundNodes, Heights, coordinates, ground_control, terrain
from terrapatch.sentinel1.radiometry import Tables, calibrate
from terrapatch.settings import Sentinel1Settings
from terrapatch.yamlfiles import merged

ROME = "s1_grd_safe/S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371.SAFE"
BOX = GeoBox((200, 180), Affine(10, 0, 272_000, 0, -10, 4_655_000), "EPSG:32633")
DIRECTIONS = ["descending", "ascending"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("grd"))


@pytest.fixture(scope="module")
def rome(shared_data):
    (path,) = (shared_data / ROME / "annotation").glob("*.xml")
    return read_annotation(path.read_bytes(), path.name, "003.40")


def exact(annotation, geobox, height):
    """Line and pixel solved for every pixel, without lattice: (y, x) each."""
    cols, rows = np.meshgrid(*(np.arange(n) + 0.5 for n in geobox.shape[::-1]))
    x, y = geobox.affine * (cols, rows)
    there = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    lon, lat = there.transform(x, y)
    return image_coordinates(annotation, *locate(annotation.orbit, ecef(lon, lat, height)))


def on_grid(geobox, values):
    """Heights that lie on the pixels of a grid, one pixel of rim."""
    rim = geobox.affine * Affine.translation(-1, -1)
    wide = np.pad(np.asarray(values, np.float32), 1, mode="edge")
    return Heights.of(Dem(wide, str(geobox.crs), tuple(rim)[:6]), geobox)


# Coordinates -------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [(0, 100), (-400, 900), (0, 4800)])
@pytest.mark.parametrize(
    "geobox",
    [
        BOX,
        GeoBox((90, 100), Affine(60, 0, 272_040, 0, -60, 4_655_040), "EPSG:32633"),
        GeoBox((150, 100), Affine(1e-4, 0, 12.4, 0, -1e-4, 42.1), "EPSG:4326"),
    ],
    ids=["10 m", "60 m", "degrees"],
)
def test_interpolated_coordinates_equal_the_exact_solution(rome, geobox, limits):
    height = np.random.default_rng(0).uniform(*limits, geobox.shape).astype(np.float32)
    image = terrain(GroundNodes.of(geobox, limits), rome, rome.orbit)
    line, pixel, used = coordinates(image, on_grid(geobox, height), (0, 0), geobox.shape)
    np.testing.assert_allclose(used, height, atol=1e-3)
    truth = exact(rome, geobox, used)
    assert np.abs(line - truth[0]).max() < 0.001  # the bar is 0.05 pixels
    assert np.abs(pixel - truth[1]).max() < 0.002


def test_records_of_the_ground_range_polynomials_leave_no_kink(rome):
    long = GeoBox((8000, 8), BOX.affine * Affine.translation(0, -2000), BOX.crs)  # 11 records
    image = terrain(GroundNodes.of(long, (0, 500)), rome, rome.orbit)
    line, pixel, _ = coordinates(
        image, on_grid(long, np.full(long.shape, 250.0)), (0, 0), long.shape
    )
    truth = exact(rome, long, 250.0)
    assert np.abs(line - truth[0]).max() < 0.001
    assert np.abs(pixel - truth[1]).max() < 0.002


def test_units_of_one_grid_agree_where_they_overlap(rome):
    other = GeoBox((70, 90), BOX.affine * Affine.translation(60, 45), BOX.crs)
    height = np.random.default_rng(1).uniform(0, 700, BOX.shape).astype(np.float32)
    first = terrain(GroundNodes.of(BOX, (0, 700)), rome, rome.orbit)
    second = terrain(GroundNodes.of(other, (-90, 2500)), rome, rome.orbit)  # heights of its own
    whole = coordinates(first, on_grid(BOX, height), (45, 60), other.shape)
    part = coordinates(
        second, on_grid(other, height[45:115, 60:150]), (0, 0), other.shape
    )  # fmt: skip
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_coordinates_equal_those_of_the_simulators_closed_orbit(simulated, direction):
    (item,) = simulated.items(direction, count=1)
    annotation = read_annotation(Path(item.assets["VV"].annotation).read_bytes(), "a", "003.40")
    _, _, height = simulated.places()
    image = terrain(GroundNodes.of(simulated.geobox, (0, 500)), annotation, annotation.orbit)
    line, pixel, _ = coordinates(
        image, on_grid(simulated.geobox, height), (0, 0), simulated.geobox.shape
    )
    wanted = simulated.image_places(direction)
    assert np.abs(line - wanted[0]).max() < 0.05
    assert np.abs(pixel - wanted[1]).max() < 0.05


def test_sarsen_finds_the_same_times_and_ranges(rome, shared_data):
    pytest.importorskip("sarsen")
    import xarray as xr
    import xarray_sentinel
    from sarsen import geocoding, orbit

    (path,) = (shared_data / ROME / "annotation").glob("*.xml")
    vectors = xarray_sentinel.sentinel1.open_orbit_dataset(str(path))
    lon, lat = np.meshgrid(np.linspace(12.45, 12.55, 5), np.linspace(41.95, 42.05, 5))
    xyz = ecef(lon, lat, 60.0)
    there = xr.DataArray(
        np.moveaxis(xyz, -1, 0), dims=("axis", "y", "x"), coords={"axis": [0, 1, 2]}
    )
    interpolator = orbit.OrbitPolyfitInterpolator.from_position(vectors.position)
    found = geocoding.backward_geocode(  # stops within a metre of zero Doppler if not told
        there, interpolator, method="newton", zero_doppler_distance=1e-3
    )
    slant = np.sqrt((found.dem_distance.values**2).sum(axis=found.dem_distance.dims.index("axis")))
    time_s, slant_m = locate(rome.orbit, xyz)
    seconds = (found.azimuth_time.values - rome.epoch) / np.timedelta64(1, "ns") * 1e-9
    assert np.abs(seconds - time_s).max() < 3e-6  # 2 cm of flight: one polynomial for the orbit
    assert np.abs(slant - slant_m).max() < 0.01


def test_control_points_are_met_and_relief_is_ignored(rome):
    grid = rome.grid
    for i, k in ((0, 0), (3, 7), (5, 20), (9, 11)):
        lon, lat = grid.longitude[i, k], grid.latitude[i, k]
        box = GeoBox((3, 3), Affine(1e-4, 0, lon - 1.5e-4, 0, -1e-4, lat + 1.5e-4), "EPSG:4326")
        line, pixel, height = coordinates(ground_control(box, rome), Heights.none(), (0, 0), (3, 3))
        assert line[1, 1] == pytest.approx(grid.line[i, k], abs=0.05)
        assert pixel[1, 1] == pytest.approx(grid.pixel[i, k], abs=0.05)
        assert (height == 0).all()


def test_far_from_the_image_nothing_is_needed(rome):
    for east in (-900_000, -300_000, 600_000, 1_500_000):
        far = GeoBox((256, 256), BOX.affine * Affine.translation(east / 10, 0), BOX.crs)
        image = terrain(GroundNodes.of(far, (0, 100)), rome, rome.orbit)
        assert not image.needed(np.zeros((1, 2), np.int64), 256, (rome.lines, rome.samples)).any()


def test_what_a_patch_needs_holds_all_that_it_samples(rome):
    height = np.random.default_rng(2).uniform(-50, 1800, BOX.shape).astype(np.float32)
    image = terrain(GroundNodes.of(BOX, (-50, 1800)), rome, rome.orbit)
    corners = np.array(all_corners(BOX.shape, 45))
    needs = image.needed(corners, 45, (rome.lines, rome.samples))
    for (y, x), (top, bottom, left, right) in zip(corners, needs, strict=True):
        line, pixel, _ = coordinates(image, on_grid(BOX, height), (y, x), (45, 45))
        assert top <= line.min() - 1
        assert line.max() + 1 < bottom
        assert left <= pixel.min() - 1
        assert pixel.max() + 1 < right


# The stage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_amplitudes_equal_brute_force(simulated, tmp_path, direction):
    items = simulated.items(direction, count=1, bands=("VH", "VV"))
    stack = simulated.unit(tmp_path).build(
        items, **simulated.settings(radiometry="amplitude", polarisations=("VH", "VV"))
    )
    line, sample = simulated.image_places(direction)
    source = placed(stack, "source")
    for found, band in zip(placed(stack), ("vh", "vv"), strict=True):
        numbers = simulated.measurement(direction, band=band).astype(float)
        wanted = brute_bilinear(numbers, line, sample, nodata=-1)
        near = source == 1
        assert near.mean() > 0.3
        off = np.abs(found - wanted)[near & np.isfinite(wanted)]
        assert np.median(off) < 0.01 * np.median(numbers)
        assert np.quantile(off, 0.999) < 0.1 * np.median(numbers)
    assert stack.info.values.unit == "amplitude"


@pytest.mark.parametrize("radiometry", ["sigma0", "beta0", "gamma0"])
def test_power_equals_a_whole_calibrated_image_sampled_by_brute_force(
    simulated, tmp_path, radiometry
):
    (item,) = simulated.items("descending", count=1)
    asset = item.assets["VV"]
    calibration = read_calibration(Path(asset.calibration).read_bytes(), "c")
    noise = read_noise(Path(asset.noise).read_bytes(), "n")
    numbers = simulated.measurement("descending")
    rows, cols = (np.arange(n) for n in numbers.shape)
    inside = np.ones(numbers.shape, bool)
    inside[:, :60], inside[:, -60:], inside[:60] = False, False, False  # borders lie there
    power = calibrate(numbers, inside, radiometry, (rows, cols), Tables(calibration, noise)).astype(
        float
    )
    stack = simulated.unit(tmp_path).build(
        [item], **simulated.settings(radiometry=radiometry, polarisations=("VV",))
    )
    wanted = brute_bilinear(power, *simulated.image_places("descending"), nodata=np.nan)
    found = np.where(placed(stack, "source") == 1, placed(stack)[0], np.nan)
    both = np.isfinite(found) & np.isfinite(wanted)
    assert both.mean() > 0.3
    assert np.median(np.abs(found / wanted - 1)[both]) < 2e-3
    assert abs(found[both].mean() / wanted[both].mean() - 1) < 1e-3


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_corner_reflectors_lie_where_they_stand(simulated, tmp_path, direction):
    stack = simulated.unit(tmp_path).build(simulated.items(direction), **simulated.settings())
    picture = placed(stack)[0].astype(float)
    place = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    for target in TARGETS:
        col, row = ~simulated.geobox.affine * place.transform(*target)
        r, c = round(row - 0.5), round(col - 0.5)
        window = picture[r - 4 : r + 5, c - 4 : c + 5]
        weight = np.where(window > 0.05 * window.max(), window, 0)
        y, x = np.mgrid[r - 4 : r + 5, c - 4 : c + 5]
        assert (weight * y).sum() / weight.sum() == pytest.approx(row - 0.5, abs=0.1)
        assert (weight * x).sum() / weight.sum() == pytest.approx(col - 0.5, abs=0.1)


def test_neither_threads_nor_shards_nor_patches_change_a_pixel(simulated, tmp_path):
    items = simulated.items("ascending")
    found = [
        placed(
            simulated.unit(tmp_path / f"{size}_{threads}", size).build(
                items, threads=threads, **simulated.settings()
            )
        )
        for size, threads in ((96, 1), (96, 3), (32, 2), (384, 1))
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def joined(simulated, direction, folder):
    """Both slices as one product: the numbers one below the other, the annotation made longer."""
    product = copy_of(simulated.products[direction][0], folder)
    for band in ("vv", "vh"):
        parts = [simulated.measurement(direction, n, band) for n in (0, 1)]
        whole = np.concatenate(parts)
        (image,) = (product / "measurement").glob(f"*-{band}-*.tiff")
        with rasterio.open(image) as dataset:
            gcps, crs = dataset.gcps
        with rasterio.open(
            image, "w", driver="GTiff", dtype="uint16", count=1, width=whole.shape[1],
            height=whole.shape[0], gcps=gcps, crs=crs,
        ) as dataset:  # fmt: skip
            dataset.write(whole, 1)
        (path,) = (product / "annotation").glob(f"*-{band}-*.xml")
        text = re.sub(r"(<numberOfLines>)\d+", rf"\g<1>{len(whole)}", path.read_text())
        path.write_text(text)
    return locked_item(read_product(product), ("VV", "VH"), Files(False))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_two_slices_give_what_one_long_image_gives(simulated, tmp_path, direction):
    settings = simulated.settings(radiometry="amplitude")
    two = simulated.unit(tmp_path / "two").build(simulated.items(direction), **settings)
    whole = joined(simulated, direction, tmp_path)
    one = simulated.unit(tmp_path / "one").build([whole], **settings)
    assert set(np.unique(placed(two, "source"))) == {1, 2}
    assert (placed(one, "source") == 1).all()
    np.testing.assert_allclose(placed(two), placed(one), rtol=2e-3, atol=0.5)


def test_the_nearest_kernel_gives_numbers_of_the_image(simulated, tmp_path):
    items = simulated.items("descending", count=1)
    stack = simulated.unit(tmp_path).build(
        items, **simulated.settings(radiometry="amplitude", kernel="nearest")
    )
    line, sample = simulated.image_places("descending")
    numbers = simulated.measurement("descending")
    sure = (np.abs(line % 1 - 0.5) > 0.02) & (np.abs(sample % 1 - 0.5) > 0.02)
    sure &= (placed(stack, "source") == 1) & (line < len(numbers) - 0.6)
    rows, cols = (np.clip(np.rint(a).astype(int), 0, n - 1) for a, n in
                  zip((line, sample), numbers.shape, strict=True))  # fmt: skip
    np.testing.assert_array_equal(placed(stack)[0][sure], numbers[rows, cols][sure])


def test_without_relief_control_points_are_off_on_slopes_only(simulated, tmp_path):
    items = simulated.items("descending")
    stack = simulated.unit(tmp_path).build(
        items, **simulated.settings(geometry="gcp", dem=(), radiometry="amplitude")
    )
    assert (placed(stack, "source") > 0).all()
    flat = placed(stack)[0].mean()
    assert flat == pytest.approx(simulated.measurement("descending").mean(), rel=0.2)


def test_voids_of_the_height_model_are_missing_pixels(simulated, tmp_path):
    with rasterio.open(simulated.dem) as dataset:
        profile, heights = dataset.profile, dataset.read(1)
    middle = tuple(n // 2 for n in heights.shape)
    heights[middle] = -32768
    with rasterio.open(tmp_path / "void.tif", "w", **profile) as dataset:
        dataset.write(heights, 1)
    settings = simulated.settings(dem=(str(tmp_path / "void.tif"),))
    stack = simulated.unit(tmp_path).build(simulated.items("descending"), **settings)
    missing = placed(stack, "source") == 0
    assert 100 < missing.sum() < 300  # four cells of 60 m
    assert (placed(stack)[:, missing] == 0).all()


# Heights ---------------------------------------------------------------------------------------

DEGREES = GeoBox((40, 40), Affine(0.001, 0, 8.0 - 0.02, 0, -0.001, 48.52), "EPSG:4326")


def ramp(transform, shape):
    """Heights 100 · (longitude − 8) + 10 · (latitude − 48), exact for any bilinear reader."""
    cols, rows = np.meshgrid(*(np.arange(n) + 0.5 for n in shape[::-1]))
    lon, lat = transform * (cols, rows)
    return (100 * (lon - 8) + 10 * (lat - 48)).astype(np.float32)


def test_two_files_side_by_side_are_one_ramp(tmp_path):
    step = 1 / 300
    paths = []
    for n, west in enumerate((7.0, 8.0)):
        at = Affine(step, 0, west, 0, -step, 49)
        paths.append(write_dem(tmp_path / f"{n}.tif", ramp(at, (300, 300)), at))
    dem = read_dem(paths, DEGREES, vertical="ellipsoid")
    found = heights_on(dem, DEGREES)
    np.testing.assert_allclose(found, ramp(DEGREES.affine, DEGREES.shape), atol=1e-4)


def test_genuine_srtm_tiles_join_and_count_from_egm96(shared_data, tmp_path):
    folder = shared_data / "dem_grand_est"
    paths = [str(folder / name) for name in ("N48E007.hgt", "N48E008.hgt")]
    geoid = write_dem(
        tmp_path / "geoid.tif", np.full((20, 20), 48.5, np.float32), Affine(0.5, 0, 3, 0, -0.5, 53)
    )
    dem = read_dem(paths, DEGREES, geoid=geoid)  # .hgt: EGM96 by definition
    bare = read_dem(paths, DEGREES, vertical="ellipsoid")
    np.testing.assert_allclose(dem.heights - bare.heights, 48.5, atol=1e-4)
    with rasterio.open(paths[1]) as dataset:
        (value,) = next(dataset.sample([(8.01, 48.51)]))
    row, col = (
        (48.51 - dem.transform[5]) / dem.transform[4],
        (8.01 - dem.transform[2]) / dem.transform[0],
    )
    assert bare.heights[int(row), int(col)] == value


def test_a_sloping_geoid_is_added_at_each_place(tmp_path):
    at = Affine(0.01, 0, 7.5, 0, -0.01, 49)
    flat = write_dem(tmp_path / "dem.tif", np.zeros((100, 100), np.float32), at)
    wide = Affine(0.25, 0, -180, 0, -0.25, 90)
    geoid = write_dem(tmp_path / "geoid.tif", ramp(wide, (720, 1440)), wide)
    dem = read_dem([flat], DEGREES, vertical="egm2008", geoid=geoid)
    np.testing.assert_allclose(
        dem.heights, ramp(Affine(*dem.transform), dem.heights.shape), atol=1e-2
    )


def test_the_datum_in_the_files_crs_is_believed(shared_data, tmp_path):
    path = str(shared_data / "s1_grd_safe" / "Rome-30m-DEM.tif")
    box = GeoBox((64, 64), Affine(10, 0, 293_000, 0, -10, 4_655_000), "EPSG:32633")
    bare = read_dem([path], box, vertical="ellipsoid")
    plane = np.full((20, 20), 48.5, np.float32)
    geoid = write_dem(tmp_path / "geoid.tif", plane, Affine(0.5, 0, 8, 0, -0.5, 47))
    dem = read_dem([path], box, geoid=geoid)  # EPSG:9707: heights above EGM96
    np.testing.assert_allclose(dem.heights - bare.heights, 48.5, atol=1e-4)


def bad_dem(kind, tmp_path):
    at = Affine(0.01, 0, 7.5, 0, -0.01, 49)
    plane = np.zeros((100, 100), np.float32)
    if kind == "no paths":
        return [], {}
    if kind == "elsewhere":
        return [write_dem(tmp_path / "a.tif", plane, at * Affine.translation(300, 0))], {
            "vertical": "ellipsoid"
        }
    if kind == "half":
        return [write_dem(tmp_path / "a.tif", plane[:, :49], at)], {"vertical": "ellipsoid"}
    if kind == "unknown datum":
        return [write_dem(tmp_path / "a.tif", plane, at)], {}
    if kind == "two grids":
        other = at * Affine.translation(0.4, 0)
        return [
            write_dem(tmp_path / "a.tif", plane, at), write_dem(tmp_path / "b.tif", plane, other)
        ], {"vertical": "ellipsoid"}  # fmt: skip
    if kind == "no crs":
        return [write_dem(tmp_path / "a.tif", plane, at, crs=None)], {"vertical": "ellipsoid"}
    small = write_dem(tmp_path / "g.tif", plane[:5, :5], Affine(1, 0, 100, 0, -1, 10))
    return [write_dem(tmp_path / "a.tif", plane, at)], {"vertical": "egm96", "geoid": small}


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("no paths", InputError, "dem"),
        ("elsewhere", GridError, r"a\.tif: the height model does not cover the unit \(100%"),
        ("half", GridError, r"a\.tif: the height model does not cover the unit"),
        ("unknown datum", GridError, r"a\.tif: .*dem_vertical"),
        ("two grids", GridError, r"b\.tif and .*a\.tif lie on different pixel grids"),
        ("no crs", GridError, r"a\.tif: the height model has no CRS"),
        ("geoid elsewhere", GridError, r"g\.tif: the geoid raster does not cover"),
    ],
)
def test_unfit_height_models_are_refused(tmp_path, kind, error, says):
    paths, options = bad_dem(kind, tmp_path)
    with pytest.raises(error, match=says):
        read_dem(paths, DEGREES, **options)


def test_open_sea_may_be_taken_as_the_geoid(tmp_path):
    at = Affine(0.01, 0, 7.5, 0, -0.01, 49)
    half = write_dem(tmp_path / "a.tif", np.full((100, 49), 7, np.float32), at)
    dem = read_dem([half], DEGREES, vertical="ellipsoid", sea=True)
    assert set(np.unique(dem.heights)) == {0.0, 7.0}


# Bad input -------------------------------------------------------------------------------------


def item_of(product):
    return locked_item(read_product(product), ("VV",), Files(False))


def spoilt(simulated, folder, pattern, change):
    product = copy_of(simulated.products["descending"][0], folder)
    (path,) = product.glob(pattern)
    item = item_of(product)
    change(path)
    # A lock that names the annotations would tell that they have changed, before they are read.
    assets = {b: a.model_copy(update={"beside": ()}) for b, a in item.assets.items()}
    return item.model_copy(update={"assets": assets})


def all_zero(path):
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.zeros(dataset.shape, "uint16"), 1)


@pytest.mark.parametrize(
    ("pattern", "change", "says"),
    [
        ("annotation/*-vv-*.xml", lambda p: p.write_bytes(p.read_bytes()[:9000]), "cut off"),
        ("annotation/*-vv-*.xml", lambda p: p.unlink(), "cannot be read"),
        ("annotation/calibration/cal*-vv-*.xml", lambda p: p.write_text("<a/>"), "calibration"),
        ("measurement/*-vv-*.tiff", all_zero, r"\.tiff: .*no pixel with a signal"),
    ],
)
def test_spoilt_products_are_named(simulated, tmp_path, pattern, change, says):
    item = spoilt(simulated, tmp_path, pattern, change)
    unit = simulated.unit(tmp_path / "unit")
    with pytest.raises(SceneError, match=says):
        unit.build([item], **simulated.settings(polarisations=("VV",)))
    assert not (unit.folder / "out.zarr").exists()


def test_a_missing_polarisation_is_named(simulated, tmp_path):
    items = simulated.items("descending", bands=("VV",))
    with pytest.raises(SceneError, match="has no VH"):
        simulated.unit(tmp_path).build(items, **simulated.settings())


def test_a_height_model_elsewhere_is_refused_by_the_stage(simulated, tmp_path):
    dem = write_dem(tmp_path / "a.tif", np.zeros((9, 9), np.float32), Affine(1, 0, 5, 0, -1, 50))
    unit = simulated.unit(tmp_path / "unit")
    with pytest.raises(GridError, match=r"a\.tif: the height model does not cover"):
        unit.build(simulated.items("descending"), **simulated.settings(dem=(dem,)))


@pytest.mark.parametrize(
    "name",
    [
        "S1A_OPER_AUX_POEORB_OPOD_20210306T092352_V20220601T225942_20220603T005942.EOF",
        "S1B_OPER_AUX_POEORB_OPOD_20210306T092352_V20220617T225942_20220619T005942.EOF",
    ],
    ids=["another time", "another mission"],
)
def test_orbit_files_of_another_time_or_mission_are_refused(simulated, tmp_path, name):
    path = tmp_path / name
    path.write_text("<Earth_Explorer_File/>")
    with pytest.raises(SceneError, match=rf"S1A and its time.*{name}"):
        simulated.unit(tmp_path / "u").build(
            simulated.items("descending"), **simulated.settings(orbit_files=(str(path),))
        )


def test_an_orbit_file_takes_the_place_of_the_annotated_orbit(simulated, tmp_path):
    (item,) = simulated.items("descending", count=1)
    asset = item.assets["VV"]
    annotation = read_annotation(Path(asset.annotation).read_bytes(), "a", "003.40")
    settings = simulated.settings(radiometry="amplitude")
    plain = placed(simulated.unit(tmp_path / "a").build([item], **settings))
    for late_s, same in ((0.0, True), (20 * annotation.azimuth_interval_s, False)):
        path = write_orbit(tmp_path / f"{same}.EOF", annotation, late_s)
        unit = simulated.unit(tmp_path / f"u{same}")
        found = placed(unit.build([item], **settings, orbit_files=(path,)))
        near = np.abs(found - plain) < 0.5
        assert (near.mean() > 0.99) == same


def test_a_fitting_name_over_other_content_is_refused(simulated, tmp_path):
    path = tmp_path / (
        "S1A_OPER_AUX_POEORB_OPOD_20220708T092352_V20220617T225942_20220619T005942.EOF"
    )
    path.write_text("<Earth_Explorer_File/>")
    with pytest.raises(SceneError, match=r"POEORB.*EOF"):
        simulated.unit(tmp_path / "u").build(
            simulated.items("descending"), **simulated.settings(orbit_files=(str(path),))
        )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"level": "GRD", "dem": ("a",), "kernel": "cubic"}, "nearest or bilinear"),
        ({"radiometry": "amplitude", "scale": "db"}, "decibel"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises((RecipeError, ValueError), match=says):
        Sentinel1Settings(**settings)


def test_a_recipe_without_heights_for_raw_products_is_refused():
    plain = {
        "name": "t",
        "images": ["sentinel1"],
        "area": {"bbox": [8, 48, 9, 49]},
        "catalog": {"source": "local", "paths": ["a"], "period": ["2022-06-01", "2022-06-30"]},
        "label": {"path": "map.tif"},
        "sentinel1": {"level": "GRD"},
    }
    with pytest.raises(RecipeError, match=r"dem: terrain correction needs"):
        resolve(plain)
    resolve(merged(plain, {"sentinel1": {"geometry": "gcp"}}))
    resolve(merged(plain, {"sentinel1": {"dem": ["a.hgt"]}}))


# Coarser grids -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"radiometry": "gamma0_rtc"}, {"geometry": "gcp", "dem": ()}]
)
def test_on_a_coarser_grid_power_is_averaged(simulated, tmp_path, changes):
    """A pixel of 60 m is the mean of the 36 pixels of 10 m in it, whatever units and threads."""
    settings = simulated.settings(**changes)
    items = simulated.items("descending")
    fine = placed(simulated.unit(tmp_path / "fine").build(items, **settings))
    box = simulated.geobox
    coarse = GeoBox((64, 64), box.affine * Affine.scale(6), box.crs)
    unit = simulated.unit(tmp_path / "coarse", 16, coarse)
    found = placed(unit.build(items, threads=2, **settings))
    blocks = fine.astype(float).reshape(2, 64, 6, 64, 6)
    np.testing.assert_allclose(found, blocks.mean(axis=(2, 4)), rtol=2e-6)
    part = simulated.unit(tmp_path / "part", 32, coarse[16:48, 32:64])
    np.testing.assert_array_equal(
        placed(part.build(items, **settings)), found[:, 16:48, 32:64]
    )  # fmt: skip
    nearest = placed(unit.build(items, kernel="nearest", **settings))
    assert np.abs(nearest / found - 1).mean() > 0.2  # speckle of a single pixel


def test_a_part_that_is_missing_makes_the_pixel_missing_and_layers_stay(simulated, tmp_path):
    """The first slice ends in the unit; angles are those of the pixel's centre."""
    box = simulated.geobox
    items = simulated.items("descending", count=1)
    settings = simulated.settings(extras=("local_incidence", "layover_shadow"))
    fine = simulated.unit(tmp_path / "fine").build(items, **settings)
    coarse = GeoBox((96, 96), box.affine * Affine.scale(4), box.crs)
    stack = simulated.unit(tmp_path / "coarse", 32, coarse).build(items, **settings)
    seen = (placed(fine, "source") > 0).reshape(96, 4, 96, 4)
    np.testing.assert_array_equal(placed(stack, "source") > 0, seen.all(axis=(1, 3)))
    assert 0 < (placed(stack, "source") == 0).sum() < 96 * 96
    assert 10 < np.median(placed(stack)[2][placed(stack, "source") > 0]) < 60
    assert set(np.unique(placed(stack)[3])) <= {0, 1, 2, 3}
