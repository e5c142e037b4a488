# SPDX-License-Identifier: Apache-2.0
"""Annotations, orbits and range-Doppler geometry, judged by ESA's own grids, scipy and PROJ."""

import dataclasses
import re
import zipfile
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.polynomial import polyval
from scipy.interpolate import KroghInterpolator
from scipy.optimize import minimize_scalar

from terrapatch.errors import SceneError
from terrapatch.radar import doppler
from terrapatch.radar.annotation import read_annotation, with_ground_range_of
from terrapatch.radar.orbit import Orbit, join_orbits, read_eof, seconds, utc

PRODUCTS = {
    "CEAB-VV": ("s1a-iw-grd-vv-20150222t170725", "002.36"),
    "CEAB-VH": ("s1a-iw-grd-vh-20150222t170725", "002.36"),
    "3768-VV": ("s1a-iw-grd-vv-20150222t170750", "002.36"),
    "3768-VH": ("s1a-iw-grd-vh-20150222t170750", "002.36"),
    "9550-VV": ("s1a-iw-grd-vv-20200708t182643", "003.31"),
    "9550-VH": ("s1a-iw-grd-vh-20200708t182643", "003.31"),
    "5371-VV": ("s1b-iw-grd-vv-20211223t051122", "003.40"),
    "SLC-VV": ("s1a-iw3-slc-vv-20220918t074921", ""),
}
GRD = [name for name in PRODUCTS if name != "SLC-VV"]
OLD = [name for name in GRD if PRODUCTS[name][1].startswith("002")]
ONE_OF_EACH = ["CEAB-VV", "3768-VV", "9550-VV", "5371-VV"]


