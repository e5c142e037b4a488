# SPDX-License-Identifier: Apache-2.0
"""Genuine radar pixels through the GRD stage: where they land, and what they are worth.

Places are facts of public record, each with its source beside it; none comes from a radar.
"""

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from made.radar_luts import products
from made.real_grd import angra, item_of, kerala, turns
from made.scenes import Unit, all_corners, centres, pixels
from terrapatch.radar.luts import read_calibration, read_noise
from terrapatch.sentinel1.border import s1tiling_cut
from terrapatch.sentinel1.footprint import find
from terrapatch.sentinel1.geometry import ground_control
from terrapatch.sentinel1.grd import quiet
from terrapatch.sentinel1.radiometry import Tables, calibrate

ndimage = pytest.importorskip("scipy.ndimage")

KERALA = GeoBox((576, 704), Affine(400, 0, 560_000, 0, -400, 1_240_000), "EPSG:32643")
COARSE = GeoBox((320, 384), Affine(800, 0, 560_000, 0, -800, 1_240_000), "EPSG:32643")
COAST = np.array([(76.592979, 8.899276), (76.130061, 10.299630), (75.746467, 11.308251)])
"""Longitude and latitude of the coast. Source: Natural Earth 1:110m (public domain)."""
AT_THE_SEA = {
    "Vypin lighthouse": (76.221599, 9.998397),
    "Azhikode lighthouse": (76.157712, 10.203395),
}
"""Source: Wikipedia, the articles of these names. Both stand some way behind wide beaches."""
AT_A_LAKE = {
    "Vaigai Dam": (77.58972, 10.05333), "Malampuzha Dam": (76.69, 10.84),
    "Walayar Dam": (76.85194, 10.84444), "Mullaperiyar Dam": (77.14417, 9.52861),
}  # fmt: skip
"""Source: Wikipedia; arc seconds for Vaigai, Walayar and Mullaperiyar, 0.01° for Malampuzha."""
ANGRA = GeoBox((512, 512), Affine(10, 0, 477_900, 0, -10, 4_280_000), "EPSG:32626")
MONTE_BRASIL = (-27.225, 38.645)
"""Middle of a peninsula south of Angra do Heroísmo, with the sea on all sides but the north.
Source: Wikipedia, Monte Brasil: 38°38′42″ N 27°13′30″ W."""
ANGRA_GEOID_M = 59.0
"""Source: Manual VFR of Portugal, Lajes (Terceira): geoid undulation 59 m."""


def degrees(geobox):
    there = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    return there.transform(*centres(geobox))


def pixel_of(geobox, place):
    there = pyproj.Transformer.from_crs("EPSG:4326", str(geobox.crs), always_xy=True)
    col, row = ~geobox.affine * there.transform(*place)
    return int(row), int(col)


def balanced(found, truth, where):
    """Mean of the shares found of what is and of what is not."""
    hit, other = found[truth & where].mean(), (~found)[~truth & where].mean()
    return float((hit + other) / 2)


def geocoded_kerala(shared, folder, grid=KERALA, turn=None):
    """(2, y, x) VV and VH in dB, NaN where there is none."""
    item = item_of(kerala(shared, folder, turn), ("VV", "VH"))
    unit = Unit(folder / "unit", grid, all_corners(grid.shape, 64), 64)
    plain = {"level": "GRD", "geometry": "gcp", "radiometry": "sigma0"}
    stack = unit.build([item], **plain)
    power, seen = pixels(stack), pixels(stack, "source") > 0
    return np.where(seen, 10 * np.log10(np.maximum(power, 1e-7)), np.nan)


def kerala_fit(found, grid=KERALA):
    """Balanced accuracy of the sea, how many of the places fit, and distances in km."""
    vh, seen = found[1], np.isfinite(found[1])
    dark = seen & (vh < -20)
    labels, _ = ndimage.label(dark)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    sea = labels == sizes.argmax()
    lon, lat = degrees(grid)
    truth = lon < np.interp(lat, COAST[:, 1], COAST[:, 0])
    step_km = grid.affine.a / 1000
    away = {
        "sea": ndimage.distance_transform_edt(~sea) * step_km,
        "lake": ndimage.distance_transform_edt(~(dark & ~sea)) * step_km,
    }
    far = {}
    for kind, places in (("sea", AT_THE_SEA), ("lake", AT_A_LAKE)):
        for name, place in places.items():
            far[name] = float(away[kind][pixel_of(grid, place)])
    fits = sum(0 < far[name] < 2 for name in AT_THE_SEA) + sum(far[n] < 1.3 for n in AT_A_LAKE)
    return balanced(sea, truth, seen), fits, far


