# SPDX-License-Identifier: Apache-2.0
"""Raw Sentinel-1 products of the embedded archive, judged by GDAL, xarray-sentinel, ESA's schemas,
the room that corrects terrain, and plain arithmetic on what the files say."""

import hashlib
import json
import math
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import shapely
from scipy.interpolate import RegularGridInterpolator

from made.recipes import resolve
from terrapatch import grid
from terrapatch.crs import GEOGRAPHIC, transformer
from terrapatch.errors import InputError
from terrapatch.radar import doppler
from terrapatch.radar.annotation import read_annotation
from terrapatch.radar.orbit import Orbit
from terrapatch.recipe import write_settings
from terrapatch.settings import SimulateSettings
from terrapatch.simulate import grd, passage, references
from terrapatch.simulate.archive import simulate
from terrapatch.simulate.facts import covers
from terrapatch.simulate.landscape import feature_numbers, make_landscape, plane_of
from terrapatch.simulate.schedule import Pass1, passes1
from terrapatch.simulate.surface import greenness

AREA = shapely.box(-49.52, -8.22, -49.47, -8.17)
TARGETS = ((-49.505, -8.195), (-49.485, -8.187), (-49.495, -8.205))
DIRECTIONS = ("descending", "ascending")


@pytest.fixture(scope="module")
def land():
    plane = plane_of(AREA)
    there = grid.reprojected(AREA, GEOGRAPHIC, plane).buffer(500, join_style="mitre")
    outline = grid.reprojected(there, plane, GEOGRAPHIC)
    return make_landscape(AREA, outline, 4, TARGETS), outline


def item_of(direction, number=0, edge=None):
    start = datetime(2022, 6, 12, 9, tzinfo=UTC)
    return Pass1(number, start, direction, 43_633, 107, 0.0, edge)


def view_of(land, item, **options):
    landscape, outline = land
    track = grd.passage_over(landscape, item, outline, whole=False)
    return grd.View(landscape, track, greenness(landscape, item.start, False), **options)


@pytest.fixture(scope="module", params=DIRECTIONS)
def view(request, land):
    return view_of(land, item_of(request.param))


@pytest.fixture(scope="module")
def products(view, tmp_path_factory):
    """Folders of the two slices of a pass, first in time first."""
    folder = tmp_path_factory.mktemp("grd")
    written = grd.write_products(folder, view.landscape, view.passage, False, threads=2)
    return [folder / w.name for w in written]


def only(product, pattern):
    (path,) = product.glob(pattern)
    return path


def annotation_of(product, band="vv"):
    path = only(product, f"annotation/*{band}*.xml")
    return read_annotation(path.read_bytes(), str(path))


def pixels_of(product, band="vv"):
    with rasterio.open(only(product, f"measurement/*{band}*.tiff")) as image:
        return image.read(1)


def numbers(element, tag):
    return np.array(element.find(tag).text.split(), float)


def table_of(path, vector, tag, rows, cols):
    """A table's values at lines and pixels, linear in both, by SciPy."""
    vectors = ET.parse(path).getroot().findall(f".//{vector}")
    lines = [float(v.find("line").text) for v in vectors]
    values = np.array([numbers(v, tag) for v in vectors])
    points = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    return RegularGridInterpolator((lines, numbers(vectors[0], "pixel")), values)(points)


def sigma_of(product, band):
    """σ⁰ of a product, NaN where it has no data, from its files alone."""
    pixels = pixels_of(product, band).astype(float)
    rows, cols = (np.arange(n) for n in pixels.shape)
    noise_file = only(product, f"annotation/calibration/noise-*{band}*.xml")
    noise = table_of(noise_file, "noiseRangeVector", "noiseRangeLut", rows, cols)
    for block in ET.parse(noise_file).getroot().iter("noiseAzimuthVector"):
        first, last = (int(block.find(f"{k}RangeSample").text) for k in ("first", "last"))
        factor = np.interp(rows, numbers(block, "line"), numbers(block, "noiseAzimuthLut"))
        noise[:, first : last + 1] *= factor[:, None]
    file = only(product, f"annotation/calibration/calibration-*{band}*.xml")
    amplitude = table_of(file, "calibrationVector", "sigmaNought", rows, cols)
    return np.where(pixels > 0, (pixels**2 - noise) / amplitude**2, np.nan)