@pytest.fixture(scope="session")
def members(shared_data):
    """Metadata of every real product by file name, and the manifests by product."""
    found = {}
    for path in sorted((shared_data / "s1_grd_safe").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if re.search(r"annotation/s1[^/]*\.xml$", name):
                    found[name.rsplit("/", 1)[1]] = archive.read(name)
                elif name.endswith("manifest.safe"):
                    found[path.stem[-4:]] = archive.read(name)
    for path in (shared_data / "s1_grd_safe").rglob("annotation/s1*.xml"):
        found[path.name] = path.read_bytes()
    for path in (shared_data / "s1_grd_safe").rglob("manifest.safe"):
        found[path.parent.stem[-4:]] = path.read_bytes()
    for path in (shared_data / "s1_slc_orbit").glob("*.xml"):
        found[path.name] = path.read_bytes()
    return found


@pytest.fixture(scope="session")
def xml(members):
    def of(product):
        prefix = PRODUCTS[product][0]
        return next(data for name, data in members.items() if name.startswith(prefix))

    return of


@pytest.fixture(scope="session")
def annotations(xml):
    return {name: read_annotation(xml(name), name, ipf=ipf) for name, (_, ipf) in PRODUCTS.items()}


@pytest.fixture(scope="session")
def resorb(shared_data):
    return next((shared_data / "s1_slc_orbit").glob("*.EOF"))


def moment(annotation, time_s):
    return annotation.epoch + np.timedelta64(round(time_s * 1e9), "ns")


def residuals(annotation, orbit):
    """Slant range and along-track differences to the annotated grid, in m on the ground."""
    grid = annotation.grid
    xyz = doppler.ecef(grid.longitude, grid.latitude, grid.height)
    time, distance = doppler.locate(orbit, xyz)
    position, velocity, _ = orbit.state(time)
    ground_speed = np.linalg.norm(velocity, axis=-1) * (
        np.linalg.norm(xyz, axis=-1) / np.linalg.norm(position, axis=-1)
    )
    return distance - grid.slant_range_m, (time - grid.azimuth_s) * ground_speed


# --- annotations


@pytest.mark.parametrize("product", PRODUCTS)
def test_an_annotation_says_what_the_file_name_says(annotations, members, product):
    name = next(n for n in members if n.startswith(PRODUCTS[product][0]))
    a = annotations[product]
    platform, swath, kind, polarisation, start, stop, orbit, datatake, _ = name[:-4].split("-")
    assert (a.platform, a.swath, a.product_type, a.polarisation) == tuple(
        word.upper() for word in (platform, swath, kind, polarisation)
    )
    assert (a.absolute_orbit, a.datatake) == (int(orbit), int(datatake, 16))
    assert a.mode == "IW"
    for written, time_s in ((start, a.first_line_s), (stop, a.last_line_s)):
        shown = np.datetime_as_string(moment(a, time_s), "s").replace("-", "").replace(":", "")
        # names are rounded to whole seconds, up or down
        assert abs(int(shown[-2:]) - int(written[-2:])) <= 1
        assert shown[:8] == written[:8]
    assert a.first_line_s == pytest.approx(a.first_line_s % 1)


@pytest.mark.parametrize("product", ONE_OF_EACH)
def test_orbit_direction_and_number_agree_with_the_manifest(annotations, members, product):
    root = ET.fromstring(members[product[:4]])
    a = annotations[product]
    words = {node.tag.rsplit("}", 1)[-1]: node.text for node in root.iter()}
    relative = [n.text for n in root.iter() if n.tag.endswith("relativeOrbitNumber")]
    assert a.relative_orbit == int(relative[0])
    assert a.direction == words["pass"].lower()
    versions = [n.get("version") for n in root.iter() if n.tag.endswith("software")]
    assert a.ipf in versions


@pytest.mark.parametrize("product", PRODUCTS)
def test_lines_times_and_sizes_fit_together(annotations, product):
    a = annotations[product]
    grid = a.grid
    assert grid.line.shape == (10, 21)
    assert grid.line[-1, 0] == a.lines - 1
    assert grid.pixel[0, -1] == a.samples - 1
    assert grid.slant_range_m[0, 0] == pytest.approx(a.near_range_m)
    if a.product_type == "GRD":  # bursts of complex images overlap
        span = (a.lines - 1) * a.azimuth_interval_s
        assert a.last_line_s - a.first_line_s == pytest.approx(span, abs=2e-6)
        assert len(a.ground_range) >= 26
    else:
        assert a.ground_range == ()


def test_the_manifest_has_the_last_word_on_the_relative_orbit(xml):
    assert read_annotation(xml("9550-VV"), "x", relative_orbit=7).relative_orbit == 7
    unknown = xml("9550-VV").replace(b"<missionId>S1A<", b"<missionId>S1C<")
    assert read_annotation(unknown, "x").relative_orbit == 0


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_annotation_is_named_with_its_remedy(xml, share):
    data = xml("9550-VV")
    with pytest.raises(SceneError, match=r"s1a-cut\.xml: .*fetch the product again"):
        read_annotation(data[: int(len(data) * share)], "s1a-cut.xml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"<numberOfLines>16773<", b"<numberOfLines><", "without .*numberOfLines"),
        (b"<numberOfLines>16773<", b"<numberOfLines>many<", "numberOfLines = 'many', no number"),
        (b"<azimuthTimeInterval>", b"<azimuthTimeInterval>nan", "azimuthTimeInterval"),
        (b"<pass>Descending</pass>", b"", "without .*pass"),
        (b'orbitList count="17"', b'orbitList count="18"', "17 entries .* announced are 18"),
        (b"<frame>Earth Fixed<", b"<frame>GM2000<", "not Earth Fixed"),
        (b"<geolocationGridPointList", b"<other", "cut off or damaged"),
        (b"<line>0</line>", b"<line>1</line>", "no regular rows"),
        (b"<sr0>", b"<sr0>x", "sr0 = .* no number"),
        (b'<srgrCoefficients count="9">', b"<srgrCoefficients>zero ", "no list of numbers"),
        (b"<productType>GRD<", b"<productType>OCN<", "expected the annotation of a GRD or SLC"),
        (b"<time>2020-07-08T18:25:34", b"<time>2020-07-08T18:65:34", "no time"),
        (b"<time>2020-07-08T18:25:34", b"<time>2020-07-08T18:28:34", "unusable orbit"),
    ],
)
def test_a_damaged_annotation_says_what_is_wrong(xml, old, new, message):
    data = xml("9550-VV")
    if old not in data:
        old, new = old.replace(b"Descending", b"Ascending"), new
    assert old in data
    with pytest.raises(SceneError, match=rf"cut\.xml: .*{message}"):
        read_annotation(data.replace(old, new, 1), "cut.xml")