@pytest.fixture(scope="module")
def kerala_db(shared_data, tmp_path_factory):
    return geocoded_kerala(shared_data, tmp_path_factory.mktemp("kerala"))


def test_the_coast_of_kerala_lies_where_the_maps_have_it(kerala_db):
    accuracy, fits, far = kerala_fit(kerala_db)
    assert accuracy > 0.94
    assert fits == len(AT_THE_SEA) + len(AT_A_LAKE), far


def test_no_other_orientation_of_kerala_fits(shared_data, tmp_path, monkeypatch):
    geometry = {}

    def once(geobox, annotation):
        """Only pixels are turned: control points and grid stay, and with them the geometry."""
        grid = annotation.grid
        key = (str(geobox), *(plane.tobytes() for plane in (grid.line, grid.longitude)))
        if key not in geometry:
            geometry[key] = ground_control(geobox, annotation)
        return geometry[key]

    monkeypatch.setattr("terrapatch.sentinel1.grd.ground_control", once)
    scores = {}
    for number, (name, turn) in enumerate(turns().items()):
        found = geocoded_kerala(shared_data, tmp_path / str(number), COARSE, turn)
        scores[name] = kerala_fit(found, COARSE)[:2]
    print(scores)
    assert len(geometry) == 2  # of the image as it lies, and stood on its side
    right = scores.pop("as it is")
    assert right[0] > 0.94
    assert max(accuracy for accuracy, _ in scores.values()) < 0.75
    assert max(fits for _, fits in scores.values()) <= 3 < right[1]


def geocoded_angra(shared, folder, turn=None, orbit=True):
    """Amplitude in dB of the crop on a grid of 10 m, smoothed over 70 m; NaN outside."""
    item = item_of(angra(shared, folder, turn), ("VV",))
    unit = Unit(folder / "unit", ANGRA, all_corners(ANGRA.shape, 128), 128)
    heights = folder / "heights.tif"
    with rasterio.open(
        heights, "w", driver="GTiff", dtype="float32", count=1, crs="EPSG:4326",
        height=40, width=60, transform=Affine(0.005, 0, -27.35, 0, -0.005, 38.75),
    ) as dataset:  # fmt: skip
        dataset.write(np.full((40, 60), ANGRA_GEOID_M, np.float32), 1)
    files = [str(p) for p in (shared / "s1_slc_orbit").glob("*.EOF")] if orbit else []
    stack = unit.build(
        [item], level="GRD", radiometry="amplitude", polarisations=("VV",), orbit_files=files,
        dem=(str(heights),), dem_vertical="ellipsoid",
    )  # fmt: skip
    seen = pixels(stack, "source") > 0
    power = ndimage.uniform_filter(pixels(stack)[0].astype(float) ** 2, 7)
    return np.where(seen, 10 * np.log10(power + 1), np.nan)


def angra_fit(found):
    """Balanced accuracy of land, and how far the peninsula's middle is off, in m."""
    seen = np.isfinite(found)
    land = ndimage.binary_opening(seen & (found > 31.4), iterations=2)
    lon, lat = degrees(ANGRA)
    x, y = (
        (lon - MONTE_BRASIL[0]) * np.cos(np.radians(38.645)) * 111_320,
        (lat - MONTE_BRASIL[1]) * 111_000,
    )
    near = np.hypot(x, y)
    # The town's shore runs along 38.653° N or a little north of it; south of it there is sea, but
    # for the peninsula. What lies between is left out.
    truth = (lat > 38.6565) | (near < 400)
    told = truth | ((lat < 38.6505) & (near > 900))
    labels, _ = ndimage.label(land & (lat < 38.6505))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    part = labels == sizes.argmax()
    miss = np.hypot(x[part].mean(), y[part].mean()) if part.any() else np.inf
    return balanced(land, truth, told & seen), float(miss)