# ---- the orbit


def test_the_orbit_is_sentinel_1s_and_its_velocity_is_its_derivative():
    orbit = passage.orbit_over(7.5, 48.2, 200.0, "ascending", 0.0)
    t, step = np.linspace(-60, 60, 13), 1e-3
    position, velocity, change = orbit.state(t)
    before, after = orbit.state(t - step), orbit.state(t + step)
    np.testing.assert_allclose((after[0] - before[0]) / (2 * step), velocity, atol=1e-5)
    np.testing.assert_allclose((after[1] - before[1]) / (2 * step), change, atol=1e-5)
    # Without the Earth's turn, the plane of the orbit has Sentinel-1's inclination.
    inertial = velocity + passage.TURN * np.stack([-position[:, 1], position[:, 0], 0 * t], -1)
    normal = np.cross(position, inertial)
    tilt = np.degrees(np.arccos(normal[:, 2] / np.linalg.norm(normal, axis=1)))
    np.testing.assert_allclose(tilt, 98.18, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(position, axis=1) - 6_378_137, 693e3, atol=500)
    assert (2 * math.pi / passage.MOTION / 60) == pytest.approx(98.74, abs=0.01)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("lon", "lat"), [(-49.5, -8.2), (7.5, 48.2), (20.0, 69.0), (179.9, -60)])
def test_a_pass_looks_right_at_its_area_from_the_asked_direction(direction, lon, lat):
    track = passage.make_passage(item_of(direction), (lon, lat), 200.0, None, 0.0)
    t = np.zeros(2)
    edges = track.orbit.project(t, track.slant(t, np.array([0, track.samples - 1])), 200.0)
    incidence, _ = track.orbit.angles(t, edges)
    np.testing.assert_allclose(incidence, [30.5, 45.8], atol=0.6)
    position, velocity, _ = track.orbit.state(t)
    right = np.cross(velocity, position)
    assert (np.sum((edges - position) * right, axis=1) > 0).all()
    assert (velocity[0, 2] > 0) == (direction == "ascending")
    # A full slice has the shape of genuine ones.
    assert track.samples == pytest.approx(25_400, abs=400)
    assert [s.lines for s in track.slices] == pytest.approx([16_900, 16_900], abs=300)
    assert track.near == pytest.approx(800e3, abs=16e3)


def test_an_area_that_no_orbit_sees_is_an_error():
    with pytest.raises(InputError, match=r"no descending .*s1_format: rtc"):
        passage.orbit_over(0.0, -89.5, 0.0, "descending", 0.0)


def test_projecting_and_locating_are_inverse_to_a_millimetre():
    orbit = passage.orbit_over(-49.5, -8.2, 200.0, "descending", 80.0)
    rng = np.random.default_rng(5)
    t, slant = rng.uniform(-25, 25, 50), rng.uniform(8.1e5, 9.4e5, 50)
    height = rng.uniform(-100, 4_000, 50)
    place = orbit.project(t, slant, height)
    np.testing.assert_allclose(passage.geodetic(place)[2], height, atol=1e-4)
    again, far = orbit.locate(place)
    np.testing.assert_allclose(again, t, atol=1e-9)
    np.testing.assert_allclose(far, slant, atol=1e-5)


# ---- other readers


def test_gdal_opens_the_product_as_sentinel_1(products):
    for product in products:
        with rasterio.open(product / "manifest.safe") as whole:
            assert whole.driver == "SAFE"
            assert len(whole.subdatasets) == 3
            assert len(whole.gcps[0]) == 210
            with rasterio.open(next(s for s in whole.subdatasets if "IW_VH" in s)) as part:
                np.testing.assert_array_equal(part.read(1), pixels_of(product, "vh"))