def test_another_kind_of_xml_is_refused():
    with pytest.raises(SceneError, match=r"cal\.xml: expected .* got calibration"):
        read_annotation(b"<calibration><adsHeader/></calibration>", "cal.xml")


# --- geolocation against ESA


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_solver_agrees_with_the_annotated_grid(annotations, product):
    a = annotations[product]
    across, along = residuals(a, a.orbit)
    assert np.abs(across).max() <= 0.001  # the bar is 0.01 m
    assert np.abs(along).max() <= 0.02  # the bar is 0.05 m


@pytest.mark.parametrize(("product", "offset_m"), [("CEAB-VV", 1.79), ("3768-VV", 2.95)])
def test_old_processors_round_the_times_of_state_vectors(annotations, product, offset_m):
    a = annotations[product]
    as_written = dataclasses.replace(a.orbit, time_s=a.orbit.time_s - a.orbit_shift_s)
    assert np.abs(as_written.time_s * 1e3 % 1.0 - 0.5).min() > 0.4999  # whole milliseconds
    across, along = residuals(a, as_written)
    assert np.abs(across).max() <= 0.01
    assert along.mean() == pytest.approx(offset_m, abs=0.01)
    assert along.std() <= 0.005
    # the whole of it is the rounding of the time: vectors stand whole seconds from the first line
    away = a.first_line_s - a.orbit.time_s
    np.testing.assert_allclose(away, np.round(away), atol=1e-9)


@pytest.mark.parametrize("product", [name for name in PRODUCTS if name not in OLD])
def test_orbits_of_later_processors_stay_as_written(annotations, xml, product):
    a = annotations[product]
    first = re.search(rb"<orbit>\s*<time>([^<]+)<", xml(product))[1].decode()
    assert a.orbit_shift_s == 0.0
    assert a.orbit.time_s[0] == float(seconds(utc(first), a.epoch))


def test_the_restituted_orbit_agrees_with_the_annotated_grid(annotations, resorb):
    a = annotations["SLC-VV"]
    start, stop = moment(a, a.first_line_s), moment(a, a.last_line_s)
    orbit = read_eof(resorb, start, stop, a.platform)
    assert orbit.epoch == a.epoch
    across, along = residuals(a, orbit)
    assert np.abs(across).max() <= 0.01
    assert np.abs(along).max() <= 0.05
    assert read_eof(resorb.read_bytes(), start, stop, "S1A").time_s.size == orbit.time_s.size


@pytest.mark.parametrize("product", GRD)
def test_lines_agree_with_the_annotated_grid(annotations, product):
    a = annotations[product]
    grid = a.grid
    xyz = doppler.ecef(grid.longitude, grid.latitude, grid.height)
    line, _ = doppler.image_coordinates(a, *doppler.locate(a.orbit, xyz))
    assert np.abs(line - grid.line).max() <= 0.002


@pytest.mark.parametrize("product", GRD)
def test_line_times_run_off_by_half_of_the_echo_delay(annotations, product):
    a = annotations[product]
    _, slope = doppler.line_delay(a)
    assert slope == pytest.approx(0.5, abs=0.001)
    # without it, lines at the edges of the swath are 0.17 off and more
    plain = (a.grid.azimuth_s - a.first_line_s) / a.azimuth_interval_s
    assert np.abs(plain - a.grid.line).max() > 0.17


@pytest.mark.parametrize("product", GRD)
def test_pixels_agree_with_the_grid_at_the_record_that_the_grid_used(annotations, product):
    a = annotations[product]
    grid = a.grid
    moments = np.array([record.azimuth_s for record in a.ground_range])
    checked = 0
    for row in range(grid.line.shape[0]):
        next_one = np.flatnonzero(moments >= grid.azimuth_s[row, 0])
        if not next_one.size:  # the last row of old slices: the record is in the next slice
            continue
        one = dataclasses.replace(a, ground_range=(a.ground_range[next_one[0]],))
        _, pixel = doppler.image_coordinates(one, grid.azimuth_s[row], grid.slant_range_m[row])
        np.testing.assert_allclose(pixel, grid.pixel[row], atol=1e-6)
        checked += 1
    assert checked >= 9