def test_a_peninsula_lands_where_it_stands_and_no_other_orientation_fits(shared_data, tmp_path):
    scores = {}
    for number, (name, turn) in enumerate(turns().items()):
        scores[name] = angra_fit(geocoded_angra(shared_data, tmp_path / str(number), turn))
    print(scores)
    accuracy, miss_m = scores.pop("as it is")
    assert accuracy > 0.99
    assert miss_m < 150  # its middle is stated to about as much
    # The peninsula stands near the crop's middle, so mirrored pixels almost fit the shore: then its
    # own middle is off.
    assert all(accuracy < 0.75 or miss > 300 for accuracy, miss in scores.values())


def test_the_orbit_file_and_the_annotated_orbit_give_one_picture(shared_data, tmp_path):
    pair = [geocoded_angra(shared_data, tmp_path / str(k), orbit=bool(k)) for k in range(2)]
    seen = np.isfinite(pair[0]) & np.isfinite(pair[1])
    assert np.abs(pair[0] - pair[1])[seen].max() < 0.3  # a centimetre along track
    assert np.isfinite(pair[0]).sum() == pytest.approx(seen.sum(), abs=50)


# Radiometry --------------------------------------------------------------------------------------


def radar_geometry(shared, folder, band):
    """Numbers, footprint, calibration and noise of the product over Kerala."""
    product = kerala(shared, folder)
    (path,) = (product / "measurement").glob(f"*-{band}-*")
    with quiet(), rasterio.open(path) as dataset:
        numbers = dataset.read(1)
    found = find(lambda rows, cols: numbers[rows, cols], numbers.shape, "002.91")
    tables = []
    for kind, reader in (("calibration", read_calibration), ("noise", read_noise)):
        (file,) = (product / "annotation" / "calibration").glob(f"{kind}-*-{band}-*")
        tables.append(reader(file.read_bytes(), file.name))
    return product, numbers, found, *tables


def test_tables_of_one_satellite_may_be_lent(shared_data):
    """σ⁰ tables of three products of S1A of five years differ by hundredths of a decibel."""
    files = products(shared_data)
    rows, cols = np.array([8000]), np.arange(0, 25_000, 500)
    tables = np.stack([
        20 * np.log10(read_calibration(data, name).window("sigma0", rows, cols)[0])
        for name, data in files.items() if name.startswith("calibration-s1a")
    ])  # fmt: skip
    assert len(tables) == 6
    assert np.ptp(tables, axis=0).max() < 0.05


def test_sea_land_and_towns_have_the_backscatter_of_their_kind(kerala_db):
    vv, vh = kerala_db
    dark = np.isfinite(vh) & (vh < -20)
    labels, _ = ndimage.label(dark)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    sea = labels == sizes.argmax()
    inner = ndimage.binary_erosion(sea, iterations=5)
    land = np.isfinite(vv) & (ndimage.distance_transform_edt(~sea) > 12) & ~dark
    print({
        "sea": (np.median(vv[inner]), np.median(vh[inner])),
        "land": (np.median(vv[land]), np.median(vh[land])),
        "brightest 0.1 %": (np.percentile(vv[land], 99.9), np.percentile(vh[land], 99.9)),
    })  # fmt: skip
    assert -16 < np.median(vv[inner]) < -10  # July: the monsoon roughens the sea
    assert -32 < np.median(vh[inner]) < -26
    assert -10 < np.median(vv[land]) < -6  # woods and fields, wet
    assert -16 < np.median(vh[land]) < -12
    # Towns; the grid is coarser than the sample, so a pixel is the mean power of its surroundings.
    assert np.percentile(vv[land], 99.9) > -1
    assert (vv - vh)[np.isfinite(vv)].min() > -3


