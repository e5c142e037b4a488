# SPDX-License-Identifier: Apache-2.0
"""Radiometry of GRD: the formula by hand, floors and footprints, bits of strips."""

import numpy as np
import pytest

from made.radar_luts import (
    block,
    calibration_vector,
    calibration_xml,
    new_noise_xml,
    products,
    vector,
)
from terrapatch.errors import SceneError
from terrapatch.radar.luts import read_calibration, read_noise
from terrapatch.sentinel1.radiometry import FLOOR, Tables, calibrate, noise_scale

CALIBRATION = read_calibration(
    calibration_xml(
        calibration_vector(0, [0, 10], [100.0, 200.0], beta=[50.0, 50.0]),
        calibration_vector(10, [0, 10], [100.0, 200.0], beta=[50.0, 50.0]),
    ),
    "c.xml",
)
NOISE = read_noise(
    new_noise_xml(
        [vector("noiseRangeVector", k, [0, 10], noiseRangeLut=[100, 200]) for k in (0, 10)],
        [block("IW1", (0, 10), (0, 10), [0, 10], [1.0, 2.0])],
    ),
    "n.xml",
)
ROWS, COLS = np.array([0, 10]), np.array([0, 5, 10])
DN = np.array([[100, 300, 10], [0, 0, 20]], np.uint16)
INSIDE = np.array([[True, True, True], [True, False, False]])


def values(quantity="sigma0", noise=None, scale_of_noise=1.0, **given):
    tables = Tables(CALIBRATION, noise, scale_of_noise)
    return calibrate(DN, INSIDE, quantity, (ROWS, COLS), tables, **given)


def test_backscatter_is_dn_squared_over_a_squared():
    expected = [[1.0, 4.0, 0.0025], [FLOOR, np.nan, np.nan]]
    np.testing.assert_allclose(values(), expected, rtol=1e-6)
    np.testing.assert_allclose(values("beta0")[0], [4.0, 36.0, 0.04], rtol=1e-6)


def test_noise_is_subtracted_and_the_floor_holds_inside_only():
    # Noise: 100, 150, 200 in the first line; A: 100, 150, 200.
    first = [(10000 - 100) / 1e4, (90000 - 150) / 22500, FLOOR]
    np.testing.assert_allclose(values(noise=NOISE), [first, [FLOOR, np.nan, np.nan]], rtol=1e-6)


def test_without_a_floor_denoised_values_stay_as_they_are():
    # Second line, first pixel: a valid zero under a noise of 200.
    actual = values(noise=NOISE, floor=-np.inf)
    np.testing.assert_allclose(actual[:, [0, 2]], [[0.99, -0.0025], [-0.02, np.nan]], rtol=1e-5)


def test_amplitude_is_the_digital_number():
    actual = values("amplitude", noise=NOISE)
    np.testing.assert_array_equal(actual, [[100, 300, 10], [0, np.nan, np.nan]])
    assert actual.dtype == np.float32


def test_noise_can_be_scaled():
    np.testing.assert_allclose(
        values(noise=NOISE, scale_of_noise=10.0)[0, 0], (10000 - 1000) / 1e4, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("ipf", "mode", "expected"),
    [
        ("003.31", "IW", 1.0),
        ("002.50", "IW", 1.0),
        ("002.36", "IW", 75088.7 * 474**2),
        ("002.36", "EW", 56065.87 * 474**2),
        ("002.20", "IW", 75088.7 * 474),
    ],
)
def test_noise_of_early_processors_is_brought_to_digital_numbers(ipf, mode, expected):
    assert noise_scale(ipf, mode, 474.0) == pytest.approx(expected)


def test_a_strange_processor_version_is_an_error():
    with pytest.raises(SceneError, match="processor version 'new'"):
        noise_scale("new", "IW", 474.0)