def test_neighbouring_slices_share_their_ground_range(annotations):
    first, second = annotations["CEAB-VV"], annotations["3768-VV"]
    joined = with_ground_range_of(first, second)
    moments = np.array([record.azimuth_s for record in joined.ground_range])
    np.testing.assert_allclose(np.diff(moments), 1.0)
    assert joined.ground_range[:26] == first.ground_range
    assert with_ground_range_of(joined, second).ground_range == joined.ground_range
    # the record that the last row of the grid was made with came with the next slice
    row = first.grid.azimuth_s[-1], first.grid.slant_range_m[-1]
    one = dataclasses.replace(joined, ground_range=(joined.ground_range[26],))
    np.testing.assert_allclose(
        doppler.image_coordinates(one, *row)[1], first.grid.pixel[-1], atol=1e-3
    )
    # what lies between the slices has the same pixel in both
    back = with_ground_range_of(second, first)
    seam = second.first_line_s + float(seconds(second.epoch, first.epoch))
    slant = np.linspace(810e3, 955e3, 50)
    pixel = doppler.image_coordinates(joined, seam, slant)[1]
    np.testing.assert_allclose(
        pixel, doppler.image_coordinates(back, second.first_line_s, slant)[1], atol=0.002
    )
    alone = doppler.image_coordinates(first, seam, slant)[1]
    assert np.abs(alone - pixel).max() > 1.5
    slc = annotations["SLC-VV"]
    assert with_ground_range_of(slc, first) is slc


@pytest.mark.parametrize("band", ["VV", "VH"])
def test_slices_meet_without_a_step(annotations, band):
    """Each slice with the other's records: pixels agree on both sides of the seam, and on it."""
    first, second = annotations[f"CEAB-{band}"], annotations[f"3768-{band}"]
    later = float(seconds(second.epoch, first.epoch))
    moments = [
        np.array([r.azimuth_s for r in a.ground_range]) + shift
        for a, shift in ((first, 0.0), (second, later))
    ]
    # the record before the seam stands in both; the next one only in the second, 0.68 s before
    # the first one's last line
    shared = np.abs(moments[0][:, None] - moments[1][None, :]).min(axis=1) < 1e-6
    assert shared.sum() == 1
    assert moments[0][shared] == moments[0][-1]
    assert first.last_line_s - moments[0][-1] == pytest.approx(0.675, abs=0.01)
    one, two = with_ground_range_of(first, second), with_ground_range_of(second, first)
    slant = np.linspace(first.near_range_m, first.grid.slant_range_m[-1, -1], 500)
    seam = later + second.first_line_s
    apart, alone = [], []
    for line in (-700, -300, -10, -1, 0, 1, 10, 300, 700):
        time_s = seam + line * first.azimuth_interval_s
        pair = ((one, two), (first, second))
        for found, (a, b) in zip((apart, alone), pair, strict=True):
            here, there = (
                doppler.image_coordinates(x, time_s - shift, slant)
                for x, shift in ((a, 0.0), (b, later))
            )
            found.append(np.abs(here[1] - there[1]).max())
            lines = here[0] - there[0]
            assert np.abs(lines - first.lines).max() < 0.01
    assert max(apart) < 0.0005
    assert alone[4] > 1.5
    # from the first image's last line to the second one's first the pixel moves as between lines
    steps = seam + np.arange(-400, 400) * first.azimuth_interval_s
    moved = [doppler.image_coordinates(one, t, slant)[1] for t in (steps[398], steps[399])]
    next_one = doppler.image_coordinates(two, seam - later, slant)[1]
    assert np.abs((next_one - moved[1]) - (moved[1] - moved[0])).max() < 0.0005
    assert np.abs(next_one - moved[1]).max() < 0.01


@pytest.mark.parametrize(("product", "most"), [("9550-VV", 0.2), ("5371-VV", 0.55)])
def test_pixels_between_records_stay_near_the_grid(annotations, product, most):
    a = annotations[product]
    _, pixel = doppler.image_coordinates(a, a.grid.azimuth_s, a.grid.slant_range_m)
    assert np.abs(pixel - a.grid.pixel).max() <= most