def test_real_numbers_calibrate_as_xarray_sentinel_calibrates_them(shared_data, tmp_path):
    reader = pytest.importorskip("xarray_sentinel")
    xr = pytest.importorskip("xarray")
    lines, samples = np.arange(560, 700), np.arange(900, 1240)
    rows, cols = 20 * lines + 10, 20 * samples + 10  # in the image before it was averaged
    files = products(shared_data)
    for band in ("vv", "vh"):
        _, numbers, found, *_ = radar_geometry(shared_data, tmp_path, band)
        name = next(n for n in files if n.startswith(f"calibration-s1a-iw-grd-{band}-2020"))
        (tmp_path / name).write_bytes(files[name])
        calibration = read_calibration(files[name], name)
        tables = reader.sentinel1.open_calibration_dataset(str(tmp_path / name))
        window = numbers[np.ix_(lines, samples)]
        digital = xr.DataArray(
            window.astype("f8"), coords={"line": rows, "pixel": cols}, dims=("line", "pixel"),
            attrs={"units": "1", "long_name": "measurement digital number"},
        )  # fmt: skip
        inside = found.inside(slice(None))[np.ix_(lines, samples)]
        assert inside.all()
        for ours, theirs in {
            "sigma0": "sigmaNought",
            "beta0": "betaNought",
            "gamma0": "gamma",
        }.items():
            expected = reader.calibrate_intensity(digital, tables[theirs]).to_numpy()
            actual = calibrate(window, inside, ours, (rows, cols), Tables(calibration))
            np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_the_sea_in_vh_is_noise_as_much_as_the_tables_say(shared_data, tmp_path):
    """Over calm far-range sea VH is mostly noise: power follows the noise table, slope 1."""
    _, numbers, found, calibration, noise = radar_geometry(shared_data, tmp_path, "vh")
    rows, cols = (np.arange(n) for n in numbers.shape)
    factor = calibration.window("sigma0", rows, cols).astype(float) ** 2
    power, floor = numbers.astype(float) ** 2 / factor, noise.window(rows, cols) / factor
    inside = found.inside(slice(None))
    smooth = ndimage.uniform_filter(power, 5)
    calm = ndimage.binary_erosion(inside & (smooth < 10**-2.2), iterations=6)
    labels, _ = ndimage.label(calm)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    sea = labels == sizes.argmax()
    assert sea.sum() > 100_000
    use = [c for c in cols if sea[:, c].sum() > 100]
    seen = np.array([np.median(power[sea[:, c], c]) for c in use])
    said = np.array([np.median(floor[sea[:, c], c]) for c in use])
    slope, rest = np.polyfit(said, seen, 1)
    left = power - floor
    print(slope, 10 * np.log10([rest, np.median(power[sea]), np.median(left[sea])]))
    # The mean of speckled amplitudes, squared, is 0.945 of mean power (4.4 looks).
    assert slope == pytest.approx(0.97, abs=0.1)
    assert np.corrcoef(said, seen)[0, 1] > 0.95
    assert -31 < 10 * np.log10(np.median(left[sea])) < -28
    assert (left[sea] < 0).mean() < 0.001
    # What noise removal is for: the swath's shape goes out of the sea.
    after = np.array([np.median(left[sea[:, c], c]) for c in use])
    assert np.ptp(10 * np.log10(after)) < np.ptp(10 * np.log10(seen)) + 0.1


@pytest.mark.parametrize(
    "name",
    ["s1a-iw-grd-vv-2020", "s1a-iw-grd-vh-2020", "s1b-iw-grd-vv-2021"],
)
def test_noise_floors_of_real_products_are_those_of_the_sensor(shared_data, name):
    files = products(shared_data)
    noise_name = next(n for n in files if n.startswith(f"noise-{name}"))
    table = noise_name.replace("noise", "calibration")
    rows, cols = np.arange(100, 16_000, 500), np.arange(100, 25_000, 50)
    floor = read_noise(files[noise_name], noise_name).window(rows, cols)
    floor = 10 * np.log10(
        floor / read_calibration(files[table], table).window("sigma0", rows, cols) ** 2
    )
    print(name, floor.min(), np.median(floor), floor.max())
    assert -31 < floor.min() < floor.max() < -21.5  # specified: -22 at the most


def test_the_real_border_goes_and_nothing_else(shared_data, tmp_path):
    """IPF 2.91: zeros at far range. The fixed cut of S1Tiling leaves such products whole."""
    for band in ("vv", "vh"):
        _, numbers, found, *_ = radar_geometry(shared_data, tmp_path / band, band)
        inside = found.inside(slice(None))
        assert (numbers[~inside] == 0).all()
        assert (numbers[inside] == 0).sum() <= 2
        assert (~inside).mean() == pytest.approx(0.0201, abs=0.0002)
        cut = s1tiling_cut(numbers[5], numbers[-6], "002.91")
        assert (cut.left, cut.right, cut.first, cut.last) == (0, 0, 0, 0)