def test_measurements_are_as_genuine_ones(products):
    annotation = annotation_of(products[0])
    with rasterio.open(only(products[0], "measurement/*vv*.tiff")) as image:
        assert image.dtypes == ("uint16",)
        assert image.crs is None
        assert image.transform == rasterio.Affine.identity()
        points, crs = image.gcps
        assert image.tags()["TIFFTAG_IMAGEDESCRIPTION"] == "Sentinel-1A IW GRD HR L1"
    assert crs == rasterio.CRS.from_epsg(4326)
    mesh = annotation.grid
    np.testing.assert_allclose([p.x for p in points], mesh.longitude.ravel(), atol=1e-12)
    np.testing.assert_allclose([p.y for p in points], mesh.latitude.ravel(), atol=1e-12)
    np.testing.assert_allclose([p.z for p in points], mesh.height.ravel(), atol=1e-9)
    np.testing.assert_array_equal([p.col for p in points], mesh.pixel.ravel())
    np.testing.assert_array_equal([p.row for p in points], mesh.line.ravel())


@pytest.mark.parametrize("kind", ["annotation", "calibration", "noise"])
def test_esas_schemas_hold(products, kind):
    pytest.importorskip("xarray_sentinel")
    from xarray_sentinel.esa_safe import cached_sentinel1_schemas

    patterns = {"annotation": "annotation/*.xml"}
    files = products[1].glob(patterns.get(kind, f"annotation/calibration/{kind}-*.xml"))
    findings = [e.reason for f in files for e in cached_sentinel1_schemas(kind).iter_errors(f)]
    assert findings == []


@pytest.mark.filterwarnings("ignore")
def test_xarray_sentinel_reads_every_group(products):
    pytest.importorskip("xarray_sentinel")
    import xarray

    def group(name):
        return xarray.open_dataset(products[0], engine="sentinel-1", group=f"IW/VV{name}")

    annotation = annotation_of(products[0])
    assert dict(group("").sizes) == {
        "ground_range": annotation.samples, "azimuth_time": annotation.lines
    }  # fmt: skip
    np.testing.assert_array_equal(group("").measurement.values, pixels_of(products[0]))
    np.testing.assert_allclose(group("/orbit").position.values.T, annotation.orbit.position)
    np.testing.assert_allclose(group("/gcp").height.values, annotation.grid.height)
    assert (group("/calibration").betaNought == 474).all()
    assert (group("/noise_range").noiseRangeLut > 300).all()
    for name in ("attitude", "dc_estimate", "azimuth_fm_rate", "coordinate_conversion"):
        assert group(f"/{name}").sizes["azimuth_time"] > 2


def test_the_manifest_names_every_file_with_its_size_and_sum(products):
    for product in products:
        root = ET.parse(product / "manifest.safe").getroot()
        named = set()
        for data in root.iter("dataObject"):
            path = product / data.find(".//fileLocation").get("href")
            content = path.read_bytes()
            assert int(data.find("byteStream").get("size")) == len(content)
            assert data.find(".//checksum").text == hashlib.md5(content).hexdigest()
            named.add(path.resolve())
        files = {p.resolve() for p in product.rglob("*") if p.is_file()}
        assert named == files - {(product / "manifest.safe").resolve()}


# ---- geometry


def test_the_annotated_grid_agrees_with_the_solver_that_corrects_terrain(products):
    for product in products:
        annotation = annotation_of(product)
        mesh = annotation.grid
        place = doppler.ecef(mesh.longitude, mesh.latitude, mesh.height)
        t, slant = doppler.locate(annotation.orbit, place)
        np.testing.assert_allclose(slant, mesh.slant_range_m, atol=1e-4)
        # Times are written in whole microseconds, 7 mm of flight.
        assert np.abs(t - mesh.azimuth_s).max() * 7_000 < 0.01
        line, pixel = doppler.image_coordinates(annotation, t, slant)
        np.testing.assert_allclose(line, mesh.line, atol=2e-3)
        np.testing.assert_allclose(pixel, mesh.pixel, atol=1e-4)


def test_state_vectors_hold_the_orbit_between_them(view, products):
    annotation = annotation_of(products[0])
    orbit = annotation.orbit
    steps = np.diff(orbit.time_s)
    np.testing.assert_allclose(steps, 10, atol=1e-6)
    t = np.linspace(orbit.time_s[1], orbit.time_s[-2], 77)
    shift = annotation.epoch - np.datetime64(view.passage.epoch.replace(tzinfo=None), "ns")
    seconds = t + shift / np.timedelta64(1, "s")
    position, velocity, _ = view.passage.orbit.state(seconds)
    found = orbit.state(t)
    np.testing.assert_allclose(found[0], position, atol=0.005)
    np.testing.assert_allclose(found[1], velocity, atol=0.005)