@pytest.mark.parametrize("product", ["CEAB-VV", "3768-VV"])
def test_seams_of_real_images_follow_ground_range_between_records(annotations, xml, product):
    # Sub-swaths are cut at one slant range for a while. Annotated seams of 2015 move by single
    # pixels between records, as ranges interpolated over time do; the nearest record would jump.
    a = annotations[product]
    merges = ET.fromstring(xml(product)).iter("swathMerge")
    third = next(merge for merge in merges if merge.findtext("swath") == "IW3")
    tags = ("firstAzimuthLine", "lastAzimuthLine", "firstRangeSample")
    bounds = [[int(b.findtext(t)) for t in tags] for b in third.iter("swathBounds")]
    pixel = np.concatenate([np.full(last - first + 1, p) for first, last, p in bounds])
    last_record = a.ground_range[-1].azimuth_s
    line = np.arange(int((last_record - a.first_line_s) / a.azimuth_interval_s))
    pixel = pixel[line]
    _, between = doppler.sensing_coordinates(a, line, pixel)
    moments = np.array([record.azimuth_s for record in a.ground_range])
    line_s = a.first_line_s + line * a.azimuth_interval_s
    nearest = np.abs(line_s[:, None] - moments).argmin(axis=1)
    by_record = np.stack([polyval(pixel * a.range_spacing_m, r.grsr) for r in a.ground_range])

    def unsteadiness(slant):
        pieces = np.array_split(slant, slant.size // 600)
        off = np.concatenate([np.abs(piece - np.median(piece)) for piece in pieces])
        return np.percentile(off, 90)

    half_pixel_m = 0.5 * a.range_spacing_m * 0.65  # in slant range
    assert unsteadiness(between) < 1.2 * half_pixel_m
    assert unsteadiness(by_record[nearest, line]) > 1.9 * half_pixel_m


@pytest.mark.parametrize("product", ONE_OF_EACH)
def test_image_and_sensing_coordinates_undo_each_other(annotations, product):
    a = annotations[product]
    rng = np.random.default_rng(5)
    line = rng.uniform(-100, a.lines + 100, (40, 50))
    pixel = rng.uniform(-100, a.samples + 100, (40, 50))
    time, distance = doppler.sensing_coordinates(a, line, pixel)
    back = doppler.image_coordinates(a, time, distance)
    np.testing.assert_allclose(back[0], line, atol=1e-6)
    np.testing.assert_allclose(back[1], pixel, atol=1e-6)


def test_image_coordinates_are_continuous_where_records_change(annotations):
    a = annotations["5371-VV"]
    moments = np.array([record.azimuth_s for record in a.ground_range])
    for edge in (1e-7, -1e-7):
        near = doppler.image_coordinates(a, moments + edge, 950e3)[1]
        np.testing.assert_allclose(near, doppler.image_coordinates(a, moments, 950e3)[1], atol=1e-4)


def test_what_is_not_a_number_stays_not_a_number(annotations):
    a = annotations["9550-VV"]
    line, pixel = doppler.image_coordinates(a, [np.nan, 5.0, 5.0], [850e3, np.nan, 850e3])
    assert np.isnan(pixel).tolist() == [True, True, False]
    assert np.isnan(line).tolist() == [True, True, False]
    place = doppler.ecef(a.grid.longitude[0, :2], a.grid.latitude[0, :2], [np.nan, 0.0])
    time, distance = doppler.locate(a.orbit, place)
    assert np.isnan(time).tolist() == np.isnan(distance).tolist() == [True, False]


def test_complex_images_have_no_ground_range(annotations):
    with pytest.raises(SceneError, match=r"IW3 SLC .* give a GRD product"):
        doppler.image_coordinates(annotations["SLC-VV"], 0.0, 9e5)


# --- places


def test_places_agree_with_proj():
    pyproj = pytest.importorskip("pyproj")
    to_xyz = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    rng = np.random.default_rng(7)
    lon = rng.uniform(-180, 180, 500)
    lat = np.concatenate([rng.uniform(-90, 90, 496), [-90, 90, 0, 1e-9]])
    for height in (-400.0, 0.0, 8848.0, 700e3):
        xyz = doppler.ecef(lon, lat, height)
        np.testing.assert_allclose(xyz.T, to_xyz.transform(lon, lat, lon * 0 + height), atol=1e-8)
        back = doppler.geodetic(xyz)
        np.testing.assert_allclose(back[1], lat, atol=1e-11)
        np.testing.assert_allclose(back[2], height, atol=1e-8)
        inner = np.abs(lat) < 90
        np.testing.assert_allclose(back[0][inner], lon[inner], atol=1e-11)


@pytest.mark.parametrize("product", [*ONE_OF_EACH, "SLC-VV"])
def test_projecting_and_locating_undo_each_other(annotations, product):
    a = annotations[product]
    rng = np.random.default_rng(3)
    time = rng.uniform(a.first_line_s, a.last_line_s, (30, 20))
    distance = rng.uniform(a.near_range_m, a.near_range_m + 150e3, 20)
    height = rng.uniform(-400, 8800, (30, 1))
    lon, lat = doppler.project(a.orbit, time, distance, height)
    assert lon.shape == (30, 20)
    back_time, back_distance = doppler.locate(a.orbit, doppler.ecef(lon, lat, height))
    np.testing.assert_allclose(back_time, time, atol=2e-9)
    np.testing.assert_allclose(back_distance, np.broadcast_to(distance, time.shape), atol=1e-4)


@pytest.mark.parametrize("product", [*ONE_OF_EACH, "SLC-VV"])
def test_projecting_finds_the_places_of_the_annotated_grid(annotations, product):
    a = annotations[product]
    grid = a.grid
    lon, lat = doppler.project(a.orbit, grid.azimuth_s, grid.slant_range_m, grid.height)
    off = doppler.ecef(lon, lat, grid.height) - doppler.ecef(
        grid.longitude, grid.latitude, grid.height
    )
    assert np.linalg.norm(off, axis=-1).max() <= 0.02


def test_the_other_look_is_on_the_other_side(annotations):
    a = annotations["9550-VV"]  # ascending: right is east
    right, _ = doppler.project(a.orbit, 10.0, 9e5, 0.0)
    left, _ = doppler.project(a.orbit, 10.0, 9e5, 0.0, look="left")
    nadir = doppler.geodetic(a.orbit.state(10.0)[0])[0]
    assert left < nadir < right


@pytest.mark.parametrize("distance", [6e5, 4e6, np.nan])
def test_ranges_that_reach_no_ground_are_not_a_number(annotations, distance):
    lon, lat = doppler.project(annotations["9550-VV"].orbit, [10.0, 11.0], [distance, 9e5], 0.0)
    assert np.isnan(lon).tolist() == np.isnan(lat).tolist() == [True, False]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(0, 20), st.floats(-400, 8000))
