# SPDX-License-Identifier: Apache-2.0
"""Calibration and noise tables: tables with the answer in sight, real products, another reader."""

import bisect
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from made.radar_luts import (
    block,
    calibration_vector,
    calibration_xml,
    new_noise_xml,
    old_noise_xml,
    products,
    vector,
)
from terrapatch.errors import SceneError
from terrapatch.radar.luts import read_calibration, read_noise


def plain_linear(places, values, at):
    """One value by the textbook formula, in plain Python."""
    k = bisect.bisect_right(places, at) - 1
    if k < 0 or k == len(places) - 1:
        return values[max(k, 0)]
    t = (at - places[k]) / (places[k + 1] - places[k])
    return (1 - t) * values[k] + t * values[k + 1]


def numbers(element, node):
    return [float(text) for text in element.findtext(node).split()]


def plain_vectors(root, path, node):
    """Lines, pixels and values straight from the XML."""
    vectors = root.findall(path)
    lines = [float(v.findtext("line")) for v in vectors]
    return lines, [(numbers(v, "pixel"), numbers(v, node)) for v in vectors]


def plain_table(vectors, line, pixel):
    """Bilinear value at one point."""
    lines, pairs = vectors
    return plain_linear(lines, [plain_linear(*pair, pixel) for pair in pairs], line)


def test_values_between_vectors_are_bilinear():
    lut = read_calibration(
        calibration_xml(
            calibration_vector(0, [0, 10], [100.0, 200.0]),
            calibration_vector(4, [0, 10], [300.0, 500.0]),
        ),
        "c.xml",
    )
    expected = [[100, 150, 200], [150, 212.5, 275], [300, 400, 500]]
    actual = lut.window("sigma0", np.array([0, 1, 4]), np.array([0, 5, 10]))
    np.testing.assert_array_equal(expected, actual)
    assert lut.polarisation == "VV"


def test_the_ends_hold_beyond_the_vectors():
    lut = read_calibration(calibration_xml(calibration_vector(5, [2, 4], [10.0, 20.0])), "c.xml")
    actual = lut.window("gamma0", np.array([-3, 5, 99]), np.array([-1, 0, 2, 3, 4, 9]))
    np.testing.assert_array_equal([[10, 10, 10, 15, 20, 20]] * 3, actual)


def test_vectors_may_differ_in_length_and_come_in_any_order():
    lut = read_noise(
        old_noise_xml(
            vector("noiseVector", 10, [0, 4], noiseLut=[20, 40]),
            vector("noiseVector", 0, [0, 1, 4], noiseLut=[0, 8, 8]),
        ),
        "n.xml",
    )
    actual = lut.window(np.array([0, 5, 10]), np.array([0, 2, 4]))
    np.testing.assert_array_equal([[0, 8, 8], [10, 19, 24], [20, 30, 40]], actual)


def test_repeated_lines_and_pixels_are_steps():
    lut = read_noise(
        old_noise_xml(
            vector("noiseVector", 0, [0, 2, 2, 4], noiseLut=[1, 1, 5, 5]),
            vector("noiseVector", 4, [0, 4], noiseLut=[1, 1]),
            vector("noiseVector", 4, [0, 4], noiseLut=[9, 9]),
            vector("noiseVector", 6, [0, 4], noiseLut=[7, 7]),
        ),
        "n.xml",
    )
    actual = lut.window(np.array([0, 4, 5, 6]), np.array([0, 1, 2, 3]))
    np.testing.assert_array_equal([[1, 1, 5, 5], [9] * 4, [8] * 4, [7] * 4], actual)