def test_pixels_see_the_ground_that_the_terrain_corrector_finds_there(view, products):
    """Ground of pixels, sent back through the annotation by the other room's solver."""
    for part, product in zip(view.passage.slices, products, strict=True):
        annotation = annotation_of(product)
        rng = np.random.default_rng(2)
        lines = rng.integers(part.first, part.last - 40, 12)
        for line0 in lines.tolist():
            sample0 = int(rng.integers(0, view.passage.samples - 40))
            x, y, _ = grd.ground_of(view, line0, sample0, 5, 7)
            z = view.landscape.relief.heights(x, y)
            lon, lat = transformer(view.landscape.crs, GEOGRAPHIC).transform(x, y)
            t, slant = doppler.locate(annotation.orbit, doppler.ecef(lon, lat, z))
            line, pixel = doppler.image_coordinates(annotation, t, slant)
            rows, cols = np.mgrid[0:5, 0:7]
            np.testing.assert_allclose(line, line0 - part.first + rows, atol=2e-3)
            np.testing.assert_allclose(pixel, sample0 + cols, atol=5e-4)


def test_slant_and_ground_range_polynomials_undo_each_other(view):
    track = view.passage
    _, forth, back = track.conversions
    ground = np.linspace(0, track.samples * 10, 200)
    for f, b in zip(forth, back, strict=True):
        slant = np.polynomial.polynomial.polyval(ground, f)
        again = np.polynomial.polynomial.polyval(slant - track.near, b)
        np.testing.assert_allclose(again, ground, atol=0.01)