def test_zero_doppler_is_the_closest_approach(annotations, row, column, height):
    # scipy's full-degree Hermite polynomial and a bounded minimum search as second opinion
    a = annotations["5371-VV"]
    place = doppler.ecef(a.grid.longitude[row, column], a.grid.latitude[row, column], height)
    time, distance = doppler.locate(a.orbit, place)
    near = np.argsort(np.abs(a.orbit.time_s - time))[:5]
    near.sort()
    nodes = np.repeat(a.orbit.time_s[near], 2)
    values = np.stack([a.orbit.position[near], a.orbit.velocity[near]], 1).reshape(-1, 3)
    path = KroghInterpolator(nodes - time, values)
    found = minimize_scalar(
        lambda t: np.linalg.norm(path(t) - place), bounds=(-5, 5), options={"xatol": 1e-9}
    )
    # the minimum of a distance is flat: its place is known to a few mm of flight only
    assert abs(found.x) * 7500 < 0.1
    assert found.fun == pytest.approx(float(distance), abs=1e-4)


# --- orbits


def circle(times, radius=7_071e3, turn=1.04e-3):
    angle = turn * np.asarray(times)[..., None]
    tilt = np.array([0.1, 0.3, 1.0])
    a = np.array([1.0, 0.0, -0.1])
    a /= np.linalg.norm(a)
    b = np.cross(tilt, a)
    b /= np.linalg.norm(b)
    position = radius * (np.cos(angle) * a + np.sin(angle) * b)
    velocity = radius * turn * (np.cos(angle) * b - np.sin(angle) * a)
    return position, velocity, -(turn**2) * position