def test_noise_along_azimuth_multiplies_its_block_only():
    ranges = [vector("noiseRangeVector", k, [0, 5], noiseRangeLut=[10, 10]) for k in (0, 9)]
    blocks = [
        block("IW1", (0, 9), (0, 1), [0, 8], [1.0, 3.0]),
        block("IW2", (0, 4), (2, 3), [2], [5.0]),
        block("IW2", (5, 9), (2, 3), [5, 9], [2.0, 2.0]),
    ]
    lut = read_noise(new_noise_xml(ranges, blocks), "n.xml")
    expected = [
        [10, 10, 50, 50, 10],  # line 0; pixel 4 lies in no block
        [20, 20, 50, 50, 10],
        [30, 30, 20, 20, 10],  # line 9 is beyond the last factor of the first block
    ]
    actual = lut.window(np.array([0, 4, 9]), np.arange(5))
    np.testing.assert_array_equal(expected, actual)
    shuffled = lut.window(np.array([9, 0, 4]), np.array([4, 0, 2, 1, 3]))
    np.testing.assert_array_equal(np.array(expected)[[2, 0, 1]][:, [4, 0, 2, 1, 3]], shuffled)


def test_a_block_without_corners_holds_everywhere():
    ranges = [vector("noiseRangeVector", 0, [0, 5], noiseRangeLut=[10, 10])]
    blocks = [
        '<noiseAzimuthVector><line count="1">0</line>'
        '<noiseAzimuthLut count="1">2</noiseAzimuthLut></noiseAzimuthVector>'
    ]
    lut = read_noise(new_noise_xml(ranges, blocks), "n.xml")
    np.testing.assert_array_equal([[20, 20]], lut.window(np.array([7]), np.array([0, 9])))


def test_real_tables_agree_with_the_formula_point_by_point(shared_data):
    rng = np.random.default_rng(1)
    for name, data in products(shared_data).items():
        root = ET.fromstring(data)
        rows = np.sort(rng.choice(16600, 3, replace=False))
        # Sub-swath boundaries of the new noise vectors are among the points.
        cols = np.sort(np.append(rng.choice(25200, 4, replace=False), [0, 8477, 8478, 17288]))
        if name.startswith("calibration"):
            lut = read_calibration(data, name)
            nodes = {"sigma0": "sigmaNought", "beta0": "betaNought", "gamma0": "gamma", "dn": "dn"}
            for quantity, node in nodes.items():
                table = plain_vectors(root, "calibrationVectorList/calibrationVector", node)
                expected = [[plain_table(table, y, x) for x in cols] for y in rows]
                actual = lut.window(quantity, rows, cols)
                np.testing.assert_allclose(actual, expected, rtol=1e-6, err_msg=name)
            continue
        lut = read_noise(data, name)
        new = root.find("noiseRangeVectorList") is not None
        path = "noiseRangeVectorList/noiseRangeVector" if new else "noiseVectorList/noiseVector"
        table = plain_vectors(root, path, "noiseRangeLut" if new else "noiseLut")
        expected = np.array([[plain_table(table, y, x) for x in cols] for y in rows])
        for b in root.iter("noiseAzimuthVector"):
            lines, factors = numbers(b, "line"), numbers(b, "noiseAzimuthLut")
            first, last = int(b.findtext("firstRangeSample")), int(b.findtext("lastRangeSample"))
            for i, y in enumerate(rows):
                expected[i, (cols >= first) & (cols <= last)] *= plain_linear(lines, factors, y)
        np.testing.assert_allclose(lut.window(rows, cols), expected, rtol=1e-6, err_msg=name)
        assert lut.is_zero == (not new)  # the products of 2015 annotate noise as zeros