def test_polynomials_follow_the_ground_on_a_full_swath():
    track = passage.make_passage(item_of("ascending"), (-49.5, -8.2), 230.0, None, 0.0)
    times, forth, back = track.conversions
    assert times[0] <= track.first * track.interval
    assert times[-1] >= track.last * track.interval
    ranges = np.linspace(track.near, track.slant_end, 4_000)
    for k in (0, times.size // 2, times.size - 1):
        ground = track.ground_along(float(times[k]), ranges)
        slant = np.polynomial.polynomial.polyval(ground, forth[k])
        np.testing.assert_allclose(slant, ranges, atol=1e-3)
        again = np.polynomial.polynomial.polyval(ranges - track.near, back[k])
        np.testing.assert_allclose(again, ground, atol=0.1)  # genuine ones: 3 cm


def test_corner_reflectors_shine_where_their_place_says(view, products):
    seen = 0
    for product in products:
        annotation = annotation_of(product)
        x, y = view.landscape.impulses.T
        z = view.landscape.relief.heights(x, y)
        lon, lat = np.array(TARGETS).T
        t, slant = doppler.locate(annotation.orbit, doppler.ecef(lon, lat, z))
        rows, cols = doppler.image_coordinates(annotation, t, slant)
        for band in ("vv", "vh"):
            power = pixels_of(product, band).astype(float) ** 2
            for row, col in zip(rows, cols, strict=True):
                if not 8 < row < annotation.lines - 8:
                    continue
                top, left = round(row) - 4, round(col) - 4
                window = power[top : top + 9, left : left + 9]
                weight = np.clip(window - 20 * np.median(window), 0, None)
                r, c = np.mgrid[0:9, 0:9]
                assert np.sum(r * weight) / weight.sum() + top == pytest.approx(row, abs=0.05)
                assert np.sum(c * weight) / weight.sum() + left == pytest.approx(col, abs=0.05)
                assert window.max() > 100 * np.median(power)
                seen += 1
    assert seen >= 4


def test_slopes_towards_the_radar_are_brighter_as_their_lit_area_says(view):
    """Lit area of a facet over its area in time and range, by finite differences."""
    flat = grd.View(view.landscape, view.passage, view.green, slopes=False)
    relief, track = view.landscape.relief, view.passage
    to_degrees = transformer(view.landscape.crs, GEOGRAPHIC)
    rng = np.random.default_rng(8)
    ratios = []
    for _ in range(40):
        line0 = int(rng.integers(track.first, track.last))
        sample0 = int(rng.integers(100, track.samples - 100))
        x, y, bright = (a[0, 0] for a in grd.ground_of(view, line0, sample0, 1, 1))
        level = grd.ground_of(flat, line0, sample0, 1, 1)[2][0, 0]
        around = np.array([x, x + 0.5, x]), np.array([y, y, y + 0.5])
        z = relief.heights(*around)
        found = []
        for heights in (z, np.full(3, z[0])):
            lon, lat = to_degrees.transform(*around)
            place = passage.earth_fixed(lon, lat, heights)
            t, slant = track.orbit.locate(place)
            facet = np.cross(place[1] - place[0], place[2] - place[0])
            sight = track.orbit.state(t[:1])[0][0] - place[0]
            lit = abs(facet @ sight) / np.linalg.norm(sight)
            cell = np.linalg.det(
                [
                    np.diff(t[[0, 1]]).tolist() + np.diff(t[[0, 2]]).tolist(),
                    np.diff(slant[[0, 1]]).tolist() + np.diff(slant[[0, 2]]).tolist(),
                ]
            )
            found.append(lit / abs(cell))
        assert bright / level == pytest.approx(found[0] / found[1], rel=0.01)
        ratios.append(bright / level)
    assert min(ratios) < 0.97
    assert max(ratios) > 1.03


# ---- radiometry


@pytest.fixture(scope="module", params=DIRECTIONS)
def level_products(request, land, tmp_path_factory):
    """A pass of another number, without the slopes' brightness, and its view."""
    view = view_of(land, item_of(request.param, number=2), slopes=False)
    folder = tmp_path_factory.mktemp("level")
    written = grd.write_products(
        folder, view.landscape, view.passage, False, threads=2, slopes=False
    )
    return view, [folder / w.name for w in written]


def test_every_class_has_the_backscatter_that_was_put_in(level_products):
    view, folders = level_products
    table = covers()
    sums = {}
    for part, product in zip(view.passage.slices, folders, strict=True):
        mesh = annotation_of(product).grid
        rows, cols = part.lines, view.passage.samples
        x, y, _ = grd.ground_of(view, part.first, 0, rows, cols)
        truth = grd.backscatter(view, x, y)
        theta = RegularGridInterpolator((mesh.line[:, 0], mesh.pixel[0]), mesh.incidence_deg)(
            np.stack(np.mgrid[0:rows, 0:cols], axis=-1)
        )
        truth *= np.cos(np.radians(theta))  # γ⁰ to σ⁰
        square = grid.snapped_geobox(
            (x.min() - 9, y.min() - 9, x.max() + 9, y.max() + 9), view.landscape.crs, 5.0
        )
        inverse = ~square.affine
        c, r = (np.floor(v).astype(int) for v in inverse * (x, y))
        kinds = view.landscape.features.cover[feature_numbers(view.landscape, square)[r, c]]
        near = np.zeros(kinds.shape, bool)
        for px, py in view.landscape.impulses:
            near |= np.hypot(x - px, y - py) < 150
        relief = view.landscape.relief
        shown = (x > relief.x0) & (x < -relief.x0) & (y > relief.y0) & (y < -relief.y0)
        for band, name in enumerate(("vv", "vh")):
            sigma = sigma_of(product, name)
            valid = np.isfinite(sigma) & ~near & shown
            for kind in np.unique(kinds[valid]):
                own = valid & (kinds == kind)
                key = table.names[kind], name
                now = np.array([own.sum(), sigma[own].sum(), truth[band][own].sum()])
                sums[key] = sums.get(key, 0) + now
    judged = {k: 10 * np.log10(v[1] / v[2]) for k, v in sums.items() if v[0] > 15_000}
    assert len(judged) >= 8
    assert max(abs(v) for v in judged.values()) < 0.1, judged
    # Without subtracting noise, dark ground would fail this by far.
    every = sum(v for k, v in sums.items() if k[1] == "vh")
    assert abs(10 * np.log10(every[1] / every[2])) < 0.03


def test_speckle_has_the_looks_of_a_ground_range_product(land, level_products):
    view, folders = level_products
    relief = view.landscape.relief
    part = view.passage.slices[0]
    rows, cols = part.lines, view.passage.samples
    x, y, _ = grd.ground_of(view, part.first, 0, rows, cols)
    plain = (x < relief.x0) | (x > -relief.x0) | (y < relief.y0) | (y > -relief.y0)
    pixels = pixels_of(folders[0]).astype(float)
    own = plain & (pixels > 0)
    sigma = sigma_of(folders[0], "vv")[own]
    noise = 1_300 / 474**2 / sigma.mean()  # noise is speckled too, a few percent of the power
    looks = sigma.mean() ** 2 / sigma.var() * (1 + noise) ** 2
    assert own.sum() > 5_000
    assert looks == pytest.approx(4.4, rel=0.12)


# ---- slices, borders, sameness


def test_slices_continue_each_other(products):
    first, second = (annotation_of(p) for p in products)
    assert first.datatake == second.datatake
    assert (first.slice_number, second.slice_number) == (1, 2)
    begin = (second.epoch - first.epoch) / np.timedelta64(1, "s") + second.first_line_s
    assert begin - first.last_line_s == pytest.approx(first.azimuth_interval_s, abs=2e-6)
    assert second.samples == first.samples
    assert second.near_range_m == first.near_range_m
    upper, lower = (pixels_of(p).astype(float) for p in products)
    inner = slice(60, -60)

    def alike(a, b):
        return np.corrcoef(a[inner], b[inner])[0, 1]

    # Neighbouring lines share speckle and ground: those at the seam as much as any others.
    usual = [alike(upper[k], upper[k + 1]) for k in range(-20, -1)]
    assert alike(upper[-1], lower[0]) == pytest.approx(np.mean(usual), abs=4 * np.std(usual))
    assert alike(upper[-1], lower[0]) > alike(upper[-1], lower[9]) + 0.1


def test_pixels_do_not_depend_on_blocks(view):
    part = view.passage.slices[1]
    tables = grd.luts(view.passage, part)
    whole = grd.digital_numbers(view, tables, part, 3, 70, 90, 110)
    piece = grd.digital_numbers(view, tables, part, 41, 101, 30, 50)
    np.testing.assert_array_equal(piece, whole[:, 38:68, 31:81])


def test_borders_are_zero_and_the_area_is_not(view, products):
    for part, product in zip(view.passage.slices, products, strict=True):
        pixels = pixels_of(product)
        assert (pixels[:, 0] == 0).any() or (pixels[:, 1] == 0).any()
        lon, lat = shapely.get_coordinates(AREA)[:-1].T
        height = np.full(lon.size, view.passage.height)
        line, sample = view.passage.image_place(passage.earth_fixed(lon, lat, height))
        assert (sample > 40).all()
        assert (sample < view.passage.samples - 40).all()
        edge = pixels[0] if part.number == 1 else pixels[-1]
        seam = pixels[-1] if part.number == 1 else pixels[0]
        assert (edge == 0).all() or (edge == 0).mean() > 0.3
        assert (seam == 0).mean() < 0.1
        assert view.passage.first + 40 < line.min()
        assert line.max() < view.passage.last - 40


def test_a_swath_that_ends_in_the_area_is_zero_beyond(land):
    view = view_of(land, item_of("descending", number=1, edge=0.8))
    part = view.passage.slices[0]
    tables = grd.luts(view.passage, part)
    numbers_ = grd.digital_numbers(view, tables, part, -60, 0, 60, view.passage.samples)
    x, y, _ = grd.ground_of(view, -60, 0, 60, view.passage.samples)
    beyond = x + 0.22 * y > 0.8 * view.landscape.size / 2
    assert beyond.any()
    assert (numbers_[:, beyond] == 0).all()
    assert (numbers_[:, ~beyond] > 0).mean() > 0.85


def test_threads_leave_no_trace_in_the_bytes(view, products, tmp_path):
    grd.write_products(tmp_path, view.landscape, view.passage, False, threads=1)
    for product in products:
        for path in (p for p in product.rglob("*") if p.is_file()):
            again = tmp_path / product.name / path.relative_to(product)
            assert again.read_bytes() == path.read_bytes(), path


def test_passes_of_one_track_differ_by_the_orbital_tube(land):
    landscape, outline = land
    items = [i for i in passes1(4, 2022, 4, -49.5) if i.direction == "ascending"]
    tracks = [grd.passage_over(landscape, i, outline, whole=False) for i in items]
    places = [t.orbit.state(np.array([0.0]))[0][0] for t in tracks]
    apart = [np.linalg.norm(p - places[0]) for p in places[1:]]
    assert all(1 < a < 250 for a in apart)


# ---- the archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    recipe = resolve(
        {
            "name": "raw",
            "area": {"bbox": [-49.52, -8.22, -49.50, -8.20]},
            "catalog": {"source": "simulated"},
            "simulate": {"passes": 1, "margin_m": 200, "s1_format": "both"},
        }
    )
    write_settings(recipe, folder / "s")
    simulate(folder / "s" / "simulate.json", folder / "archive", threads=2)
    return folder / "archive"