def circular(times):
    position, velocity, _ = circle(times)
    return Orbit(np.datetime64("2020-01-01", "ns"), np.asarray(times, float), position, velocity)


def test_vectors_ten_seconds_apart_give_a_circle_back():
    orbit = circular(np.arange(0.0, 161.0, 10.0))
    times = np.linspace(0, 160, 3001)
    for got, true, most in zip(orbit.state(times), circle(times), (1e-6, 1e-6, 1e-5), strict=True):
        assert np.abs(got - true).max() < most
    at_vectors = orbit.state(orbit.time_s)
    np.testing.assert_allclose(at_vectors[0], orbit.position, atol=1e-8)
    np.testing.assert_allclose(at_vectors[1], orbit.velocity, atol=1e-8)


def test_beyond_its_vectors_an_orbit_goes_on_smoothly():
    orbit = circular(np.arange(0.0, 28.0))
    for edge, outward in ((0.0, -1.0), (27.0, 1.0)):
        for away, most in ((1e-6, 1e-6), (1.0, 0.002), (10.0, 2.0)):
            time = edge + outward * away
            off = orbit.state(time)[0] - circle(time)[0]
            assert np.linalg.norm(off) < most
        inside, outside = (orbit.state(edge - outward * s) for s in (1e-9, -1e-9))
        for a, b in zip(inside, outside, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_vectors_give_an_orbit_too(count):
    orbit = circular(np.arange(count) * 10.0)
    times = np.linspace(0, (count - 1) * 10.0, 100)
    assert np.abs(orbit.state(times)[0] - circle(times)[0]).max() < 0.001


def test_interpolation_agrees_with_scipy_on_a_real_orbit(annotations):
    orbit = annotations["SLC-VV"].orbit
    times = np.linspace(orbit.time_s[6], orbit.time_s[10], 200)
    chosen = slice(4, 13)
    nodes = np.repeat(orbit.time_s[chosen], 2)
    values = np.stack([orbit.position[chosen], orbit.velocity[chosen]], 1).reshape(-1, 3)
    path = KroghInterpolator(nodes - nodes[8], values)
    np.testing.assert_allclose(orbit.state(times)[0], path(times - nodes[8]), atol=1e-3)
    velocity = path.derivative(times - nodes[8])
    np.testing.assert_allclose(orbit.state(times)[1], velocity, atol=1e-3)


@pytest.mark.parametrize("product", ["9550-VV", "5371-VV"])
def test_interpolation_agrees_with_sarsen(annotations, product):
    module = pytest.importorskip("sarsen.orbit")
    xr = pytest.importorskip("xarray")
    a = annotations[product]
    times = np.array([moment(a, t) for t in a.orbit.time_s])
    vectors = xr.DataArray(
        a.orbit.position, dims=("azimuth_time", "axis"), coords={"azimuth_time": times}
    )
    judge = module.OrbitPolyfitInterpolator.from_position(vectors)
    when = np.linspace(a.first_line_s, a.last_line_s, 50)
    asked = np.array([moment(a, t) for t in when])
    asked = xr.DataArray(asked, dims="azimuth_time", name="azimuth_time")
    got = judge.position(asked).transpose("azimuth_time", "axis").values
    # sarsen fits one polynomial of degree 5 through all vectors: cm, not mm
    np.testing.assert_allclose(a.orbit.state(when)[0], got, atol=0.1)


def test_slices_of_one_datatake_join_into_one_orbit(annotations):
    first, second = annotations["CEAB-VV"].orbit, annotations["3768-VV"].orbit
    both = join_orbits(first, second)
    assert both.epoch == first.epoch
    assert both.time_s.size == 28 + 28 - 3  # they overlap by three seconds
    assert np.diff(both.time_s).min() > 0.9
    # 3 mm: what processors leave between the orbits of two slices
    for orbit in (first, second.since(first.epoch)):
        times = np.linspace(orbit.time_s[0], orbit.time_s[-1], 400)
        assert np.abs(both.state(times)[0] - orbit.state(times)[0]).max() < 0.02
    assert both.covers(first.time_s[0], second.since(first.epoch).time_s[-1])


def test_seconds_count_from_the_epoch():
    orbit = circular(np.arange(5) * 10.0)
    later = orbit.since(orbit.epoch + np.timedelta64(1500, "ms"))
    np.testing.assert_allclose(later.state(3.5)[0], orbit.state(5.0)[0], atol=1e-6)
    assert utc("UTC=2022-09-18T05:31:55.470319") == np.datetime64("2022-09-18T05:31:55.470319")


def test_orbits_know_what_they_cover():
    orbit = circular([0.0, 10, 20, 30, 90, 100])
    assert orbit.covers(1, 29)
    assert orbit.covers(0, 30)
    assert not orbit.covers(-1, 20)
    assert not orbit.covers(95, 101)
    assert not orbit.covers(25, 95)  # a hole


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.0], [10.0, 0.0]])
def test_impossible_orbits_are_refused(times):
    with pytest.raises(ValueError, match="state vectors"):
        circular(times)