def test_real_tables_agree_with_xarray_sentinel(shared_data, tmp_path):
    reader = pytest.importorskip("xarray_sentinel.sentinel1")
    xr = pytest.importorskip("xarray")
    rows = np.array([0, 1, 333, 667, 8000, 16600])
    cols = np.array([0, 39, 40, 41, 8476, 8478, 12345, 25167])
    at = {"line": xr.DataArray(rows, dims="y"), "pixel": xr.DataArray(cols, dims="x")}
    for name, data in products(shared_data).items():
        path = tmp_path / name
        path.write_bytes(data)
        if name.startswith("calibration"):
            theirs = reader.open_calibration_dataset(str(path))
            names = {"sigma0": "sigmaNought", "beta0": "betaNought", "gamma0": "gamma", "dn": "dn"}
            lut = read_calibration(data, name)
            for quantity, node in names.items():
                expected = theirs[node].astype("f8").interp(at).to_numpy()
                np.testing.assert_allclose(lut.window(quantity, rows, cols), expected, rtol=1e-6)
        elif b"noiseRangeVectorList" in data:
            along = reader.open_noise_range_dataset(str(path)).noiseRangeLut.astype("f8")
            expected = along.interp(at).to_numpy()
            lut = read_noise(data, name)
            np.testing.assert_allclose(lut.ranges.window(rows, cols), expected, rtol=1e-6)
            # It reads the factors of the first sub-swath only, so that is where it can judge.
            azimuth = reader.open_noise_azimuth_dataset(str(path)).noiseAzimuthLut.astype("f8")
            iw1 = cols <= 8476
            expected = expected * azimuth.interp(line=at["line"]).to_numpy()[:, None]
            np.testing.assert_allclose(lut.window(rows, cols)[:, iw1], expected[:, iw1], rtol=1e-6)


def test_a_window_has_the_same_bits_as_the_whole(shared_data):
    files = products(shared_data)
    calibration = next(n for n in files if n.startswith("calibration-s1b"))
    noise = next(n for n in files if n.startswith("noise-s1b"))
    lut, thermal = read_calibration(files[calibration], "c"), read_noise(files[noise], "n")
    rows, cols = np.arange(600, 760), np.arange(8800, 9000)
    whole = lut.window("sigma0", rows, cols), thermal.window(rows, cols)
    for y, x in ((0, 0), (67, 88), (68, 91), (159, 199)):
        part = lut.window("sigma0", rows[y:], cols[x:]), thermal.window(rows[y:], cols[x:])
        for a, b in zip(whole, part, strict=True):
            np.testing.assert_array_equal(a[y:, x:], b)
    one = lut.window("sigma0", rows[5:6], cols[7:8])
    assert one[0, 0] == whole[0][5, 7]


GOOD = calibration_xml(calibration_vector(0, [0, 10], [100.0, 200.0]))
RANGES = vector("noiseRangeVector", 0, [0, 5], noiseRangeLut=[10, 10])
OLD = vector("noiseVector", 0, [0, 5], noiseLut=[10, 10])


@pytest.mark.parametrize(
    ("reader", "data", "message"),
    [
        (read_calibration, GOOD[:-30], "truncated"),
        (read_calibration, b"", "truncated"),
        (read_calibration, b"<noise/>", "expected <calibration>"),
        (read_noise, b"<product/>", "expected <noise>"),
        (read_calibration, calibration_xml(), "no calibrationVector"),
        (read_calibration, GOOD.replace(b'List count="1"', b'List count="27"'), "1 of 27"),
        (read_calibration, GOOD.replace(b'count="2">100.0', b'count="654">100.0'), "2 of 654"),
        (read_calibration, GOOD.replace(b"100.0", b"0.0"), "zero or negative"),
        (read_calibration, GOOD.replace(b"100.0", b"nan"), "not finite"),
        (read_calibration, GOOD.replace(b"100.0", b"abc"), "no numbers"),
        (read_calibration, GOOD.replace(b">0 10<", b">10 0<"), "do not ascend"),
        (read_calibration, GOOD.replace(b"<line>0<", b"<line>first<"), "a whole number"),
        (read_calibration, GOOD.replace(b"polarisation", b"p"), "polarisation"),
        (read_noise, new_noise_xml([], []), "0 noiseVector and 0 noiseRangeVector"),
        (read_noise, old_noise_xml(OLD.replace(">10 10<", ">10 -1<")), "negative"),
        (read_noise, old_noise_xml(OLD.replace('"2">10 10<', '"1">10<')), "1 noiseLut for 2"),
        (read_noise, new_noise_xml([RANGES], ["<noiseAzimuthVector/>"]), "<line> is missing"),
    ],
)  # fmt: skip
def test_a_broken_file_gives_one_clear_error(reader, data, message):
    with pytest.raises(SceneError, match=message) as error:
        reader(data, "s1a-vv.xml")
    assert str(error.value).startswith("s1a-vv.xml: ")