def test_the_archive_holds_raw_products_their_items_and_heights(archive):
    folders = sorted((archive / "sentinel1_grd").iterdir())
    assert len(folders) == 4
    assert len(list((archive / "sentinel1").iterdir())) == 4  # corrected: two passes, two bands
    assert (archive / "dem" / "heights.tif").is_file()
    items = sorted((archive / "sentinel-1-grd").glob("*/*.json"))
    assert [p.stem for p in items] == [f.name.removesuffix(".SAFE") for f in folders]
    for path in items:
        item = json.loads(path.read_text(encoding="utf-8"))
        assert item["properties"]["sar:product_type"] == "GRD"
        for asset in item["assets"].values():
            assert (path.parent / asset["href"]).is_file()
    links = json.loads((archive / "catalog.json").read_text(encoding="utf-8"))["links"]
    assert "./sentinel-1-grd/collection.json" in [k["href"] for k in links]


def test_raw_products_are_made_only_where_they_are_asked_for():
    assert SimulateSettings().s1_format == "rtc"


def test_the_catalogue_reads_the_products_as_what_they_are(products):
    from terrapatch.catalog.grd import read_product

    scenes = [read_product(product) for product in products]
    assert {s.level for s in scenes} == {"GRD"}
    assert scenes[0].datatake == scenes[1].datatake
    for scene, product in zip(scenes, products, strict=True):
        mesh = annotation_of(product).grid
        middle = shapely.Point(float(mesh.longitude[5, 10]), float(mesh.latitude[5, 10]))
        assert scene.footprint.contains(middle)
        assert scene.orbit_direction == annotation_of(product).direction
        assert set(scene.polarisations) == {"VV", "VH"}