START, STOP = np.datetime64("2022-09-18T07:49:21.5"), np.datetime64("2022-09-18T07:49:46.7")


def test_an_orbit_file_of_another_mission_is_refused(resorb):
    with pytest.raises(SceneError, match=r"RESORB.*orbit of S1A, the image is of S1B; give"):
        read_eof(resorb, START, STOP, "S1B")


@pytest.mark.parametrize("hours", [-24, -2.5, 1.0, 24])
def test_an_orbit_file_of_another_time_is_refused(resorb, hours):
    shift = np.timedelta64(int(hours * 3600), "s")
    message = r"RESORB.*valid from 2022-09-18T05:31:55 to 2022-09-18T08:49:25; give"
    with pytest.raises(SceneError, match=message):
        read_eof(resorb, START + shift, STOP + shift, "S1A")


def test_a_hole_in_an_orbit_file_is_refused(resorb):
    text = resorb.read_text()
    lines = re.sub(
        r"<OSV>(?:(?!</OSV>).)*UTC=2022-09-18T07:49:[1-3]\d.*?</OSV>", "", text, flags=re.S
    )
    assert 3 <= text.count("<OSV>") - lines.count("<OSV>") <= 9
    with pytest.raises(SceneError, match="no unbroken state vectors"):
        read_eof(lines.encode(), START, STOP, "S1A", name="hole.EOF")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("AUX_RESORB</File_Type>", "AUX_PREORB</File_Type>", "expected AUX_POEORB or AUX_RESORB"),
        ("EARTH_FIXED", "MEAN_OF_DATE", "Ref_Frame MEAN_OF_DATE"),
        (">UTC</Time_Reference>", ">TAI</Time_Reference>", "Time_Reference TAI"),
        ("</Data_Block>", "", "broken orbit file"),
        ('<X unit="m">', '<X unit="m">x', None),
        ("<UTC>UTC=2022-09-18T05:31:55.470319", "<UTC>", "broken orbit file"),
    ],
)
def test_a_damaged_orbit_file_is_refused(resorb, old, new, message):
    text = resorb.read_text()
    assert old in text
    count = -1 if message is None else 1
    with pytest.raises(SceneError, match=rf"bad\.EOF: .*{message or 'broken orbit file'}"):
        read_eof(text.replace(old, new, count).encode(), START, STOP, "S1A", name="bad.EOF")


def test_a_precise_orbit_file_reads_alike(resorb):
    text = resorb.read_text().replace("AUX_RESORB</File_Type>", "AUX_POEORB</File_Type>")
    orbit = read_eof(text.encode(), START, STOP, "S1A")
    same = read_eof(resorb, START, STOP, "S1A")
    np.testing.assert_array_equal(orbit.position, same.position)
    assert orbit.covers(-45.0, 75.0)


def test_a_missing_orbit_file_is_named(tmp_path):
    with pytest.raises(SceneError, match=r"none\.EOF: broken orbit file"):
        read_eof(tmp_path / "none.EOF", START, STOP, "S1A")