def test_denoising_uncovers_a_signal_below_the_noise():
    """Of 20,000 pixels of 4.4 looks, the mean of what was put in comes back without bias."""
    rng = np.random.default_rng(7)
    signal, noise = 150.0, 100.0  # power in DN²; the noise of NOISE at pixel 0
    power = rng.gamma(4.4, (signal + noise) / 4.4, (200, 100))
    dn = np.round(np.sqrt(power)).astype(np.uint16)
    given = calibrate(
        dn, np.ones(dn.shape, bool), "sigma0", (np.zeros(200), np.zeros(100)),
        Tables(CALIBRATION, NOISE), floor=-np.inf,
    )  # fmt: skip
    assert 10 * np.log10(given.mean() / (signal / 1e4)) == pytest.approx(0, abs=0.05)


def test_real_tables_in_strips_equal_the_whole_and_the_plain_formula(shared_data):
    files = products(shared_data)
    name = next(n for n in files if n.startswith("calibration-s1a-iw-grd-vh-2020"))
    calibration = read_calibration(files[name], name)
    name = name.replace("calibration", "noise")
    noise = read_noise(files[name], name)
    rng = np.random.default_rng(3)
    dn = rng.integers(0, 300, (300, 400)).astype(np.uint16)
    inside = rng.random(dn.shape) < 0.9
    rows, cols = np.arange(500, 800), np.arange(8300, 8700)

    def run(y, x):
        return calibrate(
            dn[y, x], inside[y, x], "gamma0", (rows[y], cols[x]), Tables(calibration, noise)
        )

    whole = run(slice(None), slice(None))
    strips = np.vstack([run(slice(k, k + 64), slice(None)) for k in range(0, 300, 64)])
    np.testing.assert_array_equal(whole, strips)
    np.testing.assert_array_equal(whole[100:, 170:], run(slice(100, None), slice(170, None)))
    a = calibration.window("gamma0", rows, cols).astype(float)
    plain = np.maximum((dn.astype(float) ** 2 - noise.window(rows, cols)) / a**2, FLOOR)
    np.testing.assert_allclose(whole, np.where(inside, plain, np.nan), rtol=1e-4, atol=1e-9)
    assert (np.isnan(whole) == ~inside).all()
    assert (whole == np.float32(FLOOR)).any()


def test_noise_floor_of_a_real_product_is_that_of_the_sensor(shared_data):
    """The noise-equivalent σ⁰ of IW lies between −30 and −22 dB, by design and in orbit."""
    files = products(shared_data)
    name = next(n for n in files if n.startswith("noise-s1a-iw-grd-vv-2020"))
    noise = read_noise(files[name], name)
    name = name.replace("noise", "calibration")
    calibration = read_calibration(files[name], name)
    rows, cols = np.arange(100, 16000, 1000), np.arange(100, 25000, 100)
    power = noise.window(rows, cols) / calibration.window("sigma0", rows, cols) ** 2
    assert -30 < 10 * np.log10(power.min()) < 10 * np.log10(power.max()) < -22


def test_backscatter_agrees_with_xarray_sentinel(shared_data, tmp_path):
    reader = pytest.importorskip("xarray_sentinel")
    xr = pytest.importorskip("xarray")
    files = products(shared_data)
    name = next(n for n in files if n.startswith("calibration-s1b"))
    (tmp_path / name).write_bytes(files[name])
    tables = reader.sentinel1.open_calibration_dataset(str(tmp_path / name))
    rows, cols = np.arange(640, 700), np.arange(8000, 8100)
    dn = np.random.default_rng(2).integers(1, 2000, (60, 100)).astype(np.uint16)
    numbers = xr.DataArray(
        dn.astype("f8"), coords={"line": rows, "pixel": cols}, dims=("line", "pixel"),
        attrs={"units": "1", "long_name": "measurement digital number"},
    )  # fmt: skip
    for quantity, table in {
        "sigma0": "sigmaNought",
        "beta0": "betaNought",
        "gamma0": "gamma",
    }.items():
        expected = reader.calibrate_intensity(numbers, tables[table]).to_numpy()
        actual = calibrate(
            dn, np.ones(dn.shape, bool), quantity, (rows, cols),
            Tables(read_calibration(files[name], name)),
        )  # fmt: skip
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