def test_heights_are_those_that_the_radar_saw(land, tmp_path):
    landscape, _ = land
    references.write_heights(tmp_path / "heights.tif", landscape)
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-2_500, 2_500, (2, 300))
    lon, lat = transformer(landscape.crs, GEOGRAPHIC).transform(x, y)
    with rasterio.open(tmp_path / "heights.tif") as image:
        assert image.crs == rasterio.CRS.from_epsg(4979)
        heights = image.read(1).astype(float)
        col, row = ~image.transform * (lon, lat)
    from scipy.ndimage import map_coordinates

    found = map_coordinates(heights, [row - 0.5, col - 0.5], order=1)
    off = np.abs(found - landscape.relief.heights(x, y))
    assert off.max() < 0.4
    assert off.mean() < 0.03


def test_hermite_orbits_of_the_other_room_take_these_states():
    orbit = passage.orbit_over(-49.5, -8.2, 200.0, "descending", 0.0)
    t = np.arange(-60.0, 61, 10)
    position, velocity, _ = orbit.state(t)
    other = Orbit(np.datetime64("2022-06-12T09:03:00", "ns"), t, position, velocity)
    np.testing.assert_allclose(
        other.state(t + 3.0)[0][1:-1], orbit.state(t + 3.0)[0][1:-1], atol=0.002
    )
